/**
 * Decides about a write of a fork when it is reconciled. The write was logged without knowledge of
 * the present log since the fork, and the other way round. The result is logged, so that replicas
 * evaluate nothing.
 */
import type { Position } from '../base/ids.js'
import type { MemoryEdge, MemoryNode, Operation } from '../graph/graph.js'
import type { Reconciliation, Version } from '../log/forkNotes.js'
import { holds, isTraced } from '../log/lineage.js'
import type { Starts } from '../log/lineage.js'
import { comparePositions } from '../log/positions.js'

/** A write with its origin. */
export interface Contender {
  readonly operation: Operation
  readonly origin: Position
  /** ms since 1970. */
  readonly timestamp: number
}

/**
 * Decides between two concurrent writes with one target: two StoreNode of a node, two StoreEdge of
 * an edge, two UpdateActivation of a node. The loser goes into the quarantine. A returned
 * operation, of the same type and target, replaces both, and neither loses. Pure.
 */
export type MergeRule = (
  standing: Contender,
  incoming: Contender,
) => 'standing' | 'incoming' | Operation

/** State in which the write is judged, including the writes before it in the log. */
export interface Standing {
  readonly nodeState: (id: string) => {
    readonly node: MemoryNode | undefined
    readonly stored: Version | undefined
    readonly activated: Version | undefined
  }
  readonly edgeState: (source: string, target: string, kind: string) => {
    readonly edge: MemoryEdge
    readonly version: Version
  } | undefined
}

/** Relation of a present version to the write: in its past, based on it, or neither. */
export type Relation = 'before' | 'after' | 'concurrent'

export type Decision = Omit<Reconciliation, 'origin' | 'timestamp' | 'via'> & {
  /** Operation to log: the write's own, or the result of both. */
  readonly operation: Operation
}

/** Whether it puts a write into the quarantine: the reconciled one, or the one it displaces. */
export function quarantines({ outcome, displaces }: Reconciliation): boolean {
  return outcome === 'quarantined' || displaces !== 'nothing'
}

/** Compares by timestamp, then by origin; a total order, since origins are unique. */
function compareAges(a: Contender, b: Contender): number {
  return a.timestamp - b.timestamp || comparePositions(a.origin, b.origin)
}

/** Returns confidence or weight; a write without one ranks below all others. */
function standingOf({ operation }: Contender): number {
  switch (operation.type) {
    case 'StoreNode':
      return operation.node.confidence ?? -1
    case 'StoreEdge':
      return operation.edge.weight ?? -1
    case 'UpdateActivation':
      return 0
  }
}

/**
 * Prefers higher confidence (StoreNode) or weight (StoreEdge), then the later timestamp, then the
 * higher origin; UpdateActivation has only the latter two. The result is the greatest of a total
 * order, so it does not depend on the order in which concurrent writes come, nor on repeats.
 */
export const defaultRule: MergeRule = (standing, incoming) => {
  const order = standingOf(standing) - standingOf(incoming) || compareAges(standing, incoming)
  return order > 0 ? 'standing' : 'incoming'
}

/**
 * Returns how versions relate to a write, by positions: `starts` knows the logs that entries were
 * appended to. `copied`: last entry of the present log that the write's log has as well. A version
 * that was reconciled before that entry is in the write's past, too.
 */
export function relationTo(write: Position, copied: number, starts: Starts) {
  return (version: Version): Relation => {
    if (version.at <= copied || holds(write, version, starts)) return 'before'
    return holds(version, write, starts) ? 'after' : 'concurrent'
  }
}

/**
 * Whether a present value tells that this log does not have the write, which is below the root of
 * its history: the value is from before that place, where the write would be on top of it; or it is
 * an entry of this log, whose epochs are known down to that of the write. Otherwise the write may
 * be in this log, and the value on top of it.
 */
export function tellsAbsence(version: Version, write: Position, starts: Starts): boolean {
  if (version.at < write.sequence) return true
  return version.at === version.sequence && version.epoch > write.epoch
    && isTraced(version, write.epoch, starts)
}

export function decide(
  incoming: Contender,
  standing: Standing,
  relation: (version: Version) => Relation,
  rule: MergeRule = defaultRule,
): Decision {
  const { operation } = incoming
  const against: Against = { incoming, relation, rule }
  switch (operation.type) {
    case 'StoreNode': {
      const { node, stored, activated } = standing.nodeState(operation.node.id)
      if (!node || !stored) return merged(operation)
      return storeNode(against, node, stored, activated)
    }
    case 'UpdateActivation': {
      const { node, stored, activated } = standing.nodeState(operation.nodeId)
      if (!node || !stored) return merged(operation)
      return updateActivation(against, node, stored, activated)
    }
    case 'StoreEdge': {
      const { source, target, kind } = operation.edge
      const state = standing.edgeState(source, target, kind)
      if (!state) return merged(operation)
      return contest(against, { type: 'StoreEdge', edge: state.edge }, state.version, 'value')
    }
  }
}

interface Against {
  readonly incoming: Contender
  readonly relation: (version: Version) => Relation
  readonly rule: MergeRule
}

function merged(operation: Operation): Decision {
  return { operation, outcome: 'merged', displaces: 'nothing', keepsActivation: false, by: null }
}

function lost(
  { operation }: Contender,
  outcome: 'quarantined' | 'superseded',
  by: Position,
): Decision {
  const { epoch, sequence } = by
  return {
    operation,
    outcome,
    displaces: 'nothing',
    keepsActivation: false,
    by: { epoch, sequence },
  }
}

function contender(operation: Operation, version: Version): Contender {
  const { epoch, sequence, timestamp } = version
  return { operation, origin: { epoch, sequence }, timestamp }
}

/** Decides against one present value: a whole node, an edge, or an activation. */
function contest(
  { incoming, relation, rule }: Against,
  operation: Operation,
  version: Version,
  displaces: 'value' | 'activation',
): Decision {
  switch (relation(version)) {
    case 'before':
      return merged(incoming.operation)
    case 'after':
      return lost(incoming, 'superseded', version)
    case 'concurrent': {
      const verdict = rule(contender(operation, version), incoming)
      if (verdict === 'standing') return lost(incoming, 'quarantined', version)
      if (verdict === 'incoming') return { ...merged(incoming.operation), displaces }
      return merged(verdict)
    }
  }
}

function storeNode(
  against: Against,
  node: MemoryNode,
  stored: Version,
  activated: Version | undefined,
): Decision {
  const decision = contest(against, { type: 'StoreNode', node }, stored, 'value')
  if (decision.outcome !== 'merged' || !activated) return decision
  const { incoming, relation } = against
  const to = relation(activated)
  if (to === 'before') return decision
  const activation = contender(activationOf(node), activated)
  if (to === 'after' || compareAges(activation, incoming) > 0) {
    return { ...decision, keepsActivation: true }
  }
  return decision.displaces === 'value' ? decision : { ...decision, displaces: 'activation' }
}

function updateActivation(
  against: Against,
  node: MemoryNode,
  stored: Version,
  activated: Version | undefined,
): Decision {
  const { incoming, relation } = against
  const to = relation(stored)
  if (to === 'after') return lost(incoming, 'superseded', stored)
  const whole = contender({ type: 'StoreNode', node }, stored)
  if (to === 'concurrent' && compareAges(whole, incoming) > 0) {
    return lost(incoming, 'quarantined', stored)
  }
  if (!activated) return merged(incoming.operation)
  return contest(against, activationOf(node), activated, 'activation')
}

function activationOf(node: MemoryNode): Operation {
  return { type: 'UpdateActivation', nodeId: node.id, activation: node.activation ?? 0 }
}
