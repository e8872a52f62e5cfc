/** Delays that run. */
import type { RunningTimer } from '../../inspect/schema.js'

/**
 * How much of a delay has passed, ms. One that should be over was started again, and its node will
 * tell when: states that keep re-entering are told twice a second.
 */
export function passedOf(
  { startedAtMs, delayMs }: Pick<RunningTimer, 'startedAtMs' | 'delayMs'>, atMs: number,
): number {
  const passedMs = Math.max(0, atMs - startedAtMs)
  return passedMs <= delayMs || delayMs <= 0 ? passedMs : passedMs % delayMs
}
