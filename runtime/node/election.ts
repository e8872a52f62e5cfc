import type { Member } from '../../actors/member/member.js'
import type { ElectionStatus } from '../status/election.js'

/** What the member would say of itself in an election. */
export function electionOf(member: Member): ElectionStatus {
  const { fitness: { unfit, fault }, known: { record, highestEpoch } } = member
  const { whenUnderReplicated = 'accept' } = record?.assignment.settings ?? {}
  return {
    position: member.position(),
    committed: member.committed(),
    highestEpoch,
    ...(unfit !== null && { unfit }),
    ...(fault !== null && { fault }),
    ...(whenUnderReplicated !== 'accept' && { whenUnderReplicated }),
  }
}
