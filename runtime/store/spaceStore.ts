/** One space's part of the LMDB store. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { EdgeDirection, EdgeState, NodeState, SpaceImage,
  SpaceStore } from '../../actors/ports/store.js'
import type { Position } from '../../machines/base/ids.js'
import { originOf } from '../../machines/forks/forkReports.js'
import type { EdgePlace } from '../../machines/graph/edgePlace.js'
import { defaultKeyRetention } from '../../machines/graph/graph.js'
import type { KeyRetention, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import type { ForkReport, OriginRecord, QuarantineItem } from '../../machines/log/forkNotes.js'
import { forgottenOrigins, originKey, type Reports, type StoredRecords } from './forkBatch.js'
import { decodeItem, decodeOrigin, decodeReport } from './forkRecord.js'
import { assertContinues, byEpoch, ChangeSet, type Changes } from './changes.js'
import { type GraphFile, StoreDamagedError } from './graphFile.js'
import { decodeHeader, emptyHeader, encodeHeader, type SpaceHeader, stateOf } from './header.js'
import { LmdbImage } from './image.js'
import type { KeyReading } from './keyReading.js'
import { keyAfter, numbersKey, prefixEnd, Table, tableEnd, tableKey, textKey,
  tupleKey } from './keys.js'
import { decodeEdge, decodeEdgeState, decodeNode, decodeNodeState, digestText } from './record.js'
import type { Room } from './diskRoom.js'
import { type KeyChanges, SpaceKeys } from './spaceKeys.js'

/** A transaction was not committed; it had no effect at all. */
export class StoreWriteError extends Error {
  readonly code = 'STORE_WRITE'
  /** Applying the same entries again may succeed (after a full disk, for example). */
  readonly retryable = true
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'StoreWriteError'
  }
}

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
  private header: SpaceHeader
  private appliedPosition: Position
  private digestCache: string | undefined
  private lastApply: Promise<void> = Promise.resolve()
  private readonly headerKey: Buffer
  private isClosing = false
  private readonly committed: StoredRecords
  private readonly keys: SpaceKeys
  private readonly images = new Set<LmdbImage>()
  private readonly reading: Promise<void> | undefined
  /** As of the last transaction; few, and read with every origin. */
  private reportsByEpoch: Reports | undefined
  /** As of the transaction under way, whose records show a little before it is known to be done. */
  private reportsToBe: Reports | undefined

  private readonly records: GraphFile
  private readonly uuid: string
  private readonly number: number
  private registered: boolean
  private readonly room: Room

  constructor({ records, uuid, number, registered, room, reading }: LmdbSpaceOptions) {
    this.records = records
    this.uuid = uuid
    this.number = number
    this.registered = registered
    this.room = room
    this.headerKey = tableKey(number, Table.header)
    const record = registered ? records.get(this.headerKey) : undefined
    this.header = record === undefined ? emptyHeader : decodeHeader(record)
    this.appliedPosition = { epoch: this.header.epoch, sequence: this.header.sequence }
    this.keys = new SpaceKeys(records, number, this.header.keys === 0)
    this.committed = {
      get: (key) => records.getFast(key),
      keys: (range) => records.keys(range),
    }
    this.reading = this.keys.isRead ? undefined : reading.read(() => {
      if (!this.isClosing) this.keys.readOn(this.header)
      return !this.isClosing && !this.keys.isRead
    })
    // Callers that wait get the error; others meet the damage where it matters.
    this.reading?.catch(() => undefined)
  }

  get areKeysRead(): boolean {
    return this.keys.isRead
  }

  async keysRead(): Promise<void> {
    await this.reading
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
    try {
      await this.room.assert(puts.length / 2)
      await this.records.write([...puts, ...own], removes)
    } catch (failure) {
      if (failure instanceof StoreDamagedError) throw failure
      throw new StoreWriteError(
        `the store could not write up to sequence ${header.sequence}`,
        await causeOf(failure),
      )
    }
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

function registryKey(uuid: string): Buffer {
  return textKey(0, Table.registry, uuid)
}

function encodeNumber(number: number): Buffer {
  const record = Buffer.allocUnsafeSlow(4)
  record.writeUInt32BE(number, 0)
  return record
}

/** lmdb gives the cause as a promise that rejects soon after, and must not stay unhandled. */
async function causeOf(failure: unknown): Promise<unknown> {
  const { commitError } = failure as { commitError?: Promise<never> }
  if (commitError === undefined) return failure
  return Promise.race([
    commitError.catch((cause: unknown) => cause),
    nextTurn(failure),
  ])
}
