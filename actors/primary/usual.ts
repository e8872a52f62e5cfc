import type { Assignment } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'

/**
 * Whether a primary may order a change without an operator. Not while the arbiter or half of the
 * known nodes are missing (then this node may be the one that is cut off), or the space is paused.
 */
export function isUsual(
  { known, context: { peers } }: Pick<Member, 'known' | 'context'>,
  { members, paused }: Pick<Assignment, 'members' | 'paused'>,
): boolean {
  if (known.arbiter !== 'reachable' || known.rejection !== null || paused) return false
  const all = new Set([...peers.names(), ...members.map(({ node }) => node)])
  return peers.living().length * 2 > all.size
}
