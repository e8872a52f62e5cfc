import type { Life, NodeId, Vacancy } from '../base/ids.js'
import type { Assignment } from '../protocol/messages.js'

/** Compares by incarnation, then by connection. Negative when `a` is the earlier life. */
export function compareLives(a: Life, b: Life): number {
  return a.incarnation - b.incarnation || a.connection - b.connection
}

/** Knowledge of a member about the named primary's node and about itself. */
export interface VacancyEvidence {
  readonly self: NodeId
  readonly life: Life
  /** Epoch in which this node is primary, or is opening; 0: there is none. */
  readonly primaryEpoch: number
  /** Newest life heard of the named primary's node since the own start, if any. */
  readonly heardLife: Life | null
  /** Newest life of it that a 503 proved gone. */
  readonly goneLife: Life | null
  /** Highest epoch that it announced to be over. */
  readonly resignedEpoch: number
  /** Whether the last grant to it is older than the lease, margin included, and so is the start. */
  readonly grantExpired: boolean
}

/**
 * Returns proof that the epoch in the record is over, or null. Evidence about a connection counts
 * for that connection and the ones before it, never for a later one: a node that reconnected and
 * won again has another epoch.
 */
export function vacancyOf(record: Assignment, evidence: VacancyEvidence): Vacancy | null {
  const primary = record.primary
  if (!primary || record.state === 'vacant') return 'none'
  if (primary.node === evidence.self) {
    return evidence.primaryEpoch === record.epoch ? null : 'own'
  }
  if (evidence.heardLife && compareLives(evidence.heardLife, primary) > 0) return 'restarted'
  if (evidence.resignedEpoch >= record.epoch) return 'resigned'
  if (evidence.goneLife && compareLives(evidence.goneLife, primary) >= 0) return 'noResponders'
  if (evidence.grantExpired) return 'grantExpired'
  return null
}

export const vacancies = [
  'none',
  'own',
  'restarted',
  'resigned',
  'noResponders',
  'grantExpired',
] as const satisfies readonly Vacancy[]

/** Returns text why the former primary is no longer primary. `from` null: it has no name. */
export function vacancyText(vacancy: Vacancy, from: string | null): string {
  const who = from ?? 'the primary'
  switch (vacancy) {
    case 'none':
      return from === null ? 'there is no primary yet' : `${who} is no longer primary`
    case 'own':
      return `${who} was no longer primary`
    case 'restarted':
      return `${who} was restarted`
    case 'resigned':
      return `${who} stepped down`
    case 'noResponders':
      return `NATS says that ${who} is no longer connected`
    case 'grantExpired':
      return `${who} was not heard for the length of a lease`
  }
}

/** Returns the reason of a planned promotion. */
export function handoverReason(from: string): string {
  return `${from} handed over`
}
