/**
 * The uncommitted tail of a space's log in memory, above its store. A fork is undone by dropping
 * its entries; committed entries leave as soon as the store has them.
 *
 * Every pending entry is a slot. The slots of one node (or edge) form a chain, newest first in
 * the index, and each says what its node is *as of* that entry: a read looks at the newest one
 * only, and adding, dropping and forgetting an entry touch a fixed number of places.
 */
import { isEffective } from '../../machines/forks/forkReports.js'
import type { MemoryEdge } from '../../machines/graph/graph.js'
import { compareUtf8 } from '../../machines/graph/utf8.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { Version } from '../../machines/log/forkNotes.js'
import { versionOf } from '../../machines/log/versions.js'
import type { GraphReader, VersionReader } from '../ports/store.js'
import { entryHeapBytes } from '../structures/budget.js'
import type { Account } from '../structures/budget.js'
import { decodedHeapBytes } from '../structures/decodedSize.js'
import { Sorted } from '../structures/sorted.js'
import { PendingOrigins } from './origins.js'
import { bySourceOrder, byTargetOrder, type EdgeIndex, type EdgeSlot,
  type NodeSlot } from './slots.js'
import { OverlayView } from './view.js'

interface Slot {
  readonly entry: LogEntry
  readonly node: NodeSlot | undefined
  readonly edge: EdgeSlot | undefined
}

/** The entries of one `add`; their bytes count until the last of them is gone. */
interface Addition {
  readonly first: number
  readonly last: number
  readonly bytes: number
  readonly heapBytes: number
}

/** An empty head this long is cut off once it is more than half of the array: O(1) per entry. */
const HEAD_MIN = 1024

export class Overlay {
  readonly nodes = new Map<string, NodeSlot>()
  /** Nodes with a pending StoreNode: they are in lists, whatever the store has. */
  readonly storedIds = new Sorted<string>(compareUtf8)
  readonly bySource: EdgeIndex = new Map()
  readonly byTarget: EdgeIndex = new Map()
  readonly origins = new PendingOrigins()
  private readonly keys = new Map<string, KeyRecord>()
  private slots: (Slot | undefined)[] = []
  /** Places below are empty. */
  private head = 0
  private additions: Addition[] = []
  private additionsHead = 0
  private pendingBytes = 0
  private heapBytes = 0
  private appliedSequence = 0

  /** Reports its memory to the account. */
  constructor(private readonly account?: Account) {}

  /** Sum of the announced bytes; part of an addition counts as a whole. */
  get bytes(): number {
    return this.pendingBytes
  }

  get count(): number {
    return this.slots.length - this.head
  }

  /** 0 when nothing is pending. */
  get firstSequence(): number {
    return this.slots[this.head]?.entry.sequence ?? 0
  }

  /** 0 when nothing is pending. */
  get lastSequence(): number {
    return this.count === 0 ? 0 : this.slots[this.slots.length - 1]!.entry.sequence
  }

  /**
   * Adds entries that continue the last one. `bytes`: what they add to `bytes`; `heapBytes`: by
   * decodedHeapBytes().
   */
  add(
    entries: readonly LogEntry[],
    bytes: number,
    heapBytes = decodedHeapBytes(entries.map(({ operation }) => operation)),
  ): void {
    if (entries.length === 0) return
    const first = entries[0]!.sequence
    let expected = this.count === 0 ? first : this.lastSequence + 1
    if (expected <= this.appliedSequence) {
      throw new Error(`bug: entry ${expected} is in the store (up to ${this.appliedSequence})`)
    }
    for (const entry of entries) {
      if (entry.sequence !== expected) {
        throw new Error(`bug: the overlay expects entry ${expected}, not ${entry.sequence}`)
      }
      this.push(entry)
      expected += 1
    }
    this.additions.push({ first, last: expected - 1, bytes, heapBytes })
    this.pendingBytes += bytes
    this.heapBytes += heapBytes
    this.tally()
  }

  /** Undoes the entries above `sequence`: what they had replaced shows again. */
  dropAbove(sequence: number): void {
    if (sequence < this.appliedSequence) {
      throw new Error(`bug: entries above ${sequence} are in the store (${this.appliedSequence})`)
    }
    while (this.lastSequence > sequence) this.pop(this.slots.pop()!)
    while (this.additions.length > this.additionsHead) {
      const addition = this.additions[this.additions.length - 1]!
      if (addition.last <= sequence) break
      this.additions.pop()
      if (this.count > 0 && addition.first <= this.lastSequence) {
        this.additions.push({ ...addition, last: sequence })
        break
      }
      this.forget(addition)
    }
    this.compact()
  }

  /** Forgets the entries up to `upTo`: they are in the store now. */
  applied(upTo: number): void {
    if (upTo > this.appliedSequence) this.appliedSequence = upTo
    while (this.count > 0 && this.firstSequence <= upTo) {
      this.shift(this.slots[this.head]!)
      this.slots[this.head] = undefined
      this.head += 1
    }
    while (this.additionsHead < this.additions.length) {
      const addition = this.additions[this.additionsHead]!
      if (addition.last > upTo) break
      this.forget(addition)
      this.additionsHead += 1
    }
    this.compact()
  }

  /** The store was replaced by a state as of `applied`: nothing is pending. */
  replaced(applied: number): void {
    this.applied(Number.MAX_SAFE_INTEGER)
    this.appliedSequence = applied
  }

  /** Record of a key whose request, or whose end, is still pending. */
  key(key: string): KeyRecord | undefined {
    return this.keys.get(key)
  }

  /** Pending entries from `from` on, at most `limit`; earlier ones are in the log. */
  entries(from: number, limit: number): LogEntry[] {
    const entries: LogEntry[] = []
    const first = this.head + Math.max(0, from - this.firstSequence)
    const end = Math.min(this.slots.length, first + Math.max(0, limit))
    for (let index = first; index < end; index += 1) entries.push(this.slots[index]!.entry)
    return entries
  }

  /** A view as if all pending entries were in the store. Stays valid as the overlay changes. */
  view(store: GraphReader & VersionReader): OverlayView {
    return new OverlayView(this, store)
  }

  private forget({ bytes, heapBytes }: Addition): void {
    this.pendingBytes -= bytes
    this.heapBytes -= heapBytes
  }

  private push(entry: LogEntry): void {
    const { operation, writeId, epoch, sequence, timestamp } = entry
    let node: NodeSlot | undefined
    let edge: EdgeSlot | undefined
    if (isEffective(entry)) {
      if (operation.type === 'StoreNode') node = this.pushNode(operation.node.id, entry)
      else if (operation.type === 'UpdateActivation') node = this.pushNode(operation.nodeId, entry)
      else if (operation.type === 'StoreEdge') {
        edge = this.pushEdge(operation.edge, versionOf(entry))
      }
    }
    this.origins.push(entry, node?.older, edge?.older)
    if (writeId !== null) {
      const begun = this.keys.get(writeId)
      const count = begun !== undefined && begun.sequence === sequence - 1 ? begun.count + 1 : 1
      this.keys.set(writeId, { epoch, sequence, count, timestamp })
    }
    this.slots.push({ entry, node, edge })
  }

  private pushNode(id: string, entry: LogEntry): NodeSlot {
    const older = this.nodes.get(id)
    const slot = slotOf(id, entry, older)
    if (older !== undefined) older.newer = slot
    this.nodes.set(id, slot)
    if (slot.node !== undefined && older?.node === undefined) this.storedIds.put(id)
    return slot
  }

  private pushEdge(edge: MemoryEdge, version: Version): EdgeSlot {
    const older = this.bySource.get(edge.source)?.find({ edge } as EdgeSlot)
    const slot: EdgeSlot = { edge, version, older, newer: undefined }
    if (older !== undefined) older.newer = slot
    this.putEdge(slot)
    return slot
  }

  /** Puts the newest slot of its edge. */
  private putEdge(slot: EdgeSlot): void {
    const { source, target } = slot.edge
    putIn(this.bySource, source, slot, bySourceOrder)
    putIn(this.byTarget, target, slot, byTargetOrder)
  }

  private deleteEdge(slot: EdgeSlot): void {
    const { source, target } = slot.edge
    deleteIn(this.bySource, source, slot)
    deleteIn(this.byTarget, target, slot)
  }

  /** Removes the newest slot: the one before it in each chain is the newest again. */
  private pop({ entry, node, edge }: Slot): void {
    if (node !== undefined) {
      const { id, older } = node
      if (node.node !== undefined && older?.node === undefined) this.storedIds.delete(id)
      if (older === undefined) this.nodes.delete(id)
      else {
        older.newer = undefined
        this.nodes.set(id, older)
      }
    }
    if (edge !== undefined) this.popEdge(edge)
    this.origins.remove(entry)
    const { writeId, sequence } = entry
    const record = writeId === null ? undefined : this.keys.get(writeId)
    if (record === undefined || record.sequence !== sequence) return
    // All entries of a request bear one timestamp, so the record of the rest keeps it.
    const shorter = { ...record, sequence: sequence - 1, count: record.count - 1 }
    if (shorter.count > 0 && shorter.sequence > this.appliedSequence) {
      this.keys.set(writeId!, shorter)
    } else this.keys.delete(writeId!)
  }

  private popEdge(slot: EdgeSlot): void {
    const { older } = slot
    if (older === undefined) return this.deleteEdge(slot)
    older.newer = undefined
    this.putEdge(older)
  }

  /** Removes the oldest slot; the newer ones of its chain hold all that they need. */
  private shift({ entry, node, edge }: Slot): void {
    if (node !== undefined) {
      if (node.newer !== undefined) node.newer.older = undefined
      else {
        this.nodes.delete(node.id)
        if (node.node !== undefined) this.storedIds.delete(node.id)
      }
    }
    if (edge !== undefined) {
      if (edge.newer === undefined) this.deleteEdge(edge)
      else edge.newer.older = undefined
    }
    this.origins.remove(entry)
    const { writeId, sequence } = entry
    if (writeId !== null && this.keys.get(writeId)?.sequence === sequence) {
      this.keys.delete(writeId)
    }
  }

  /** Called when it is not needed any more. */
  close(): void {
    this.account?.set(0)
  }

  private tally(): void {
    this.account?.set(this.pendingBytes + this.heapBytes + this.count * entryHeapBytes)
  }

  private compact(): void {
    this.tally()
    if (this.head === this.slots.length) {
      this.slots = []
      this.head = 0
    } else if (this.head >= HEAD_MIN && this.head * 2 > this.slots.length) {
      this.slots = this.slots.slice(this.head)
      this.head = 0
    }
    if (this.additionsHead * 2 > this.additions.length) {
      this.additions = this.additions.slice(this.additionsHead)
      this.additionsHead = 0
    }
  }
}

/** State of the node as of the entry, which stores it or sets its activation. */
function slotOf(id: string, entry: LogEntry, older: NodeSlot | undefined): NodeSlot {
  const { operation, sequence, reconciliation } = entry
  const version = versionOf(entry)
  if (operation.type === 'UpdateActivation') {
    const { activation } = operation
    return {
      id,
      node: older?.node,
      stored: older?.stored,
      activation,
      activated: version,
      keeps: 0,
      older,
      newer: undefined,
    }
  }
  const node = operation.type === 'StoreNode' ? operation.node : undefined
  if (reconciliation?.keepsActivation !== true) {
    return {
      id,
      node,
      stored: version,
      activation: undefined,
      activated: undefined,
      keeps: 0,
      older,
      newer: undefined,
    }
  }
  return {
    id,
    node,
    stored: version,
    activation: older?.activation,
    activated: older?.activated,
    keeps: older?.node === undefined ? sequence : older.keeps,
    older,
    newer: undefined,
  }
}

function putIn(
  index: EdgeIndex,
  end: string,
  slot: EdgeSlot,
  order: (a: EdgeSlot, b: EdgeSlot) => number,
): void {
  let edges = index.get(end)
  if (edges === undefined) index.set(end, edges = new Sorted(order))
  edges.put(slot)
}

function deleteIn(index: EdgeIndex, end: string, slot: EdgeSlot): void {
  const edges = index.get(end)!
  edges.delete(slot)
  if (edges.size === 0) index.delete(end)
}
