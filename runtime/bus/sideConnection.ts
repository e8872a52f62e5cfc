import { ErrorCode, Events } from 'nats'
import type { NatsConnection } from 'nats'
import type { Logger } from '../../actors/ports/system.js'
import { Liveness } from './liveness.js'
import { limitIntake, socketOf } from './socket.js'

/** Time that a flush waits for a server that does not read. */
const flushMs = 100
/**
 * Slower than those of the first connection: while a client does not read, an older server reads
 * nothing here for ten seconds (its write_deadline), although it is healthy.
 */
const sideLiveness = { pingIntervalMs: 5000, maxPingOut: 3 }
/** Limit of answers that the server has not read; later ones are dropped. */
const bufferedBytesMax = 16 * 1024 * 1024

/** Gets the state of a connection that is kept open for it. */
export interface SideListener {
  stands(nats: NatsConnection): void
  /** The connection broke, and is dialled again. */
  gone(): void
  /** The connection could not be opened, and is dialled again. */
  failed(): void
}

/**
 * A further connection to the same server, for answers. A server lets a sender wait whose recipient
 * does not read (nats-server before 2.10.26: 100 ms for each message, until that client is closed).
 * On this connection that holds up other answers, but no heartbeat. It is opened when it is first
 * needed. Until it is open, and while there is none, the first connection is used.
 */
export class SideConnection {
  #nats: NatsConnection | null = null
  #isDialling = false
  #dialledAtMs = -Infinity
  #isOver = false
  #liveness: Liveness | null = null
  #isReported = false
  /** The last attempt to dial failed, which was logged. */
  #hasFailed = false
  #listener: SideListener | null = null
  #redialTimer: NodeJS.Timeout | undefined

  /** @param redialMs pause before another one is dialled */
  constructor(
    private readonly dial: () => Promise<NatsConnection>,
    private readonly logger: Logger,
    private readonly redialMs = 1000,
    private readonly pings = sideLiveness,
  ) {}

  /** Null: there is none now. */
  get connection(): NatsConnection | null {
    if (this.#nats === null) this.#make()
    else if (!this.#nats.isClosed()) return this.#nats
    return null
  }

  /** Opens it even if it is not needed, and again whenever it breaks. */
  keepFor(listener: SideListener): void {
    if (this.#listener !== null) return
    this.#listener = listener
    if (this.#nats !== null && !this.#nats.isClosed()) listener.stands(this.#nats)
    else this.#make()
  }

  get bufferedBytes(): number {
    return this.#nats === null ? 0 : socketOf(this.#nats)?.writableLength ?? 0
  }

  /** More answers would only take memory: clients ask again. Logged once. */
  get isFull(): boolean {
    const { bufferedBytes } = this
    if (bufferedBytes <= bufferedBytesMax) this.#isReported = false
    else if (!this.#isReported) {
      this.#isReported = true
      this.logger.warn({ bufferedBytes },
        'the NATS server does not read the answers of this node: new ones are dropped')
    }
    return bufferedBytes > bufferedBytesMax
  }

  /** Everything published before has reached the server, unless that takes too long. */
  async flush(): Promise<void> {
    if (this.#nats === null) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, flushMs)
    })
    await Promise.race([this.#nats.flush().catch(() => undefined), late])
    clearTimeout(timer)
  }

  /** Final: answers that are not written yet are dropped. */
  close(): void {
    this.#isOver = true
    clearTimeout(this.#redialTimer)
    this.#end()
  }

  #end(): void {
    this.#liveness?.stop()
    if (this.#nats !== null) end(this.#nats)
    this.#nats = null
  }

  #make(): void {
    const nowMs = performance.now()
    if (this.#isOver || this.#isDialling || nowMs - this.#dialledAtMs < this.redialMs) return
    this.#isDialling = true
    this.#dialledAtMs = nowMs
    this.dial().then((nats) => this.#made(nats), (error: unknown) => {
      if (!this.#hasFailed) {
        this.logger.warn({ error: String(error) },
          'cannot open a separate connection for answers; they use the first one')
      }
      this.#hasFailed = true
      if (!this.#isOver) this.#listener?.failed()
      this.#redial()
    }).finally(() => {
      this.#isDialling = false
    })
  }

  #redial(): void {
    if (this.#isOver || this.#listener === null) return
    clearTimeout(this.#redialTimer)
    this.#redialTimer = setTimeout(() => {
      // A timer may be early by part of a millisecond: nobody would dial again.
      this.#dialledAtMs = -Infinity
      this.#make()
    }, this.redialMs)
    this.#redialTimer.unref()
  }

  #made(nats: NatsConnection): void {
    if (this.#isOver) return end(nats)
    this.#hasFailed = false
    this.#nats = nats
    const socket = socketOf(nats)
    if (socket) limitIntake(socket)
    const liveness = new Liveness(nats, this.pings, () => {
      this.logger.warn({}, 'the NATS server stopped answering pings on a connection for answers')
      this.#end()
    })
    this.#liveness = liveness
    const gone = (): void => {
      liveness.stop()
      if (this.#nats === nats) this.#nats = null
      if (this.#isOver) return
      this.#listener?.gone()
      this.#redial()
    }
    nats.closed().then(gone, gone)
    this.#listener?.stands(nats)
    void this.#watch(nats)
  }

  async #watch(nats: NatsConnection): Promise<void> {
    for await (const { type, data, permissionContext } of nats.status()) {
      if (type !== Events.Error || data !== ErrorCode.PermissionsViolation) continue
      this.logger.error({ ...permissionContext }, 'NATS permission denied')
    }
  }
}

function end(nats: NatsConnection): void {
  void nats.close()
  socketOf(nats)?.destroy()
}
