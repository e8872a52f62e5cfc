/** Status of a node, gathered from its actors. */
import type { NodeContext } from '../../actors/member/context.js'
import type { Checkpointing } from '../../actors/checkpoints/checkpointing.js'
import type { Member } from '../../actors/member/member.js'
import type { NodeActor } from '../../actors/node/node.js'
import type { StatusReporter } from '../../actors/node/statusService.js'
import type { SpaceActor } from '../../actors/space/space.js'
import type { NodeId } from '../../machines/base/ids.js'
import { checkpointNeed, epochsBetween } from '../../machines/log/checkpointDue.js'
import { timesOf } from '../../machines/protocol/defaultTimes.js'
import { isMember, learnerOf } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { forksStatusOf } from '../status/forks.js'
import type { MemberRole, MemberStatus, NodeStatus, NodeStatusReport } from '../status/status.js'
import type { WhoAnswer } from '../status/who.js'
import { DiskMeter } from '../system/diskUse.js'
import { Slices } from '../system/slices.js'
import { checkpointOf, diskUseOf, meteredFolders } from './diskUse.js'
import { electionOf } from './election.js'

export interface ReportOptions {
  readonly actor: () => NodeActor
  readonly id: string
  readonly data: string
  readonly version: string
  readonly startedAtMs: number
  readonly http: () => string | null
  /** Monotonic clock of the node. */
  readonly nowMs: () => number
}

/** Limit of the listed spaces that a node should hold, but does not. */
const unheldMax = 100

const roles: readonly string[] = ['primary', 'replica', 'promoting', 'recovering', 'damaged']

/** The role of its chart; a node that is no member has none in the space. */
function roleOf(role: string, record: Assignment | undefined, self: NodeId): MemberRole {
  const own = roles.includes(role) ? role as MemberRole : 'unknown'
  if (!record || own === 'primary' || isMember(record, self)) return own
  if (learnerOf(record) !== self) return 'removed'
  return own === 'replica' ? 'learner' : own
}

/** The change of the members, and who was taken out, as the record has it. */
function changeOf(
  { member: { context, known }, primaryRole }: SpaceActor,
): Pick<MemberStatus, 'change' | 'removed' | 'disks'> {
  const record = known.record?.assignment
  const { change, removed = [], members = [] } = record ?? {}
  return {
    change: change
      ? {
        add: change.add ?? null,
        remove: change.remove ?? null,
        since: change.since,
        by: change.by,
        ageMs: Math.max(0, Math.round(context.ports.clock.wallMs() - Date.parse(change.since))),
        waitsFor: primaryRole?.changeWaitsFor ?? null,
      }
      : null,
    ...(removed.length > 0 && { removed }),
    ...(primaryRole && { disks: Object.fromEntries(members.map((one) => [one.node, one.disk])) }),
  }
}

/** Makes the status of a node, in pieces: with thousands of spaces it takes a second. */
export class Report implements StatusReporter {
  private readonly meter: DiskMeter

  constructor(private readonly options: ReportOptions) {
    this.meter = new DiskMeter(options.data, meteredFolders, options.nowMs)
  }

  who(): WhoAnswer {
    const { id, state, incarnation, http, peers } = this.node()
    const alive = Object.entries(peers).filter(([, peer]) => peer.state === 'alive')
    return {
      format: 1,
      type: 'who',
      id,
      state,
      incarnation,
      http,
      spaces: this.options.actor().spaces.size,
      alive: alive.map(([peer]) => peer),
    }
  }

  head(): Omit<NodeStatusReport, 'spaces'> {
    return { format: 1, node: this.node() }
  }

  node(): NodeStatus {
    const { options } = this
    const actor = options.actor()
    const { context } = actor
    return {
      id: options.id,
      state: actor.state,
      pid: process.pid,
      incarnation: context?.self.incarnation ?? 0,
      connection: context?.wire.life.connection ?? 0,
      natsServer: context?.wire.serverId ?? null,
      http: options.http(),
      data: options.data,
      disk: actor.disk,
      uptimeMs: Math.round(options.nowMs() - options.startedAtMs),
      loopDelayMs: Math.round(context?.peers.loopDelayMs ?? 0),
      peers: context?.peers.status() ?? {},
      version: options.version,
      spacesListed: actor.directory?.isListed ?? false,
      ...unheldOf(actor),
      zone: context?.self.zone ?? null,
      drained: (context?.duty.drained ?? null) !== null,
      ...(context?.duty.evacuates && { evacuates: true as const }),
      clock: {
        offsetMs: roundedOrNull(context?.peers.ownClock.offsetMs),
        fault: context?.peers.ownClock.fault ?? null,
      },
      arbiterFaults: context?.records.faults ?? [],
      times: context ? timesOf(context.settings) : null,
      journal: context ? journalOf(context, actor.checkpointing) : null,
      diskUse: diskUseOf(this.meter.sample(), context?.ports.store.freeBytes ?? 0),
      memory: context
        ? {
          bytesMax: context.budget.bytesMax,
          usedBytes: context.budget.usedBytes,
          used: context.budget.uses(),
        }
        : null,
    }
  }

  member(space: SpaceActor): MemberStatus {
    return memberStatus(space, this.options.actor(), this.options.nowMs())
  }

  /** The whole status, made in slices. */
  async whole(): Promise<NodeStatusReport> {
    const slices = new Slices()
    const spaces: MemberStatus[] = []
    for (const space of this.options.actor().spaces.values()) {
      spaces.push(this.member(space))
      if (slices.isOver) await slices.next()
    }
    return { ...this.head(), spaces }
  }
}

function journalOf(
  { ports: { journal }, commits }: NodeContext,
  checkpointing: Checkpointing | null,
): NonNullable<NodeStatus['journal']> {
  const { segments, bytes, flush } = journal.stats()
  const closed = journal.segments()
  return {
    segments,
    bytes,
    flush,
    readOnly: commits.isFull,
    retainedBytes: closed.reduce((sum, one) => sum + one.bytes, 0),
    ...(closed[0] && { oldestSegment: closed[0].segment }),
    pinnedBy: checkpointing?.retention.pinnedBy ?? null,
  }
}

/** Usually absent. */
function unheldOf({ directory }: NodeActor): Pick<NodeStatus, 'unheldSpaces'> {
  const unheldSpaces = directory?.unheld ?? new Map<string, string>()
  if (unheldSpaces.size === 0) return {}
  return { unheldSpaces: Object.fromEntries([...unheldSpaces].slice(0, unheldMax)) }
}

function roundedOrNull(ms: number | null | undefined): number | null {
  return typeof ms === 'number' ? Math.round(ms) : null
}

/** The lease of a primary and its grants; without in-sync replicas it has no end. */
function leaseOf({ member }: SpaceActor, node: NodeActor): Pick<
  MemberStatus,
  'leaseLeftMs' | 'grants'
> {
  const peers = node.context?.peers
  const others = member.known.record?.assignment.inSync.filter((id) => id !== member.self) ?? []
  if (!peers || others.length === 0) return { leaseLeftMs: null, grants: {} }
  return {
    leaseLeftMs: Math.round(member.own.lease?.leftMs() ?? 0),
    grants: Object.fromEntries(
      others.map((id) => [id, Math.max(0, Math.round(peers.grantLeftMs(id)))]),
    ),
  }
}

/** What the member's disk keeps of the space. */
function keptBy(
  member: Member,
  checkpointing: Checkpointing | null,
): Pick<
  MemberStatus,
  'firstSequence' | 'checkpoint' | 'checkpointDue' | 'rebuilding' | 'pins' | 'retain'
> {
  const { uuid, context, rebuild, store, known } = member
  const retain = known.record?.assignment.settings.retain
  const { ports: { journal, clock }, settings } = context
  const log = journal.log(uuid)
  const checkpoint = checkpointOf(context, uuid, clock.wallMs())
  const newBytes = log?.newBytes ?? 0
  const lastBytes = checkpoint?.bytes ?? 0
  return {
    firstSequence: log ? log.base.sequence + 1 : null,
    checkpoint,
    checkpointDue: checkpointNeed({
      newBytes,
      lastBytes,
      newEpochs: log ? epochsBetween(log, checkpoint?.sequence ?? 0, store.applied.sequence) : 0,
      pinning: null,
    }, settings),
    rebuilding: rebuild.progress,
    pins: checkpointing?.retention.pinsOf(uuid) ?? null,
    retain: retain && checkpointing
      ? { ...retain, ...checkpointing.retention.retained(member) }
      : null,
  }
}

function memberStatus(space: SpaceActor, node: NodeActor, nowMs: number): MemberStatus {
  const { member, succession } = space
  const { log, store, known } = member
  const record = known.record?.assignment
  const { role, state, reason } = space.roleState
  const primary = space.primaryRole
  const lossWindow = primary?.ingest.lossWindow(nowMs) ?? log.above(log.safeSequence, nowMs)
  return {
    space: member.space,
    uuid: member.uuid,
    epoch: known.epoch,
    primary: record?.primary?.node ?? null,
    members: record?.members.map((m) => m.node) ?? [],
    inSync: record?.inSync ?? [],
    minInSync: record?.settings.minInSync ?? 1,
    rf: record?.members.length ?? 1,
    ack: record?.settings.ack ?? 'durable',
    role: roleOf(role, record, member.self),
    state,
    reason: member.damage ?? member.rebuilding ?? space.departure.reason ?? reason,
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
    forks: member.following.forks,
    salvages: member.salvages.count,
    install: space.installation.status,
    blocked: member.blockage.reason,
    arbiter: known.rejection === null ? known.arbiter : 'refuses',
    arbiterReason: known.rejection ?? known.fault,
    promotions: succession.promotions,
    paused: record?.paused ?? null,
    ...changeOf(space),
    lastPromotionMs: succession.lastPromotionMs,
    ...(primary ? leaseOf(space, node) : { leaseLeftMs: null, grants: {} }),
    flow: primary?.ingest.flow.counted() ?? null,
    reconcile: record?.settings.reconcile ?? 'automatic',
    books: forksStatusOf(store),
    ...keptBy(member, node.checkpointing),
    election: electionOf(member),
  }
}
