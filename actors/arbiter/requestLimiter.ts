/**
 * At most so many pieces of work at a time; the others wait in line, urgent ones first. What is
 * asked of a server that is behind takes longer the more is asked: then all of it times out.
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
