import type { Clock } from '../ports/system.js'

/** Entries' time goes at most so many times as fast as the monotonic clock. */
const rateMax = 2

/**
 * Timestamps of the entries of one epoch. They never go back, and follow the wall clock; where that
 * is set forward they do not jump, but go twice as fast as time until they are level (slewing). So
 * a wall clock that goes wrong for ten minutes, on however many nodes, leaves timestamps that are
 * ten minutes ahead at most, and idempotency keys, which are forgotten by timestamps, are known
 * for half of their time at least. An epoch begins at the wall clock, wherever that is.
 */
export class LogClock {
  /** No entry is later than this; between two entries it rises with the monotonic clock. */
  private boundMs: number

  /** `last`: timestamp of the latest entry, when the monotonic clock was at `atMs`. */
  constructor(private readonly clock: Clock, private last: number, private atMs: number) {
    this.boundMs = last
  }

  /** Timestamp of the next entry, a whole number of ms since 1970. */
  next(): number {
    const [wallMs, nowMs] = [this.clock.wallMs(), this.clock.monotonicMs()]
    const boundMs = this.boundMs + rateMax * (nowMs - this.atMs)
    this.atMs = nowMs
    this.last = Math.max(this.last, Math.floor(Math.min(wallMs, boundMs)))
    // What it did not take of the bound is no credit for a jump to come.
    this.boundMs = Math.max(this.last, Math.min(wallMs, boundMs))
    return this.last
  }
}
