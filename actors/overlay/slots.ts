/** Effect of pending entries on one node or edge, and the state with the store below. */
import { compareIncoming, compareOutgoing } from '../../machines/graph/edgePlace.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { Version } from '../../machines/log/forkNotes.js'
import type { NodeState, VersionReader } from '../ports/store.js'
import type { Sorted } from '../structures/sorted.js'

/** State of a node as of one pending entry. */
export interface NodeSlot {
  readonly id: string
  /** The last StoreNode up to here, or undefined: then the store's node shows through. */
  readonly node: MemoryNode | undefined
  /** Version of `node`. */
  readonly stored: Version | undefined
  /** Activation that was set after that StoreNode, or kept by it, and its version. */
  readonly activation: number | undefined
  readonly activated: Version | undefined
  /**
   * Not 0: the activation depends on the store, too. Either the StoreNode with that sequence keeps
   * the activation of the store, or it was set with no StoreNode pending: for a node of the store,
   * or for none, and then it has no effect.
   */
  readonly keeps: number
  older: NodeSlot | undefined
  newer: NodeSlot | undefined
}

export interface EdgeSlot {
  readonly edge: MemoryEdge
  readonly version: Version
  older: EdgeSlot | undefined
  newer: EdgeSlot | undefined
}

/** The newest slots of the edges of each end node, in the order of its lists. */
export type EdgeIndex = Map<string, Sorted<EdgeSlot>>

/** Identifies an edge among those of one end node. */
export type EdgeName = Pick<EdgeSlot, 'edge'>

export const nowhere: NodeState = { node: undefined, stored: undefined, activated: undefined }

export const bySourceOrder = (a: EdgeName, b: EdgeName): number => compareOutgoing(a.edge, b.edge)
export const byTargetOrder = (a: EdgeName, b: EdgeName): number => compareIncoming(a.edge, b.edge)

/** The same whether the store has applied entries up to the slot's, or some of them, or none. */
export function stateOf(slot: NodeSlot, store: VersionReader): NodeState {
  const { node, stored, activation, activated, keeps } = slot
  if (node !== undefined && keeps === 0) return stateWith(node, stored, activation, activated)
  const below = store.nodeState(slot.id)
  if (node === undefined) {
    return below.node === undefined
      ? nowhere
      : stateWith(below.node, below.stored, activation, activated)
  }
  if (below.node === undefined) return stateWith(node, stored, undefined, undefined)
  // Once the store has that StoreNode, it has the activation that it kept, too.
  return activated === undefined || below.stored!.at >= keeps
    ? stateWith(node, stored, below.node.activation, below.activated)
    : stateWith(node, stored, activation, activated)
}

function stateWith(
  node: MemoryNode,
  stored: Version | undefined,
  activation: number | undefined,
  activated: Version | undefined,
): NodeState {
  if (activated === undefined) return { node, stored, activated }
  return { node: { ...node, activation: activation! }, stored, activated }
}
