import type { Clock, TimerHandle } from '../ports/system.js'
import { Sorted } from '../structures/sorted.js'

interface Waiter {
  readonly sequence: number
  readonly dueMs: number
  readonly number: number
  readonly done: (isReached: boolean) => void
}

/** Waiters called in one turn of the event loop; the others follow in the next turns. */
const callsPerTurn = 256

/**
 * Waiters for sequences, ordered by sequence and by deadline. An event costs O(log n), and there is
 * one timer for all of them.
 */
export class SequenceWaiters {
  private readonly bySequence = new Sorted<Waiter>((a, b) =>
    a.sequence - b.sequence || a.number - b.number
  )
  private readonly byDeadline = new Sorted<Waiter>((a, b) =>
    a.dueMs - b.dueMs || a.number - b.number
  )
  private reached = 0
  private lastNumber = 0
  private timer: TimerHandle | null = null
  /** Monotonic time at which the timer is due. */
  private timerMs = Infinity
  private isCalling = false
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

  /** Fails all waiters: no sequence is reached any more. */
  stop(): void {
    this.isOver = true
    if (!this.isCalling) this.call()
  }

  /** Nothing counts as reached until the next call of `reach`. */
  fallBack(): void {
    this.reached = -1
  }

  reach(sequence: number): void {
    this.reached = Math.max(this.reached, sequence)
    if (!this.isCalling) this.call()
  }

  private readonly call = (): void => {
    this.isCalling = false
    const nowMs = this.clock.monotonicMs()
    for (let calls = 0; calls < callsPerTurn; calls += 1) {
      const [next, isReached] = this.next(nowMs)
      if (next === undefined) return this.arm()
      this.bySequence.delete(next)
      this.byDeadline.delete(next)
      next.done(isReached)
    }
    this.isCalling = true
    this.clock.nextTurn(this.call)
  }

  private next(nowMs: number): [waiter: Waiter | undefined, isReached: boolean] {
    const first = this.bySequence.first()
    if (first && first.sequence <= this.reached) return [first, true]
    const late = this.byDeadline.first()
    return [late && (this.isOver || late.dueMs <= nowMs) ? late : undefined, false]
  }

  /** Sets the timer for the first deadline. A timer that is set for an earlier one suffices. */
  private arm(): void {
    const first = this.byDeadline.first()
    if (this.isCalling || first === undefined || first.dueMs >= this.timerMs) return
    if (this.timer !== null) this.clock.clearTimeout(this.timer)
    this.timerMs = first.dueMs
    this.timer = this.clock.setTimeout(() => {
      this.timer = null
      this.timerMs = Infinity
      if (!this.isCalling) this.call()
    }, Math.max(0, first.dueMs - this.clock.monotonicMs()))
  }
}
