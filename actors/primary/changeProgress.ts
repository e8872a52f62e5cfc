import { learnerOf, leavingOf, removalObstacle } from '../../machines/protocol/members.js'
import type { Member } from '../member/member.js'
import { successorOf } from './autoHandover.js'
import type { Followers } from './followers.js'
import type { InSyncSet } from './inSyncSet.js'
import type { PrimaryEpoch } from './primaryEpoch.js'

/** A primary, as far as a change of its members concerns it. */
export interface ChangingPrimary {
  readonly member: Member
  readonly epoch: Pick<PrimaryEpoch, 'record'>
  readonly inSync: InSyncSet
  readonly followers: Followers
}

/** What the change of the members waits for, for people; null: none is under way. */
export function changeWaitsFor(primary: ChangingPrimary): string | null {
  const { assignment } = primary.epoch.record
  if (!assignment.change) return null
  return arbiterObstacle(primary) ?? memberObstacle(primary) ?? 'the record is being written'
}

function arbiterObstacle({ member: { known } }: ChangingPrimary): string | null {
  if (known.rejection !== null) return `the arbiter refuses the change: ${known.rejection}`
  return known.arbiter === 'reachable' || known.arbiter === 'unknown'
    ? null
    : 'the arbiter has to answer'
}

function memberObstacle(primary: ChangingPrimary): string | null {
  const { epoch: { record: { assignment } }, member, followers, inSync } = primary
  const learner = learnerOf(assignment)
  if (learner !== null) return followers.entryObstacle(learner)
  const leaving = leavingOf(assignment)
  if (leaving === null) return null
  const obstacle = removalObstacle(assignment, leaving, inSync.certain())
  if (obstacle !== null || leaving !== member.self) return obstacle
  const to = successorOf(member, inSync, followers)
  return to === null
    ? `${leaving} is the primary, and no other member in sync can take over now`
    : `${leaving} is the primary, and hands over to ${to} first`
}
