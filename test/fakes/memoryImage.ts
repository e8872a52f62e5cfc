/** Records of a space in memory, by the real encoders, and back. */
import type { EdgeState, NodeState, SpaceImage, SpaceState } from '../../actors/ports/store.js'
import { ImageClosedError } from '../../actors/ports/store.js'
import type { KeyRecord } from '../../machines/log/entries.js'
import { decodeItem, decodeOrigin, decodeReport, encodeItem, encodeOrigin,
  encodeReport } from '../../runtime/store/forkRecord.js'
import { KEY_PREFIX_BYTES, RecordCursor, RecordWriter,
  SLICE_BYTES_MAX } from '../../runtime/store/imageRecords.js'
import { GroupCursor, GroupWriter } from '../../runtime/store/keyGroup.js'
import { numbersKey, sequenceKey, Table, textKey, tupleKey } from '../../runtime/store/keys.js'
import { decodeEdgeState, decodeNodeState, encodeEdge,
  encodeNode } from '../../runtime/store/record.js'
import { Slab } from '../../runtime/store/slab.js'
import { MemoryForkReports } from './memoryForkReports.js'

export interface MemoryContent {
  readonly nodes: Map<string, NodeState>
  /** By `edgeName`. */
  readonly edges: Map<string, EdgeState>
  readonly forks: MemoryForkReports
  /** In the order of their last entries. */
  readonly keys: Map<string, KeyRecord>
}

export function emptyContent(): MemoryContent {
  return { nodes: new Map(), edges: new Map(), forks: new MemoryForkReports(), keys: new Map() }
}

export function edgeName(
  { source, target, kind }: { source: string; target: string; kind: string },
): string {
  return JSON.stringify([source, target, kind])
}

interface ImageRecord {
  readonly table: number
  readonly key: Buffer
  readonly value: Buffer
}

/** Few, so that images of small states come in several slices. */
const SLICE_RECORDS = 16

export class MemoryImage implements SpaceImage {
  private readonly records: readonly ImageRecord[]
  private at = 0
  private isClosed = false

  constructor(
    readonly state: SpaceState,
    content: MemoryContent,
    private readonly isStoreClosed: () => boolean,
    private readonly grown: () => number,
  ) {
    this.records = recordsOf(content)
  }

  get grownBytes(): number {
    return this.isClosed ? 0 : this.grown()
  }

  next(): Buffer {
    if (this.isClosed || this.isStoreClosed()) throw new ImageClosedError()
    const slice = new RecordWriter(SLICE_BYTES_MAX)
    for (; slice.count < SLICE_RECORDS && this.at < this.records.length; this.at += 1) {
      const { table, key, value } = this.records[this.at]!
      if (!slice.hasRoom(key.length, value.length)) break
      slice.add(table, key, 0, value)
    }
    return slice.bytes
  }

  close(): void {
    this.isClosed = true
  }
}

/** By table, then by key. */
function recordsOf({ nodes, edges, forks, keys }: MemoryContent): ImageRecord[] {
  const records: ImageRecord[] = []
  const add = (table: number, key: Buffer, value: Buffer): void => {
    records.push({ table, key: key.subarray(KEY_PREFIX_BYTES), value })
  }
  const slab = new Slab(4096)
  for (const [id, { node, stored, activated }] of nodes) {
    add(Table.node, textKey(0, Table.node, id), encodeNode(slab, node!, stored!, activated))
  }
  for (const { edge, version } of edges.values()) {
    const { source, target, kind } = edge
    add(Table.edgeBySource, tupleKey(0, Table.edgeBySource, source, target, kind),
      encodeEdge(slab, edge, version))
  }
  for (const report of forks.reports()) {
    add(Table.report, numbersKey(0, Table.report, report.epoch), encodeReport(report))
  }
  for (const item of forks.items()) {
    const { epoch, sequence } = item.origin
    add(Table.quarantine, numbersKey(0, Table.quarantine, epoch, sequence), encodeItem(item))
  }
  for (const { at: { epoch, sequence }, record } of forks.allOrigins()) {
    const reportKey = forks.report(epoch)?.opened.sequence ?? 0
    add(Table.origin, numbersKey(0, Table.origin, reportKey, epoch, sequence), encodeOrigin(record))
  }
  if (keys.size > 0) {
    const writer = new GroupWriter(undefined)
    for (const [key, record] of keys) writer.add({ key, record })
    writer.finish()
    for (const { first, bytes } of writer.groups) {
      add(Table.keyGroup, sequenceKey(0, Table.keyGroup, first), bytes)
    }
  }
  return records.toSorted((a, b) => a.table - b.table || Buffer.compare(a.key, b.key))
}

/** Without what the state has forgotten. */
export function contentOf(
  slices: readonly Buffer[],
  { keysFrom }: SpaceState,
): MemoryContent {
  const content = emptyContent()
  const forgotten = new Set<string>()
  const number = (key: Buffer, index: number): number => Number(key.readBigUInt64BE(8 * index))
  for (const { table, key, value } of slices.flatMap(recordsIn)) {
    if (table === Table.node) {
      const state = decodeNodeState(value)
      content.nodes.set(state.node!.id, state)
    } else if (table === Table.edgeBySource) {
      const state = decodeEdgeState(value)
      content.edges.set(edgeName(state.edge), state)
    } else if (table === Table.report) content.forks.putReport(decodeReport(value))
    else if (table === Table.forgotten) forgotten.add(`${number(key, 0)},${number(key, 1)}`)
    else if (table === Table.quarantine) content.forks.putItem(decodeItem(value))
    else if (table === Table.origin) {
      const epoch = number(key, 1)
      if (forgotten.has(`${number(key, 0)},${epoch}`)) continue
      content.forks.putOrigin({ epoch, sequence: number(key, 2) }, decodeOrigin(value))
    } else if (table === Table.keyGroup) addKeys(content.keys, number(key, 0), value, keysFrom)
  }
  return content
}

function recordsIn(bytes: Buffer): ImageRecord[] {
  const records: ImageRecord[] = []
  const cursor = new RecordCursor(bytes)
  while (cursor.next()) {
    const { table, key, value, end } = cursor
    records.push({ table, key: bytes.subarray(key, value), value: bytes.subarray(value, end) })
  }
  return records
}

function addKeys(
  keys: Map<string, KeyRecord>,
  first: number,
  value: Buffer,
  keysFrom: number,
): void {
  const cursor = new GroupCursor(first, value)
  while (cursor.next()) {
    if (cursor.sequence < keysFrom) continue
    const key = value.toString('utf8', cursor.start, cursor.end)
    keys.delete(key)
    keys.set(key, cursor.record)
  }
}
