/**
 * Types of the protocol: messages between nodes, and records at the arbiter. All numbers are safe
 * integers; names of times end in `Ms`.
 */

import type { EpochHistory, Life, NodeId, Position, SpaceId } from '../base/ids.js'
import type { KeyRetention, Operation } from '../graph/graph.js'
import type { Origin, SalvageNote } from '../log/forkNotes.js'
import type { ReaderRetention } from '../log/retention.js'
import type { PromotionReport } from './events.js'
import type { InstallOffer, InstallReport } from './installMessages.js'
import type { MemberChange, RemovedNode } from './memberChange.js'

/** Version of the messages by which a member is installed. */
export const installVersion = 1

/** Highest version of checkpoint files that this release reads. */
export const checkpointVersion = 1

/** The primary of an epoch: one life of a node. Any other life of that node is not (I1). */
export interface PrimaryLife extends Life {
  readonly node: NodeId
}

/** A node with the disk that holds the space; with another disk it is another member. */
export interface Member {
  readonly node: NodeId
  readonly disk: string
}

export type AckLevel = 'memory' | 'durable' | 'committed'

export interface SpaceSettings {
  /** Members besides the primary. RF = replicas + 1. */
  readonly replicas: number
  /** Default level of answers. */
  readonly ack: AckLevel
  /** `committed` is refused while fewer members than this are in sync. */
  readonly minInSync: number
  /** Bound of acknowledged writes above the safe sequence; answers wait while it is reached. */
  readonly maxLoss?: MaxLoss
  /**
   * Behaviour while fewer than min(2, RF) members are in sync, so that no write becomes safe:
   * writes are accepted (the default), or their answers wait, or they are refused.
   */
  readonly whenUnderReplicated?: 'accept' | 'wait' | 'refuse'
  /** Reconciliation of forks: automatic (the default), on an operator's command, or off. */
  readonly reconcile?: 'automatic' | 'manual' | 'off'
  /** Retention of idempotency keys; what is absent is as in `defaultKeyRetention`. */
  readonly keys?: Partial<KeyRetention>
  /** More of the log than nodes keep in any case; a disk that is nearly full keeps less. */
  readonly retain?: ReaderRetention
}

/** Bounds on the loss window, at least one of them. */
export interface MaxLoss {
  readonly entries?: number
  readonly bytes?: number
  /** Nothing is answered while an entry above the safe sequence is as old as this. */
  readonly ms?: number
}

/**
 * vacant: no primary named; claimed: the primary is opening its epoch; open: it may serve;
 * dropped: a tombstone (a missing key never means that a space was dropped).
 */
export type AssignmentState = 'vacant' | 'claimed' | 'open' | 'dropped'

/** The arbiter's record under `space.<id>`; changed by compare-and-set only. */
export interface Assignment {
  readonly version: 1
  readonly space: SpaceId
  readonly uuid: string
  readonly epoch: number
  readonly state: AssignmentState
  readonly primary: PrimaryLife | null
  readonly members: readonly Member[]
  readonly inSync: readonly NodeId[]
  readonly settings: SpaceSettings
  /** True if an operator forced the promotion, against I2 and I5. */
  readonly forced: boolean
  /** End of the log that the present epoch began on; set when it is opened. */
  readonly start?: Position
  /**
   * Epochs that were open and ended, until a report on each is committed. One that was handed over
   * is listed until an epoch with all of its log is open.
   */
  readonly ended?: readonly EndedEpoch[]
  /** Set while no other member takes over by itself; absent or null: failover is automatic. */
  readonly paused?: Paused | null
  /**
   * Operator who made the present primary that, as given, though another member is preferred: it is
   * not moved back by itself. The next epoch that an operator did not order is without it.
   */
  readonly promotedBy?: string
  /** The change of the members that is under way; it is carried from epoch to epoch. */
  readonly change?: MemberChange
  /** Nodes that were members, or learners, and are not any more; the latest `removedMax`. */
  readonly removed?: readonly RemovedNode[]
  /** Set in a tombstone. */
  readonly dropped?: Dropped
  /** Spaces that had this name before and were dropped: the latest `formerlyMax`, oldest first. */
  readonly formerly?: readonly string[]
  /** Unique to this write of the record: that it was applied is recognised by content. */
  readonly nonce: string
  readonly writer: NodeId
}

/** Automatic failover of a space is paused. */
export interface Paused {
  /** ISO 8601, UTC. */
  readonly since: string
  /** Operator who paused it, as given. */
  readonly by: string
}

/** A space was dropped by an operator: its members remove what they have of it. */
export interface Dropped {
  /** ISO 8601, UTC. */
  readonly since: string
  /** Operator who dropped it, as given. */
  readonly by: string
}

/** An epoch that was open, with its primary and disk. */
export interface EndedEpoch extends Member {
  readonly epoch: number
  /** End of the log that it began on. */
  readonly start: Position
  /** Sequence of its last entry; set for an epoch that was handed over, which wrote no more. */
  readonly last?: number
  /** Most writes that it can have acknowledged above the safe sequence; null: not known. */
  readonly atMost?: number | null
}

/** An assignment with the revision at which it was read: the base of a compare-and-set. */
export interface AssignmentAt {
  readonly assignment: Assignment
  readonly revision: number
}

/** The arbiter's record under `node.<id>`. */
export interface NodeIdentity {
  readonly version: 1
  readonly node: NodeId
  readonly disk: string
  readonly incarnation: number
  readonly pid: number
  readonly host: string
  readonly http: string | null
  readonly nonce: string
}

/** `engram.v1.heartbeat.<node>`, every heartbeat interval. */
export interface Heartbeat extends Life {
  readonly node: NodeId
  readonly disk: string
  /** Counts the heartbeats of this incarnation. */
  readonly number: number
  /** NATS server id that this connection is on. */
  readonly server: string
  readonly loopDelayMs: number
  /** Set in the last heartbeat of a clean stop. */
  readonly leaving: boolean
  readonly http: string | null
  /** Whether the arbiter knows this start; else its disk may be an old copy and does not count. */
  readonly registered: boolean
  /** Why no space should be handed to this node or placed on it; absent: it may be. */
  readonly unfit?: string
  /** The sender's wall clock at sending; older nodes do not send it. */
  readonly wallMs?: number
  /** Version of the messages by which a member is installed; older nodes do not send it. */
  readonly checkpoints?: number
  /** Failure domain, such as a rack; absent: none was given. */
  readonly zone?: string
  /** Other nodes are to take its place in all spaces. */
  readonly evacuates?: true
  /** Last heartbeat heard of each peer; being listed is a grant. */
  readonly heard: Readonly<Record<NodeId, HeardHeartbeat>>
}

/** [incarnation, connection, number] of the last heartbeat received from a peer. */
export type HeardHeartbeat = readonly [incarnation: number, connection: number, number: number]

/** `engram.v1.survey.<space>.<node>`: a candidate asks an in-sync member. */
export interface SurveyRequest {
  readonly space: SpaceId
  readonly uuid: string
  readonly candidate: NodeId
  readonly epoch: number
  /** Durable end of the candidate's log. */
  readonly position?: Position
  /** Whether the member must durably write a record to its journal before it answers. */
  readonly confirm?: boolean
}

export interface SurveyAnswer extends Life {
  readonly node: NodeId
  readonly disk: string
  /** Durable end of this member's log. */
  readonly position: Position
  /** Highest epoch this member has seen anywhere. */
  readonly highestEpoch: number
  /** Whether it serves this space now, with valid grants. */
  readonly serving: boolean
  /** Latest own epoch that has ended for good; 0: there is none. */
  readonly endedEpoch: number
  /** Whether it may be promoted: its journal is whole, and there is no other obstacle. */
  readonly whole: boolean
  /** Last position that it knows to be committed; the origin if it does not say. */
  readonly committed: Position
  /** Why it may not be promoted; older nodes do not send it. */
  readonly unfit?: string
}

/** `engram.v1.ack.<space>.<primary>`, as a request: a member asks for a session. */
export interface JoinRequest extends Life, EpochHistory {
  readonly kind: 'join'
  readonly space: SpaceId
  readonly uuid: string
  readonly node: NodeId
  readonly disk: string
  /** Epoch to join. */
  readonly epoch: number
  /** Repeated in the answer; other answers are ignored. */
  readonly number: number
  /**
   * Sequence that its store holds, or would be loaded with: the log cannot lead it back below. As
   * the following ones, older nodes do not send it.
   */
  readonly applied: number
  /** Up to there its entries are known to be committed. */
  readonly floor: number
  /** Its log cannot be trusted: it has to be installed. */
  readonly damaged: boolean
  /** Its store is being rebuilt: it may not be listed in sync yet. */
  readonly rebuilding: boolean
  /** Highest version of checkpoint files that it reads; 0: it cannot be installed. */
  readonly reads: number
  /** It was taken out of the members, and asks only what of its log the other one lacks. */
  readonly departing?: true
}

export interface JoinAnswer {
  readonly kind: 'joined' | 'refused'
  readonly number: number
  readonly node: NodeId
  readonly epoch: number
  readonly session: number
  /** Last common point; the member's entries beyond it are a fork. */
  readonly common: Position
  readonly commitSequence: number
  readonly endSequence: number
  /** If refused: latest epoch of this node that has ended for good; 0: there is none. */
  readonly endedEpoch: number
  /**
   * Whether the member cannot follow from `common` on: it is not known, being below a root, or the
   * journal of the primary no longer reaches back to it. Nothing is sent in that session.
   */
  readonly snapshotNeeded: boolean
  /** Set if so, and if the member can be installed. */
  readonly install?: InstallOffer
  /**
   * leaveFirst: it has to be installed, and is listed in sync. First it leaves the set. removed: it
   * was taken out of the members; `commitSequence` is the safe sequence then.
   */
  readonly code?: string
  /** Set with `removed`: what the node has above it is not in this log. */
  readonly salvageAfter?: number
  readonly reason: string
}

/** `engram.v1.ack.<space>.<primary>`: cumulative ack of one session. */
export interface Ack {
  readonly kind: 'ack'
  readonly space: SpaceId
  readonly node: NodeId
  readonly epoch: number
  readonly session: number
  /** Durable at the member, in this session's log. */
  readonly durableSequence: number
  readonly appliedSequence: number
  /** Digest of the store at `appliedSequence`; empty when not computed for this ack. */
  readonly digest: string
  /** Its store is being rebuilt. Absent otherwise. */
  readonly rebuilding?: true
}

/** Reports a gap, or a frame that does not continue the log: resend from `position` on. */
export interface Nack {
  readonly kind: 'nack'
  readonly space: SpaceId
  readonly node: NodeId
  readonly epoch: number
  readonly session: number
  /** End of what was received in order. */
  readonly position: Position
  readonly reason: string
}

/** Lists the salvages of a member that has joined the primary, or is primary. */
export interface SalvageOffer {
  readonly kind: 'offer'
  readonly space: SpaceId
  readonly uuid: string
  readonly node: NodeId
  readonly disk: string
  readonly epoch: number
  /** Repeated by the answer; other answers are ignored. */
  readonly number: number
  readonly salvages: readonly SalvageNote[]
  /** False: it has others that cannot be read, or do not fit into this message. */
  readonly isComplete: boolean
}

/** A write of a salvage, with the place and time where it was logged first. */
export interface SalvagedWrite {
  readonly origin: Origin
  /** Position in the fork of a write that was reconciled there, and acknowledged there as well. */
  readonly copy?: Position
  readonly timestamp: number
  readonly writeId: string | null
  readonly operation: Operation
}

/** Consecutive writes of one salvage; those with one key are never split. */
export interface SalvageSlice {
  readonly kind: 'slice'
  readonly space: SpaceId
  readonly uuid: string
  readonly node: NodeId
  readonly epoch: number
  readonly number: number
  /** Name of the salvage, which was offered in this epoch. */
  readonly salvage: string
  readonly writes: readonly SalvagedWrite[]
  /** Whether these are the last writes of the salvage. */
  readonly isLast: boolean
}

/**
 * taken: durable on the primary, in entries up to `sequence`. busy: retry after `retryAfterMs`.
 * refused: this node is not primary in that epoch, or it does not know the salvage.
 */
export interface ReconcileAnswer {
  readonly kind: 'taken' | 'busy' | 'refused'
  readonly number: number
  readonly node: NodeId
  readonly epoch: number
  readonly sequence: number
  readonly retryAfterMs: number
  /** Whether the settings of the space let salvages be taken without a command. */
  readonly isAutomatic: boolean
  readonly reason: string
}

export type ReconcileMessage = SalvageOffer | SalvageSlice

export type AckMessage = JoinRequest | Ack | Nack | ReconcileMessage | InstallReport

/** Header of each frame on `engram.v1.wal.<space>.<node>`; without a frame it is a notice. */
export interface WalHeader {
  readonly session: number
  readonly epoch: number
  readonly commitSequence: number
  readonly safeSequence: number
  /** End of the primary's log at sending: a member that is behind requests the gap. */
  readonly endSequence: number
  /** Primary's wall clock. */
  readonly sentAtMs: number
}

/**
 * `engram.v1.assignment.<space>`. `changed` hints that the record at the arbiter is new;
 * `resigned`: its primary itself says that epoch `assignment.epoch` is over.
 */
export interface Announcement extends EpochHistory {
  readonly kind: 'changed' | 'resigned'
  readonly assignment: Assignment
  readonly revision: number
  readonly reason: string
  /** Report on the promotion of a primary that has just begun to take writes. */
  readonly promotion?: PromotionReport
}

export interface PingAnswer extends Life {
  readonly node: NodeId
  readonly disk: string
  readonly server: string
}

/** `engram.v1.pingreq.<witness>`: request to probe `target` (SWIM's indirect probe). */
export interface PingRequest extends Life {
  readonly target: NodeId
}

/** Result of a witness: `gone` proves that the connection named in the request is closed. */
export interface PingRequestAnswer {
  readonly outcome: 'alive' | 'gone' | 'silent' | 'noWitness'
}
