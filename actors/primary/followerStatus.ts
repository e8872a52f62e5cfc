import type { NodeId } from '../../machines/base/ids.js'
import type { InstallReport } from '../../machines/protocol/installMessages.js'
import type { InstallIntake, ReportedInstall } from '../install/intake.js'
import type { FollowerCharts } from './followerCharts.js'
import type { ReplicaProgress, ReplicaStream } from './replicaStream.js'

/** Progress of a replica, with the state of its stream. */
export interface FollowerStatus extends ReplicaProgress {
  readonly state: string
  readonly install?: ReportedInstall
}

/** How far a replica is: what it acknowledged in its present session, and its install. */
export interface Reached {
  readonly acked: number
  readonly applied: number
  /** Id of the checkpoint that it is pulling; null: none is known. */
  readonly checkpoint: string | null
  readonly bytes: number
  readonly records: number
}

export function reachedBy(
  shipping: Pick<ReplicaStream, 'acked' | 'applied'> | undefined,
  report: InstallReport | null,
): Reached {
  return {
    acked: shipping?.acked ?? 0,
    applied: shipping?.applied ?? 0,
    checkpoint: report?.checkpoint?.id ?? null,
    bytes: report?.doneBytes ?? 0,
    records: report?.loadedRecords ?? 0,
  }
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
