/**
 * Folds a batch of entries into the writes of one transaction. Repeated changes of one node or edge
 * within a batch are read, encoded, hashed and written once.
 */
import type { EdgeState, NodeState } from '../../actors/ports/store.js'
import { concernsForks, displacedEdge, displacedNode, foldForks, isDisplacing, isEffective,
  type Displaced } from '../../machines/forks/forkReports.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, Version } from '../../machines/log/forkNotes.js'
import { versionOf } from '../../machines/log/versions.js'
import { ForkBatch, type Reports, type StoredRecords } from './forkBatch.js'
import { HashSum } from './hashSum.js'
import type { SpaceHeader } from './header.js'
import { Table, textKey, tupleKey } from './keys.js'
import { canonicalEdge, canonicalNode, decodeEdgeState, decodeNodeState, encodeEdge, encodeNode,
  withActivation } from './record.js'
import { Slab } from './slab.js'

export interface Changes {
  readonly header: SpaceHeader
  /** By epoch, as of the last entry. */
  readonly reports: Reports
  /** Keys at even places, each followed by its record. */
  readonly puts: readonly Buffer[]
  /** Taken out after the puts. */
  readonly removes: readonly Buffer[]
}

/** A node that this batch changes. `record`: a copy of the stored one, kept where it matters. */
interface TouchedNode {
  readonly key: Buffer
  /** The store has a record of it, whose hash was removed from the digest. */
  readonly isStored: boolean
  readonly record: Buffer | undefined
  /** The node that this batch stored, and its version. */
  node: MemoryNode | undefined
  stored: Version | undefined
  /** Activation that was set separately, in this batch or earlier. */
  activation: number | undefined
  activated: Version | undefined
}

/** Room for a small record and its key: fits the chunk of a batch, and is not far too large. */
const ENTRY_BYTES = 256
const CHUNK_BYTES_MAX = 1024 * 1024

/** A space before the changes. */
export interface ChangedSpace {
  readonly space: number
  readonly header: SpaceHeader
  readonly reports: Reports
  readonly committed: StoredRecords
}

export class ChangeSet {
  private readonly slab: Slab
  private readonly nodes = new Map<string, TouchedNode>()
  private readonly edges = new Map<string, EdgeState>()
  private readonly hashes = new HashSum()
  private ignored: number
  private forks: ForkBatch | undefined

  private readonly space: number
  private readonly header: SpaceHeader
  private readonly reports: Reports
  private readonly committed: StoredRecords

  /** `count`: number of the entries to come. */
  constructor({ space, header, reports, committed }: ChangedSpace, count: number) {
    this.space = space
    this.header = header
    this.reports = reports
    this.committed = committed
    this.slab = new Slab(Math.min(CHUNK_BYTES_MAX, 512 + count * ENTRY_BYTES))
    this.ignored = header.ignored
  }

  /** `entries` continue the header's position, and are not empty. */
  fold(entries: readonly LogEntry[]): Changes {
    for (const entry of entries) {
      if (entry.reconciliation === undefined) this.operation(entry, false)
      else this.reconciled(entry)
    }
    const last = entries[entries.length - 1]!
    const puts: Buffer[] = []
    const removes: Buffer[] = []
    const { digest, nodes, edges } = this.header
    const counts = { nodes, edges }
    this.writeNodes(puts, counts)
    this.writeEdges(puts, counts)
    const ofForks = this.forks?.write(this.hashes, puts, removes)
    const header: SpaceHeader = {
      ...this.header,
      ...ofForks,
      epoch: last.epoch,
      sequence: last.sequence,
      digest: this.hashes.addTo(digest),
      nodes: counts.nodes,
      edges: counts.edges,
      ignored: this.ignored,
    }
    const reports = this.forks === undefined ? this.reports : byEpoch(this.forks.reports())
    return { header, reports, puts, removes }
  }

  private reconciled(entry: LogEntry): void {
    this.foldForks(entry, isDisplacing(entry) ? this.displacedBy(entry) : undefined)
    if (isEffective(entry)) this.operation(entry, entry.reconciliation!.keepsActivation)
  }

  private foldForks(entry: LogEntry, displaced?: Displaced): void {
    this.forks ??= new ForkBatch(this.space, this.committed, this.reports, this.header)
    foldForks(this.forks, entry, displaced)
  }

  /** The present values that the entry replaces, as they would be read back. */
  private displacedBy({ operation, reconciliation }: LogEntry): Displaced | undefined {
    const { displaces } = reconciliation!
    if (displaces === 'nothing') return undefined
    switch (operation.type) {
      case 'StoreNode':
        return displacedNode(this.nodeState(operation.node.id), displaces)
      case 'UpdateActivation':
        return displacedNode(this.nodeState(operation.nodeId), displaces)
      case 'StoreEdge': {
        const state = this.edgeState(operation.edge)
        return state === undefined ? undefined : displacedEdge(state.edge, state.version)
      }
      case 'EpochStart':
      case 'ForkNote':
        return undefined
    }
  }

  private nodeState(id: string): NodeState {
    const touched = this.nodes.get(id) ?? this.touch(id, true)
    const { record, node, stored, activation, activated } = touched
    const state = node !== undefined
      ? { node: canonicalNode(node), stored: stored, activated: undefined }
      : record !== undefined
      ? decodeNodeState(record)
      : nothing
    if (state.node === undefined || activated === undefined) return state
    return { node: { ...state.node, activation: activation! }, stored: state.stored, activated }
  }

  private edgeState(edge: MemoryEdge): EdgeState | undefined {
    const put = this.edges.get(edgeName(edge))
    if (put !== undefined) return { edge: canonicalEdge(put.edge), version: put.version }
    const record = this.committed.get(this.edgeKey(edge))
    return record === undefined ? undefined : decodeEdgeState(record)
  }

  private edgeKey({ source, target, kind }: MemoryEdge): Buffer {
    return tupleKey(this.space, Table.edgeBySource, source, target, kind)
  }

  private operation(entry: LogEntry, keepsActivation: boolean): void {
    const { operation } = entry
    switch (operation.type) {
      case 'StoreNode': {
        const { node } = operation
        const kept = keepsActivation ? this.nodeState(node.id) : nothing
        const touched = this.nodes.get(node.id) ?? this.touch(node.id, false)
        touched.node = node
        touched.stored = versionOf(entry)
        touched.activated = kept.activated
        touched.activation = kept.activated === undefined ? undefined : kept.node!.activation
        return
      }
      case 'UpdateActivation': {
        const { nodeId, activation } = operation
        const touched = this.nodes.get(nodeId) ?? this.touch(nodeId, true)
        if (touched.node === undefined && touched.record === undefined) this.ignored += 1
        else {
          touched.activation = activation
          touched.activated = versionOf(entry)
        }
        return
      }
      case 'StoreEdge': {
        const { edge } = operation
        this.edges.set(edgeName(edge), { edge, version: versionOf(entry) })
        return
      }
      case 'EpochStart':
      case 'ForkNote':
        if (entry.reconciliation === undefined && concernsForks(entry)) this.foldForks(entry)
    }
  }

  private touch(id: string, keep: boolean): TouchedNode {
    const key = textKey(this.space, Table.node, id)
    const record = this.committed.get(key)
    // A stored record that is touched is always replaced: an operation on it has an effect.
    if (record !== undefined) this.hashes.remove(record)
    const touched: TouchedNode = {
      key,
      isStored: record !== undefined,
      record: keep && record !== undefined ? copyOf(record) : undefined,
      node: undefined,
      stored: undefined,
      activation: undefined,
      activated: undefined,
    }
    this.nodes.set(id, touched)
    return touched
  }

  private writeNodes(puts: Buffer[], counts: { nodes: number }): void {
    for (const touched of this.nodes.values()) {
      const { key, isStored, node, stored, activation, activated } = touched
      let record: Buffer
      if (node !== undefined) {
        const value = activated === undefined ? node : { ...node, activation: activation! }
        record = encodeNode(this.slab, value, stored!, activated)
      } else if (touched.record !== undefined && activated !== undefined) {
        record = withActivation(this.slab, touched.record, activation!, activated)
      } else {
        continue
      }
      if (!isStored) counts.nodes += 1
      this.hashes.add(record)
      puts.push(key, record)
    }
  }

  private writeEdges(puts: Buffer[], counts: { edges: number }): void {
    for (const { edge, version } of this.edges.values()) {
      const key = this.edgeKey(edge)
      const old = this.committed.get(key)
      if (old === undefined) counts.edges += 1
      else this.hashes.remove(old)
      const record = encodeEdge(this.slab, edge, version)
      this.hashes.add(record)
      // The record is stored under both keys, so that a scan by target needs no second look-up.
      puts.push(key, record)
      const { source, target, kind } = edge
      puts.push(tupleKey(this.space, Table.edgeByTarget, target, source, kind), record)
    }
  }
}

const nothing: NodeState = { node: undefined, stored: undefined, activated: undefined }

/** Identifies an edge; the lengths distinguish ("ab", "c") from ("a", "bc"). */
function edgeName({ source, target, kind }: MemoryEdge): string {
  return `${source.length},${target.length},${source}${target}${kind}`
}

export function byEpoch(reports: readonly ForkReport[]): Reports {
  return new Map(reports.map((report) => [report.epoch, report]))
}

/** lmdb's fast reads return one long buffer with a shorter `length`: a view has the right end. */
function copyOf(record: Buffer): Buffer {
  return Buffer.from(record.subarray(0, record.length))
}

/** Throws if the entries do not continue the position: a bug of the caller. */
export function assertContinues(
  position: { readonly epoch: number; readonly sequence: number },
  entries: readonly LogEntry[],
): void {
  let { epoch, sequence } = position
  for (const entry of entries) {
    if (entry.sequence !== sequence + 1 || entry.epoch < epoch) {
      throw new Error(
        `bug: entry (${entry.epoch}, ${entry.sequence}) does not continue (${epoch}, ${sequence})`,
      )
    }
    epoch = entry.epoch
    sequence = entry.sequence
  }
}
