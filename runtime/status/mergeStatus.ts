/** Merges the status of nodes into one of the cluster. */
import type { InstallStatus } from '../../actors/install/installStatus.js'
import type { NodeId, SpaceId } from '../../machines/base/ids.js'
import { byName } from './names.js'
import type { ForkStatus, ClusterMember, ClusterNode, ClusterSpace, ClusterStatus, ForkCounts,
  MemberRole, ReplicaLag, MemberStatus, NodeStatus, NodeStatusReport } from './status.js'

/**
 * One report of the cluster from those of its nodes. The facts about a space come from its primary,
 * otherwise from the member that knows the highest epoch. Nodes and members that did not answer are
 * listed as well, in the state in which the others see them.
 */
export function mergeStatus(reports: readonly NodeStatusReport[]): ClusterStatus {
  const heard = new Map(reports.map((report) => [report.node.id, report]))
  const ids = new Set(heard.keys())
  for (const report of reports) {
    for (const peer of Object.keys(report.node.peers)) ids.add(peer)
    for (const { members, change } of report.spaces) {
      for (const id of members) ids.add(id)
      if (change?.add) ids.add(change.add)
    }
  }
  const nodes = [...ids].toSorted(byName).map((id) => {
    const report = heard.get(id)
    return report ? answeredNode(report.node) : silentNode(id, reports)
  })
  const spaces = new Map<SpaceId, MemberView[]>()
  for (const { node, spaces: held } of reports) {
    for (const member of held) {
      const views = spaces.get(member.space)
      const view = { node: node.id, disk: node.disk, member }
      if (views) views.push(view)
      else spaces.set(member.space, [view])
    }
  }
  const names = [...spaces.keys()].toSorted(byName)
  return { nodes, spaces: names.map((id) => mergeSpace(id, spaces.get(id)!)) }
}

/** A space as one node reports it. */
interface MemberView {
  readonly node: NodeId
  readonly disk: string
  readonly member: MemberStatus
}

function answeredNode(node: NodeStatus): ClusterNode {
  const { id, state, pid, incarnation, natsServer, http, data, version, uptimeMs, drained, journal,
    diskUse, zone, evacuates } = node
  return {
    id,
    state,
    pid,
    incarnation,
    natsServer,
    http,
    data,
    version,
    uptimeMs,
    zone: zone ?? null,
    drained: drained ?? false,
    ...(evacuates && { evacuates }),
    journalBytes: journal?.bytes ?? null,
    retainedBytes: journal?.retainedBytes ?? null,
    journalReadOnly: journal?.readOnly ?? null,
    diskUse: diskUse ?? null,
  }
}

function silentNode(id: NodeId, reports: readonly NodeStatusReport[]): ClusterNode {
  const views = reports.flatMap((report) => report.node.peers[id] ?? [])
  const latest = views.toSorted(
    (a, b) => (a.silenceMs ?? Infinity) - (b.silenceMs ?? Infinity),
  )[0]
  // "alive" would be a contradiction: the node has not answered.
  const state = !latest || latest.state === 'alive' ? 'unreachable' : latest.state
  return {
    id,
    state,
    pid: null,
    incarnation: null,
    natsServer: null,
    http: null,
    data: null,
    version: null,
    uptimeMs: null,
    zone: null,
    drained: false,
    journalBytes: null,
    retainedBytes: null,
    journalReadOnly: null,
    diskUse: null,
  }
}

function mergeSpace(id: SpaceId, views: readonly MemberView[]): ClusterSpace {
  const lead = views.toSorted((a, b) =>
    b.member.epoch - a.member.epoch
    || rank(a.member) - rank(b.member)
    || b.member.endSequence - a.member.endSequence
  )[0]
  if (!lead) throw new Error(`no node reported the space ${id}`)
  const said = lead.member
  const isPrimary = said.role === 'primary'
  const own = new Map(views.map((view) => [view.node, view.member]))
  const disks = new Map(views.map((view) => [view.node, view.disk]))
  const learner = said.change?.add
  const names = new Set([...said.members, ...(learner ? [learner] : []), ...own.keys()])
  return {
    id,
    uuid: said.uuid,
    epoch: said.epoch,
    primary: isPrimary ? lead.node : primaryName(said.primary, own),
    inSync: said.inSync,
    minInSync: said.minInSync,
    rf: said.rf,
    ack: said.ack,
    endSequence: said.endSequence,
    commitSequence: said.commitSequence,
    safeSequence: said.safeSequence,
    lossWindow: said.lossWindow,
    maxLoss: said.maxLoss,
    throttled: said.throttled,
    blocked: isPrimary
      ? null
      : views.map((view) => view.member.blocked).find((b) => b) ?? null,
    paused: said.paused ?? null,
    change: said.change ?? null,
    removed: said.removed ?? [],
    arbiterReason: views.map(({ member }) => member.arbiterReason).find(Boolean) ?? null,
    lastPromotionMs: said.lastPromotionMs,
    leaseLeftMs: isPrimary ? said.leaseLeftMs ?? null : null,
    grants: isPrimary ? said.grants ?? {} : {},
    reconcile: said.reconcile ?? 'automatic',
    ...mergedForks(said.books),
    members: [...names].toSorted(byName).map((name) => ({
      ...mergeMember(name, own.get(name), said),
      disk: said.disks?.[name] ?? disks.get(name) ?? null,
    })),
  }
}

/** Who knows best, within an epoch. Who was taken out hears of nothing that comes after. */
function rank({ role }: MemberStatus): number {
  return role === 'primary' ? 0 : role === 'removed' ? 2 : 1
}

function mergedForks(
  forks: ForkStatus | null | undefined,
): Pick<ClusterSpace, 'forks' | 'openReports'> {
  if (!forks) return { forks: noForks }
  const { open, quarantined, waiting, reports } = forks
  return { forks: { open, quarantined, waiting }, openReports: reports }
}

/** Shared by most spaces, since there may be thousands. */
const noForks: ForkCounts = { open: 0, quarantined: 0, waiting: 0 }

/** A member that answered and is not primary is none; one that did not answer may well be. */
function primaryName(
  named: NodeId | null,
  own: ReadonlyMap<NodeId, MemberStatus>,
): NodeId | null {
  return named !== null && !own.has(named) ? named : null
}

function mergeMember(
  node: NodeId,
  own: MemberStatus | undefined,
  lead: MemberStatus,
): ClusterMember {
  const seen = lead.lag[node]
  // A primary lacks nothing of its own log.
  const none = own?.role === 'primary' ? 0 : null
  return {
    node,
    role: mergedRole(node, own, lead),
    // The state of the stream to a silent member says nothing about the member.
    state: own?.state ?? 'unreachable',
    epoch: own?.epoch ?? null,
    inSync: lead.inSync.includes(node),
    durableSequence: own?.durableSequence ?? seen?.durableSequence ?? null,
    appliedSequence: own?.appliedSequence ?? seen?.appliedSequence ?? null,
    lagBytes: seen?.lagBytes ?? none,
    lagMs: seen?.lagMs ?? none,
    digest: own?.digest ?? '',
    salvages: own?.salvages ?? 0,
    reason: own?.reason ?? '',
    firstSequence: own?.firstSequence ?? null,
    checkpoint: own?.checkpoint ?? null,
    rebuilding: own?.rebuilding ?? null,
    install: own ? own.install ?? null : reportedInstall(seen),
    pins: own?.pins ?? null,
    retain: own?.retain ?? null,
  }
}

/** What the lead's record says of it counts: the node itself may not have heard of a change. */
function mergedRole(node: NodeId, own: MemberStatus | undefined, lead: MemberStatus): MemberRole {
  const role = own?.role ?? 'unknown'
  // Without a record it knows nothing of members.
  if (role === 'primary' || lead.members.length === 0) return role
  if (lead.members.includes(node))
    return role === 'learner' || role === 'removed'
      ? 'replica'
      : role
  if (lead.change?.add !== node) return 'removed'
  return role === 'damaged' || role === 'recovering' ? role : 'learner'
}

function reportedInstall(seen: ReplicaLag | undefined): InstallStatus | null {
  return seen?.install ? { bytesPerSecond: null, etaMs: null, ...seen.install } : null
}
