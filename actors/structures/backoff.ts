import type { Random } from '../ports/system.js'

/** Pauses between attempts, doubled each time up to the maximum, with half of each random. */
export class Backoff {
  private ms: number

  constructor(
    private readonly random: Random,
    private readonly firstMs: number,
    private readonly mostMs: number,
  ) {
    this.ms = firstMs
  }

  /** Returns the next pause, ms; its random part keeps those that failed together apart. */
  next(): number {
    const { ms } = this
    this.ms = Math.min(ms * 2, this.mostMs)
    return ms * (0.5 + this.random.next() / 2)
  }

  reset(): void {
    this.ms = this.firstMs
  }
}

/** Times that a time is doubled at most: a minute becomes an hour. */
const doublingsMax = 6

/** Returns the time, doubled for each of so many failures. */
export function doubled(ms: number, failures: number): number {
  return ms * 2 ** Math.min(failures, doublingsMax)
}

/** The longest time that `doubled` returns. */
export function longest(ms: number): number {
  return doubled(ms, doublingsMax)
}
