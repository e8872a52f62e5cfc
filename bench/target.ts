/** Properties of a system that the benchmark loads, and of a load. */
import type { AckLevel } from '../machines/protocol/messages.js'
import type { Counts, Pids } from './account.js'

/** A place where the load sends its writes to. */
export interface Endpoint {
  /** URL of a NATS server, or `redis://HOST:PORT`. */
  readonly url: string
  readonly subject: string
  /** The beginning of a positive answer. */
  readonly okPrefix: string
}

/** A running system. */
export interface Target {
  readonly name: string
  readonly endpoint: Endpoint
  /** Its processes, as the roles are now. */
  pids(): Promise<Pids>
  /** Batches that its journals have flushed so far, by role, where it counts them. */
  batches?(): Promise<Counts>
  stop(): Promise<void>
}

export interface LoadSpec extends Endpoint {
  /** Requests that wait for an answer at once; without it, the loop is open, at `rate`. */
  readonly inFlight?: number
  /** Writes per second, sent when they are due whether earlier ones are answered or not. */
  readonly rate?: number
  readonly seconds: number
  readonly warmupSeconds: number
  /** Memory nodes that are written over and over; default 100,000. */
  readonly ids?: number
  /** A header with every write, of another value each: `Nats-Msg-Id` is its idempotency key. */
  readonly header?: string
  /** To Redis; default 1, over which all is pipelined. */
  readonly connections?: number
  /** The level at which a write is answered; without it, the space's own. */
  readonly ack?: AckLevel
}
