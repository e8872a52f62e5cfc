import type { NodeId } from '../base/ids.js'
import type { Assignment, Paused } from '../protocol/messages.js'
import { isInSync } from './candidates.js'

/** In words, for operators. */
export function showPaused({ since, by }: Paused): string {
  return `paused since ${since} by ${by}`
}

const parts = new Intl.DateTimeFormat('sv-SE', {
  timeZone: 'UTC', dateStyle: 'short', timeStyle: 'medium',
})

/** ISO 8601, to the second, of a wall clock's ms since 1970. */
export function isoTime(wallMs: number): string {
  return `${parts.format(wallMs).replace(' ', 'T')}Z`
}

/**
 * Why a member must not take over by itself, or null. While a space is paused its last primary may
 * go on where it was, after a restart or a lapse: that is no failover, and what a pause is often
 * for. Nobody else does.
 */
export function pauseHolds(record: Assignment, self: NodeId, disk: string): string | null {
  const { paused, primary } = record
  if (!paused) return null
  const isLast = primary?.node === self && isInSync(record, self, disk)
  return isLast ? null : showPaused(paused)
}
