/** Opens the node's write-ahead log: recovery, and the writes that it needs. */
import { dirname, join } from 'node:path'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import type { Journal, RecoveryReport } from '../../actors/ports/journal.js'
import type { Logger, Random } from '../../actors/ports/system.js'
import { peekFrame } from '../codec/frameLayout.js'
import { FileJournal, type OpenedJournal } from './fileJournal.js'
import { Logs } from './logs.js'
import { recordBytes } from './record.js'
import { scanJournal, type JournalScan } from './recovery.js'
import { createSegment, removeTemporary, segmentName, SEGMENT_HEAD_BYTES,
  type NewSegment } from './segment.js'

export interface JournalOptions {
  /** Directory of the segments; created if it does not exist. One process only: see owner.ts. */
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly random: Random
  readonly logger: Logger
  /**
   * A flush that would make a segment longer than this begins a new one; a single flush may be
   * longer. Default 64 MiB; at most 1 GiB.
   */
  readonly segmentBytes?: number
  /** Monotonic clock, to measure recovery. Default: that of the process. */
  readonly nowMs?: () => number
}

export const SEGMENT_BYTES = 64 * 1024 * 1024
const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024

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
  const nowMs = options.nowMs ?? (() => performance.now())
  const startedMs = nowMs()
  const elapsedMs = (): number => Math.round(nowMs() - startedMs)
  await fileSystem.makeDirectory(directory)
  await fileSystem.syncDirectory(dirname(directory))
  await removeTemporary(fileSystem, directory)
  const scan = await scanJournal(fileSystem, directory, logger)
  const opened = scan
    ? await resume(options, scan, elapsedMs)
    : await begin(options, elapsedMs)
  return new FileJournal(fileSystem, directory, segmentBytes, opened)
}

async function begin(options: JournalOptions, elapsedMs: () => number): Promise<OpenedJournal> {
  const id = options.random.uuid()
  const place = { journal: id, segment: 1, flush: 1, syncedFlush: 0 }
  const current = await createSegment(options.fileSystem, options.directory, place, 0, [])
  const recovery: RecoveryReport = {
    segments: 0,
    bytes: 0,
    records: 0,
    ms: elapsedMs(),
    torn: null,
    damaged: [],
  }
  return { id, logs: new Logs(), recovery, current, segments: 1, closedBytes: 0, flush: 1 }
}

async function resume(
  options: JournalOptions,
  scan: JournalScan,
  elapsedMs: () => number,
): Promise<OpenedJournal> {
  const { fileSystem, directory, logger } = options
  for (const reason of scan.harmless) {
    logger.warn({ reason }, 'a broken record on which no log depends')
  }
  if (scan.torn) logger.warn(scan.torn, 'the journal ends in a torn write, which is cut off')
  const last = scan.segments.at(-1)!
  let current: NewSegment
  let flush = scan.highestFlush
  if (scan.torn || scan.lastSegmentBroken || last.size !== scan.durableEnd) {
    flush += 1
    current = await restate(options, scan, flush)
  } else {
    // All of it is durable: the segment goes on. Its name may not be, after a kill during a start.
    await fileSystem.syncDirectory(directory)
    const path = join(directory, segmentName(last.segment))
    const handle = await fileSystem.open(path, 'readWrite')
    current = { handle, segment: last.segment, end: last.end }
  }
  const closed = scan.segments
    .map((extent) => (extent === last ? { ...extent, end: scan.durableEnd } : extent))
    .filter((extent) => extent.segment !== current.segment)
  const recovery: RecoveryReport = {
    segments: scan.segments.length,
    bytes: scan.bytes,
    records: scan.records,
    ms: elapsedMs(),
    torn: scan.torn,
    damaged: scan.damaged,
  }
  logger.info({ ...recovery, damaged: scan.damaged.length }, 'the journal is recovered')
  return {
    id: scan.id,
    logs: scan.logs,
    recovery,
    current,
    flush,
    segments: closed.length + 1,
    closedBytes: closed.reduce((sum, { end }) => sum + end, 0),
  }
}

/**
 * The last writes of the crashed process may be in the page cache only, and a sync of that file may
 * report a success that it had reported as a failure before (Rebello et al., "Can applications
 * recover from fsync failures?", 2020). So they are written again, to a new file.
 */
async function restate(
  options: JournalOptions,
  scan: JournalScan,
  flush: number,
): Promise<NewSegment> {
  const { fileSystem, directory, logger } = options
  const last = scan.segments.at(-1)!
  const tail = scan.tail.filter((record) => record.type !== 'confirm' || record.payload.length > 0)
  const place = {
    journal: scan.id,
    segment: last.segment + 1,
    flush,
    syncedFlush: flush - 1,
  }
  const current = await createSegment(fileSystem, directory, place, scan.durableEnd, tail)
  let offset = SEGMENT_HEAD_BYTES
  for (const record of tail) {
    if (record.type === 'entries' || record.type === 'epochStart') {
      const frame = peekFrame(record.payload) as Frame
      const to = { segment: current.segment, offset }
      scan.logs.get(frame.uuid)?.index.move(frame.first, record, to)
    }
    offset += recordBytes(record)
  }
  if (last.size > scan.durableEnd) {
    // Void already because of the new head, so neither a failure nor a crash here matters.
    await cutVoid(fileSystem, join(directory, segmentName(last.segment)), scan.durableEnd)
      .catch((error: unknown) => logger.warn({ error: String(error) }, 'a void tail remains'))
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
