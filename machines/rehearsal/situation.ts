/** What a rehearsal begins with: one space, as its nodes report it. */
import type { NodeId, Position } from '../base/ids.js'
import type { ProtocolTimes } from '../protocol/defaultTimes.js'
import type { Assignment } from '../protocol/messages.js'

/** gone: its process is dead. hangs: it does nothing, and its connection stays open. */
export type Failure = 'gone' | 'hangs'

/** Another node, as a node hears it. */
export interface HeardNode {
  readonly silenceMs: number
  /** Its heartbeats arrive. */
  readonly isAlive: boolean
  /** Its connection is known to be gone, or it has left. */
  readonly isGone: boolean
}

/** A node that answers. */
export interface RehearsedNode {
  readonly node: NodeId
  readonly disk: string
  /** NATS server that it is connected to. */
  readonly server: string | null
  /** Failure domain; `''`: none. */
  readonly zone: string
  /** It doubts its own clock or loop. */
  readonly isTilted: boolean
  readonly times: ProtocolTimes
  readonly heard: ReadonlyMap<NodeId, HeardNode>
}

/** unusable: it holds no record that can be used; refuses: it takes no change of the record. */
export type ArbiterView =
  | { readonly kind: 'reachable' }
  | { readonly kind: 'unreachable' | 'unusable' | 'refuses'; readonly reason: string }

/** A member that answers. */
export interface RehearsedMember {
  readonly on: RehearsedNode
  /** Durable end of its log. */
  readonly position: Position
  /** Last entry that it knows to be committed. */
  readonly committed: Position
  readonly highestEpoch: number
  /** Why it should not be promoted, as it answers surveys; null: it may be. */
  readonly unfit: string | null
  /** The same, without an operator's drain. */
  readonly fault: string | null
  /** The arbiter, as seen from there. */
  readonly arbiter: ArbiterView
}

/** Why an operator's command keeps its node from being primary, or null. */
export function drainOf({ unfit, fault }: RehearsedMember): string | null {
  return unfit === fault ? null : unfit
}

/** Acknowledged writes above the safe sequence. */
export interface AtRisk {
  readonly entries: number
  readonly bytes: number
  /** Age of the oldest. */
  readonly ms: number
}

export interface Situation {
  /** Its primary serves, and is among the members that answer. */
  readonly record: Assignment
  /** Nodes that answer, also those that are no members. */
  readonly nodes: ReadonlyMap<NodeId, RehearsedNode>
  readonly members: ReadonlyMap<NodeId, RehearsedMember>
  /** Members that are not connected, as NATS says. Others that do not answer may hang. */
  readonly absent: ReadonlySet<NodeId>
  readonly atRisk: AtRisk
  /** Last entry of the primary. */
  readonly endSequence: number
}

/** Times of the network, of the arbiter and of the disks, ms. */
export interface Costs {
  /** A message, one way. */
  readonly messageMs: number
  /** A request to the arbiter, with its answer. */
  readonly arbiterMs: number
  readonly flushMs: number
}

/** Of a cluster in one place. */
export const usualCosts: Costs = { messageMs: 1, arbiterMs: 5, flushMs: 5 }
