import type { Clock } from '../ports/system.js'

/** Largest factor by which entries' time runs faster than the monotonic clock. */
const rateMax = 2

/**
 * Timestamps of the entries of one epoch. They follow the wall clock and never go back. When the
 * wall clock is set forward, they do not jump, but run twice as fast as time until they are level
 * (slewing). So a wall clock that is wrong for ten minutes, on any number of nodes, leaves
 * timestamps at most ten minutes ahead. Idempotency keys are forgotten by timestamps: they are
 * known for half of their time at least. An epoch begins at the wall clock, wherever that is.
 */
export class LogClock {
  /** Latest time of an entry; between two entries it rises with the monotonic clock. */
  private boundMs: number

  /** `last`: timestamp of the latest entry, when the monotonic clock was at `atMs`. */
  constructor(private readonly clock: Clock, private last: number, private atMs: number) {
    this.boundMs = last
  }

  /** Returns the timestamp of the next entry, a whole number of ms since 1970. */
  next(): number {
    const [wallMs, nowMs] = [this.clock.wallMs(), this.clock.monotonicMs()]
    const boundMs = this.boundMs + rateMax * (nowMs - this.atMs)
    this.atMs = nowMs
    this.last = Math.max(this.last, Math.floor(Math.min(wallMs, boundMs)))
    // Unused room below the bound must not allow a later jump.
    this.boundMs = Math.max(this.last, Math.min(wallMs, boundMs))
    return this.last
  }
}
