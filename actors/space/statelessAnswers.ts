/** Answers that any member can give, whatever its role. */
import type { InstallAnswer, InstallReport } from '../../machines/protocol/installMessages.js'
import type { JoinAnswer, JoinRequest, ReconcileAnswer, ReconcileMessage,
  SurveyAnswer } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'

export function joinRefused(member: Member, { number, epoch }: JoinRequest): JoinAnswer {
  return {
    kind: 'refused',
    number,
    node: member.self,
    epoch,
    session: 0,
    common: { epoch: 0, sequence: 0 },
    commitSequence: 0,
    endSequence: 0,
    endedEpoch: member.own.endedEpoch,
    snapshotNeeded: false,
    reason: `${member.self} is not primary of ${member.space}`,
  }
}

export function installRefused(member: Member, { number, epoch }: InstallReport): InstallAnswer {
  return {
    kind: 'installing',
    number,
    node: member.self,
    epoch,
    ok: false,
    isPresent: false,
    reason: `${member.self} is not primary of ${member.space}`,
    minimum: 0,
    pinnedFrom: 0,
  }
}

export function reconcileRefused(
  member: Member,
  { number, epoch }: ReconcileMessage,
): ReconcileAnswer {
  return {
    kind: 'refused',
    number,
    node: member.self,
    epoch,
    sequence: 0,
    retryAfterMs: 0,
    isAutomatic: false,
    reason: `${member.self} is not primary of ${member.space}`,
  }
}

export function surveyAnswerOf(member: Member, serving: boolean): SurveyAnswer {
  const { unfit } = member.fitness
  return {
    node: member.self,
    disk: member.context.self.disk,
    ...member.context.wire.life,
    position: member.position(),
    highestEpoch: member.known.highestEpoch,
    serving,
    endedEpoch: member.own.endedEpoch,
    whole: unfit === null,
    ...(unfit !== null && { unfit }),
    committed: member.committed(),
  }
}
