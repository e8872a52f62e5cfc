/**
 * The status of a node (`engram.v1.status.<node>`, HTTP `/status`), and what `engram status` makes
 * of the answers of all nodes. Plain JSON: numbers are finite, absent values are null.
 */
import { z } from 'zod'
import type { InstallStatus } from '../../actors/install/installStatus.js'
import type { ReportedInstall } from '../../actors/install/intake.js'
import type { NodeId, SpaceId } from '../../machines/base/ids.js'
import type { RemovedNode } from '../../machines/protocol/memberChange.js'
import type { AckLevel, MaxLoss, Paused, SpaceSettings } from '../../machines/protocol/messages.js'
import type { DiskUse } from './diskUse.js'
import type { ElectionStatus, NodeTimes } from './election.js'
import { changeSchema, removedSchema } from './memberChange.js'
import type { ChangeStatus } from './memberChange.js'
import type { NodePlacement } from './placement.js'
import type { PinStatus, RetainStatus } from './retain.js'

/** Every node answers here, without a queue group. No node may be called `_all`. */
export const statusOfAll = 'engram.v1.status._all'

export interface PeerStatus {
  /** State of the failure detector: alive, suspect, probing, unreachable, dead, left. */
  readonly state: string
  /** Since the last heartbeat was received; null when none ever was. */
  readonly silenceMs: number | null
  readonly reason: string
}

export interface NodeStatus extends NodePlacement, NodeTimes {
  readonly id: NodeId
  /** starting, recovering, connecting, running, isolated, draining, stopped, failed. */
  readonly state: string
  readonly pid: number
  readonly incarnation: number
  readonly connection: number
  /** NATS server id of the connection; null while isolated. */
  readonly natsServer: string | null
  /** `http://host:port`; null without an HTTP server. */
  readonly http: string | null
  readonly data: string
  /** Id of the disk, kept in the data directory. */
  readonly disk: string
  readonly uptimeMs: number
  readonly loopDelayMs: number
  readonly peers: Readonly<Record<NodeId, PeerStatus>>
  /** Release that this node runs. */
  readonly version: string
  /** False: its list of spaces is not complete yet. Absent from earlier versions. */
  readonly spacesListed?: boolean
  /**
   * Spaces of which it is or may be a member, but that it does not hold, with the reason: they
   * cannot be started, or their records cannot be read. Some of them; absent if there are none.
   */
  readonly unheldSpaces?: Readonly<Record<string, string>>
  /** An operator has drained it: it is not made primary of anything. */
  readonly drained?: boolean
  /** Lower bound of the own clock's delay behind those of the peers, ms; below 0: ahead. */
  readonly clock?: { readonly offsetMs: number | null; readonly fault: string | null }
  /**
   * Faults in the configuration of the arbiter's bucket that endanger the records, with remedies.
   */
  readonly arbiterFaults?: readonly string[]
  /** The node's one journal; null before recovery is done. */
  readonly journal?: {
    readonly segments: number
    readonly bytes: number
    readonly flush: number
    readonly readOnly: boolean
    /** Bytes of closed segments, which are given up some day. Absent from earlier versions. */
    readonly retainedBytes?: number
    /** Number of the oldest segment. */
    readonly oldestSegment?: number
    /** What keeps it although it should go; null: nothing does. */
    readonly pinnedBy?: { readonly space: SpaceId | null; readonly reason: string } | null
  } | null
  /** The data directory, measured every few seconds; null before that. */
  readonly diskUse?: DiskUse | null
  /** Memory of its structures, by use; null before recovery. */
  readonly memory?: {
    readonly bytesMax: number
    readonly usedBytes: number
    readonly used: Readonly<Record<string, number>>
  } | null
}

/** The newest checkpoint on the member's disk that counts. */
export interface CheckpointStatus {
  readonly sequence: number
  /** Since it was written. Null, like `bytes`: its file cannot be read. */
  readonly ageMs: number | null
  readonly bytes: number | null
  /** Number of those that count: entries are given up when two have them. */
  readonly kept: number
}

/** A store that is rebuilt after a start: by records of a checkpoint, then by entries. */
export interface RebuildStatus {
  readonly phase: 'checkpoint' | 'journal'
  readonly done: number
  readonly total: number
}

export interface LossWindow {
  readonly entries: number
  readonly bytes: number
  /** Age of the oldest entry above the safe sequence. */
  readonly ms: number
}

/** A replica as its primary sees it; null: unknown, since it is away or was not heard yet. */
export interface ReplicaLag {
  readonly lagBytes: number | null
  readonly lagMs: number | null
  /** The last one that it acknowledged. */
  readonly durableSequence: number | null
  readonly appliedSequence: number | null
  /** State of the stream: joining, streaming, catchingUp, snapshotting, unreachable. */
  readonly state: string
  /** Its install, as it reports it; absent: it reports none. */
  readonly install?: Pick<InstallStatus, keyof ReportedInstall>
}

/**
 * learner: it is to be added, follows, and is no member yet; removed: it was taken out, and still
 * has its data.
 */
export type MemberRole = 'primary' | 'replica' | 'learner' | 'promoting' | 'recovering' | 'damaged'
  | 'removed' | 'unknown'

/** One space on one node. */
export interface MemberStatus {
  readonly space: SpaceId
  readonly uuid: string
  /** The latest epoch that this member knows. */
  readonly epoch: number
  /** As this member knows the assignment. */
  readonly primary: NodeId | null
  readonly members: readonly NodeId[]
  readonly inSync: readonly NodeId[]
  readonly minInSync: number
  /** Members of the space, the primary included. */
  readonly rf: number
  readonly ack: AckLevel
  readonly role: MemberRole
  /** State of the role's statechart, nested states joined by dots. */
  readonly state: string
  /** Why the last transition was taken. */
  readonly reason: string
  readonly endSequence: number
  readonly durableSequence: number
  readonly appliedSequence: number
  readonly commitSequence: number
  readonly safeSequence: number
  /** Digest of the store at `appliedSequence`. */
  readonly digest: string
  readonly nodes: number
  readonly edges: number
  /** On the primary: acknowledged writes that are not safe yet. */
  readonly lossWindow: LossWindow
  /** Bounds of the loss window; null without. */
  readonly maxLoss: MaxLoss | null
  /** Answers are delayed now until the loss window has room. */
  readonly throttled: boolean
  /** Empty on any member but the primary. */
  readonly lag: Readonly<Record<NodeId, ReplicaLag>>
  /** Forks this member had to truncate; each one is kept in a salvage file. */
  readonly forks: number
  readonly salvages: number
  /** The member gets a state from another one; null: it does not. */
  readonly install?: InstallStatus | null
  /** Why the space has no primary and none can be promoted; otherwise null. */
  readonly blocked: string | null
  /**
   * The record as this member sees it. lost: gone or unreadable, and being written again;
   * unreadable: and nobody here knows its contents; newer: written by a later version; refuses: the
   * arbiter stores no change of it.
   */
  readonly arbiter: 'reachable' | 'unreachable' | 'lost' | 'unreadable' | 'newer' | 'refuses'
    | 'unknown'
  /** The reason for the last four; the arbiter's own words if it refuses. Otherwise null. */
  readonly arbiterReason?: string | null
  /** Promotions this member won, in this life. */
  readonly promotions: number
  /** Since when no member takes over by itself, and by whose command; null: it is automatic. */
  readonly paused?: Paused | null
  /** The change of the members that is under way; null: none. */
  readonly change?: ChangeStatus | null
  /** The latest nodes that were taken out, oldest first; absent if there are none. */
  readonly removed?: readonly RemovedNode[]
  /** Disks that the record lists for the members; only on the primary. */
  readonly disks?: Readonly<Record<NodeId, string>>
  /** From the vacancy noticed to the first write accepted; null before the first promotion. */
  readonly lastPromotionMs: number | null
  /**
   * Time until the lease of this primary runs out unless it is renewed; null if there is none: on
   * any other member, and without in-sync replicas.
   */
  readonly leaseLeftMs?: number | null
  /** Grants that this primary holds, ms left by granter. */
  readonly grants?: Readonly<Record<NodeId, number>>
  /** For this epoch; null on any member but the primary. */
  readonly flow?: FlowCounts | null
  /** The setting, with the default filled in. */
  readonly reconcile?: Reconcile
  /** Open forks and quarantine according to this member; null if there are none. */
  readonly books?: ForkStatus | null
  /** First entry that its journal still has; null without one. Absent from earlier versions. */
  readonly firstSequence?: number | null
  /** Null: none yet. */
  readonly checkpoint?: CheckpointStatus | null
  /** Its new journal, as a share of what makes a checkpoint due: 1 or more, it is due. */
  readonly checkpointDue?: number
  /** Null: it is not rebuilt. */
  readonly rebuilding?: RebuildStatus | null
  /** Null: it keeps nothing that should go. */
  readonly pins?: PinStatus | null
  /** Absent from earlier versions. */
  readonly election?: ElectionStatus
  /** What it keeps for readers of the log; null: no more than `retainBytes` of the node. */
  readonly retain?: RetainStatus | null
}

export type Reconcile = NonNullable<SpaceSettings['reconcile']>

/** Open forks and quarantine of a space. */
export interface ForkCounts {
  /** Fork reports that are open. */
  readonly open: number
  /** Writes in quarantine. */
  readonly quarantined: number
  /** Writes of the open reports in salvages that wait to be uploaded. */
  readonly waiting: number
}

export interface ForkStatus extends ForkCounts {
  readonly salvagesWaiting: number
  /** The latest `openReportsMax` of the open ones, by epoch. */
  readonly reports: readonly OpenReport[]
}

/** An open fork report, in numbers (machines/log/forkNotes.ts). */
export interface OpenReport {
  /** The epoch that ended, and its primary. */
  readonly epoch: number
  readonly node: NodeId
  /** Entries beyond the fork point: at least, and at most if that is known. */
  readonly atLeast: number
  readonly atMost: number | null
  readonly resent: number
  readonly merged: number
  readonly superseded: number
  readonly quarantined: number
  /** Writes in waiting salvages, and the members that have these salvages. */
  readonly waiting: number
  readonly waitsOn: readonly NodeId[]
  readonly openedAtMs: number
}

/** Writes of one epoch since it began; the difference of two reports covers the time between. */
export interface FlowCounts {
  /** Entries that became durable. */
  readonly writes: number
  /** By the bucket of the time to the durable answer (ackHistogram.ts), empty ones omitted. */
  readonly acks: readonly (readonly [bucket: number, count: number])[]
}

export interface NodeStatusReport {
  /** Version of this format; a reader refuses a higher one. */
  readonly format: 1
  readonly node: NodeStatus
  readonly spaces: readonly MemberStatus[]
  /** A page, by name; `{"type":"status","after":…}` continues it. */
  readonly more?: true
  readonly after?: string
}

export interface ClusterNode extends NodePlacement {
  readonly id: NodeId
  readonly state: string
  readonly pid: number | null
  readonly incarnation: number | null
  readonly natsServer: string | null
  readonly http: string | null
  readonly data: string | null
  readonly version: string | null
  readonly uptimeMs: number | null
  /** It is not made primary of anything; false if no answer says so. */
  readonly drained?: boolean
  /** Null, here and below: no answer says it. */
  readonly journalBytes?: number | null
  /** Of closed segments. */
  readonly retainedBytes?: number | null
  readonly journalReadOnly?: boolean | null
  readonly diskUse?: DiskUse | null
}

/** A member, the learner, or a node that was taken out and still has its data. */
export interface ClusterMember {
  readonly node: NodeId
  readonly role: MemberRole
  readonly state: string
  /** null, here and below: it does not answer, and nobody knows. */
  readonly epoch: number | null
  readonly inSync: boolean
  /** Id of the disk that the record lists, else of the one that the node has. */
  readonly disk?: string | null
  readonly durableSequence: number | null
  readonly appliedSequence: number | null
  /** As the primary sees it: null while the replica is away, or without a primary. */
  readonly lagBytes: number | null
  readonly lagMs: number | null
  readonly digest: string
  readonly salvages: number
  readonly reason: string
  readonly firstSequence?: number | null
  readonly checkpoint?: CheckpointStatus | null
  readonly rebuilding?: RebuildStatus | null
  /** If it does not answer: as it reports it to its primary. */
  readonly install?: InstallStatus | null
  readonly pins?: PinStatus | null
  readonly retain?: RetainStatus | null
}

export interface ClusterSpace {
  readonly id: SpaceId
  readonly uuid: string
  readonly epoch: number
  readonly primary: NodeId | null
  readonly inSync: readonly NodeId[]
  readonly minInSync: number
  readonly rf: number
  readonly ack: AckLevel
  readonly endSequence: number
  readonly commitSequence: number
  readonly safeSequence: number
  readonly lossWindow: LossWindow
  readonly maxLoss: MaxLoss | null
  readonly throttled: boolean
  readonly blocked: string | null
  readonly paused?: Paused | null
  readonly change?: ChangeStatus | null
  /** The latest nodes that were taken out, oldest first. */
  readonly removed?: readonly RemovedNode[]
  /** Why the record cannot be used, or be changed; in the arbiter's words if it says so. */
  readonly arbiterReason?: string | null
  readonly lastPromotionMs: number | null
  /** Lease of the primary; null without one. */
  readonly leaseLeftMs?: number | null
  readonly grants?: Readonly<Record<NodeId, number>>
  readonly reconcile?: Reconcile
  readonly forks?: ForkCounts
  /** The latest `openReportsMax` of the open fork reports; absent if there are none. */
  readonly openReports?: readonly OpenReport[]
  readonly members: readonly ClusterMember[]
}

export interface ClusterStatus {
  readonly nodes: readonly ClusterNode[]
  readonly spaces: readonly ClusterSpace[]
}

/** Fields on which merging relies; anybody on the broker may answer for a node. */
const reportSchema = z.looseObject({
  format: z.literal(1),
  node: z.looseObject({ id: z.string(), peers: z.record(z.string(), z.looseObject({})) }),
  spaces: z.array(z.looseObject({
    space: z.string(),
    epoch: z.number(),
    endSequence: z.number(),
    role: z.string(),
    primary: z.string().nullable(),
    members: z.array(z.string()),
    inSync: z.array(z.string()),
    lag: z.record(z.string(), z.looseObject({})),
    change: changeSchema.nullish(),
    removed: removedSchema.optional(),
    books: z.looseObject({
      open: z.number(),
      quarantined: z.number(),
      waiting: z.number(),
      reports: z.array(z.looseObject({
        epoch: z.number(),
        node: z.string(),
        atLeast: z.number(),
        atMost: z.number().nullable(),
        waiting: z.number(),
        waitsOn: z.array(z.string()),
      })),
    }).nullish(),
  })),
})

/** Checks only what a reader relies on; the rest is shown as it is. */
export function asStatusReport(value: unknown): NodeStatusReport | null {
  return reportSchema.safeParse(value).success ? value as NodeStatusReport : null
}
