/** The open journal: flushes, segments, and reading back. */
import { crc32c } from '@node-rs/crc32'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import { type Frame } from '../../actors/ports/frames.js'
import { JournalFullError, SyncFailedError, type Journal, type JournalLog, type JournalRecord,
  type RecoveryReport } from '../../actors/ports/journal.js'
import { peekFrame } from '../codec/frameLayout.js'
import type { Place } from './index.js'
import type { Logs } from './logs.js'
import { encodeFlush, flushScratch, partOf, readRecordHeader, recordBytes, RECORD_HEADER_BYTES,
  type RecordPart } from './record.js'
import { createSegment, SegmentNotCreatedError, SegmentReaders, SEGMENT_HEAD_BYTES,
  type NewSegment } from './segment.js'

/** Number of flushes between two checks of the segment's length. */
const LOOK_FLUSHES = 64

/** Frames that lie closer than this are read together. */
const READ_GAP_BYTES = 4096

/** Data that was once written cannot be read back: bits have changed at rest. */
export class JournalDamagedError extends Error {
  readonly code = 'JOURNAL_DAMAGED'
  constructor(message: string) {
    super(message)
    this.name = 'JournalDamagedError'
  }
}

/** Result of opening: all of it is durable. */
export interface OpenedJournal {
  readonly id: string
  readonly logs: Logs
  readonly recovery: RecoveryReport
  readonly current: NewSegment
  readonly segments: number
  /** Size of all segments but the current one. */
  readonly closedBytes: number
  readonly flush: number
}

export class FileJournal implements Journal {
  readonly id: string
  readonly recovery: RecoveryReport
  readonly #logs: Logs
  readonly #readers: SegmentReaders
  #scratch: Buffer | null = null
  #handle: FileHandle
  #segment: number
  #end: number
  #segments: number
  #closedBytes: number
  #flush: number
  #syncedFlush: number
  /** Bytes of a failed flush may follow `#end`. */
  #busy = false
  #failure: SyncFailedError | null = null
  #closed = false

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly directory: string,
    private readonly segmentBytes: number,
    opened: OpenedJournal,
  ) {
    this.id = opened.id
    this.recovery = opened.recovery
    this.#logs = opened.logs
    this.#readers = new SegmentReaders(fileSystem, directory)
    this.#handle = opened.current.handle
    this.#segment = opened.current.segment
    this.#end = opened.current.end
    this.#segments = opened.segments
    this.#closedBytes = opened.closedBytes
    this.#flush = opened.flush
    this.#syncedFlush = opened.flush
  }

  logs(): readonly JournalLog[] {
    return this.#logs.all()
  }

  log(uuid: string): JournalLog | undefined {
    return this.#logs.view(uuid)
  }

  write(records: readonly JournalRecord[]): Promise<void> {
    return this.#alone(async () => {
      if (records.length === 0) return
      this.#logs.check(records)
      const parts = records.map(partOf)
      let bytes = 0
      for (const part of parts) bytes += recordBytes(part)
      if (this.#end + bytes > this.segmentBytes && this.#end > SEGMENT_HEAD_BYTES) {
        await this.#roll()
      }
      if (this.#flush % LOOK_FLUSHES === 0) await this.#checkLength()
      const start = this.#end
      await this.#append(parts)
      this.#apply(records, parts, start)
    })
  }

  sync(): Promise<void> {
    return this.#alone(() => this.#datasync())
  }

  async read(uuid: string, from: number, maxBytes: number): Promise<Frame[]> {
    this.#assertUsable()
    const log = this.#logs.get(uuid)
    if (!log || from > log.end.sequence) return []
    const places: Place[] = []
    let bytes = 0
    for (let i = Math.max(0, log.index.find(from)); i < log.index.length; i++) {
      const place = log.index.at(i)
      if (places.length > 0 && bytes + place.bytes > maxBytes) break
      places.push(place)
      bytes += place.bytes
    }
    const frames: Frame[] = []
    for (let i = 0; i < places.length;) {
      const run = runFrom(places, i)
      frames.push(...await this.#readRun(uuid, run))
      i += run.length
    }
    return frames
  }

  stats(): { segments: number; bytes: number; flush: number; indexBytes: number } {
    return {
      segments: this.#segments,
      bytes: this.#closedBytes + this.#end,
      flush: this.#flush,
      indexBytes: this.#logs.indexBytes,
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#readers.close()
    await this.#handle.close()
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
    let next: NewSegment
    try {
      next = await createSegment(this.fileSystem, this.directory, place, this.#end, [])
    } catch (error) {
      if (!(error instanceof SegmentNotCreatedError)) {
        throw this.#fail('cannot make a new segment durable', error)
      }
      throw new JournalFullError(error.message, error)
    }
    const old = this.#handle
    this.#closedBytes += this.#end
    this.#handle = next.handle
    this.#segment = next.segment
    this.#end = next.end
    this.#segments += 1
    this.#flush = place.flush
    this.#syncedFlush = place.flush
    await old.close().catch(() => undefined)
  }

  #apply(records: readonly JournalRecord[], parts: readonly RecordPart[], start: number): void {
    let offset = start
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      if (record.type === 'frame') this.#logs.append(record.frame, this.#segment, offset)
      else if (record.type === 'truncate') this.#logs.truncate(record.uuid, record.to)
      else if (record.type === 'spaceDropped') this.#logs.drop(record.uuid)
      else for (const floor of record.floors ?? []) this.#logs.noteFloor(floor)
      offset += recordBytes(parts[i]!)
    }
  }

  async #readRun(uuid: string, run: readonly Place[]): Promise<Frame[]> {
    const { segment, offset } = run[0]!
    const last = run.at(-1)!
    const bytes = Buffer.allocUnsafe(last.offset + RECORD_HEADER_BYTES + last.bytes - offset)
    const got = await this.#readers.use(segment, (handle) => handle.read(bytes, offset))
    return run.map((place) => {
      const frame = this.#check(uuid, place, bytes.subarray(0, got), place.offset - offset)
      if (typeof frame !== 'string') return frame
      const reason = `segment ${segment}, offset ${place.offset}: ${frame}`
      this.#logs.damageAtRest(uuid, reason)
      throw new JournalDamagedError(`the log of space ${uuid} is damaged: ${reason}`)
    })
  }

  #check(uuid: string, place: Place, bytes: Buffer, at: number): Frame | string {
    const header = readRecordHeader(bytes, at, this.id, place.segment, place.offset)
    if (typeof header === 'string') return header
    const start = at + RECORD_HEADER_BYTES
    if (header.payloadBytes !== place.bytes || start + place.bytes > bytes.length) {
      return 'the record is cut off'
    }
    const payload = bytes.subarray(start, start + place.bytes)
    if (crc32c(payload) !== header.payloadCrc) return 'bad checksum of the payload'
    const frame = peekFrame(payload)
    if (typeof frame === 'string') return frame
    return frame.uuid === uuid && frame.first === place.first ? frame : 'another frame'
  }

  async #alone(run: () => Promise<void>): Promise<void> {
    this.#assertUsable()
    if (this.#busy) throw new Error('bug: one write or sync of the journal at a time')
    this.#busy = true
    try {
      await run()
    } finally {
      this.#busy = false
    }
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

/** Consecutive places from `i` on, close together in one segment. */
function runFrom(places: readonly Place[], i: number): Place[] {
  const run = [places[i]!]
  for (let j = i + 1; j < places.length; j++) {
    const before = run.at(-1)!
    const place = places[j]!
    const gap = place.offset - (before.offset + RECORD_HEADER_BYTES + before.bytes)
    if (place.segment !== before.segment || gap < 0 || gap > READ_GAP_BYTES) break
    run.push(place)
  }
  return run
}
