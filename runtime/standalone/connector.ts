/** A bus connection that is made again whenever it is gone. */
import { BusConnectError } from '../../actors/ports/bus.js'
import type { Bus, BusConnection } from '../../actors/ports/bus.js'
import type { Clock, Logger } from '../../actors/ports/system.js'

export interface ConnectorOptions {
  readonly bus: Bus
  readonly clock: Clock
  readonly logger: Logger
  /** A connection is open, or (null) gone. */
  readonly onConnection: (connection: BusConnection | null) => void
}

/** Pauses between attempts: doubled each time, up to the maximum. */
const pauseFirstMs = 250
const pauseMaxMs = 5_000

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Connects from its creation until `close`. */
export class Connector {
  private connection: BusConnection | null = null
  private isClosed = false
  private waiters: Waiter[] = []
  private wake: () => void = () => undefined
  private readonly ended: Promise<void>

  constructor(private readonly options: ConnectorOptions) {
    this.ended = this.run()
  }

  /** Rejects when NATS refuses in a way that trying again does not mend (it goes on trying). */
  connected(): Promise<void> {
    if (this.isClosed) return Promise.reject(new Error('the actor host is closed'))
    const { connection } = this
    if (connection?.isClosed === false) return connection.flush().catch(() => this.connected())
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }))
  }

  /** Flushes and closes the connection; resolves when nothing is left running. */
  async close(): Promise<void> {
    if (!this.isClosed) {
      this.isClosed = true
      this.settle(({ reject }) => reject(new Error('the actor host was closed')))
      this.wake()
      const { connection } = this
      await connection?.flush().catch(() => undefined)
      await connection?.close()
    }
    await this.ended
  }

  private async run(): Promise<void> {
    let pauseMs = pauseFirstMs
    while (!this.isClosed) {
      if (await this.attempt()) pauseMs = pauseFirstMs
      if (this.isClosed) return
      await this.pause(pauseMs)
      pauseMs = Math.min(pauseMs * 2, pauseMaxMs)
    }
  }

  /** One connection, from its beginning to its end; false: there was none. */
  private async attempt(): Promise<boolean> {
    const { bus, logger, onConnection } = this.options
    let connection: BusConnection
    try {
      connection = await bus.connect()
    } catch (error) {
      const isFinal = !(error instanceof BusConnectError) || !error.retryable
      logger[isFinal ? 'error' : 'warn']({ error }, 'no connection to NATS')
      if (isFinal) this.settle(({ reject }) => reject(error as Error))
      return false
    }
    if (this.isClosed) {
      await connection.close()
      return true
    }
    this.connection = connection
    onConnection(connection)
    // The server knows the host's subscriptions then: events sent to it arrive.
    void connection.flush().then(
      () => this.settle(({ resolve }) => resolve()),
      () => undefined,
    )
    const reason = await connection.closed
    this.connection = null
    onConnection(null)
    if (!this.isClosed) logger.warn({ reason }, 'the connection to NATS is gone')
    return true
  }

  private settle(how: (waiter: Waiter) => void): void {
    const { waiters } = this
    this.waiters = []
    for (const waiter of waiters) how(waiter)
  }

  private async pause(ms: number): Promise<void> {
    const { clock } = this.options
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(resolve, ms)
      this.wake = () => {
        clock.clearTimeout(timer)
        resolve()
      }
    })
  }
}
