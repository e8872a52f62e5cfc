/** One status of the cluster from those of its nodes. */
import type { NodeId, SpaceId } from '../../machines/base/ids.js'
import type {
  ForkStatus, ClusterMember, ClusterNode, ClusterSpace, ClusterStatus, ForkCounts, MemberStatus,
  NodeStatus, NodeStatusReport,
} from './status.js'

/**
 * One report of the cluster from those of its nodes. What is said of a space comes from its
 * reigning primary; without one, from the member that knows the highest epoch. Nodes and members
 * that did not answer are listed all the same, in the state that the others see them in.
 */
export function mergeStatus(reports: readonly NodeStatusReport[]): ClusterStatus {
  const heard = new Map(reports.map((report) => [report.node.id, report]))
  const ids = new Set(heard.keys())
  for (const report of reports) {
    for (const peer of Object.keys(report.node.peers)) ids.add(peer)
    for (const member of report.spaces) for (const id of member.members) ids.add(id)
  }
  const nodes = [...ids].toSorted(byName).map((id) => {
    const report = heard.get(id)
    return report ? answeredNode(report.node) : silentNode(id, reports)
  })
  const spaces = new Map<SpaceId, MemberView[]>()
  for (const { node, spaces: held } of reports) {
    for (const member of held) {
      const views = spaces.get(member.space)
      if (views) views.push({ node: node.id, member })
      else spaces.set(member.space, [{ node: node.id, member }])
    }
  }
  const names = [...spaces.keys()].toSorted(byName)
  return { nodes, spaces: names.map((id) => mergeSpace(id, spaces.get(id)!)) }
}

/** A space as one node reports it. */
interface MemberView {
  readonly node: NodeId
  readonly member: MemberStatus
}

function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

function answeredNode(node: NodeStatus): ClusterNode {
  const { id, state, pid, incarnation, natsServer, http, data, version, uptimeMs, drained } = node
  return {
    id, state, pid, incarnation, natsServer, http, data, version, uptimeMs,
    drained: drained ?? false,
  }
}

function silentNode(id: NodeId, reports: readonly NodeStatusReport[]): ClusterNode {
  const views = reports.flatMap((report) => report.node.peers[id] ?? [])
  const latest = views.toSorted(
    (a, b) => (a.silenceMs ?? Infinity) - (b.silenceMs ?? Infinity))[0]
  // "alive" would be a contradiction: it has not answered.
  const state = !latest || latest.state === 'alive' ? 'unreachable' : latest.state
  return {
    id, state, pid: null, incarnation: null, natsServer: null, http: null, data: null,
    version: null, uptimeMs: null, drained: false,
  }
}

function mergeSpace(id: SpaceId, views: readonly MemberView[]): ClusterSpace {
  const lead = views.toSorted((a, b) =>
    b.member.epoch - a.member.epoch
    || Number(b.member.role === 'primary') - Number(a.member.role === 'primary')
    || b.member.endSequence - a.member.endSequence)[0]
  if (!lead) throw new Error(`no node reported the space ${id}`)
  const said = lead.member
  const reigns = said.role === 'primary'
  const own = new Map(views.map((view) => [view.node, view.member]))
  const names = new Set([...said.members, ...own.keys()])
  return {
    id, uuid: said.uuid, epoch: said.epoch,
    primary: reigns ? lead.node : primaryName(said.primary, own),
    inSync: said.inSync, minInSync: said.minInSync, rf: said.rf, ack: said.ack,
    endSequence: said.endSequence, commitSequence: said.commitSequence,
    safeSequence: said.safeSequence, lossWindow: said.lossWindow,
    maxLoss: said.maxLoss, throttled: said.throttled,
    blocked: reigns ? null : views.map((view) => view.member.blocked).find((b) => b) ?? null,
    paused: said.paused ?? null,
    arbiterReason: views.map(({ member }) => member.arbiterReason).find(Boolean) ?? null,
    lastPromotionMs: said.lastPromotionMs,
    leaseLeftMs: reigns ? said.leaseLeftMs ?? null : null, grants: reigns ? said.grants ?? {} : {},
    reconcile: said.reconcile ?? 'automatic', ...mergedBooks(said.books),
    members: [...names].toSorted(byName).map((name) => mergeMember(name, own.get(name), said)),
  }
}

function mergedBooks(
  books: ForkStatus | null | undefined,
): Pick<ClusterSpace, 'forks' | 'openReports'> {
  if (!books) return { forks: noForks }
  const { open, quarantined, waiting, reports } = books
  return { forks: { open, quarantined, waiting }, openReports: reports }
}

/** Of most spaces, and there may be thousands. */
const noForks: ForkCounts = { open: 0, quarantined: 0, waiting: 0 }

/** A primary that answered and does not reign is none; one that did not answer may well reign. */
function primaryName(
  named: NodeId | null, own: ReadonlyMap<NodeId, MemberStatus>,
): NodeId | null {
  return named !== null && !own.has(named) ? named : null
}

function mergeMember(
  node: NodeId, own: MemberStatus | undefined, lead: MemberStatus,
): ClusterMember {
  const seen = lead.lag[node]
  // A primary lacks nothing of its own log.
  const none = own?.role === 'primary' ? 0 : null
  return {
    node,
    role: own?.role ?? 'unknown',
    // What the stream of a silent member is in says nothing about the member.
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
  }
}
