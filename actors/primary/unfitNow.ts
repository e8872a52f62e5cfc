import type { NodeId } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'
import { survey } from '../member/survey.js'

/** Timeout of a survey that makes the peer write first: a slow fdatasync and the round trip. */
const confirmMs = 2000

/**
 * Asks the member to write to its journal, and why it may not be promoted. Null: it may. Nodes may
 * share a disk (one machine, one volume), and one that hangs is heard for a while yet.
 */
export async function unfitNow(member: Member, to: NodeId): Promise<string | null> {
  try {
    const answer = await survey(member, to, member.own.epoch, {
      timeoutMs: confirmMs,
      confirm: true,
    })
    return answer.whole ? null : answer.unfit ?? 'it is unfit'
  } catch (error) {
    return String(error)
  }
}
