/** Opens the node's write-ahead log: recovery, and the writes that it needs. */
import { dirname, join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { RecoveryReport } from '../../actors/ports/journal.js'
import type { Logger, Random } from '../../actors/ports/system.js'
import { FileJournal, type OpenedJournal } from './fileJournal.js'
import { GivenUp } from './givenUp.js'
import { indexName } from './indexFile.js'
import { Logs } from './logs.js'
import { firstParts, recordBytes } from './record.js'
import { scanJournal } from './recovery.js'
import { createSegment, listIndexes, removeTemporary, segmentName, SEGMENT_HEAD_BYTES,
  type NewSegment } from './segment.js'
import { takeRecord, type Damage, type JournalScan } from './walk.js'

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
  /** Lets the event loop have its turn, in long work. Default: setImmediate. */
  readonly pause?: () => Promise<void>
}

export const SEGMENT_BYTES = 64 * 1024 * 1024
const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024

/**
 * Recovers the journal, or makes a new one. Every position it reports is durable when the promise
 * resolves. Throws JournalVersionError, JournalUnreadableError, FileSystemError, and
 * SegmentNotCreatedError when the disk is too full to restate the last flush.
 */
export async function openJournal(options: JournalOptions): Promise<FileJournal> {
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
  return new FileJournal({
    fileSystem,
    directory,
    segmentBytes,
    logger,
    pause: options.pause ?? (() => nextTurn()),
  }, opened)
}

/** Files of segments that were given up. What cannot be removed waits for the next removal. */
async function removeLeftOver(options: JournalOptions, scan: JournalScan): Promise<GivenUp> {
  const { fileSystem, directory, logger } = options
  const givenUp = new GivenUp(fileSystem, directory, scan.leftOver)
  await givenUp.clear().catch((error: unknown) => {
    logger.warn({ segments: scan.leftOver, error: String(error) },
      'a journal segment that was given up remains')
  })
  return givenUp
}

async function begin(options: JournalOptions, elapsedMs: () => number): Promise<OpenedJournal> {
  const id = options.random.uuid()
  const place = { journal: id, segment: 1, flush: 1, syncedFlush: 0 }
  const current = await createSegment(options.fileSystem, options.directory, place, 0, [])
  const recovery: RecoveryReport = {
    segments: 0,
    segmentsRead: 0,
    bytes: 0,
    records: 0,
    ms: elapsedMs(),
    torn: null,
    damaged: [],
  }
  const logs = new Logs()
  logs.begin(current.segment).records = 1
  const givenUp = new GivenUp(options.fileSystem, options.directory, [])
  return { id, logs, recovery, current, closed: [], flush: 1, firstSegment: 1, givenUp }
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
  const damaged = [...scan.damaged]
  let current: NewSegment
  let flush = scan.highestFlush
  if (scan.torn || scan.lastSegmentBroken || last.size !== scan.durableEnd) {
    flush += 1
    current = await restate(options, scan, flush, damaged)
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
  for (const damage of scan.logs.settle()) {
    logger.error(damage, 'the journal is damaged')
    damaged.push(damage)
  }
  const givenUp = await removeLeftOver(options, scan)
  await removeStrayIndexes(options, scan)
  const recovery: RecoveryReport = {
    segments: scan.segments.length,
    segmentsRead: scan.segmentsRead,
    bytes: scan.bytes,
    records: scan.records,
    ms: elapsedMs(),
    torn: scan.torn,
    damaged,
  }
  logger.info({ ...recovery, damaged: damaged.length }, 'the journal is recovered')
  return {
    id: scan.id,
    logs: scan.logs,
    recovery,
    current,
    flush,
    closed,
    firstSegment: scan.firstSegment,
    givenUp,
  }
}

/** Indexes that no closed segment has: the numbers of lost segments may be used again. */
async function removeStrayIndexes(options: JournalOptions, scan: JournalScan): Promise<void> {
  const { fileSystem, directory, logger } = options
  const closed = new Set(scan.segments.slice(0, -1).map(({ segment }) => segment))
  for (const segment of await listIndexes(fileSystem, directory)) {
    if (closed.has(segment)) continue
    await fileSystem.remove(join(directory, indexName(segment))).catch((error: unknown) => {
      logger.warn({ segment, error: String(error) }, 'the index of a segment that is gone remains')
    })
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
  damaged: Damage[],
): Promise<NewSegment> {
  const { fileSystem, directory, logger } = options
  const last = scan.segments.at(-1)!
  const tail = scan.tail.filter(({ type, payload }) =>
    type !== 'retained' && (type !== 'confirm' || payload.length > 0)
  )
  const first = firstParts(scan.firstSegment)
  const place = {
    journal: scan.id,
    segment: last.segment + 1,
    flush,
    syncedFlush: flush - 1,
  }
  const current = await createSegment(fileSystem, directory, place, scan.durableEnd, [...first,
    ...tail])
  const { segment } = current
  const ledger = scan.logs.begin(segment)
  ledger.records = 1 + first.length
  let offset = first.reduce((at, part) => at + recordBytes(part), SEGMENT_HEAD_BYTES)
  for (const record of tail) {
    const reason = takeRecord(scan.logs, { ...record, segment, offset, flush })
    if (reason) {
      logger.error({ uuid: record.space, reason }, 'the journal is damaged')
      scan.logs.damage(record.space, reason)
      damaged.push({ uuid: record.space, reason })
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
