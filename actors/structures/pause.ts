import type { Clock } from '../ports/system.js'

/** Resolves after so long, ms. */
export function pause(clock: Pick<Clock, 'setTimeout'>, ms: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, ms))
}
