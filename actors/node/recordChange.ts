/** Changes of a space's record by a command: compare-and-set, and the hint to all members. */
import { emptyHistory } from '../../machines/log/positions.js'
import type { Announcement, Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal, refusedByArbiter } from '../ports/adminApi.js'

/**
 * Writes the record at that revision. Null: it has changed meanwhile. Rejects with AdminRefusal if
 * the arbiter refuses it, or does not confirm it while the operator waits (`isDue`). `what` names
 * the change in that error.
 */
export async function settleChange(
  { records, wire }: NodeContext,
  next: Assignment,
  revision: number,
  isDue: () => boolean,
  what: string,
): Promise<AssignmentAt | null> {
  const settled = await records.settle(next, revision, () => wire.isOpen && isDue())
  switch (settled.kind) {
    case 'applied':
      return settled.record
    case 'refused':
      return null
    case 'rejected':
      throw refusedByArbiter(settled.reason)!
    case 'abandoned':
      throw new AdminRefusal('ARBITER_UNAVAILABLE', `the arbiter has not confirmed ${what} `
        + `(${settled.reason}); it may still be applied`, true)
  }
}

/** Announces the record to all nodes; it comes from an operator, and so has no history. */
export function announceChange(
  { wire, ports }: NodeContext,
  { assignment, revision }: AssignmentAt,
  reason: string,
): void {
  const announcement: Announcement = {
    kind: 'changed',
    assignment,
    revision,
    ...emptyHistory,
    reason,
  }
  wire.publish(subjects.assignment(assignment.space), ports.control.encode(announcement))
}
