import type { NodeId } from '../../machines/base/ids.js'
import { isSilent } from '../../machines/election/claiming.js'
import type { PeerView } from '../../machines/election/claiming.js'
import type { Assignment, SurveyAnswer } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { isUnanswered } from '../ports/bus.js'
import type { Member } from './member.js'

/**
 * Asks one member for its position. With `confirm` it writes to its journal before it answers.
 * Rejects when there is no valid answer.
 */
export async function survey(
  member: Member,
  node: NodeId,
  epoch: number,
  { timeoutMs, confirm = false }: { timeoutMs: number; confirm?: boolean },
): Promise<SurveyAnswer> {
  const { ports, wire } = member.context
  const question = ports.control.encode({
    space: member.space,
    uuid: member.uuid,
    candidate: member.self,
    epoch,
    position: member.position(),
    ...(confirm && { confirm }),
  })
  const { data } = await wire.request(subjects.survey(member.space, node), question, { timeoutMs })
  const decoded = ports.control.surveyAnswer(data)
  if (!decoded.ok) throw new Error(decoded.reason)
  if (decoded.value.node !== node) throw new Error(`${decoded.value.node} answers for ${node}`)
  return decoded.value
}

/**
 * Asks the in-sync members (`isForced`: all members). One that does not answer in time is left out.
 * Silent members are not asked, which would only cost time.
 */
export async function surveyAll(
  member: Member,
  { inSync, members, epoch }: Assignment,
  isForced: boolean,
): Promise<SurveyAnswer[]> {
  const { peers, settings, settings: { surveyMs } } = member.context
  const viewOf = (node: NodeId): PeerView => ({
    isProvenDead: peers.isProvenDead(node),
    isGrantExpired: peers.isGrantExpired(node),
    quietMs: peers.quietMs(node),
  })
  const asked = (isForced ? members.map((m) => m.node) : inSync)
    .filter((node) => node !== member.self && !isSilent(viewOf(node), settings))
  const answers = await Promise.all(asked.map(async (node) => {
    try {
      return await survey(member, node, epoch, { timeoutMs: surveyMs })
    } catch (error) {
      if (!isUnanswered(error)) {
        member.context.ports.logger.warn({ space: member.space, node, error: String(error) },
          'a member did not answer the survey')
      }
      return null
    }
  }))
  return answers.filter((answer) => answer !== null)
}
