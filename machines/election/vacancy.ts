import type { Life, NodeId, Vacancy } from '../base/ids.js'
import type { Assignment } from '../protocol/messages.js'

/** Incarnation first, then connection. Negative when `a` is the earlier life. */
export function compareLives(a: Life, b: Life): number {
  return a.incarnation - b.incarnation || a.connection - b.connection
}

/** What a member knows about the named primary's node, and about itself. */
export interface VacancyEvidence {
  readonly self: NodeId
  readonly life: Life
  /** Epoch of a reign that this node holds or is opening; 0 when there is none. */
  readonly primaryEpoch: number
  /** Newest life heard of the named primary's node, if any since my start. */
  readonly heardLife: Life | null
  /** Newest life of it that a 503 proved gone. */
  readonly goneLife: Life | null
  /** Highest epoch whose reign it said to be over. */
  readonly resignedEpoch: number
  /** My last grant to it is older than the lease, margin included, and so is my start. */
  readonly grantExpired: boolean
}

/**
 * Proof that the reign in the record is over, or null (DESIGN section 5, promotion step 4).
 * Evidence about a connection counts for that connection and the ones before it, never for a
 * later one: a node that reconnected and won again is another reign.
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
  'none', 'own', 'restarted', 'resigned', 'noResponders', 'grantExpired',
] as const satisfies readonly Vacancy[]

/** In words: why the primary before is none any more. `from`: null where it has no name. */
export function vacancyText(vacancy: Vacancy, from: string | null): string {
  const who = from ?? 'the primary'
  switch (vacancy) {
    case 'none': return from === null ? 'there is no primary yet' : `${who} is none any more`
    case 'own': return `${who} had lost its place`
    case 'restarted': return `${who} was restarted`
    case 'resigned': return `${who} stepped down`
    case 'noResponders': return `NATS says that ${who} is no longer connected`
    case 'grantExpired': return `${who} was not heard for the length of a lease`
  }
}

/** Of a promotion that was planned. */
export function handoverReason(from: string): string {
  return `${from} handed over`
}
