import type { Clock } from '../ports/system.js'
import { Fifo } from '../structures/fifo.js'

/** How long a request may wait for others, ms. */
const allowedMs = {
  /** A change until which nobody takes writes. */
  promotion: 0,
  /** A read until which nobody does. What is further goes first, or all of many would end late. */
  candidate: 100,
  /** A change of a space that is served, or what a command needs. */
  change: 200,
  /** A look at what may be new. */
  read: 1000,
}

export type Urgency = keyof typeof allowedMs

interface Waiting {
  readonly dueMs: number
  readonly begin: () => void
}

/**
 * Limits how many requests run at a time: a server that is behind takes longer the more it has,
 * until all of them time out. The others wait, in the order in which they are due. So urgent ones
 * go first, and none waits for ever.
 */
export class RequestLimiter {
  private running = 0
  /** In each queue the first is due first. */
  private readonly queues: Readonly<Record<Urgency, Fifo<Waiting>>> = {
    promotion: new Fifo(),
    candidate: new Fifo(),
    change: new Fifo(),
    read: new Fifo(),
  }

  constructor(
    private readonly max: number,
    private readonly clock: Pick<Clock, 'monotonicMs'>,
  ) {}

  async take<T>(work: () => Promise<T>, urgency: Urgency = 'read'): Promise<T> {
    if (this.running >= this.max) await this.turn(urgency)
    else this.running += 1
    try {
      return await work()
    } finally {
      const next = this.next()
      if (next) next.begin()
      else this.running -= 1
    }
  }

  private turn(urgency: Urgency): Promise<void> {
    const dueMs = this.clock.monotonicMs() + allowedMs[urgency]
    return new Promise((begin) => this.queues[urgency].push({ dueMs, begin }))
  }

  private next(): Waiting | undefined {
    const dueMs = (queue: Fifo<Waiting>) => queue.first()?.dueMs ?? Infinity
    return Object.values(this.queues).reduce((a, b) => (dueMs(b) < dueMs(a) ? b : a)).shift()
  }
}
