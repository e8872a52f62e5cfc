/** Reads journals for `engram journal verify|dump DIR`. Changes nothing. */
import { join } from 'node:path'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import type { JournalLog } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { peekFrame } from '../codec/frameLayout.js'
import { frameEntries, parseFrame } from '../codec/frames.js'
import { NodeFileSystem } from '../system/fileSystem.js'
import { decodeCoverage } from './coverage.js'
import { readRetained, readTruncation } from './record.js'
import { readSegment, scanJournal, surveySegments } from './recovery.js'
import { scanSegment, type ScanItem } from './scan.js'
import { listSegments } from './segment.js'
import { takeRecord, type Damage, type SegmentExtent, type Torn } from './walk.js'

export interface VerifyReport {
  /** Directory of the segments. */
  readonly directory: string
  /** No damage. A torn last write is no damage: recovery cuts it. */
  readonly ok: boolean
  readonly journal: string
  readonly segments: readonly SegmentExtent[]
  readonly records: number
  readonly bytes: number
  readonly torn: Torn | null
  readonly damaged: readonly Damage[]
  readonly warnings: readonly string[]
  readonly logs: readonly JournalLog[]
}

export class NoJournalError extends Error {
  readonly code = 'NO_JOURNAL'
  constructor(directory: string) {
    super(`there are no journal segments in ${directory} nor in its folder journal/: `
      + 'give the data directory of a node')
    this.name = 'NoJournalError'
  }
}

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/**
 * Checks every record, and every frame in full. `directory` is a data directory or the journal
 * within it; a node may be running on it (then its last flush may look torn). Throws
 * NoJournalError, JournalUnreadableError, JournalVersionError, FileSystemError.
 */
export async function verifyJournal(
  directory: string,
  fileSystem: FileSystem = new NodeFileSystem(),
): Promise<VerifyReport> {
  const where = await journalIn(directory, fileSystem)
  const warnings: string[] = []
  const frames: Damage[] = []
  const scan = await scanJournal(fileSystem, where, silent, (segment, item) => {
    const reason = refuseFrame(item)
    if (!reason) return
    frames.push({
      uuid: item.header?.space ?? null,
      reason: `segment ${segment}, offset ${item.offset}: ${reason}`,
    })
  })
  if (!scan) throw new NoJournalError(directory)
  for (const record of scan.tail) {
    const reason = takeRecord(scan.logs, record)
    if (!reason) continue
    scan.logs.damage(record.space, reason)
    frames.push({ uuid: record.space, reason })
  }
  frames.push(...scan.logs.settle())
  warnings.push(...scan.harmless)
  for (const segment of scan.leftOver) warnings.push(`segment ${segment} was given up`)
  for (const { segment, end, size } of scan.segments) {
    if (size > end) warnings.push(`segment ${segment}: ${size - end} bytes at its end are void`)
  }
  const damaged = [...scan.damaged, ...frames]
  const logDamaged = scan.logs.all().some((log) => log.damage !== null)
  return {
    directory: where,
    ok: damaged.length === 0 && !logDamaged,
    journal: scan.id,
    segments: scan.segments,
    records: scan.records,
    bytes: scan.bytes,
    torn: scan.torn,
    damaged,
    warnings,
    logs: scan.logs.all(),
  }
}

function refuseFrame(item: ScanItem): string | null {
  if (item.kind !== 'record') return null
  if (item.header.type !== 'entries' && item.header.type !== 'epochStart') return null
  const frame = parseFrame(item.payload)
  return typeof frame === 'string' ? frame : null
}

export interface DumpedRecord {
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  /** `bad`: a stretch that is not a record. */
  readonly type: string
  readonly flush: number | null
  readonly space: string | null
  readonly epoch?: number
  readonly first?: number
  readonly last?: number
  readonly previousEpoch?: number
  readonly salvage?: string
  /** Sequence up to which checkpoints stand in for entries, and the files that count. */
  readonly covered?: number
  readonly files?: readonly number[]
  readonly firstSegment?: number
  readonly reason?: string
  readonly entries?: readonly LogEntry[]
}

/** Records in order, void ones omitted; with `entries` decoded too. Errors as verifyJournal. */
export async function* dumpJournal(
  directory: string,
  options: { readonly entries?: boolean; readonly fileSystem?: FileSystem } = {},
): AsyncGenerator<DumpedRecord, void, undefined> {
  const fileSystem = options.fileSystem ?? new NodeFileSystem()
  const where = await journalIn(directory, fileSystem)
  const survey = await surveySegments(fileSystem, where)
  if (!survey) throw new NoJournalError(directory)
  for (const { segment, end } of survey.files) {
    const { bytes } = await readSegment(fileSystem, where, segment, end)
    for (const item of scanSegment(bytes, survey.id, segment)) {
      yield describe(segment, item, options.entries ?? false)
    }
  }
}

function describe(segment: number, item: ScanItem, withEntries: boolean): DumpedRecord {
  const { header, offset, end } = item
  const base = {
    segment,
    offset,
    bytes: end - offset,
    type: item.kind === 'bad' ? 'bad' : item.header.type,
    flush: header?.flush ?? null,
    space: header?.space ?? null,
  }
  if (item.kind === 'bad') return { ...base, reason: item.reason }
  if (item.header.type === 'truncate') {
    const truncation = readTruncation(item.payload)
    if (typeof truncation === 'string') return { ...base, reason: truncation }
    const { to, salvage } = truncation
    return { ...base, epoch: to.epoch, last: to.sequence, salvage }
  }
  if (item.header.type === 'retained') {
    const firstSegment = readRetained(item.payload)
    return typeof firstSegment === 'string'
      ? { ...base, reason: firstSegment }
      : { ...base, firstSegment }
  }
  if (item.header.type === 'checkpoint' || item.header.type === 'snapshotInstalled') {
    const covers = decodeCoverage(item.payload)
    if (typeof covers === 'string') return { ...base, reason: covers }
    const files = covers.kept.map(({ file }) => file)
    return { ...base, covered: covers.covered.sequence, files }
  }
  if (item.header.type !== 'entries' && item.header.type !== 'epochStart') return base
  const frame = peekFrame(item.payload)
  if (typeof frame === 'string') return { ...base, reason: frame }
  const { epoch, first, last, previousEpoch } = frame
  const described = { ...base, epoch, first, last, previousEpoch }
  return withEntries ? { ...described, ...entriesOf(frame) } : described
}

function entriesOf(frame: Frame): { entries: LogEntry[] } | { reason: string } {
  try {
    return { entries: frameEntries(frame) }
  } catch (error) {
    return { reason: (error as Error).message }
  }
}

async function journalIn(directory: string, fileSystem: FileSystem): Promise<string> {
  for (const where of [directory, join(directory, 'journal')]) {
    if ((await listSegments(fileSystem, where)).length > 0) return where
  }
  throw new NoJournalError(directory)
}
