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
 */
import { join } from 'node:path'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Logger } from '../../actors/ports/system.js'
import { peekFrame } from '../codec/frameLayout.js'
import { Logs } from './logs.js'
import { journalOfHeader, readFloors, readRecordHeader, readTruncation, RECORD_MAGIC,
  type RecordHeader, type RecordPart } from './record.js'
import { highestSynced, NOBODY, scanSegment, spaceOfStretch, type ScanItem } from './scan.js'
import { listSegments, readSegmentHead, SEGMENT_HEAD_BYTES, segmentName,
  type SegmentHead } from './segment.js'

/** Not one sound record in the segments: a wrong directory, or a wiped disk. */
export class JournalUnreadableError extends Error {
  readonly code = 'JOURNAL_UNREADABLE'
  constructor(directory: string) {
    super(`no readable record in the journal segments in ${directory}: `
      + 'move them away to start with an empty journal')
    this.name = 'JournalUnreadableError'
  }
}

/** A record that may not be durable yet. */
export interface TailRecord extends RecordPart {
  readonly segment: number
  readonly offset: number
}

export interface Torn {
  readonly segment: number
  readonly offset: number
  readonly reason: string
}

export interface Damage {
  /** null: any space; it is unknown. */
  readonly uuid: string | null
  readonly reason: string
}

export interface SegmentExtent {
  readonly segment: number
  /** Length of the valid part; later bytes are void. */
  readonly end: number
  readonly size: number
}

export interface JournalScan {
  readonly id: string
  readonly logs: Logs
  readonly segments: SegmentExtent[]
  readonly tail: TailRecord[]
  readonly torn: Torn | null
  readonly damaged: readonly Damage[]
  /** Broken records that no space depends on. */
  readonly harmless: readonly string[]
  readonly highestFlush: number
  readonly syncedFlush: number
  readonly records: number
  readonly bytes: number
  /** Corruption in the last segment: nothing must be appended to it. */
  readonly lastSegmentBroken: boolean
  /** End of the last segment when its tail is restated elsewhere. */
  readonly durableEnd: number
}

/** Called for every item of every segment, in order, void stretches left out. */
export type ScanVisitor = (segment: number, item: ScanItem) => void

/** An existing segment; bytes from `end` on are void. */
export interface SegmentFile {
  readonly segment: number
  readonly size: number
  readonly head: SegmentHead | null
  readonly end: number
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

/** As `surveySegments`; faults within the segments are in the result. */
export async function scanJournal(
  fileSystem: FileSystem,
  directory: string,
  logger: Logger,
  visit?: ScanVisitor,
): Promise<JournalScan | null> {
  const survey = await surveySegments(fileSystem, directory)
  if (!survey) return null
  const walk = new Walk(survey.id, logger, visit)
  const files = survey.files
  for (let i = 0; i < files.length; i++) {
    const file = files[i]!
    walk.checkOrder(files[i - 1], file)
    const { bytes } = await readSegment(fileSystem, directory, file.segment, file.end)
    walk.segment(file, bytes, i === files.length - 1)
  }
  return walk.result()
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

class Walk {
  readonly #logs = new Logs()
  readonly #segments: SegmentExtent[] = []
  readonly #damaged: Damage[] = []
  readonly #harmless: string[] = []
  readonly #tail: TailRecord[] = []
  readonly #tailFlushes: number[] = []
  #torn: Torn | null = null
  #synced = 0
  #highest = 0
  #records = 0
  #broken = false
  /** Offset of the first tail record; corruption behind it keeps the originals in force. */
  #tailStart = 0
  #corruptionEnd = 0
  #durableEnd = 0
  /** The lowest flush to which the next bytes can belong. */
  #earliest = 0
  #complete = true
  #lookedAhead = false

  constructor(
    private readonly id: string,
    private readonly logger: Logger,
    private readonly visit?: ScanVisitor,
  ) {}

  checkOrder(previous: SegmentFile | undefined, file: SegmentFile): void {
    const expected = previous ? previous.segment + 1 : 1
    if (file.segment !== expected && (previous || file.head?.previousSegment !== 0)) {
      this.#damage(null, `segment ${expected} is missing before segment ${file.segment}`)
    }
  }

  segment(file: SegmentFile, bytes: Buffer, last: boolean): void {
    this.#broken = file.head === null
    this.#corruptionEnd = 0
    this.#earliest = file.head?.flush ?? this.#highest + 1
    this.#complete = true
    this.#lookedAhead = false
    if (file.head && file.head.flush > this.#synced) this.#synced = file.head.flush
    const headWasSound = file.head !== null
    let counted = bytes.length
    for (const item of scanSegment(bytes, this.id, file.segment)) {
      if (item.kind === 'record') this.#record(file.segment, item, last)
      else if (last && headWasSound && this.#isTorn(file.segment, item, bytes)) {
        this.#torn = { segment: file.segment, offset: item.offset, reason: item.reason }
        counted = item.offset
        this.visit?.(file.segment, item)
        break
      } else this.#corrupt(file.segment, item, bytes)
      this.visit?.(file.segment, item)
    }
    if (!this.#torn) this.#checkEnd(file.segment, bytes.length, file.end, last && headWasSound)
    const restated = this.#tail.length > 0 && this.#corruptionEnd <= this.#tailStart
    this.#durableEnd = restated ? this.#tailStart : counted
    this.#segments.push({ segment: file.segment, end: counted, size: file.size })
  }

  result(): JournalScan {
    return {
      id: this.id,
      logs: this.#logs,
      segments: this.#segments,
      tail: this.#tail,
      torn: this.#torn,
      damaged: this.#damaged,
      harmless: this.#harmless,
      highestFlush: this.#highest,
      syncedFlush: this.#synced,
      records: this.#records,
      bytes: this.#segments.reduce((sum, segment) => sum + segment.end, 0),
      lastSegmentBroken: this.#broken,
      durableEnd: this.#durableEnd,
    }
  }

  #record(segment: number, item: ScanItem & { kind: 'record' }, last: boolean): void {
    const { header, offset, payload } = item
    this.#records++
    this.#see(header)
    if (this.#tail.length > 0 && header.syncedFlush > 0) this.#dropDurable()
    if (last && header.flush > this.#synced) {
      if (this.#tail.length === 0) this.#tailStart = offset
      this.#tail.push({
        type: header.type,
        space: header.space,
        payload,
        segment,
        offset,
      })
      this.#tailFlushes.push(header.flush)
    }
    this.#apply(segment, header, offset, payload)
  }

  #dropDurable(): void {
    if (this.#tailFlushes[0]! > this.#synced) return
    // Flushes ascend, so those that became durable come first.
    const first = this.#tailFlushes.findIndex((flush) => flush > this.#synced)
    const dropped = first < 0 ? this.#tail.length : first
    this.#tail.splice(0, dropped)
    this.#tailFlushes.splice(0, dropped)
    this.#tailStart = this.#tail[0]?.offset ?? 0
  }

  #see(header: RecordHeader): void {
    if (header.flush > this.#highest) this.#highest = header.flush
    if (header.syncedFlush > this.#synced) this.#synced = header.syncedFlush
    this.#complete = header.lastOfFlush
    this.#earliest = header.lastOfFlush ? header.flush + 1 : header.flush
  }

  #apply(segment: number, header: RecordHeader, offset: number, payload: Buffer): void {
    const space = header.space
    const place = `segment ${segment}, offset ${offset}`
    switch (header.type) {
      case 'entries':
      case 'epochStart': {
        const frame = peekFrame(payload)
        if (typeof frame !== 'string') this.#logs.recoverFrame(frame, segment, offset)
        else this.#damage(space, `${place}: ${frame}`)
        break
      }
      case 'truncate': {
        const truncation = readTruncation(payload)
        if (typeof truncation === 'string') this.#damage(space, `${place}: ${truncation}`)
        else this.#logs.recoverTruncation(space!, truncation.to, place)
        break
      }
      case 'spaceDropped':
        this.#logs.drop(space!)
        break
      case 'segment':
        break
      case 'confirm':
        for (const floor of readFloors(payload) ?? []) this.#logs.recoverFloor(floor, place)
        break
      case 'checkpoint':
      case 'snapshotInstalled':
        this.#damage(space, `${place}: records of type ${header.type} are not supported yet`)
    }
  }

  /** Whether it is above every flush known to be durable, also by later records. */
  #isTorn(segment: number, item: ScanItem & { kind: 'bad' }, bytes: Buffer): boolean {
    if (item.offset === 0) return false
    if (!this.#lookedAhead) {
      const synced = highestSynced(bytes, this.id, segment, item.offset)
      if (synced > this.#synced) this.#synced = synced
      this.#lookedAhead = true
    }
    return (item.header?.flush ?? this.#earliest) > this.#synced
  }

  #corrupt(segment: number, item: ScanItem & { kind: 'bad' }, bytes: Buffer): void {
    const reason = `segment ${segment}, offset ${item.offset}: ${item.reason}`
    this.#broken = true
    this.#corruptionEnd = item.end
    if (item.header) this.#see(item.header)
    else this.#complete = true
    if (item.offset === 0) {
      // A head says where the previous segment ends, and nothing about any space.
      if (item.end === SEGMENT_HEAD_BYTES) this.#harmless.push(reason)
      else this.#damage(null, reason)
      return
    }
    const isConfirm = item.header?.type === 'confirm'
    const space = isConfirm
      ? NOBODY
      : item.header
      ? item.header.space
      : spaceOfStretch(bytes, item.offset, item.end)
    if (space === NOBODY) this.#harmless.push(reason)
    else this.#damage(space, reason)
  }

  /** A file that is too short has lost its end without leaving a bad record. */
  #checkEnd(segment: number, got: number, end: number, mayBeTorn: boolean): void {
    const place = `segment ${segment}, offset ${got}`
    if (got < end) {
      this.#broken = true
      this.#damage(null, `${place}: ${end - got} bytes are missing`)
    } else if (!this.#complete) {
      if (mayBeTorn && this.#earliest > this.#synced) {
        this.#torn = { segment, offset: got, reason: 'the flush is not complete' }
      } else {
        this.#broken = true
        this.#damage(null, `${place}: the end of flush ${this.#earliest} is missing`)
      }
    }
  }

  #damage(uuid: string | null, reason: string): void {
    this.#damaged.push({ uuid, reason })
    this.logger.error({ uuid, reason }, 'the journal is damaged')
    if (uuid === null) this.#logs.damageAll(reason)
    else this.#logs.damage(uuid, reason)
  }
}
