/** One space's part of the LMDB store. */
import type { EdgeDirection, EdgeState, NodeState, SpaceImage,
  SpaceStore } from '../../actors/ports/store.js'
import type { Position } from '../../machines/base/ids.js'
import { originOf } from '../../machines/forks/forkReports.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import { defaultKeyRetention } from '../../machines/graph/graph.js'
import type { KeyRetention, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { assertInstalled } from '../../machines/log/invariants.js'
import { forgottenOrigins, originKey, type Reports, type StoredRecords } from './forkBatch.js'
import { decodeItem, decodeOrigin, decodeReport } from './forkRecord.js'
import { assertContinues, byEpoch, ChangeSet, type Changes } from './changes.js'
import type { GraphFile } from './graphFile.js'
import { decodeHeader, emptyHeader, encodeHeader, type SpaceHeader, stateOf } from './header.js'
import { LmdbImage } from './image.js'
import type { KeyReading } from './keyReading.js'
import { keptTableKey, keyAfter, numbersKey, prefixEnd, Table, tableEnd, tableKey, textKey,
  tupleKey } from './keys.js'
import { decodeEdge, decodeEdgeState, decodeNode, decodeNodeState, digestText } from './record.js'
import { encodeNumber, registryKey } from './registry.js'
import type { Room } from './diskRoom.js'
import { type KeyChanges, SpaceKeys } from './spaceKeys.js'
import type { StateSums } from './stateSums.js'
import { writeRecords } from './storeWrite.js'

export interface LmdbSpaceOptions {
  readonly records: GraphFile
  readonly uuid: string
  readonly number: number
  /** False until a transaction has written the space's number. */
  readonly registered: boolean
  /** Room of the store, which its spaces share. */
  readonly room: Room
  /** Reading of keys of the store, which its spaces share. */
  readonly reading: KeyReading
}

export class LmdbSpace implements SpaceStore {
  private header!: SpaceHeader
  private appliedPosition!: Position
  private digestCache: string | undefined
  private lastApply: Promise<void> = Promise.resolve()
  private headerKey!: Buffer
  private isClosing = false
  private readonly committed: StoredRecords
  private keys!: SpaceKeys
  private readonly images = new Set<LmdbImage>()
  private reading: Promise<void> | undefined
  /** As of the last transaction; few, and read with every origin. */
  private reportsByEpoch: Reports | undefined
  /** As of the transaction under way, whose records show a little before it is known to be done. */
  private reportsToBe: Reports | undefined

  private readonly records: GraphFile
  private readonly uuid: string
  private number!: number
  private registered: boolean
  private readonly target: { readonly records: GraphFile; readonly room: Room }
  private readonly keyReading: KeyReading

  constructor({ records, uuid, number, registered, room, reading }: LmdbSpaceOptions) {
    this.records = records
    this.uuid = uuid
    this.registered = registered
    this.target = { records, room }
    this.keyReading = reading
    this.committed = {
      get: (key) => records.getFast(key),
      keys: (range) => records.keys(range),
    }
    const record = registered ? records.get(tableKey(number, Table.header)) : undefined
    this.begin(number, record === undefined ? emptyHeader : decodeHeader(record))
  }

  /** The state under that number, with nothing in memory of another. */
  private begin(number: number, header: SpaceHeader): void {
    this.number = number
    this.headerKey = keptTableKey(number, Table.header)
    this.header = header
    this.appliedPosition = { epoch: header.epoch, sequence: header.sequence }
    this.digestCache = undefined
    this.reportsByEpoch = undefined
    const keys = new SpaceKeys(this.records, number, header.keys === 0)
    this.keys = keys
    this.reading = keys.isRead ? undefined : this.keyReading.read(() => {
      const isWanted = !this.isClosing && keys === this.keys
      if (isWanted) keys.readOn(this.header)
      return isWanted && !keys.isRead
    })
    // Callers that wait get the error; others meet the damage where it matters.
    this.reading?.catch(() => undefined)
  }

  get areKeysRead(): boolean {
    return this.keys.isRead
  }

  async keysRead(): Promise<void> {
    let awaited: Promise<void> | undefined
    do {
      awaited = this.reading
      await awaited
      // Another state may have come meanwhile.
    } while (awaited !== this.reading)
  }

  /** Memory of the index of its keys, bytes. */
  get keyBytes(): number {
    return this.keys.bytes
  }

  get applied(): Position {
    return this.appliedPosition
  }

  get digest(): string {
    this.digestCache ??= digestText(this.header.digest)
    return this.digestCache
  }

  get nodeCount(): number {
    return this.header.nodes
  }

  get edgeCount(): number {
    return this.header.edges
  }

  get ignoredCount(): number {
    return this.header.ignored
  }

  node(id: string): MemoryNode | undefined {
    const record = this.records.getFast(textKey(this.number, Table.node, id))
    return record === undefined ? undefined : decodeNode(record)
  }

  *edges(
    nodeId: string,
    direction: EdgeDirection,
    after: EdgePlace | null = null,
  ): Iterable<MemoryEdge> {
    if (direction !== 'in' && after?.side !== 'in') {
      yield* this.edgesWithin(this.edgesAfter(Table.edgeBySource, nodeId, after),
        prefixEnd(tupleKey(this.number, Table.edgeBySource, nodeId)))
    }
    if (direction === 'out') return
    const start = this.edgesAfter(
      Table.edgeByTarget,
      nodeId,
      after?.side === 'in' ? after : null,
    )
    const end = prefixEnd(tupleKey(this.number, Table.edgeByTarget, nodeId))
    if (direction === 'in') {
      yield* this.edgesWithin(start, end)
      return
    }
    // There may be thousands of loops: they are skipped in one step.
    const loops = tupleKey(this.number, Table.edgeByTarget, nodeId, nodeId)
    if (Buffer.compare(start, loops) < 0) yield* this.edgesWithin(start, loops)
    const beyond = prefixEnd(loops)
    yield* this.edgesWithin(Buffer.compare(start, beyond) < 0 ? beyond : start, end)
  }

  *nodes(after: string): Iterable<MemoryNode> {
    const start = keyAfter(this.number, Table.node, after)
    const end = tableEnd(this.number, Table.node)
    for (const { value } of this.records.range({ start, end })) yield decodeNode(value)
  }

  nodeState(id: string): NodeState {
    const record = this.records.getFast(textKey(this.number, Table.node, id))
    return record === undefined ? nowhere : decodeNodeState(record)
  }

  edgeState(source: string, target: string, kind: string): EdgeState | undefined {
    const key = tupleKey(this.number, Table.edgeBySource, source, target, kind)
    const record = this.records.getFast(key)
    return record === undefined ? undefined : decodeEdgeState(record)
  }

  origin(epoch: number, sequence: number): OriginRecord | undefined {
    return this.originUnder(this.reportMap(), { epoch, sequence })
      ?? (this.reportsToBe && this.originUnder(this.reportsToBe, { epoch, sequence }))
  }

  private originUnder(reports: Reports, at: Position): OriginRecord | undefined {
    const record = this.records.getFast(originKey(this.number, reports, at))
    return record === undefined ? undefined : decodeOrigin(record)
  }

  reports(): readonly ForkReport[] {
    return [...this.reportMap().values()]
  }

  get openReportCount(): number {
    return this.header.openReports
  }

  get quarantineCount(): number {
    return this.header.quarantined
  }

  *quarantine(after: string): Iterable<QuarantineItem> {
    const from = after === '' ? { epoch: 0, sequence: 0 } : originOf(after)
    if (from === undefined) return
    const start = numbersKey(this.number, Table.quarantine, from.epoch, from.sequence + 1)
    const end = tableEnd(this.number, Table.quarantine)
    for (const { value } of this.records.range({ start, end })) yield decodeItem(value)
  }

  quarantined(id: string): QuarantineItem | undefined {
    const at = originOf(id)
    if (at === undefined) return undefined
    const key = numbersKey(this.number, Table.quarantine, at.epoch, at.sequence)
    const record = this.records.getFast(key)
    return record === undefined ? undefined : decodeItem(record)
  }

  key(key: string): KeyRecord | undefined {
    return this.keys.find(key, this.header)
  }

  get installs(): number {
    return this.header.installs
  }

  /**
   * The position is that of the header record in the snapshot: a transaction shows a little before
   * it is known to be done.
   */
  image(at: Position): SpaceImage | null {
    if (this.isClosing) return null
    const snapshot = this.records.snapshot()
    const record = snapshot.get(this.headerKey)
    const header = record === undefined ? emptyHeader : decodeHeader(record)
    if (header.epoch !== at.epoch || header.sequence !== at.sequence) {
      snapshot.done()
      return null
    }
    const onClosed = (closed: LmdbImage) => this.images.delete(closed)
    const image = new LmdbImage({
      snapshot,
      number: this.number,
      state: stateOf(header),
      onClosed,
    })
    this.images.add(image)
    return image
  }

  /** Rejects with StoreWriteError; calls are carried out one after another. */
  apply(entries: readonly LogEntry[], keys = defaultKeyRetention): Promise<void> {
    const done = this.lastApply.then(() => this.applyNow(entries, keys))
    // The error of this call is its caller's to handle; the next one checks its position anyway.
    this.lastApply = done.catch(() => undefined)
    return done
  }

  /**
   * Lets the space be what was loaded under that number, in one transaction, after the calls of
   * `apply` so far. `sums`: of what was loaded. Returns the former number; null: it had no records.
   */
  switchTo(number: number, header: SpaceHeader, sums: StateSums): Promise<number | null> {
    const done = this.lastApply.then(() => this.switchNow(number, header, sums))
    this.lastApply = done.then(() => undefined, () => undefined)
    return done
  }

  private async switchNow(
    number: number,
    header: SpaceHeader,
    sums: StateSums,
  ): Promise<number | null> {
    const headerKey = tableKey(number, Table.header)
    const puts = [headerKey, encodeHeader(header), registryKey(this.uuid), encodeNumber(number)]
    await writeRecords(this.target, puts, [], `the state at sequence ${header.sequence}`)
    const former = this.registered ? this.number : null
    this.registered = true
    const stored = decodeHeader(this.records.get(headerKey)!)
    this.begin(number, stored)
    const { installs } = stored
    const fault = installs === header.installs
      ? sums.fault(stateOf(stored))
      : `its header counts ${installs} installs, not ${header.installs}`
    assertInstalled(this.uuid, this.appliedPosition, fault)
    return former
  }

  /** Resolves when nothing is under way any more, and nothing will be. */
  idle(): Promise<void> {
    this.isClosing = true
    for (const image of this.images) image.close()
    return this.lastApply
  }

  private async applyNow(entries: readonly LogEntry[], keys: KeyRetention): Promise<void> {
    assertContinues(this.appliedPosition, entries)
    if (entries.length === 0) return
    const { number: space, header, committed } = this
    const folded = new ChangeSet(
      { space, header, committed, reports: this.reportMap() },
      entries.length,
    ).fold(entries)
    const ofKeys = this.keys.fold(entries, this.header, keys)
    const changes = this.withoutForgotten(withKeys(folded, ofKeys))
    this.reportsToBe = changes.reports === this.reportsByEpoch ? undefined : changes.reports
    try {
      await this.commit(changes)
    } finally {
      this.reportsToBe = undefined
    }
    this.registered = true
    ofKeys.committed()
    this.header = changes.header
    this.reportsByEpoch = changes.reports
    this.digestCache = undefined
    this.appliedPosition = { epoch: changes.header.epoch, sequence: changes.header.sequence }
  }

  /** Adds the removal of origins of forgotten reports: a bounded number at a time. */
  private withoutForgotten(changes: Changes): Changes {
    if (this.header.forgotten === 0) return changes
    const { header } = changes
    const { removes, ended } = forgottenOrigins(this.number, this.committed)
    return {
      ...changes,
      header: { ...header, forgotten: header.forgotten - ended },
      removes: [...changes.removes, ...removes],
    }
  }

  /** In the order of epochs. */
  private reportMap(): Reports {
    if (this.reportsByEpoch !== undefined) return this.reportsByEpoch
    const reports: ForkReport[] = []
    if (this.registered) {
      const start = tableKey(this.number, Table.report)
      const end = tableEnd(this.number, Table.report)
      for (const { value } of this.records.range({ start, end })) {
        reports.push(decodeReport(value))
      }
    }
    this.reportsByEpoch = byEpoch(reports)
    return this.reportsByEpoch
  }

  private async commit({ header, puts, removes }: Changes): Promise<void> {
    const own = [this.headerKey, encodeHeader(header)]
    if (!this.registered) own.push(registryKey(this.uuid), encodeNumber(this.number))
    await writeRecords(this.target, [...puts, ...own], removes, `up to sequence ${header.sequence}`)
  }

  private edgesAfter(table: Table, nodeId: string, after: EdgePlace | null): Buffer {
    if (after === null) return tupleKey(this.number, table, nodeId)
    const { other, kind } = after
    return Buffer.concat([tupleKey(this.number, table, nodeId, other, kind), Buffer.of(0)])
  }

  private *edgesWithin(start: Buffer, end: Buffer): Iterable<MemoryEdge> {
    for (const { value } of this.records.range({ start, end })) yield decodeEdge(value)
  }
}

function withKeys(
  changes: Changes,
  { keys, keysFrom, time, puts, removes }: KeyChanges,
): Changes {
  const { timestamp, now: keysNow } = time
  return {
    ...changes,
    header: { ...changes.header, keys, keysFrom, timestamp, keysNow },
    puts: puts.length === 0 ? changes.puts : [...changes.puts, ...puts],
    removes: removes.length === 0 ? changes.removes : [...changes.removes, ...removes],
  }
}

const nowhere: NodeState = { node: undefined, stored: undefined, activated: undefined }
