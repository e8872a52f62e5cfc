/**
 * Rules of a candidate: whom it asks, whom it claims as in sync, whose grants it waits for. Pure:
 * candidates act by them, and a rehearsal decides by them.
 */
import type { NodeId, Position } from '../base/ids.js'
import { comparePositions } from '../log/positions.js'
import type { ProtocolTimes } from '../protocol/defaultTimes.js'
import type { Assignment, SurveyAnswer } from '../protocol/messages.js'
import { isInSync } from './candidates.js'

/** What a node knows of a peer, by its heartbeats. */
export interface PeerView {
  /** Its connection is gone, or it has left. */
  readonly isProvenDead: boolean
  /** The last grant to it is older than the lease, margin included. */
  readonly isGrantExpired: boolean
  /** Time without a word of it, counted from the opening of the own connection on, ms. */
  readonly quietMs: number
}

/**
 * Whether the peer is not asked in a survey, since it would not answer. (After an outage of the own
 * node, all leases are over, and everybody is asked.)
 */
export function isSilent(
  { isProvenDead, isGrantExpired, quietMs }: PeerView,
  { grantMs }: Pick<ProtocolTimes, 'grantMs'>,
): boolean {
  return isProvenDead || (isGrantExpired && quietMs >= grantMs / 2)
}

/** A member of the old in-sync set, as a claimant knows it. */
export interface OldMember extends Pick<PeerView, 'isProvenDead' | 'quietMs'> {
  /** It was heard, and says that the arbiter does not know its start. */
  readonly isUnregistered: boolean
  /** Disk that it named last; null: none. */
  readonly disk: string | null
  readonly answer: SurveyAnswer | undefined
}

/**
 * Whether the member stays in the in-sync set that is claimed. lacking: it does not, since it lacks
 * entries up to `committed`, and must never be without them.
 */
export function staysInSync(
  record: Assignment,
  node: NodeId,
  { isProvenDead, quietMs, isUnregistered, disk, answer }: OldMember,
  committed: Position,
  { grantMs }: Pick<ProtocolTimes, 'grantMs'>,
): boolean | 'lacking' {
  if (isProvenDead || isUnregistered) return false
  const named = answer?.disk ?? disk
  if (named && !isInSync(record, node, named)) return false
  if (answer && comparePositions(answer.position, committed) < 0) return 'lacking'
  return answer !== undefined || quietMs < grantMs / 2
}

/** Grants that an opening epoch lacks. */
export interface MissingGrants {
  readonly nodes: readonly NodeId[]
  /** These nodes are given up: they leave the in-sync set. Otherwise they are waited for. */
  readonly shrinkable: boolean
}

/** Returns whose grants a claimant lacks, after it has waited for so long; null: it has all. */
export function missingGrants(
  { inSync }: Pick<Assignment, 'inSync'>,
  self: NodeId,
  peers: {
    readonly isGranted: (node: NodeId) => boolean
    readonly isProvenDead: (node: NodeId) => boolean
  },
  waitedMs: number,
  { grantMs }: Pick<ProtocolTimes, 'grantMs'>,
): MissingGrants | null {
  const missing = inSync.filter((node) => node !== self && !peers.isGranted(node))
  if (missing.length === 0) return null
  const lost = missing.filter((node) => peers.isProvenDead(node) || waitedMs > grantMs / 2)
  return { nodes: lost.length > 0 ? lost : missing, shrinkable: lost.length > 0 }
}

/** Returns the epoch to claim: above all that are known. */
export function epochAbove(known: readonly number[], answers: readonly SurveyAnswer[]): number {
  return Math.max(...known, ...answers.map((answer) => answer.highestEpoch)) + 1
}

/** Returns why a member with such a fault takes no part although there is no primary. */
export function standsAsideText(fault: string): string {
  return `is not a candidate: ${fault}`
}
