/**
 * Reads a journal back. `scanJournal` changes nothing. It finds:
 *
 * - A bad stretch whose flush is above the highest flush known to be durable (stated by a later
 *   record, or by the head of a segment, whose first flush is durable before it has a name) is a
 *   torn write: the log ends there. Only the last segment can have one, since a segment is synced
 *   before the next one is made.
 * - Any other bad stretch is corruption: nothing is cut, and the log of its space is damaged from
 *   there on; the logs of all spaces if the space is unknown.
 * - Records above the highest durable flush may be in the page cache only. `openJournal` restates
 *   them in a fresh segment, whose head declares the originals void.
 *
 * A closed segment with a sound index is not read. What its index says must fit the logs; if it
 * does not, the segment is read, and that says why.
 */
import { join } from 'node:path'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Logger } from '../../actors/ports/system.js'
import { readIndex, type IndexTable } from './indexFile.js'
import type { SegmentLedger } from './ledger.js'
import type { Logs } from './logs.js'
import { journalOfHeader, readRecordHeader, readRetained, recordStart,
  RECORD_MAGIC } from './record.js'
import { scanSegment } from './scan.js'
import { listSegments, readSegmentHead, SEGMENT_HEAD_BYTES, segmentName } from './segment.js'
import { Walk, type JournalScan, type ScanVisitor, type SegmentFile } from './walk.js'

/** Not one sound record in the segments: a wrong directory, or a wiped disk. */
export class JournalUnreadableError extends Error {
  readonly code = 'JOURNAL_UNREADABLE'
  constructor(directory: string) {
    super(`no readable record in the journal segments in ${directory}: `
      + 'move them away to start with an empty journal')
    this.name = 'JournalUnreadableError'
  }
}

/** Null when there is no segment at all. Throws JournalUnreadableError, JournalVersionError. */
export async function surveySegments(
  fileSystem: FileSystem,
  directory: string,
): Promise<{ id: string; files: SegmentFile[] } | null> {
  const files: SegmentFile[] = []
  for (const segment of await listSegments(fileSystem, directory)) {
    const { bytes, size } = await readSegment(fileSystem, directory, segment, SEGMENT_HEAD_BYTES)
    files.push({ segment, size, head: readSegmentHead(bytes, segment), end: size })
  }
  if (files.length === 0) return null
  for (let i = 0; i + 1 < files.length; i++) {
    const next = files[i + 1]!.head
    const file = files[i]!
    if (next?.previousSegment === file.segment) files[i] = { ...file, end: next.previousEnd }
  }
  const id = files.find((file) => file.head)?.head?.journal
    ?? await findJournalId(fileSystem, directory, files)
  return { id, files }
}

/**
 * As `surveySegments`; faults within the segments are in the result. With a visitor every segment
 * is read; `closed` is called with each closed one that was read.
 */
export async function scanJournal(
  fileSystem: FileSystem,
  directory: string,
  logger: Logger,
  visit?: ScanVisitor,
  closed?: (ledger: SegmentLedger, logs: Logs, journal: string) => Promise<void>,
): Promise<JournalScan | null> {
  const survey = await surveySegments(fileSystem, directory)
  if (!survey) return null
  const { id } = survey
  const last = survey.files.at(-1)!
  const read = ({ segment, end }: SegmentFile): Promise<{ bytes: Buffer }> =>
    readSegment(fileSystem, directory, segment, end)
  const { bytes: lastBytes } = await read(last)
  const firstSegment = lastRetained(lastBytes, id, last.segment)
  const files = survey.files.filter(({ segment }) => segment >= firstSegment)
  const walk = new Walk(id, logger, visit)
  for (const [i, file] of files.entries()) {
    walk.checkOrder(files[i - 1], file, firstSegment)
    const index = file === last || visit ? null : await indexOf(fileSystem, directory, id, file)
    if (typeof index === 'string') {
      logger.warn({ segment: file.segment, reason: index },
        'the index of a journal segment cannot be used: the segment is read')
    } else if (index && walk.index(file, index)) continue
    const bytes = file === last ? lastBytes : (await read(file)).bytes
    const ledger = walk.segment(file, bytes, file === last)
    if (file !== last) await closed?.(ledger, walk.logs, id)
  }
  const leftOver = survey.files.slice(0, survey.files.length - files.length)
  return walk.result(firstSegment, leftOver.map(({ segment }) => segment))
}

/**
 * The first segment that was not given up, by the last record in the last segment that says so;
 * each segment begins with one. A torn write may have it, too: what comes before it in the order of
 * a removal was durable then.
 */
function lastRetained(bytes: Buffer, journal: string, segment: number): number {
  const start = recordStart('retained')
  for (let at = bytes.lastIndexOf(start); at >= 0; at = bytes.lastIndexOf(start, at - 1)) {
    const [item] = scanSegment(bytes, journal, segment, at)
    const firstSegment = item?.kind === 'record' ? readRetained(item.payload) : null
    if (typeof firstSegment === 'number') return firstSegment
    if (at === 0) break
  }
  return 1
}

/** A head or an end that is missing is found by reading the segment. */
async function indexOf(
  fileSystem: FileSystem,
  directory: string,
  journal: string,
  { segment, head, size, end }: SegmentFile,
): Promise<IndexTable | string | null> {
  if (!head || size < end) return null
  return await readIndex(fileSystem, directory, journal, segment, end)
}

const READ_BYTES = 4 * 1024 * 1024

/** The first `end` bytes of a segment, or all there are. */
export async function readSegment(
  fileSystem: FileSystem,
  directory: string,
  segment: number,
  end: number,
): Promise<{ bytes: Buffer; size: number }> {
  const handle = await fileSystem.open(join(directory, segmentName(segment)), 'read')
  try {
    const size = await handle.size()
    const bytes = Buffer.allocUnsafe(Math.min(size, end))
    let got = 0
    while (got < bytes.length) {
      const n = await handle.read(bytes.subarray(got, got + READ_BYTES), got)
      if (n === 0) break
      got += n
    }
    return { bytes: bytes.subarray(0, got), size }
  } finally {
    await handle.close()
  }
}

async function findJournalId(
  fileSystem: FileSystem,
  directory: string,
  files: readonly SegmentFile[],
): Promise<string> {
  for (const { segment, size } of files) {
    const { bytes } = await readSegment(fileSystem, directory, segment, size)
    for (let at = bytes.indexOf(RECORD_MAGIC); at >= 0; at = bytes.indexOf(RECORD_MAGIC, at + 1)) {
      const header = readRecordHeader(bytes, at, null, segment, at)
      if (typeof header !== 'string') return journalOfHeader(bytes, at)
    }
  }
  throw new JournalUnreadableError(directory)
}
