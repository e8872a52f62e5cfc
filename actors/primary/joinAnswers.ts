import { origin } from '../../machines/log/positions.js'
import type { JoinAnswer, JoinRequest } from '../../machines/protocol/messages.js'
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
