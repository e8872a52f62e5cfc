/** What waits, the most urgent first. */
const urgencies = ['promotion', 'candidate', 'change', 'read'] as const

/**
 * `promotion`, `candidate`: a change, a read, until which nobody takes writes; what is further goes
 * first, so that not all of many end late. `change`: of a space that is served.
 */
export type Urgency = (typeof urgencies)[number]

/**
 * Limits how many pieces of work run at a time; the others wait, urgent ones first. A server that
 * is behind takes longer the more requests it has, until all of them time out.
 */
export class RequestLimiter {
  private running = 0
  private readonly waiting = new Map(urgencies.map((urgency) => [urgency, [] as (() => void)[]]))

  constructor(private readonly max: number) {}

  async take<T>(work: () => Promise<T>, urgency: Urgency = 'read'): Promise<T> {
    if (this.running >= this.max) {
      await new Promise<void>((begin) => this.waiting.get(urgency)!.push(begin))
    } else {
      this.running += 1
    }
    try {
      return await work()
    } finally {
      const next = this.next()
      if (next) next()
      else this.running -= 1
    }
  }

  private next(): (() => void) | undefined {
    for (const waiting of this.waiting.values()) if (waiting.length > 0) return waiting.shift()
    return undefined
  }
}
