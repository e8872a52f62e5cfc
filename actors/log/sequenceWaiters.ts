import type { Clock, TimerHandle } from '../ports/system.js'
import { Sorted } from '../structures/sorted.js'

interface Waiter {
  readonly sequence: number
  readonly dueMs: number
  readonly number: number
  readonly done: (isReached: boolean) => void
}

/** Told in one turn of the event loop; all that are due are told in as many as it takes. */
const toldPerTurn = 256

/**
 * Who waits for a sequence, in the order of sequences and in that of deadlines: an event costs the
 * logarithm of their number, and there is one timer for all of them.
 */
export class SequenceWaiters {
  private readonly bySequence = new Sorted<Waiter>((a, b) =>
    a.sequence - b.sequence || a.number - b.number)
  private readonly byDeadline = new Sorted<Waiter>((a, b) =>
    a.dueMs - b.dueMs || a.number - b.number)
  private reached = 0
  private lastNumber = 0
  private timer: TimerHandle | null = null
  /** When it is due. */
  private timerMs = Infinity
  private isTelling = false
  private isOver = false

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.bySequence.size
  }

  /** `done` is called once: when the sequence is reached, or after `waitMs`. */
  add(sequence: number, waitMs: number, done: (isReached: boolean) => void): void {
    if (this.isOver) return done(false)
    const dueMs = this.clock.monotonicMs() + waitMs
    const waiter = { sequence, dueMs, number: this.lastNumber += 1, done }
    this.bySequence.put(waiter)
    this.byDeadline.put(waiter)
    this.arm()
  }

  /** Nothing is reached any more: all are told now. */
  stop(): void {
    this.isOver = true
    if (!this.isTelling) this.tell()
  }

  reach(sequence: number): void {
    this.reached = Math.max(this.reached, sequence)
    if (!this.isTelling) this.tell()
  }

  private readonly tell = (): void => {
    this.isTelling = false
    const nowMs = this.clock.monotonicMs()
    for (let told = 0; told < toldPerTurn; told += 1) {
      const [next, isReached] = this.next(nowMs)
      if (next === undefined) return this.arm()
      this.bySequence.delete(next)
      this.byDeadline.delete(next)
      next.done(isReached)
    }
    this.isTelling = true
    this.clock.nextTurn(this.tell)
  }

  private next(nowMs: number): [waiter: Waiter | undefined, isReached: boolean] {
    const first = this.bySequence.first()
    if (first && first.sequence <= this.reached) return [first, true]
    const late = this.byDeadline.first()
    return [late && (this.isOver || late.dueMs <= nowMs) ? late : undefined, false]
  }

  /** For the first deadline; a timer that is set for an earlier one does, too. */
  private arm(): void {
    const first = this.byDeadline.first()
    if (this.isTelling || first === undefined || first.dueMs >= this.timerMs) return
    if (this.timer !== null) this.clock.clearTimeout(this.timer)
    this.timerMs = first.dueMs
    this.timer = this.clock.setTimeout(() => {
      this.timer = null
      this.timerMs = Infinity
      if (!this.isTelling) this.tell()
    }, Math.max(0, first.dueMs - this.clock.monotonicMs()))
  }
}
