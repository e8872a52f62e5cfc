import type { Random } from '../ports/system.js'

/** Pauses between attempts, doubled each time up to the maximum; half of each is chance. */
export class Backoff {
  private ms: number

  constructor(
    private readonly random: Random, private readonly firstMs: number,
    private readonly mostMs: number,
  ) {
    this.ms = firstMs
  }

  /** The next pause, ms: so that those who failed at once do not come back at once. */
  next(): number {
    const { ms } = this
    this.ms = Math.min(ms * 2, this.mostMs)
    return ms * (0.5 + this.random.next() / 2)
  }

  reset(): void {
    this.ms = this.firstMs
  }
}
