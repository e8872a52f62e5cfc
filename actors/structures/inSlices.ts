import type { Clock } from '../ports/system.js'

/** Work that is done step by step, and has a result. */
export type Steps<T> = Generator<undefined, T, undefined>

/** Longest slice: the event loop has to keep the lease. */
const sliceMs = 3

/**
 * Calls `step` until it returns false, then `onDone`. Begins at once and goes on in later turns of
 * the event loop: in between, heartbeats, frames, acks and timers have theirs.
 */
export function inSlices(
  clock: Pick<Clock, 'monotonicMs' | 'nextTurn'>,
  step: () => boolean,
  onDone: () => void,
): void {
  const slice = (): void => {
    const endMs = clock.monotonicMs() + sliceMs
    while (step()) {
      if (clock.monotonicMs() >= endMs) return clock.nextTurn(slice)
    }
    onDone()
  }
  slice()
}

/** Resolves with the result of the work, which is done as `inSlices` does it. */
export function resultInSlices<T>(
  clock: Pick<Clock, 'monotonicMs' | 'nextTurn'>,
  work: Steps<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let result: IteratorResult<undefined, T>
    const step = (): boolean => {
      try {
        result = work.next()
        return result.done !== true
      } catch (error) {
        reject(error as Error)
        return false
      }
    }
    inSlices(clock, step, () => {
      if (result?.done === true) resolve(result.value)
    })
  })
}
