/** The open journal: flushes, segments, and reading back. */
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import { type Frame } from '../../actors/ports/frames.js'
import { JournalFullError, SyncFailedError, type Journal, type JournalLog, type JournalRecord,
  type RecoveryReport } from '../../actors/ports/journal.js'
import { assertInvariant } from '../../machines/log/invariants.js'
import { segmentPins, type RemovableSegment,
  type SegmentPin } from '../../machines/log/retention.js'
import { GivenUp } from './givenUp.js'
import type { Logger } from '../../actors/ports/system.js'
import { FrameReader } from './frameReader.js'
import { IndexWriter } from './indexWriter.js'
import { withinFrame } from './logState.js'
import type { Logs } from './logs.js'
import { encodeFlush, firstParts, flushScratch, partOf, recordBytes, retainedPart,
  type RecordPart } from './record.js'
import { checkRecords } from './recordChecks.js'
import { restated } from './restated.js'
import { createSegment, SegmentNotCreatedError, SEGMENT_HEAD_BYTES,
  type NewSegment } from './segment.js'

/** Number of flushes between two checks of the segment's length. */
const LOOK_FLUSHES = 64

/** What a flush of a removal came to. `kept`: something keeps the segment by now. */
type RemovalStep = 'restated' | 'kept' | 'givenUp'

/** Result of opening: all of it is durable. */
export interface OpenedJournal {
  readonly id: string
  readonly logs: Logs
  readonly recovery: RecoveryReport
  readonly current: NewSegment
  /** All segments but the current one. */
  readonly closed: readonly { readonly segment: number; readonly end: number }[]
  readonly flush: number
  /** Segments below it were given up. */
  readonly firstSegment: number
  readonly givenUp: GivenUp
}

export interface FileJournalOptions {
  readonly fileSystem: FileSystem
  readonly directory: string
  readonly segmentBytes: number
  readonly logger: Logger
  readonly pause: () => Promise<void>
}

export class FileJournal implements Journal {
  readonly id: string
  readonly recovery: RecoveryReport
  readonly #logs: Logs
  readonly #reader: FrameReader
  readonly #indexes: IndexWriter
  /** Lengths of the segments but the current one. */
  readonly #closedEnds: Map<number, number>
  #scratch: Buffer | null = null
  #handle: FileHandle
  #segment: number
  #end: number
  #flush: number
  #syncedFlush: number
  #busy = false
  /** Writes and syncs of the caller, and steps of a removal: one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #isRemoving = false
  #firstSegment: number
  readonly #givenUp: GivenUp
  #failure: SyncFailedError | null = null
  #closed = false

  constructor(private readonly options: FileJournalOptions, opened: OpenedJournal) {
    const { logs } = opened
    this.id = opened.id
    this.recovery = opened.recovery
    this.#logs = logs
    this.#handle = opened.current.handle
    this.#segment = opened.current.segment
    this.#end = opened.current.end
    this.#closedEnds = new Map(opened.closed.map(({ segment, end }) => [segment, end]))
    this.#flush = opened.flush
    this.#syncedFlush = opened.flush
    this.#firstSegment = opened.firstSegment
    this.#givenUp = opened.givenUp
    this.#reader = new FrameReader({
      ...options,
      journal: opened.id,
      logs,
      endOf: (segment) => this.#closedEnds.get(segment),
      onUnusable: (ledger) => this.#indexes.add(ledger),
    })
    this.#indexes = new IndexWriter({
      ...options,
      journal: opened.id,
      onWritten: (ledger, places) => {
        this.#reader.forgetIndex(ledger.segment)
        logs.moveToDisk(ledger, places)
      },
    })
    for (const ledger of logs.closedLedgers()) this.#indexes.add(ledger)
  }

  logs(): readonly JournalLog[] {
    return this.#logs.all()
  }

  log(uuid: string): JournalLog | undefined {
    return this.#logs.view(uuid)
  }

  dropped(): readonly string[] {
    return this.#logs.ended()
  }

  forgetDrop(uuid: string): void {
    this.#logs.forgetDrop(uuid)
  }

  write(records: readonly JournalRecord[]): Promise<void> {
    return this.#alone(() => this.#write(records))
  }

  sync(): Promise<void> {
    return this.#alone(() => this.#datasync())
  }

  async read(uuid: string, from: number, maxBytes: number): Promise<Frame[]> {
    this.#assertUsable()
    return await this.#reader.read(uuid, from, maxBytes)
  }

  stats(): { segments: number; bytes: number; flush: number; indexBytes: number } {
    return {
      segments: this.#closedEnds.size + 1,
      bytes: [...this.#closedEnds.values()].reduce((sum, end) => sum + end, this.#end),
      flush: this.#flush,
      indexBytes: this.#logs.indexBytes + this.#reader.memoryBytes,
    }
  }

  segments(): readonly { readonly segment: number; readonly bytes: number }[] {
    return [...this.#closedEnds].map(([segment, bytes]) => ({ segment, bytes }))
  }

  useOf(segment: number): RemovableSegment {
    return this.#logs.useOf(segment)
  }

  async remove(segment: number): Promise<boolean> {
    if (this.#isRemoving) throw new Error('bug: one removal of a segment at a time')
    this.#isRemoving = true
    try {
      return await this.#remove(segment)
    } finally {
      this.#isRemoving = false
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#indexes.close()
    this.#reader.close()
    await this.#handle.close()
  }

  /** Resolves when no index of a closed segment is being written. */
  async indexed(): Promise<void> {
    await this.#indexes.idle()
  }

  async #write(records: readonly JournalRecord[]): Promise<void> {
    if (records.length === 0) return
    checkRecords(this.#logs, records)
    await this.#checkTruncations(records)
    const parts = records.map(partOf)
    const start = await this.#put(parts)
    this.#apply(records, parts, start)
  }

  /** Appends the parts as one flush. Returns where it begins. */
  async #put(parts: readonly RecordPart[]): Promise<number> {
    let bytes = 0
    for (const part of parts) bytes += recordBytes(part)
    const isFull = this.#end + bytes > this.options.segmentBytes
    if (isFull && this.#end > beginBytes(this.#firstSegment)) await this.#roll()
    if (this.#flush % LOOK_FLUSHES === 0) await this.#checkLength()
    const start = this.#end
    await this.#append(parts)
    this.#logs.current.records += parts.length
    return start
  }

  /** See Journal.remove, and docs/internals/checkpoints.md for the order. */
  async #remove(segment: number): Promise<boolean> {
    const [oldest] = this.#closedEnds.keys()
    if (segment !== oldest) throw new RangeError(`bug: segment ${segment} is not the oldest`)
    const [pin] = this.#pinsOf(segment)
    assertInvariant('I14', pin === undefined,
      () => `segment ${segment} is to be removed, space ${pin?.uuid}: ${pin?.reason}`)
    await this.#givenUp.clear()
    let step: RemovalStep = 'restated'
    while (step === 'restated') step = await this.#inTurn(() => this.#removalStep(segment))
    if (step === 'kept') return false
    this.#givenUp.add(segment)
    await this.#indexes.forget(segment)
    this.#reader.forget(segment)
    await this.#givenUp.clear().catch((error: unknown) => {
      this.options.logger.warn({ segment, error: String(error) },
        'a journal segment that was given up remains')
    })
    return true
  }

  /** One flush: some of what has to stay is restated; when all is, the segment is given up. */
  async #removalStep(segment: number): Promise<RemovalStep> {
    // What was written meanwhile may keep it, and may be what lets it go.
    await this.#datasync()
    if (this.#pinsOf(segment).length > 0) return 'kept'
    const records = restated(this.#logs, segment)
    if (records.length > 0) {
      await this.#write(records)
      await this.#datasync()
      return 'restated'
    }
    await this.#put([retainedPart(segment + 1)])
    await this.#datasync()
    this.#firstSegment = segment + 1
    this.#closedEnds.delete(segment)
    this.#logs.forget(segment)
    return 'givenUp'
  }

  #pinsOf(segment: number): SegmentPin[] {
    return segmentPins(this.#logs.useOf(segment), (uuid) => this.#logs.view(uuid))
  }

  /** Where the frames of a closed segment begin is known from its index only. */
  async #checkTruncations(records: readonly JournalRecord[]): Promise<void> {
    for (const record of records) {
      if (record.type !== 'truncate') continue
      const { uuid, to } = record
      const log = this.#logs.get(uuid)
      if (!log || to.sequence >= log.end.sequence) continue
      if (this.#logs.begins(log, to.sequence + 1) !== null) continue
      if (await this.#reader.begins(uuid, to.sequence + 1)) continue
      throw new RangeError(`bug: space ${uuid}: ${withinFrame(to)}`)
    }
  }

  async #append(parts: readonly RecordPart[]): Promise<void> {
    const place = {
      journal: this.id,
      segment: this.#segment,
      offset: this.#end,
      flush: this.#flush + 1,
      syncedFlush: this.#syncedFlush,
    }
    this.#scratch ??= flushScratch()
    const flush = encodeFlush(parts, place, this.#scratch)
    try {
      await this.#handle.write(flush.buffers, this.#end)
    } catch (error) {
      await this.#tidy()
      // Any error that is not from the disk is a bug: nobody should wait for room.
      if (!(error instanceof FileSystemError)) throw error
      throw new JournalFullError(`cannot write to the journal: ${(error as Error).message}`, error)
    }
    this.#end += flush.bytes
    this.#flush += 1
  }

  /**
   * Cuts a failed flush off, durably. Its writers got the answer that nothing was taken, so it must
   * not come back after a crash. If the disk refuses even that, the journal cannot be used any
   * more.
   */
  async #tidy(): Promise<void> {
    try {
      await this.#handle.truncate(this.#end)
    } catch (error) {
      throw this.#fail('cannot cut a failed write off the journal', error)
    }
    await this.#datasync()
  }

  async #datasync(): Promise<void> {
    const flush = this.#flush
    try {
      await this.#handle.datasync()
    } catch (error) {
      throw this.#fail('cannot sync the journal', error)
    }
    this.#syncedFlush = flush
  }

  /** The segment must be as long as it was left, since nobody else writes to it. */
  async #checkLength(): Promise<void> {
    const size = await this.#handle.size()
    if (size === this.#end) return
    throw this.#fail('another process has changed the journal', new Error(
      `segment ${this.#segment} has ${size} bytes, and was left with ${this.#end}`,
    ))
  }

  /** The old segment is durable before the new one exists: only the last one can end torn. */
  async #roll(): Promise<void> {
    if (this.#syncedFlush < this.#flush) await this.#datasync()
    await this.#checkLength()
    const place = {
      journal: this.id,
      segment: this.#segment + 1,
      flush: this.#flush + 1,
      syncedFlush: this.#flush,
    }
    const first = firstParts(this.#firstSegment)
    let next: NewSegment
    try {
      const { fileSystem, directory } = this.options
      next = await createSegment(fileSystem, directory, place, this.#end, first)
    } catch (error) {
      if (!(error instanceof SegmentNotCreatedError)) {
        throw this.#fail('cannot make a new segment durable', error)
      }
      throw new JournalFullError(error.message, error)
    }
    const old = this.#handle
    const ledger = this.#logs.current
    ledger.end = this.#end
    ledger.highestFlush = this.#flush
    this.#closedEnds.set(this.#segment, this.#end)
    this.#handle = next.handle
    this.#segment = next.segment
    this.#end = next.end
    this.#flush = place.flush
    this.#syncedFlush = place.flush
    this.#logs.begin(next.segment).records = 1 + first.length
    this.#indexes.add(ledger)
    await old.close().catch(() => undefined)
  }

  #apply(records: readonly JournalRecord[], parts: readonly RecordPart[], start: number): void {
    let offset = start
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      if (record.type === 'frame') this.#logs.append(record.frame, offset)
      else if (record.type === 'truncate') this.#logs.truncate(record.uuid, record.to)
      else if (record.type === 'spaceDropped') this.#logs.drop(record.uuid)
      else if (record.type === 'checkpoint') this.#logs.cover(record.uuid, record.covers)
      else if (record.type === 'snapshotInstalled') this.#logs.install(record.uuid, record.covers)
      else for (const floor of record.floors ?? []) this.#logs.noteFloor(floor)
      offset += recordBytes(parts[i]!)
    }
  }

  async #alone(run: () => Promise<void>): Promise<void> {
    this.#assertUsable()
    if (this.#busy) throw new Error('bug: one write or sync of the journal at a time')
    this.#busy = true
    try {
      await this.#inTurn(run)
    } finally {
      this.#busy = false
    }
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      this.#assertUsable()
      return run()
    })
    this.#turn = turn.then(() => undefined, () => undefined)
    return turn
  }

  #assertUsable(): void {
    if (this.#failure) throw this.#failure
    if (this.#closed) throw new Error('bug: the journal is closed')
  }

  #fail(what: string, cause: unknown): SyncFailedError {
    this.#failure = new SyncFailedError(`${what}: ${(cause as Error).message}`, cause)
    return this.#failure
  }
}

/** Size of a segment to which nothing was written yet. */
function beginBytes(firstSegment: number): number {
  return firstParts(firstSegment).reduce((at, part) => at + recordBytes(part), SEGMENT_HEAD_BYTES)
}
