import { commonPoint, endOf, origin } from '../../machines/log/positions.js'
import { removedAt } from '../../machines/protocol/members.js'
import type { JoinAnswer, JoinRequest } from '../../machines/protocol/messages.js'
import type { InstallIntake } from '../install/intake.js'
import type { Member } from '../member/member.js'

/** The part that all answers to a join have. */
export function joinBase({ log, self }: Member, epoch: number, { number }: JoinRequest) {
  return {
    number,
    node: self,
    epoch,
    commitSequence: log.commitSequence,
    endSequence: log.end.sequence,
  }
}

/** No session begins; the member asks again. */
export function joinRefused(
  member: Member,
  epoch: number,
  request: JoinRequest,
  reason: string,
): JoinAnswer {
  return {
    ...joinBase(member, epoch, request),
    kind: 'refused',
    session: 0,
    common: origin,
    endedEpoch: member.own.endedEpoch,
    snapshotNeeded: false,
    reason,
  }
}

/** The refusal; a node that was taken out learns what this log lacks of its own. */
export function removedAnswer(
  { log, known }: Member,
  refused: JoinAnswer,
  request: JoinRequest,
  installs: Pick<InstallIntake, 'salvageAfter'>,
  safe: number,
): JoinAnswer {
  const record = known.record?.assignment
  const isOut = record !== undefined && removedAt(record, request.node) !== null
  if (!isOut || endOf(request.history).epoch > refused.epoch) return refused
  const salvageAfter = installs.salvageAfter(request, commonPoint(log, request))
  return { ...refused, code: 'removed', commitSequence: safe, salvageAfter }
}
