/** Reads of a store with the overlay's pending operations folded over it. */
import { beforeIncoming, compareIncoming, compareOutgoing } from '../../machines/graph/edgePlace.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import { compareUtf8 } from '../../machines/graph/utf8.js'
import type { OriginRecord } from '../../machines/log/forkNotes.js'
import type { EdgeDirection, EdgeState, GraphReader, NodeState,
  VersionReader } from '../ports/store.js'
import type { Sorted } from '../structures/sorted.js'
import type { PendingOrigins } from './origins.js'
import { stateOf, type EdgeIndex, type EdgeSlot, type NodeSlot } from './slots.js'

/** The part of an overlay that a view reads: the newest pending slots, and outcomes of writes. */
export interface Pending {
  readonly nodes: ReadonlyMap<string, NodeSlot>
  readonly storedIds: Sorted<string>
  readonly bySource: EdgeIndex
  readonly byTarget: EdgeIndex
  readonly origins: Pick<PendingOrigins, 'read'>
}

export class OverlayView implements GraphReader, VersionReader {
  constructor(
    private readonly pending: Pending,
    private readonly store: GraphReader & VersionReader,
  ) {}

  node(id: string): MemoryNode | undefined {
    const slot = this.pending.nodes.get(id)
    return slot === undefined ? this.store.node(id) : this.fold(slot)
  }

  *edges(
    nodeId: string,
    direction: EdgeDirection,
    after: EdgePlace | null = null,
  ): Iterable<MemoryEdge> {
    if (direction !== 'in' && after?.side !== 'in') {
      const isBefore = ({ target, kind }: MemoryEdge): boolean =>
        after !== null
        && (compareUtf8(target, after.other) || compareUtf8(kind, after.kind)) <= 0
      yield* merged(this.store.edges(nodeId, 'out', after),
        edgesFrom(this.pending.bySource.get(nodeId), isBefore), compareOutgoing)
    }
    if (direction === 'out') return
    const begun = after?.side === 'in' ? after : beforeIncoming
    yield* merged(this.store.edges(nodeId, direction, begun),
      this.incoming(nodeId, begun, direction === 'both'), compareIncoming)
  }

  *nodes(after: string): Iterable<MemoryNode> {
    const stored = this.pending.storedIds.from((id) => compareUtf8(id, after) <= 0)
    let next = stored.next()
    for (const node of this.store.nodes(after)) {
      let isPending = false
      for (; !next.done; next = stored.next()) {
        const order = compareUtf8(next.value, node.id)
        if (order > 0) break
        isPending = order === 0
        yield this.node(next.value)!
      }
      if (isPending) continue
      const slot = this.pending.nodes.get(node.id)
      yield slot === undefined ? node : this.fold(slot) ?? node
    }
    for (; !next.done; next = stored.next()) yield this.node(next.value)!
  }

  nodeState(id: string): NodeState {
    const slot = this.pending.nodes.get(id)
    return slot === undefined ? this.store.nodeState(id) : stateOf(slot, this.store)
  }

  edgeState(source: string, target: string, kind: string): EdgeState | undefined {
    const name = { edge: { source, target, kind } } as EdgeSlot
    const slot = this.pending.bySource.get(source)?.find(name)
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

  /**
   * Pending ones after that place; `skipsLoops`: without loops, which the outgoing ones contain.
   */
  private *incoming(
    nodeId: string,
    after: EdgePlace,
    skipsLoops: boolean,
  ): Generator<MemoryEdge, undefined> {
    const slots = this.pending.byTarget.get(nodeId)
    const isBefore = ({ source, kind }: MemoryEdge): boolean =>
      (compareUtf8(source, after.other) || compareUtf8(kind, after.kind)) <= 0
    for (const edge of edgesFrom(slots, isBefore)) {
      if (skipsLoops && compareUtf8(edge.source, nodeId) >= 0) break
      yield edge
    }
    if (!skipsLoops) return
    // There may be thousands of loops: they are skipped in one step.
    yield* edgesFrom(slots, (edge) => isBefore(edge) || compareUtf8(edge.source, nodeId) <= 0)
  }
}

function* edgesFrom(
  slots: Sorted<EdgeSlot> | undefined,
  isBefore: (edge: MemoryEdge) => boolean,
): Generator<MemoryEdge, undefined> {
  if (slots === undefined) return
  for (const { edge } of slots.from((slot) => isBefore(slot.edge))) yield edge
}

/** Merges two sorted sequences; of equal values the pending one is taken. */
function* merged<T>(
  stored: Iterable<T>,
  pending: Generator<T, undefined>,
  compare: (a: T, b: T) => number,
): Iterable<T> {
  let next = pending.next()
  for (const value of stored) {
    let isPending = false
    for (; !next.done; next = pending.next()) {
      const order = compare(next.value, value)
      if (order > 0) break
      isPending = order === 0
      yield next.value
    }
    if (!isPending) yield value
  }
  for (; !next.done; next = pending.next()) yield next.value
}
