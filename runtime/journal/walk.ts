/** Walks the segments of a journal: what is whole, torn, or damaged. Changes nothing. */
import type { Logger } from '../../actors/ports/system.js'
import { peekFrame } from '../codec/frameLayout.js'
import { decodeCoverage } from './coverage.js'
import type { IndexTable } from './indexFile.js'
import type { SegmentLedger } from './ledger.js'
import { Logs } from './logs.js'
import { readFloors, readTruncation, type RecordHeader, type RecordPart } from './record.js'
import { highestSynced, NOBODY, scanSegment, spaceOfStretch, type ScanItem } from './scan.js'
import { SEGMENT_HEAD_BYTES, type SegmentHead } from './segment.js'

/** A record, and where it is. */
export interface TailRecord extends RecordPart {
  readonly payload: Buffer
  readonly segment: number
  readonly offset: number
  readonly flush: number
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
  /** Not in `logs` yet: `openJournal` restates them, and they are there then. */
  readonly tail: readonly TailRecord[]
  readonly torn: Torn | null
  readonly damaged: readonly Damage[]
  /** Segments below it were given up. */
  readonly firstSegment: number
  /** Segments that were given up, and whose files are still there. Not read. */
  readonly leftOver: readonly number[]
  /** Broken records that no space depends on. */
  readonly harmless: readonly string[]
  readonly highestFlush: number
  readonly syncedFlush: number
  readonly records: number
  readonly bytes: number
  /** Number of segments that were read, and not only their index. */
  readonly segmentsRead: number
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

/** A record that may not be durable yet. */
interface Pending {
  readonly record: TailRecord
  /** It counts where it is: something broken comes after it. */
  isTaken: boolean
}

/** Gives the record to its log. Returns the fault found in it, or null. */
export function takeRecord(logs: Logs, record: TailRecord): string | null {
  const { space, payload, segment, offset } = record
  const place = `segment ${segment}, offset ${offset}`
  const { current } = logs
  current.records++
  current.highestFlush = Math.max(current.highestFlush, record.flush)
  switch (record.type) {
    case 'entries':
    case 'epochStart': {
      const frame = peekFrame(payload)
      if (typeof frame === 'string') return `${place}: ${frame}`
      logs.recoverFrame(frame, offset)
      return null
    }
    case 'truncate': {
      const truncation = readTruncation(payload)
      if (typeof truncation === 'string') return `${place}: ${truncation}`
      logs.recoverTruncation(space!, truncation.to, place)
      return null
    }
    case 'spaceDropped':
      logs.drop(space!)
      return null
    case 'segment':
    case 'retained':
      return null
    case 'confirm':
      for (const floor of readFloors(payload) ?? []) logs.recoverFloor(floor, place)
      return null
    case 'checkpoint':
    case 'snapshotInstalled': {
      const covers = decodeCoverage(payload)
      if (typeof covers === 'string') return `${place}: ${covers}`
      if (record.type === 'checkpoint') logs.recoverCoverage(space!, covers, place)
      else logs.install(space!, covers)
      return null
    }
  }
}

/** Takes the segments in order. */
export class Walk {
  readonly #logs = new Logs()
  readonly #segments: SegmentExtent[] = []
  readonly #damaged: Damage[] = []
  readonly #harmless: string[] = []
  readonly #tail: Pending[] = []
  #torn: Torn | null = null
  #synced = 0
  #highest = 0
  #records = 0
  #segmentsRead = 0
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

  get logs(): Logs {
    return this.#logs
  }

  /** `firstSegment`: those below it were given up. */
  checkOrder(previous: SegmentFile | undefined, file: SegmentFile, firstSegment: number): void {
    const expected = previous ? previous.segment + 1 : firstSegment
    if (file.segment !== expected && (previous || file.head?.previousSegment !== 0)) {
      this.#damage(null, `segment ${expected} is missing before segment ${file.segment}`)
    }
  }

  /** Takes a closed segment by its index. False: it has to be read. */
  index(file: SegmentFile, table: IndexTable): boolean {
    if (!this.#logs.recoverIndex(file.segment, table)) return false
    this.#synced = Math.max(this.#synced, file.head?.flush ?? 0)
    this.#highest = Math.max(this.#highest, table.highestFlush)
    this.#records += table.records
    this.#segments.push({ segment: file.segment, end: file.end, size: file.size })
    return true
  }

  segment(file: SegmentFile, bytes: Buffer, last: boolean): SegmentLedger {
    const ledger = this.#logs.begin(file.segment)
    this.#segmentsRead++
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
    if (!restated) this.#takeTail()
    this.#durableEnd = restated ? this.#tailStart : counted
    ledger.end = this.#durableEnd
    ledger.isWhole &&= !this.#broken
    this.#segments.push({ segment: file.segment, end: counted, size: file.size })
    return ledger
  }

  result(firstSegment: number, leftOver: readonly number[]): JournalScan {
    return {
      id: this.id,
      logs: this.#logs,
      segments: this.#segments,
      tail: this.#tail.map(({ record }) => record),
      torn: this.#torn,
      damaged: this.#damaged,
      firstSegment,
      leftOver,
      harmless: this.#harmless,
      highestFlush: this.#highest,
      syncedFlush: this.#synced,
      records: this.#records,
      bytes: this.#segments.reduce((sum, segment) => sum + segment.end, 0),
      segmentsRead: this.#segmentsRead,
      lastSegmentBroken: this.#broken,
      durableEnd: this.#durableEnd,
    }
  }

  #record(segment: number, item: ScanItem & { kind: 'record' }, last: boolean): void {
    const { header, offset, payload } = item
    this.#records++
    this.#see(header)
    if (this.#tail.length > 0 && header.syncedFlush > 0) this.#dropDurable()
    const { type, space, flush } = header
    const record = { type, space, payload, segment, offset, flush }
    if (last && flush > this.#synced) {
      if (this.#tail.length === 0) this.#tailStart = offset
      this.#tail.push({ record, isTaken: false })
    } else this.#take(record)
  }

  #dropDurable(): void {
    if (this.#tail[0]!.record.flush > this.#synced) return
    // Flushes ascend, so those that became durable come first.
    const first = this.#tail.findIndex(({ record }) => record.flush > this.#synced)
    const dropped = this.#tail.splice(0, first < 0 ? this.#tail.length : first)
    for (const { record, isTaken } of dropped) if (!isTaken) this.#take(record)
    this.#tailStart = this.#tail[0]?.record.offset ?? 0
  }

  /** Where the originals stay in force, they count where they are. */
  #takeTail(): void {
    for (const pending of this.#tail) {
      if (!pending.isTaken) this.#take(pending.record)
      pending.isTaken = true
    }
  }

  #take(record: TailRecord): void {
    const fault = takeRecord(this.#logs, record)
    if (fault) this.#damage(record.space, fault)
  }

  #see(header: RecordHeader): void {
    if (header.flush > this.#highest) this.#highest = header.flush
    if (header.syncedFlush > this.#synced) this.#synced = header.syncedFlush
    this.#complete = header.lastOfFlush
    this.#earliest = header.lastOfFlush ? header.flush + 1 : header.flush
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
    this.#takeTail()
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
    const { type } = item.header ?? {}
    const space = type === 'confirm' || type === 'retained'
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
    this.#logs.damage(uuid, reason)
  }
}
