import type { NodeId } from '../../machines/base/ids.js'
import type { InstallIntake, ReportedInstall } from '../install/intake.js'
import type { FollowerCharts } from './followerCharts.js'
import type { ReplicaProgress, ReplicaStream } from './replicaStream.js'

/** Progress of a replica, with the state of its stream. */
export interface FollowerStatus extends ReplicaProgress {
  readonly state: string
  readonly install?: ReportedInstall
}

interface Follower {
  readonly shipping: Pick<ReplicaStream, 'progress'>
  readonly charts: Pick<FollowerCharts, 'state'>
}

export function followerStatus(
  followers: Iterable<readonly [NodeId, Follower]>,
  installs: Pick<InstallIntake, 'progress'>,
): Record<NodeId, FollowerStatus> {
  const status: Record<NodeId, FollowerStatus> = {}
  for (const [node, { shipping, charts: { state } }] of followers) {
    const install = state === 'snapshotting' ? installs.progress(node) : null
    status[node] = { ...shipping.progress(), state, ...(install && { install }) }
  }
  return status
}
