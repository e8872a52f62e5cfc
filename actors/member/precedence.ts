import type { NodeId } from '../../machines/base/ids.js'
import { betterCandidate } from '../../machines/election/candidates.js'
import type { SurveyRequest } from '../../machines/protocol/messages.js'
import type { Member } from './member.js'

/**
 * As far as this node knows, no other member goes before it if all have the same entries. The
 * primary whose epoch is over does not count: it was heard a moment ago.
 */
export function isFirst({ self, known, context: { peers } }: Member): boolean {
  const record = known.record?.assignment
  if (!record) return false
  const position = { epoch: 0, sequence: 0 }
  const isAble = (node: NodeId): boolean =>
    node !== record.primary?.node && peers.isHeard(node) && !peers.isProvenDead(node)
    && peers.unfitOf(node) === null
  return record.inSync.every((node) =>
    node === self || !isAble(node)
    || betterCandidate(record, { node: self, position }, { node, position })
  )
}

/** Whether this member is a better candidate than the one that asks. */
export function isBetterThan(member: Member, { candidate, position }: SurveyRequest): boolean {
  const record = member.known.record?.assignment
  if (!record || !position) return false
  const own = { node: member.self, position: member.position() }
  return betterCandidate(record, own, { node: candidate, position })
}
