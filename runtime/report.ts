/** What a node says of itself, gathered from its actors. */
import type { NodeActor } from '../actors/node.js'
import type { SpaceActor } from '../actors/space.js'
import { booksStatusOf } from './forks.js'
import type { MemberRole, MemberStatus, NodeStatusReport } from './status.js'

export interface ReportOptions {
  readonly id: string
  readonly data: string
  readonly version: string
  readonly startedAtMs: number
  readonly http: () => string | null
  /** Monotonic clock of the node. */
  readonly nowMs: () => number
}

const roles: readonly string[] = ['primary', 'replica', 'promoting', 'recovering', 'damaged']

/** A fresh report; cheap enough for every request and every scrape. */
export function reportOf(node: NodeActor, options: ReportOptions): NodeStatusReport {
  const { context } = node
  const stats = context?.ports.journal.stats()
  return {
    format: 1,
    node: {
      id: options.id,
      state: node.state,
      pid: process.pid,
      incarnation: context?.self.incarnation ?? 0,
      connection: context?.wire.life.connection ?? 0,
      natsServer: context?.wire.serverId ?? null,
      http: options.http(),
      data: options.data,
      disk: node.disk,
      uptimeMs: Math.round(options.nowMs() - options.startedAtMs),
      loopDelayMs: Math.round(context?.peers.loopDelayMs ?? 0),
      peers: context?.peers.status() ?? {},
      version: options.version,
      drained: (context?.duty.drained ?? null) !== null,
      clock: {
        offsetMs: roundedOrNull(context?.peers.ownClock.offsetMs),
        fault: context?.peers.ownClock.fault ?? null,
      },
      arbiterFaults: context?.records.faults ?? [],
      journal: stats ? { ...stats, readOnly: node.isReadOnly } : null,
    },
    spaces: [...node.spaces.values()].map((space) => memberStatus(space, node, options.nowMs())),
  }
}

function roundedOrNull(ms: number | null | undefined): number | null {
  return typeof ms === 'number' ? Math.round(ms) : null
}

/** The lease of a primary and what it stands on; without in-sync replicas it has no end. */
function leaseOf({ member }: SpaceActor, node: NodeActor): Pick<
  MemberStatus, 'leaseLeftMs' | 'grants'
> {
  const peers = node.context?.peers
  const others = member.record?.assignment.inSync.filter((id) => id !== member.self) ?? []
  if (!peers || others.length === 0) return { leaseLeftMs: null, grants: {} }
  return {
    leaseLeftMs: Math.round(member.lease?.leftMs() ?? 0),
    grants: Object.fromEntries(others.map((id) =>
      [id, Math.max(0, Math.round(peers.grantLeftMs(id)))])),
  }
}

function memberStatus(space: SpaceActor, node: NodeActor, nowMs: number): MemberStatus {
  const { member } = space
  const { log, store } = member
  const record = member.record?.assignment
  const { role, state, reason } = space.roleState
  const primary = space.primaryRole
  const lossWindow = primary?.ingest.lossWindow(nowMs) ?? log.above(log.safeSequence, nowMs)
  return {
    space: member.space,
    uuid: member.uuid,
    epoch: member.epoch,
    primary: record?.primary?.node ?? null,
    members: record?.members.map((m) => m.node) ?? [],
    inSync: record?.inSync ?? [],
    minInSync: record?.settings.minInSync ?? 1,
    rf: record?.members.length ?? 1,
    ack: record?.settings.ack ?? 'durable',
    role: roles.includes(role) ? (role as MemberRole) : 'unknown',
    state,
    reason: member.damage ?? member.rebuilding ?? reason,
    endSequence: log.end.sequence,
    durableSequence: log.durable.sequence,
    appliedSequence: store.applied.sequence,
    commitSequence: log.commitSequence,
    safeSequence: log.safeSequence,
    digest: store.digest,
    nodes: store.nodeCount,
    edges: store.edgeCount,
    lossWindow: { ...lossWindow, ms: Math.round(lossWindow.ms) },
    maxLoss: record?.settings.maxLoss ?? null,
    throttled: primary?.isThrottled ?? false,
    lag: primary?.followers.status() ?? {},
    forks: member.forks,
    salvages: member.salvages,
    blocked: member.blocked,
    arbiter: member.rejection === null ? member.arbiter : 'refuses',
    arbiterReason: member.rejection ?? member.recordFault,
    promotions: member.promotions,
    paused: record?.paused ?? null,
    lastPromotionMs: member.lastPromotionMs,
    ...(primary ? leaseOf(space, node) : { leaseLeftMs: null, grants: {} }),
    flow: primary?.ingest.flow.counted() ?? null,
    reconcile: record?.settings.reconcile ?? 'automatic',
    books: booksStatusOf(store),
  }
}
