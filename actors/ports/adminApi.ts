import { nameFault } from '../../machines/protocol/subjects.js'

/** An operator's command, and what comes of it (`engram.v1.admin.<node>`). */
export type AdminCommand = Record<string, unknown>

/** Operators wait for so long, less than their clients do. */
export const patienceMs = 8000

export type Answer = { ok: true } & Record<string, unknown>

/** A command that is not carried out. `retryable`: it may be, later. */
export class AdminRefusal extends Error {
  constructor(readonly code: string, message: string, readonly retryable = false) {
    super(message)
    this.name = 'AdminRefusal'
  }
}

/** The arbiter's own words; null: it did not refuse. */
export function refusedByArbiter(rejection: string | null, before = ''): AdminRefusal | null {
  return rejection === null ? null
    : new AdminRefusal('ARBITER_REFUSED', `${before}the arbiter refuses it: ${rejection}`)
}

export function spaceNameOf(command: AdminCommand): string {
  const fault = nameFault(command['space'])
  if (fault) throw new AdminRefusal('INVALID_OPERATION', `space: ${fault}`)
  return command['space'] as string
}
