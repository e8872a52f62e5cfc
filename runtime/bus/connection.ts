import { createInbox, ErrorCode, Events, headers as natsHeaders } from 'nats'
import type { Msg, MsgHdrs, NatsConnection, NatsError } from 'nats'
import { BusClosedError, ForbiddenError, isNoResponders, NoRespondersError,
  RequestTimeoutError } from '../../actors/ports/bus.js'
import type { SideWay, BusConnection, BusMessage, BusSubscription,
  PublishOptions } from '../../actors/ports/bus.js'
import type { Logger } from '../../actors/ports/system.js'
import { stackOf } from '../../machines/base/thrown.js'
import { Liveness } from './liveness.js'
import type { LivenessOptions } from './liveness.js'
import { NatsBusMessage } from './message.js'
import { SideConnection } from './sideConnection.js'
import { SideSubscriptions } from './sideSubscriptions.js'
import { limitIntake, socketOf } from './socket.js'
import { steadySubscription } from './steadySubscription.js'

interface Denial {
  readonly operation: 'publish' | 'subscription'
  readonly subject: string
}

interface PendingRequest {
  readonly subject: string
  readonly timer: NodeJS.Timeout
  resolve(message: BusMessage): void
  reject(error: Error): void
}

export interface NatsBusConnectionOptions {
  readonly nats: NatsConnection
  readonly inboxPrefix: string
  readonly logger: Logger
  readonly liveness: LivenessOptions
  /** Opens a connection for answers. */
  readonly dialSide: () => Promise<NatsConnection>
}

/** One NATS connection behind the BusConnection port; made by `natsBus`. */
export class NatsBusConnection implements BusConnection {
  readonly serverId: string
  readonly closed: Promise<string>
  readonly #nats: NatsConnection
  readonly #logger: Logger
  readonly #socket: ReturnType<typeof socketOf>
  readonly #sides: Readonly<Record<SideWay, SideConnection>>
  readonly #sideSubscriptions: SideSubscriptions
  readonly #inbox: string
  readonly #pending = new Map<string, PendingRequest>()
  readonly #flushes = new Set<(error: Error) => void>()
  #maxPayload: number
  #lastToken = 0
  #isClosed = false
  #isDeaf = false
  #reason: string | null = null

  readonly inboxPrefix: string
  readonly #liveness: Liveness

  constructor({ nats, inboxPrefix, logger, liveness, dialSide }: NatsBusConnectionOptions) {
    this.#nats = nats
    this.inboxPrefix = inboxPrefix
    this.#logger = logger
    this.#sides = {
      writes: new SideConnection(dialSide, logger),
      reads: new SideConnection(dialSide, logger),
    }
    this.#sideSubscriptions = new SideSubscriptions(nats)
    this.#socket = socketOf(nats)
    if (this.#socket) limitIntake(this.#socket)
    const inbox = createInbox(inboxPrefix)
    this.#inbox = `${inbox}.`
    this.serverId = nats.info?.server_id ?? ''
    this.#maxPayload = nats.info?.max_payload ?? 1_048_576
    this.closed = nats.closed().then(
      (error) => this.#ended(error ?? null),
      (error: Error) => this.#ended(error),
    )
    steadySubscription((onRefused) =>
      nats.subscribe(`${inbox}.*`, {
        callback: (error, message) => {
          this.#answer(error, message)
          if (error) onRefused()
        },
      }), () => this.isClosed)
    this.#liveness = new Liveness(nats, liveness, () => {
      this.#reason ??= 'the server stopped answering pings'
      void nats.close()
    })
    void this.#watch()
  }

  get maxPayload(): number {
    this.#maxPayload = this.#nats.info?.max_payload ?? this.#maxPayload
    return this.#maxPayload
  }

  get bufferedBytes(): number {
    return (this.#socket?.writableLength ?? 0) + this.#sides.reads.bufferedBytes
  }

  get isClosed(): boolean {
    return this.#isClosed || this.#nats.isClosed()
  }

  /** Whether answers can arrive: false where this user may not listen below its prefix. */
  async hears(): Promise<boolean> {
    await this.flush()
    return !this.#isDeaf
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    if (this.isClosed) throw new BusClosedError()
    checkSubject(subject)
    try {
      if (options === undefined) this.#nats.publish(subject, data)
      else this.#nats.publish(subject, data, {
          ...(options.reply === undefined ? {} : { reply: options.reply }),
          ...(options.headers === undefined ? {} : { headers: headerBlock(options.headers) }),
        })
    } catch (error) {
      throw this.#publishError(error, data)
    }
  }

  publishSide(subject: string, data: Uint8Array, way: SideWay): void {
    if (this.isClosed) throw new BusClosedError()
    const side = this.#sides[way].connection
    if (side === null) return this.publish(subject, data)
    checkSubject(subject)
    if (this.#sides[way].isFull) return
    try {
      side.publish(subject, data)
    } catch (error) {
      throw this.#publishError(error, data)
    }
  }

  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    if (this.isClosed) throw new BusClosedError()
    checkSubject(subject)
    return this.#subscribeOn(this.#nats, subject, handler, options)
  }

  subscribeSide(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    if (this.isClosed) throw new BusClosedError()
    checkSubject(subject)
    const subscription = this.#sideSubscriptions.add((nats) =>
      this.#subscribeOn(nats, subject, handler, options)
    )
    this.#sides.reads.keepFor(this.#sideSubscriptions)
    return subscription
  }

  #subscribeOn(
    nats: NatsConnection,
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    return steadySubscription((onRefused) =>
      nats.subscribe(subject, {
        ...(options?.queue === undefined ? {} : { queue: options.queue }),
        callback: (error, message) => {
          if (error) {
            this.#logger.error({ subject, error: error.message }, 'subscription failed')
            onRefused()
            return
          }
          try {
            handler(new NatsBusMessage(message))
          } catch (fault) {
            this.#logger.error({ subject, error: stackOf(fault) }, 'message handler threw')
          }
        },
      }), () => this.isClosed || nats.isClosed())
  }

  request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage> {
    return new Promise((resolve, reject) => {
      const token = (this.#lastToken += 1).toString(36)
      // A throw inside the executor rejects the promise. Nothing is kept when publish fails.
      this.publish(subject, data, {
        reply: this.#inbox + token,
        ...(options.headers === undefined ? {} : { headers: options.headers }),
      })
      const timer = setTimeout(() => {
        this.#pending.delete(token)
        reject(new RequestTimeoutError(subject, options.timeoutMs))
      }, options.timeoutMs)
      this.#pending.set(token, { subject, timer, resolve, reject })
    })
  }

  async flush(): Promise<void> {
    const { writes, reads } = this.#sides
    await Promise.all([this.#flushed(), writes.flush(), reads.flush()])
  }

  #flushed(): Promise<void> {
    if (this.isClosed) return Promise.reject(new BusClosedError())
    // The package leaves the promise of an unanswered ping unsettled when it closes.
    return new Promise((resolve, reject) => {
      this.#flushes.add(reject)
      this.#nats.flush().then(
        () => {
          this.#flushes.delete(reject)
          resolve()
        },
        () => {
          this.#flushes.delete(reject)
          reject(new BusClosedError())
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#reason ??= 'closed by this process'
    this.#closeSides()
    await this.#nats.close()
    await this.closed
  }

  #answer(error: NatsError | null, message: Msg): void {
    if (error) {
      this.#isDeaf = true
      return
    }
    const token = message.subject.slice(this.#inbox.length)
    const pending = this.#pending.get(token)
    if (!pending) return
    this.#pending.delete(token)
    clearTimeout(pending.timer)
    const answer = new NatsBusMessage(message)
    if (isNoResponders(answer)) pending.reject(new NoRespondersError(pending.subject))
    else pending.resolve(answer)
  }

  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) {
      if (status.type === Events.LDM) {
        this.#logger.info({ server: this.serverId }, 'NATS server is shutting down')
      } else if (status.type === Events.Error) this.#serverError(status)
    }
  }

  #serverError(status: { data: unknown; permissionContext?: object }): void {
    if (status.data !== ErrorCode.PermissionsViolation) {
      this.#reason ??= `the server reports ${String(status.data)}`
      return
    }
    this.#logger.error({ ...status.permissionContext }, 'NATS permission denied')
    const { operation, subject } = (status.permissionContext ?? {}) as Partial<Denial>
    if (operation === 'publish') this.#forbidden(subject ?? '')
  }

  /** A denied subject is denied to every request that waits for an answer from there. */
  #forbidden(subject: string): void {
    for (const [token, pending] of this.#pending) {
      if (pending.subject !== subject) continue
      this.#pending.delete(token)
      clearTimeout(pending.timer)
      pending.reject(new ForbiddenError(subject))
    }
  }

  #closeSides(): void {
    this.#sides.writes.close()
    this.#sides.reads.close()
  }

  #ended(error: Error | null): string {
    this.#isClosed = true
    this.#closeSides()
    this.#liveness.stop()
    const cause = error && (error as Partial<NatsError>).code
    const reason = this.#reason ?? (error
      ? `the connection broke: ${error.message || cause}`
      : 'the server closed the connection')
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer)
      pending.reject(new BusClosedError(`the NATS connection is closed: ${reason}`))
    }
    this.#pending.clear()
    for (const reject of this.#flushes) reject(new BusClosedError())
    this.#flushes.clear()
    return reason
  }

  #publishError(error: unknown, data: Uint8Array): Error {
    const code = (error as Partial<NatsError> | null)?.code
    if (code === ErrorCode.MaxPayloadExceeded) {
      return new RangeError(
        `${data.length} bytes and their headers exceed max_payload, ${this.maxPayload} bytes`,
      )
    }
    if (code === ErrorCode.ConnectionClosed || code === ErrorCode.ConnectionDraining) {
      return new BusClosedError()
    }
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** White space in a subject would become part of the wire protocol. */
function checkSubject(subject: string): void {
  if (subject === '' || (!isVisibleAscii(subject) && /[\s\0]/.test(subject))) {
    throw new TypeError(`${JSON.stringify(subject)} is not a subject`)
  }
}

/** True for nearly every subject, and six times as fast as the regular expression. */
function isVisibleAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit <= 0x20 || unit >= 0x7f) return false
  }
  return true
}

function headerBlock(fields: Readonly<Record<string, string>>): MsgHdrs {
  const block = natsHeaders()
  for (const name in fields) block.set(name, fields[name] ?? '')
  return block
}
