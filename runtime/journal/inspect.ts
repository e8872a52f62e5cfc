/** Reads journals for `engram journal verify|dump DIR`. Changes nothing. */
import { join } from 'node:path'
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import type { JournalLog } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { segmentPins, type RemovableSegment } from '../../machines/log/retention.js'
import { peekFrame } from '../codec/frameLayout.js'
import { frameEntries, parseFrame } from '../codec/frames.js'
import { NodeFileSystem } from '../system/fileSystem.js'
import { decodeCoverage } from './coverage.js'
import { checkIndex, type IndexVerdict } from './indexCheck.js'
import { indexName } from './indexFile.js'
import type { SegmentLedger } from './ledger.js'
import type { Logs } from './logs.js'
import { readRetained, readTruncation } from './record.js'
import { readSegment, scanJournal, surveySegments } from './recovery.js'
import { scanSegment, type ScanItem } from './scan.js'
import { listSegments } from './segment.js'
import { takeRecord, type Damage, type JournalScan, type SegmentExtent, type Torn } from './walk.js'

export interface VerifiedLog extends JournalLog {
  /** First entry that can be read; above the end when there is none. */
  readonly firstSequence: number
  /** Of its frames, those that were cut off later among them. */
  readonly bytes: number
  /** Why the oldest segment cannot be given up before this log is in two checkpoints, or null. */
  readonly pin: string | null
}

export interface IndexCounts {
  readonly sound: number
  /** Segments that the next start reads instead, and then makes the index anew. */
  readonly missing: readonly number[]
  readonly unusable: readonly number[]
}

export interface VerifyReport {
  /** Directory of the segments. */
  readonly directory: string
  /** No damage. A torn last write is no damage: recovery cuts it. */
  readonly ok: boolean
  readonly journal: string
  readonly segments: readonly SegmentExtent[]
  readonly records: number
  readonly bytes: number
  /** Of closed segments. */
  readonly retainedBytes: number
  /** The closed segment that goes first, and what keeps it besides logs that pin it; or null. */
  readonly oldest: { readonly segment: number; readonly pin: string | null } | null
  readonly indexes: IndexCounts
  readonly torn: Torn | null
  readonly damaged: readonly Damage[]
  readonly warnings: readonly string[]
  readonly logs: readonly VerifiedLog[]
}

export class NoJournalError extends Error {
  readonly code = 'NO_JOURNAL'
  constructor(directory: string) {
    super(`there are no journal segments in ${directory} nor in its folder journal/: `
      + 'give the data directory of a node')
    this.name = 'NoJournalError'
  }
}

export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/**
 * Checks every record, every frame in full, and the indexes. `directory` is a data directory or the
 * journal within it; a node may be running on it (then its last flush may look torn). Throws
 * NoJournalError, JournalUnreadableError, JournalVersionError, FileSystemError.
 */
export async function verifyJournal(
  directory: string,
  fileSystem: FileSystem = new NodeFileSystem(),
): Promise<VerifyReport> {
  const where = await journalIn(directory, fileSystem)
  const { scan, frames, bytes, indexes } = await unmoved(() => scanAll(where, fileSystem))
  if (!scan) throw new NoJournalError(directory)
  for (const record of scan.tail) {
    const reason = takeRecord(scan.logs, record)
    if (!reason) continue
    scan.logs.damage(record.space, reason)
    frames.push({ uuid: record.space, reason })
  }
  frames.push(...scan.logs.settle())
  const warnings = [...scan.harmless, ...indexes.warnings]
  for (const segment of scan.leftOver) warnings.push(`segment ${segment} was given up`)
  for (const { segment, end, size } of scan.segments) {
    if (size > end) warnings.push(`segment ${segment}: ${size - end} bytes at its end are void`)
  }
  const damaged = [...scan.damaged, ...frames, ...indexes.damaged]
  const logDamaged = scan.logs.all().some((log) => log.damage !== null)
  const closed = scan.segments.slice(0, -1)
  const { oldest, pinOf } = pinsOf(scan, closed[0]?.segment ?? null)
  return {
    directory: where,
    ok: damaged.length === 0 && !logDamaged,
    journal: scan.id,
    segments: scan.segments,
    records: scan.records,
    bytes: scan.bytes,
    retainedBytes: closed.reduce((sum, { end }) => sum + end, 0),
    oldest,
    indexes: indexes.counts,
    torn: scan.torn,
    damaged,
    warnings,
    logs: scan.logs.all().map((log) => ({
      ...log,
      firstSequence: log.base.sequence + 1,
      bytes: bytes.get(log.uuid) ?? 0,
      pin: pinOf(log.uuid),
    })),
  }
}

/** All segments are read. What is known of a frame's place leaves the memory with its segment. */
async function scanAll(directory: string, fileSystem: FileSystem): Promise<{
  scan: JournalScan | null
  frames: Damage[]
  bytes: ReadonlyMap<string, number>
  indexes: IndexFindings
}> {
  const frames: Damage[] = []
  const bytes = new Map<string, number>()
  const indexes = new IndexFindings()
  const visit = (segment: number, item: ScanItem): void => {
    if (!isFrame(item)) return
    const uuid = item.header.space!
    bytes.set(uuid, (bytes.get(uuid) ?? 0) + item.payload.length)
    const frame = parseFrame(item.payload)
    if (typeof frame !== 'string') return
    frames.push({ uuid, reason: `segment ${segment}, offset ${item.offset}: ${frame}` })
  }
  const closed = async (ledger: SegmentLedger, logs: Logs, journal: string): Promise<void> => {
    if (!ledger.isWhole) return
    const verdict = await checkIndex({ fileSystem, directory, journal }, ledger)
    indexes.add(ledger.segment, verdict)
    if (verdict.kind === 'sound') logs.moveToDisk(ledger, verdict.places)
  }
  const scan = await scanJournal(fileSystem, directory, silent, visit, closed)
  return { scan, frames, bytes, indexes }
}

function isFrame(item: ScanItem): item is ScanItem & { kind: 'record' } {
  return item.kind === 'record'
    && (item.header.type === 'entries' || item.header.type === 'epochStart')
}

class IndexFindings {
  readonly #counts = { sound: 0, missing: [] as number[], unusable: [] as number[] }
  readonly warnings: string[] = []
  readonly damaged: Damage[] = []

  get counts(): IndexCounts {
    return this.#counts
  }

  add(segment: number, verdict: IndexVerdict): void {
    const name = indexName(segment)
    if (verdict.kind === 'sound') this.#counts.sound++
    else if (verdict.kind === 'missing') this.#counts.missing.push(segment)
    else {
      this.#counts.unusable.push(segment)
      if (verdict.kind === 'unusable') {
        this.warnings.push(`${name} cannot be used: ${verdict.reason}; it is made again`)
      } else {
        const reason =
          `${name} is not the index of its segment: ${verdict.reason}; remove it while `
          + 'the node is stopped, and it is made again'
        this.damaged.push({ uuid: null, reason })
      }
    }
  }
}

/** What keeps the oldest segment: of each space, and in general. */
function pinsOf({ logs }: JournalScan, segment: number | null): {
  oldest: VerifyReport['oldest']
  pinOf: (uuid: string) => string | null
} {
  if (segment === null) return { oldest: null, pinOf: () => null }
  const use = logs.useOf(segment)
  const unread = new Set(use.unreadSpaces)
  const spaces = new Map(use.spaces.map((one) => [one.uuid, one]))
  const reasonOf = (part: Partial<RemovableSegment>): string | null =>
    segmentPins({ spaces: [], unreadSpaces: [], isUnread: false, ...part }, (uuid) =>
      logs.view(uuid))[0]?.reason ?? null
  return {
    oldest: { segment, pin: reasonOf({ isUnread: use.isUnread }) },
    pinOf: (uuid) => {
      const own = spaces.get(uuid)
      return reasonOf({ spaces: own ? [own] : [], unreadSpaces: unread.has(uuid) ? [uuid] : [] })
    },
  }
}

const TRIES_MAX = 5

/** Again when a file is gone: a node that runs has given it up meanwhile. */
export async function unmoved<T>(read: () => Promise<T>): Promise<T> {
  for (let tries = 1;; tries += 1) {
    try {
      return await read()
    } catch (error) {
      const isGone = error instanceof FileSystemError && error.code === 'ENOENT'
      if (!isGone || tries === TRIES_MAX) throw error
    }
  }
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

/** The folder of the segments. */
export async function journalIn(directory: string, fileSystem: FileSystem): Promise<string> {
  for (const where of [directory, join(directory, 'journal')]) {
    if ((await listSegments(fileSystem, where)).length > 0) return where
  }
  throw new NoJournalError(directory)
}
