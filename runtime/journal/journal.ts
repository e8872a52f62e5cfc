/** The node's one write-ahead log (section 7): files, flushes, and what may be read back. */
import { crc32c } from '@node-rs/crc32'
import { dirname, join } from 'node:path'
import {
  JournalFullError, SyncFailedError, type FileHandle, type FileSystem, type Frame, type Journal,
  type JournalLog, type JournalRecord, type Logger, type Random, type RecoveryReport,
} from '../../actors/ports.js'
import { peekFrame } from '../codec/frameLayout.js'
import type { Place } from './index.js'
import { Logs } from './logs.js'
import {
  encodeFlush, flushScratch, partOf, readRecordHeader, recordBytes, RECORD_HEADER_BYTES,
  type RecordPart,
} from './record.js'
import { scanJournal, type JournalScan } from './recovery.js'
import {
  createSegment, removeTemporary, SegmentNotCreatedError, SegmentReaders, segmentName,
  SEGMENT_HEAD_BYTES, type NewSegment,
} from './segment.js'

export interface JournalOptions {
  /** Of the segments; made when absent. One process only: see lock.ts. */
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly random: Random
  readonly logger: Logger
  /**
   * A flush that would make a segment longer than this begins a new one; a single flush may be
   * longer. Default 64 MiB; at most 1 GiB.
   */
  readonly segmentBytes?: number
}

export const SEGMENT_BYTES = 64 * 1024 * 1024
const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024
/** Frames that lie closer than this are read together. */
const READ_GAP_BYTES = 4096

/** What was once written cannot be read back: bits have changed at rest. */
export class JournalDamagedError extends Error {
  readonly code = 'JOURNAL_DAMAGED'
  constructor(message: string) {
    super(message)
    this.name = 'JournalDamagedError'
  }
}

interface Opened {
  readonly id: string
  readonly logs: Logs
  readonly recovery: RecoveryReport
  readonly current: NewSegment
  readonly segments: number
  /** Of all segments but the current one. */
  readonly closedBytes: number
  readonly flush: number
}

/**
 * Recovers the journal, or makes a new one. Every position it reports is durable when the promise
 * resolves. Throws JournalVersionError, JournalUnreadableError, FileSystemError, and
 * SegmentNotCreatedError when the disk is too full to restate the last flush.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, fileSystem, logger, segmentBytes = SEGMENT_BYTES } = options
  if (!(segmentBytes > SEGMENT_HEAD_BYTES && segmentBytes <= SEGMENT_BYTES_MAX)) {
    throw new RangeError(`segmentBytes ${segmentBytes}: must be at most ${SEGMENT_BYTES_MAX}`)
  }
  const startedMs = performance.now()
  await fileSystem.makeDirectory(directory)
  await fileSystem.syncDirectory(dirname(directory))
  await removeTemporary(fileSystem, directory)
  const scan = await scanJournal(fileSystem, directory, logger)
  const opened = scan
    ? await resume(options, scan, startedMs)
    : await begin(options, startedMs)
  return new FileJournal(fileSystem, directory, segmentBytes, opened)
}

async function begin(options: JournalOptions, startedMs: number): Promise<Opened> {
  const id = options.random.uuid()
  const place = { journal: id, segment: 1, flush: 1, syncedFlush: 0 }
  const current = await createSegment(options.fileSystem, options.directory, place, 0, [])
  const recovery: RecoveryReport = {
    segments: 0, bytes: 0, records: 0, ms: performance.now() - startedMs, torn: null, damaged: [],
  }
  return { id, logs: new Logs(), recovery, current, segments: 1, closedBytes: 0, flush: 1 }
}

async function resume(
  options: JournalOptions, scan: JournalScan, startedMs: number,
): Promise<Opened> {
  const { fileSystem, directory, logger } = options
  for (const reason of scan.harmless) logger.warn({ reason }, 'a broken record, no log depends on')
  if (scan.torn) logger.warn(scan.torn, 'the journal ends in a torn write, which is cut')
  const last = scan.segments.at(-1)!
  let current: NewSegment
  let flush = scan.highestFlush
  if (scan.tail.length > 0 || scan.torn || scan.lastSegmentBroken || last.size !== last.end) {
    flush += 1
    current = await restate(options, scan, flush)
  } else {
    // All of it is durable: the segment goes on. Its name may not be, after a kill in mid-start.
    await fileSystem.syncDirectory(directory)
    const path = join(directory, segmentName(last.segment))
    const handle = await fileSystem.open(path, 'readWrite')
    current = { handle, segment: last.segment, end: last.end }
  }
  const closed = scan.segments.filter((extent) => extent.segment !== current.segment)
  const recovery: RecoveryReport = {
    segments: scan.segments.length, bytes: scan.bytes, records: scan.records,
    ms: performance.now() - startedMs, torn: scan.torn, damaged: scan.damaged,
  }
  logger.info({ ...recovery, damaged: scan.damaged.length }, 'the journal is recovered')
  return {
    id: scan.id, logs: scan.logs, recovery, current, flush,
    segments: closed.length + 1, closedBytes: closed.reduce((sum, { end }) => sum + end, 0),
  }
}

/**
 * What the crashed process wrote last may be in the page cache only, and a sync of that file may
 * report a success that it had reported as a failure before (Rebello et al., "Can applications
 * recover from fsync failures?", 2020). So it is written anew, to a new file.
 */
async function restate(
  options: JournalOptions, scan: JournalScan, flush: number,
): Promise<NewSegment> {
  const { fileSystem, directory, logger } = options
  const last = scan.segments.at(-1)!
  const tail = scan.tail.filter((record) => record.type !== 'confirm')
  const place = {
    journal: scan.id, segment: last.segment + 1, flush, syncedFlush: flush - 1,
  }
  const current = await createSegment(fileSystem, directory, place, last.end, tail)
  let offset = SEGMENT_HEAD_BYTES
  for (const record of tail) {
    if (record.type === 'entries' || record.type === 'epochStart') {
      const frame = peekFrame(record.payload) as Frame
      const to = { segment: current.segment, offset }
      scan.logs.get(frame.uuid)?.index.move(frame.first, record, to)
    }
    offset += recordBytes(record)
  }
  if (last.size > last.end) {
    // Void already by the new head, so neither a failure nor a crash here matters.
    await cutVoid(fileSystem, join(directory, segmentName(last.segment)), last.end)
      .catch((error: unknown) => logger.warn({ error: String(error) }, 'a void tail stays'))
  }
  return current
}

async function cutVoid(fileSystem: FileSystem, path: string, end: number): Promise<void> {
  const handle = await fileSystem.open(path, 'readWrite')
  try {
    await handle.truncate(end)
  } finally {
    await handle.close()
  }
}

class FileJournal implements Journal {
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
  /** Bytes of a failed flush may lie behind `#end`. */
  #untidy = false
  #busy = false
  #failure: SyncFailedError | null = null
  #closed = false

  constructor(
    private readonly fileSystem: FileSystem, private readonly directory: string,
    private readonly segmentBytes: number, opened: Opened,
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
      if (this.#untidy) await this.#tidy()
      if (this.#end + bytes > this.segmentBytes && this.#end > SEGMENT_HEAD_BYTES) {
        await this.#roll()
      }
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

  stats(): { segments: number; bytes: number; flush: number } {
    return {
      segments: this.#segments, bytes: this.#closedBytes + this.#end, flush: this.#flush,
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
      journal: this.id, segment: this.#segment, offset: this.#end, flush: this.#flush + 1,
      syncedFlush: this.#syncedFlush,
    }
    this.#scratch ??= flushScratch()
    const flush = encodeFlush(parts, place, this.#scratch)
    try {
      await this.#handle.write(flush.buffers, this.#end)
    } catch (error) {
      this.#untidy = true
      await this.#tidy()
      throw new JournalFullError(`cannot write to the journal: ${(error as Error).message}`, error)
    }
    this.#end += flush.bytes
    this.#flush += 1
  }

  /**
   * Cuts a failed flush off, durably: its writers are told that nothing was taken, so it must not
   * come back after a crash. Until that has succeeded nothing is written behind it.
   */
  async #tidy(): Promise<void> {
    try {
      await this.#handle.truncate(this.#end)
    } catch (error) {
      throw new JournalFullError(
        `cannot cut a failed write off the journal: ${(error as Error).message}`, error)
    }
    await this.#datasync()
    this.#untidy = false
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

  /** The old segment is durable before the new one exists: only the last one can end torn. */
  async #roll(): Promise<void> {
    if (this.#syncedFlush < this.#flush) await this.#datasync()
    const place = {
      journal: this.id, segment: this.#segment + 1, flush: this.#flush + 1,
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
      this.#logs.damage(uuid, reason)
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

/** Places from `i` on that lie together in one segment. */
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
