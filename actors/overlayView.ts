/** Reads of a store with the overlay's pending operations folded over it. */
import type { MemoryEdge, MemoryNode } from '../machines/memory.js'
import type { OriginRecord } from '../machines/books.js'
import type { PendingOrigins } from './overlayOrigins.js'
import { edgeName, stateOf, type EdgeIndex, type EdgeSlot, type NodeSlot } from './overlaySlots.js'
import type { EdgeDirection, EdgeState, GraphReader, NodeState, VersionReader } from './ports.js'

/** The newest pending slots, and what is said of origins: what a view reads of an overlay. */
export interface Pending {
  readonly nodes: ReadonlyMap<string, NodeSlot>
  readonly bySource: EdgeIndex
  readonly byTarget: EdgeIndex
  readonly origins: Pick<PendingOrigins, 'read'>
}

export class OverlayView implements GraphReader, VersionReader {
  constructor(
    private readonly pending: Pending, private readonly store: GraphReader & VersionReader,
  ) {}

  node(id: string): MemoryNode | undefined {
    const slot = this.pending.nodes.get(id)
    return slot === undefined ? this.store.node(id) : this.fold(slot)
  }

  /** In the store's order: outgoing by target and kind, incoming by source and kind. */
  edges(nodeId: string, direction: EdgeDirection): MemoryEdge[] {
    const out = direction === 'in' ? [] : this.outgoing(nodeId)
    if (direction === 'out') return out
    const incoming = this.incoming(nodeId)
    if (direction === 'in') return incoming
    return out.concat(incoming.filter((edge) => edge.source !== nodeId))
  }

  nodes(after: string, limit: number): MemoryNode[] {
    if (limit <= 0) return []
    const byId = new Map<string, MemoryNode>()
    for (const node of this.store.nodes(after, limit)) byId.set(node.id, node)
    for (const slot of this.storedAfter(after, limit)) byId.set(slot.id, slot.node!)
    const ids = [...byId.keys()].toSorted(compareUtf8).slice(0, limit)
    return ids.map((id) => {
      const slot = this.pending.nodes.get(id)
      return slot === undefined ? byId.get(id)! : this.fold(slot)!
    })
  }

  nodeState(id: string): NodeState {
    const slot = this.pending.nodes.get(id)
    return slot === undefined ? this.store.nodeState(id) : stateOf(slot, this.store)
  }

  edgeState(source: string, target: string, kind: string): EdgeState | undefined {
    const slot = this.pending.bySource.get(source)?.get(edgeName(target, kind))
    if (slot === undefined) return this.store.edgeState(source, target, kind)
    return { edge: slot.edge, version: slot.version }
  }

  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.pending.origins.read(epoch, sequence, this.store)
  }

  private fold(slot: NodeSlot): MemoryNode | undefined {
    if (slot.keeps !== 0) return stateOf(slot, this.store).node
    const node = slot.node ?? this.store.node(slot.id)
    if (node === undefined || slot.activated === undefined) return node
    return { ...node, activation: slot.activation! }
  }

  /** The first `limit` pending StoreNodes by id: one pass, and never much more than it returns. */
  private storedAfter(after: string, limit: number): NodeSlot[] {
    let first: NodeSlot[] = []
    let bound: string | undefined
    for (const slot of this.pending.nodes.values()) {
      if (slot.node === undefined || compareUtf8(slot.id, after) <= 0) continue
      if (bound !== undefined && compareUtf8(slot.id, bound) >= 0) continue
      first.push(slot)
      if (first.length < 2 * limit + 64) continue
      first = first.toSorted(bySlotId).slice(0, limit)
      bound = first[first.length - 1]!.id
    }
    return first.toSorted(bySlotId).slice(0, limit)
  }

  private outgoing(nodeId: string): MemoryEdge[] {
    const stored = this.store.edges(nodeId, 'out')
    const pending = this.pending.bySource.get(nodeId)
    if (pending === undefined) return stored
    const edges = merge(stored, pending, (edge) => edgeName(edge.target, edge.kind))
    return edges.toSorted((a, b) => compareUtf8(a.target, b.target) || compareUtf8(a.kind, b.kind))
  }

  private incoming(nodeId: string): MemoryEdge[] {
    const stored = this.store.edges(nodeId, 'in')
    const pending = this.pending.byTarget.get(nodeId)
    if (pending === undefined) return stored
    const edges = merge(stored, pending, (edge) => edgeName(edge.source, edge.kind))
    return edges.toSorted((a, b) => compareUtf8(a.source, b.source) || compareUtf8(a.kind, b.kind))
  }
}

function merge(
  stored: readonly MemoryEdge[], pending: ReadonlyMap<string, EdgeSlot>,
  nameOf: (edge: MemoryEdge) => string,
): MemoryEdge[] {
  const edges = stored.filter((edge) => !pending.has(nameOf(edge)))
  for (const slot of pending.values()) edges.push(slot.edge)
  return edges
}

function bySlotId(a: NodeSlot, b: NodeSlot): number {
  return compareUtf8(a.id, b.id)
}

/**
 * Orders strings by their UTF-8 bytes, which is by code point. JavaScript's own order is by UTF-16
 * unit and differs for surrogates: U+FF5E (one unit, FF5E) comes before U+1F600 (D83D DE00).
 */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index += 1) {
    const unitA = a.charCodeAt(index)
    const unitB = b.charCodeAt(index)
    if (unitA !== unitB) return rank(unitA) - rank(unitB)
  }
  return a.length - b.length
}

/** Surrogates stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}
