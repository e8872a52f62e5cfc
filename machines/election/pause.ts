import type { NodeId } from '../base/ids.js'
import type { Assignment, Member, Paused } from '../protocol/messages.js'
import { isInSync } from './candidates.js'

/** Returns text for operators. */
export function showPaused({ since, by }: Paused): string {
  return `paused since ${since} by ${by}`
}

const parts = new Intl.DateTimeFormat('sv-SE', {
  timeZone: 'UTC',
  dateStyle: 'short',
  timeStyle: 'medium',
})

/** Formats a wall clock's ms since 1970 as ISO 8601, to the second. */
export function isoTime(wallMs: number): string {
  return `${parts.format(wallMs).replace(' ', 'T')}Z`
}

/**
 * Returns why the pause of a space keeps a member from taking over, or null. Only its last primary
 * may become primary again, after a restart or a lapse. That is no failover, and often the purpose
 * of a pause.
 */
export function pauseHolds(record: Assignment, self: NodeId, disk: string): string | null {
  const { paused, primary } = record
  if (!paused) return null
  const isLast = primary?.node === self && isInSync(record, self, disk)
  return isLast ? null : showPaused(paused)
}

/**
 * Returns why a member must not take over by itself, or null. `drained`: its node is, with the
 * reason; `isCommanded`: an operator has ordered that it takes over.
 */
export function holdOf(
  record: Assignment,
  { node, disk }: Member,
  drained: string | null,
  isCommanded = false,
): string | null {
  if (drained !== null) return drained
  return isCommanded ? null : pauseHolds(record, node, disk)
}
