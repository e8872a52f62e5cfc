/** Checks that the server at the other end of a connection still answers. */
import type { NatsConnection } from 'nats'
import { socketOf } from './socket.js'

export interface LivenessOptions {
  readonly pingIntervalMs: number
  /** Pings without an answer before the connection counts as stale. */
  readonly maxPingOut: number
}

/**
 * The package has pings of its own, but after too many it waits until the socket has taken its last
 * bytes: for ever, when the server hangs and the buffers are full. A stall of this process costs
 * one tick at most, so it does not look like a hung server. Neither does a server that sends so
 * much that its answer to a ping is not read yet.
 */
export class Liveness {
  readonly #timer: NodeJS.Timeout
  #unanswered = 0
  #received = 0

  /** @param onStale called once */
  constructor(
    private readonly nats: NatsConnection,
    private readonly options: LivenessOptions,
    private readonly onStale: () => void,
  ) {
    this.#timer = setInterval(() => this.#ping(), options.pingIntervalMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #ping(): void {
    const received = socketOf(this.nats)?.bytesRead ?? 0
    if (received !== this.#received) this.#unanswered = 0
    this.#received = received
    if (this.#unanswered >= this.options.maxPingOut) {
      this.stop()
      return this.onStale()
    }
    this.#unanswered += 1
    this.nats.flush().then(() => {
      this.#unanswered = 0
    }, () => {})
  }
}
