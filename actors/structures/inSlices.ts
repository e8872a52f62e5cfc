import type { Clock } from '../ports/system.js'

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
