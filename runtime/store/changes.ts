/**
 * Folds a batch of entries into the writes of one transaction. What a batch does several times to
 * one node, edge or key is read, encoded, hashed and written once.
 */
import type {
  EpochStart, KeyRecord, LogEntry, MemoryEdge, MemoryNode, Operation,
} from '../../machines/memory.js'
import { HashSum } from './hashSum.js'
import { KEY_RECORD_BYTES, writeKeyRecord, type SpaceHeader } from './header.js'
import { sequenceKey, Table, textKey, tupleKey } from './keys.js'
import { encodeEdge, encodeNode, withActivation } from './record.js'
import { Slab } from './slab.js'

/** Looks a record up in the committed state; the bytes are valid until the next call only. */
export type ReadRecord = (key: Buffer) => Buffer | undefined

export interface Changes {
  readonly header: SpaceHeader
  /** Keys at even places, each followed by its record. */
  readonly puts: readonly Buffer[]
  readonly removes: readonly Buffer[]
}

/** A node that this batch touches. `stored`: a copy of its record, kept for an update only. */
interface TouchedNode {
  readonly key: Buffer
  /** The store has a record of it, whose hash has been taken out of the digest. */
  readonly isStored: boolean
  readonly stored: Buffer | undefined
  node: MemoryNode | undefined
  activation: number | undefined
}

/** Room for a small record and its key: the chunk of a batch fits, and is not far too large. */
const ENTRY_BYTES = 256
const CHUNK_BYTES_MAX = 1024 * 1024

export class ChangeSet {
  private readonly slab: Slab
  private readonly nodes = new Map<string, TouchedNode>()
  private readonly edges = new Map<string, MemoryEdge>()
  private readonly keys = new Map<string, KeyRecord>()
  private readonly hashes = new HashSum()
  private ignored: number

  constructor(
    private readonly space: number, private readonly header: SpaceHeader,
    private readonly read: ReadRecord,
    private readonly readKey: (key: string) => KeyRecord | undefined, count: number,
  ) {
    this.slab = new Slab(Math.min(CHUNK_BYTES_MAX, 512 + count * ENTRY_BYTES))
    this.ignored = header.ignored
  }

  /** `entries` continue the header's position, and are not empty. */
  fold(entries: readonly LogEntry[]): Changes {
    for (const entry of entries) this.operation(entry.operation)
    this.idempotencyKeys(entries)
    const last = entries[entries.length - 1]!
    const puts: Buffer[] = []
    const { digest, nodes, edges } = this.header
    const counts = { nodes, edges }
    this.writeNodes(puts, counts)
    this.writeEdges(puts, counts)
    for (const [key, record] of this.keys) {
      const start = this.slab.reserve(KEY_RECORD_BYTES)
      const end = writeKeyRecord(this.slab.bytes, record, start)
      puts.push(textKey(this.space, Table.idempotencyKey, key), this.slab.take(start, end))
      puts.push(sequenceKey(this.space, Table.keyOrder, record.sequence), Buffer.from(key))
    }
    const header: SpaceHeader = {
      epoch: last.epoch, sequence: last.sequence, digest: this.hashes.addTo(digest),
      nodes: counts.nodes, edges: counts.edges, ignored: this.ignored,
      keys: this.header.keys + this.keys.size,
    }
    return { header, puts, removes: [] }
  }

  private operation(operation: Operation | EpochStart): void {
    switch (operation.type) {
      case 'StoreNode': {
        const { node } = operation
        const touched = this.nodes.get(node.id) ?? this.touch(node.id, false)
        touched.node = node
        touched.activation = undefined
        return
      }
      case 'UpdateActivation': {
        const { nodeId, activation } = operation
        const touched = this.nodes.get(nodeId) ?? this.touch(nodeId, true)
        if (touched.node === undefined && touched.stored === undefined) this.ignored += 1
        else touched.activation = activation
        return
      }
      case 'StoreEdge': {
        const { source, target, kind } = operation.edge
        const { length } = source
        this.edges.set(`${length},${target.length},${source}${target}${kind}`, operation.edge)
        return
      }
      case 'EpochStart':
    }
  }

  private touch(id: string, keep: boolean): TouchedNode {
    const key = textKey(this.space, Table.node, id)
    const record = this.read(key)
    // What is stored and touched is always replaced: an operation on it has an effect.
    if (record !== undefined) this.hashes.remove(record)
    const touched: TouchedNode = {
      key,
      isStored: record !== undefined,
      stored: keep && record !== undefined ? copyOf(record) : undefined,
      node: undefined,
      activation: undefined,
    }
    this.nodes.set(id, touched)
    return touched
  }

  private writeNodes(puts: Buffer[], counts: { nodes: number }): void {
    for (const touched of this.nodes.values()) {
      const { key, isStored, stored, node, activation } = touched
      let record: Buffer
      if (node !== undefined) {
        record = encodeNode(this.slab, activation === undefined ? node : { ...node, activation })
      } else if (stored !== undefined && activation !== undefined) {
        record = withActivation(this.slab, stored, activation)
      } else {
        continue
      }
      if (!isStored) counts.nodes += 1
      this.hashes.add(record)
      puts.push(key, record)
    }
  }

  private writeEdges(puts: Buffer[], counts: { edges: number }): void {
    for (const edge of this.edges.values()) {
      const { source, target, kind } = edge
      const key = tupleKey(this.space, Table.edgeBySource, source, target, kind)
      const old = this.read(key)
      if (old === undefined) counts.edges += 1
      else this.hashes.remove(old)
      const record = encodeEdge(this.slab, edge)
      this.hashes.add(record)
      // The record stands under both keys: a scan by target then needs no second look-up.
      puts.push(key, record)
      puts.push(tupleKey(this.space, Table.edgeByTarget, target, source, kind), record)
    }
  }

  /**
   * Entries of one request are consecutive and bear its key. Only the first run of a batch can
   * continue a request that an earlier batch has begun; then the record so far ends right before.
   */
  private idempotencyKeys(entries: readonly LogEntry[]): void {
    let run: { key: string; count: number } | null = null
    for (let index = 0; index < entries.length; index += 1) {
      const { writeId, epoch, sequence, timestamp } = entries[index]!
      if (writeId === null) {
        run = null
        continue
      }
      if (run === null || run.key !== writeId) {
        const begun: KeyRecord | undefined = index === 0 ? this.readKey(writeId) : undefined
        const continued: boolean = begun !== undefined && begun.sequence === sequence - 1
        run = { key: writeId, count: continued ? begun!.count : 0 }
      }
      run.count += 1
      if (entries[index + 1]?.writeId !== writeId) {
        this.keys.set(writeId, { epoch, sequence, count: run.count, timestamp })
      }
    }
  }
}

/** lmdb's fast reads give one long buffer with an own, shorter `length`: a view cuts it right. */
function copyOf(record: Buffer): Buffer {
  return Buffer.from(record.subarray(0, record.length))
}

/** Throws when the entries do not continue the position: a bug of the caller. */
export function assertContinues(
  position: { readonly epoch: number; readonly sequence: number }, entries: readonly LogEntry[],
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
