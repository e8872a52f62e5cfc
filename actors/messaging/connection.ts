import type { Life } from '../../machines/base/ids.js'
import { InvariantViolation } from '../../machines/log/invariants.js'
import { BusClosedError } from '../ports/bus.js'
import type { SideWay, BusConnection, BusMessage, BusSubscription,
  PublishOptions } from '../ports/bus.js'
import type { Logger } from '../ports/system.js'

/**
 * The node's present connection, if there is one. Messages over a closed connection are dropped:
 * core NATS promises no delivery anyway, and a primary ends with its connection.
 */
export class NodeConnection {
  private connection: BusConnection | null = null
  private current: Life

  /** `onDefect`: called when a handler found a violated invariant. */
  constructor(
    incarnation: number,
    private readonly logger: Logger,
    private readonly onDefect: (error: InvariantViolation) => void,
  ) {
    this.current = { incarnation, connection: 0 }
  }

  get life(): Life {
    return this.current
  }

  attach(connection: BusConnection, life: Life): void {
    this.connection = connection
    this.current = life
  }

  detach(): void {
    this.connection = null
  }

  get isOpen(): boolean {
    return this.connection !== null && !this.connection.isClosed
  }

  get serverId(): string | null {
    return this.isOpen ? this.connection!.serverId : null
  }

  /** Largest message that the server takes; 0 without a connection. */
  get maxPayload(): number {
    return this.isOpen ? this.connection!.maxPayload : 0
  }

  /** Prefix of the inboxes of this node's requests; null without a connection. */
  get inboxPrefix(): string | null {
    return this.isOpen ? this.connection!.inboxPrefix : null
  }

  /** Bytes published and not yet handed to the operating system. */
  get bufferedBytes(): number {
    return this.isOpen ? this.connection!.bufferedBytes : 0
  }

  readonly publish = (subject: string, data: Uint8Array, options?: PublishOptions): void => {
    if (!this.connection || this.connection.isClosed) return
    try {
      this.connection.publish(subject, data, options)
    } catch (error) {
      this.couldNot(subject, error)
    }
  }

  /** Publishes an answer to a client, on a side connection: traffic between nodes does not wait. */
  readonly publishSide = (subject: string, data: Uint8Array, way: SideWay): void => {
    if (!this.connection || this.connection.isClosed) return
    try {
      this.connection.publishSide(subject, data, way)
    } catch (error) {
      this.couldNot(subject, error)
    }
  }

  private couldNot(subject: string, error: unknown): void {
    if (error instanceof BusClosedError) return
    this.logger.warn({ subject, error: String(error) }, 'a message could not be sent')
  }

  /** Throws BusClosedError without a connection. */
  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    return this.required().subscribe(subject, this.guarded(handler), options)
  }

  /** Over the side connection: client requests other than writes. Throws BusClosedError if none. */
  subscribeSide(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    return this.required().subscribeSide(subject, this.guarded(handler), options)
  }

  private guarded(handler: (message: BusMessage) => void): (message: BusMessage) => void {
    return (message) => {
      try {
        handler(message)
      } catch (error) {
        if (error instanceof InvariantViolation) this.onDefect(error)
        throw error
      }
    }
  }

  /** Rejects with NoRespondersError, RequestTimeoutError or BusClosedError. */
  async request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage> {
    return await this.required().request(subject, data, options)
  }

  async flush(): Promise<void> {
    await this.required().flush()
  }

  private required(): BusConnection {
    if (!this.connection || this.connection.isClosed) throw new BusClosedError()
    return this.connection
  }
}
