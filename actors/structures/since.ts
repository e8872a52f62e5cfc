import type { Clock } from '../ports/system.js'

/** Since when each of some things has been so, without a break. */
export class Since<T> {
  private readonly sinceMs = new Map<T, number>()

  constructor(private readonly clock: Pick<Clock, 'monotonicMs'>) {}

  /** Notes that it is so of these now, and of no others. */
  update(now: readonly T[]): void {
    for (const one of this.sinceMs.keys()) if (!now.includes(one)) this.sinceMs.delete(one)
    for (const one of now) {
      if (!this.sinceMs.has(one)) this.sinceMs.set(one, this.clock.monotonicMs())
    }
  }

  /** Whether it has been so for that long. */
  lasts(one: T, ms: number): boolean {
    const sinceMs = this.sinceMs.get(one)
    return sinceMs !== undefined && this.clock.monotonicMs() - sinceMs >= ms
  }

  clear(): void {
    this.sinceMs.clear()
  }
}
