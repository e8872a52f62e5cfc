/**
 * Limits how many pieces of work run at a time; the others wait, urgent ones first. A server that
 * is behind takes longer the more requests it has, until all of them time out.
 */
export class RequestLimiter {
  private running = 0
  private readonly urgent: (() => void)[] = []
  private readonly usual: (() => void)[] = []

  constructor(private readonly max: number) {}

  async take<T>(work: () => Promise<T>, isUrgent: boolean): Promise<T> {
    if (this.running >= this.max) {
      await new Promise<void>((begin) => (isUrgent ? this.urgent : this.usual).push(begin))
    } else {
      this.running += 1
    }
    try {
      return await work()
    } finally {
      const next = this.urgent.shift() ?? this.usual.shift()
      if (next) next()
      else this.running -= 1
    }
  }
}
