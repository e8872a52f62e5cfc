/** Running delays. */
import type { RunningTimer } from '../../inspect/schema.js'

/**
 * Elapsed time of a delay, ms. A delay that should have ended was started again. Its node reports
 * such states twice a second.
 */
export function passedOf(
  { startedAtMs, delayMs }: Pick<RunningTimer, 'startedAtMs' | 'delayMs'>,
  atMs: number,
): number {
  const passedMs = Math.max(0, atMs - startedAtMs)
  return passedMs <= delayMs || delayMs <= 0 ? passedMs : passedMs % delayMs
}
