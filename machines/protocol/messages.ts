/**
 * The protocol's words as types: what nodes say to each other, and what the arbiter holds.
 * DESIGN section 2 is the glossary. All numbers are safe integers; times end in `Ms`.
 */

import type { EpochSpan, Life, NodeId, Position, SpaceId } from '../base/ids.js'
import type { KeyRetention, Operation } from '../graph/graph.js'
import type { Origin, SalvageNote } from '../log/forkNotes.js'
import type { PromotionReport } from './events.js'

/** The holder of a reign. Any other life of the same node does not hold it (I1). */
export interface PrimaryLife extends Life {
  readonly node: NodeId
}

/** A node, with the disk it holds the space on; another disk is another member (section 7). */
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
  /** What may be acknowledged above the safe sequence: answers wait while that much is. */
  readonly maxLoss?: MaxLoss
  /**
   * Fewer than min(2, RF) members in sync, so that no write becomes safe: writes are accepted
   * all the same (the default), or their answers wait, or they are refused.
   */
  readonly whenUnderReplicated?: 'accept' | 'wait' | 'refuse'
  /** What becomes of a fork's writes: taken into the log (the default), when ordered, or kept. */
  readonly reconcile?: 'automatic' | 'manual' | 'off'
  /** Of idempotency keys; where it says nothing, `defaultKeyRetention`. */
  readonly keys?: Partial<KeyRetention>
}

/** Bounds on the loss window, at least one of them. */
export interface MaxLoss {
  readonly entries?: number
  readonly bytes?: number
  /** Nothing is answered while an entry above the safe sequence is as old as this. */
  readonly ms?: number
}

/**
 * vacant: no primary named; claimed: the primary is opening its reign; open: it may serve;
 * dropped: a tombstone (a missing key never means that a space was dropped).
 */
export type AssignmentState = 'vacant' | 'claimed' | 'open' | 'dropped'

/** What the arbiter holds under `space.<id>`; changed by compare-and-set only. */
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
  /** True while the reign was ordered by an operator over I2 and I5. */
  readonly forced: boolean
  /** End of the log that the present reign began on; from when it is opened. */
  readonly start?: Position
  /**
   * Open reigns that ended: until a report of each is committed; one that was handed over, until
   * a reign with all of its log is open.
   */
  readonly ended?: readonly EndedEpoch[]
  /** No other member takes over by itself; absent or null: failover is automatic. */
  readonly paused?: Paused | null
  /** Tells this writing of the record from every other: "applied" is recognised by content. */
  readonly nonce: string
  readonly writer: NodeId
}

/** Automatic failover of a space is paused. */
export interface Paused {
  /** ISO 8601, UTC. */
  readonly since: string
  /** Who ordered it, as they said. */
  readonly by: string
}

/** A reign that was open, and who held it, with which disk. */
export interface EndedEpoch extends Member {
  readonly epoch: number
  /** End of the log that it began on. */
  readonly start: Position
  /** Sequence of its last entry, of one that was handed over: it wrote no more. */
  readonly last?: number
  /** Most writes that it can have acknowledged above the safe sequence; null: nobody knows. */
  readonly atMost?: number | null
}

/** An assignment with the revision at which it was read: the base of a compare-and-set. */
export interface AssignmentAt {
  readonly assignment: Assignment
  readonly revision: number
}

/** What the arbiter holds under `node.<id>`. */
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
  /** The arbiter knows this start: else its disk may be a copy of the past, and does not count. */
  readonly registered: boolean
  /** Why no space should be handed to this node, nor placed on it; absent: they may be. */
  readonly unfit?: string
  /** The sender's wall clock when it was sent; nodes of before do not tell it. */
  readonly wallMs?: number
  /** What was last heard of each peer; being listed is a grant (section 5). */
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
  /** The member is to write a record to its journal, durably, before it answers. */
  readonly confirm?: boolean
}

export interface SurveyAnswer extends Life {
  readonly node: NodeId
  readonly disk: string
  /** Durable end of this member's log. */
  readonly position: Position
  /** Highest epoch this member has seen anywhere. */
  readonly highestEpoch: number
  /** Serves this space now, with valid grants. */
  readonly serving: boolean
  /** Epoch of the latest reign of this member that has ended for good; 0 when there is none. */
  readonly endedEpoch: number
  /** It may be promoted: its journal is whole, and nothing else speaks against it. */
  readonly whole: boolean
  /** Last position that it knows to be committed; the origin where it does not say. */
  readonly committed: Position
  /** Else, why not; nodes of before do not tell it. */
  readonly unfit?: string
}

/** `engram.v1.ack.<space>.<primary>`, as a request: a member asks for a session. */
export interface JoinRequest extends Life {
  readonly kind: 'join'
  readonly space: SpaceId
  readonly uuid: string
  readonly node: NodeId
  readonly disk: string
  /** The reign to join. */
  readonly epoch: number
  /** Repeated by the answer; other answers are ignored. */
  readonly number: number
  readonly history: readonly EpochSpan[]
}

export interface JoinAnswer {
  readonly kind: 'joined' | 'refused'
  readonly number: number
  readonly node: NodeId
  readonly epoch: number
  readonly session: number
  /** Last common point: what lies beyond it on the member is a fork. */
  readonly common: Position
  readonly commitSequence: number
  readonly endSequence: number
  /** Refused: epoch of this node's latest reign that has ended for good; 0 when there is none. */
  readonly endedEpoch: number
  /** The journal of the primary no longer reaches back to `common`. */
  readonly snapshotNeeded: boolean
  readonly reason: string
}

/** `engram.v1.ack.<space>.<primary>`: cumulative, of one session. */
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
}

/** A gap, or a frame that does not continue my log: send again from `position` on. */
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

/** A member that joined the reign, or holds it, tells which salvages it has, if any. */
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
  /** False: it has others, that cannot be read, or go into no message with these. */
  readonly isComplete: boolean
}

/** A write of a salvage: where and when it was logged first. */
export interface SalvagedWrite {
  readonly origin: Origin
  /** Where the fork has it, of one that had come home there: it was acknowledged there, too. */
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
  /** Name of the salvage, which was offered in this reign. */
  readonly salvage: string
  readonly writes: readonly SalvagedWrite[]
  /** Nothing of the salvage comes after these. */
  readonly isLast: boolean
}

/**
 * taken: durable on the primary, in entries up to `sequence`. busy: again after `retryAfterMs`.
 * refused: no reign of that epoch is here, or it does not know the salvage.
 */
export interface ReconcileAnswer {
  readonly kind: 'taken' | 'busy' | 'refused'
  readonly number: number
  readonly node: NodeId
  readonly epoch: number
  readonly sequence: number
  readonly retryAfterMs: number
  /** Whether salvages are taken without an order, by the settings of the space. */
  readonly isAutomatic: boolean
  readonly reason: string
}

export type ReconcileMessage = SalvageOffer | SalvageSlice

export type AckMessage = JoinRequest | Ack | Nack | ReconcileMessage

/** Goes before each frame on `engram.v1.wal.<space>.<node>`; alone it is a notice. */
export interface WalHeader {
  readonly session: number
  readonly epoch: number
  readonly commitSequence: number
  readonly safeSequence: number
  /** End of the primary's log when this was sent: a member that is behind asks for the gap. */
  readonly endSequence: number
  /** Primary's wall clock. */
  readonly sentAtMs: number
}

/**
 * `engram.v1.assignment.<space>`. `changed` hints that the record at the arbiter is new;
 * `resigned`: the reign of `assignment.epoch` is over, its holder says so itself.
 */
export interface Announcement {
  readonly kind: 'changed' | 'resigned'
  readonly assignment: Assignment
  readonly revision: number
  readonly history: readonly EpochSpan[]
  readonly reason: string
  /** Of a primary that has just begun to take writes: how it came to that. */
  readonly promotion?: PromotionReport
}

export interface PingAnswer extends Life {
  readonly node: NodeId
  readonly disk: string
  readonly server: string
}

/** `engram.v1.pingreq.<witness>`: please probe `target` for me (SWIM's indirect probe). */
export interface PingRequest extends Life {
  readonly target: NodeId
}

/** What a witness found: `gone` proves that the connection named in the request is closed. */
export interface PingRequestAnswer {
  readonly outcome: 'alive' | 'gone' | 'silent' | 'noWitness'
}

/** Everything that must hold between these is checked in options.ts. DESIGN section 10. */
export interface ProtocolTimes {
  readonly heartbeatMs: number
  readonly probeMs: number
  readonly grantMs: number
  /** The granter waits grantMs x this before it takes over: clock rates within 10 %. */
  readonly grantMargin: number
  readonly surveyMs: number
  readonly standByMs: number
  readonly inSyncLagMs: number
  readonly stallMs: number
  readonly casTimeoutMs: number
}

export const defaultTimes: ProtocolTimes = {
  heartbeatMs: 100,
  probeMs: 50,
  grantMs: 2000,
  grantMargin: 1.1,
  surveyMs: 150,
  standByMs: 300,
  inSyncLagMs: 5000,
  stallMs: 500,
  casTimeoutMs: 1000,
}
