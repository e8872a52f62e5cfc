import { droppedText } from '../../machines/protocol/assignments.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { nameFault } from '../../machines/protocol/subjects.js'

/** An operator's command (`engram.v1.admin.<node>`). */
export type AdminCommand = Record<string, unknown>

/** Time limit of a command; clients wait longer. */
export const patienceMs = 8000

export type Answer = { ok: true } & Record<string, unknown>

/**
 * Refusals that programs distinguish beyond the code. otherSettings: the space exists with other
 * settings. unfit: the named node takes no primary (drained, stopping, or its disk is full). alive,
 * holder: the node to forget lives, or a record names it as a member or learner.
 */
export type RefusalReason = 'otherSettings' | 'unfit' | 'alive' | 'holder'

/** The answer to a command that is not carried out. `retryable`: it may succeed later. */
export class AdminRefusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly retryable = false,
    readonly reason?: RefusalReason,
  ) {
    super(message)
    this.name = 'AdminRefusal'
  }
}

/** The refusal in the arbiter's own words; null: the arbiter did not refuse. */
export function refusedByArbiter(rejection: string | null, before = ''): AdminRefusal | null {
  return rejection === null
    ? null
    : new AdminRefusal('ARBITER_REFUSED', `${before}the arbiter refuses it: ${rejection}`)
}

/** The refusal for a name that no space has; `tombstone`: what it had last, if that is known. */
export function unknownSpace(space: string, tombstone: Assignment | null = null): AdminRefusal {
  const why = tombstone ? `: it ${droppedText(tombstone)}` : ''
  return new AdminRefusal('UNKNOWN_SPACE', `there is no space ${space}${why}`)
}

export function spaceNameOf(command: AdminCommand): string {
  const fault = nameFault(command['space'])
  if (fault) throw new AdminRefusal('INVALID_OPERATION', `space: ${fault}`)
  return command['space'] as string
}
