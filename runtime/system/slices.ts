/** Long work in pieces, between which the event loop turns: it keeps the lease of this node. */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Beside the node's queue of work, which takes as much: 5 ms together. */
const sliceMs = 2

/** One piece of work after the other; each begins when the one before is over. */
export class Slices {
  private endMs = performance.now() + sliceMs

  /** Asked after each step; then `await next()`. */
  get isOver(): boolean {
    return performance.now() >= this.endMs
  }

  async next(): Promise<void> {
    await nextTurn()
    this.endMs = performance.now() + sliceMs
  }
}

/**
 * One making at a time, for all who ask meanwhile, and none sooner than `everyMs` after the
 * beginning of the one before: who asks earlier gets what that one made.
 */
export function shared<T>(make: () => Promise<T>, everyMs: number): () => Promise<T> {
  let made: Promise<T> | null = null
  let isUnderWay = false
  let begunMs = -Infinity
  return () => {
    if (made !== null && (isUnderWay || performance.now() - begunMs < everyMs)) return made
    begunMs = performance.now()
    isUnderWay = true
    made = make().finally(() => {
      isUnderWay = false
    })
    // A failure is for those who waited for it, and not for those who ask later.
    made.catch(() => {
      made = null
    })
    return made
  }
}
