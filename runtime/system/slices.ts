/** Long work in pieces, between which the event loop gets its turn: it keeps the node's lease. */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** The node's work queue takes as much: 5 ms together. */
const sliceMs = 2

/** Slices one after the other; each begins when the one before is over. */
export class Slices {
  private endMs = performance.now() + sliceMs

  /** Check it after each step; then `await next()`. */
  get isOver(): boolean {
    return performance.now() >= this.endMs
  }

  async next(): Promise<void> {
    await nextTurn()
    this.endMs = performance.now() + sliceMs
  }
}

/**
 * Makes one result at a time, for all who ask meanwhile, and no sooner than `everyMs` after the
 * beginning of the one before; earlier requests get that one.
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
    // A failure is for those who waited for it, not for later requests.
    made.catch(() => {
      made = null
    })
    return made
  }
}
