/** Reads frames back: their places from memory or from index files, then the segments. */
import { crc32c } from '@node-rs/crc32'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import { EntriesGoneError } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import { partition } from '../../machines/base/partition.js'
import { readSafe } from '../codec/frameBytes.js'
import { peekFrame } from '../codec/frameLayout.js'
import { directorySpot, pagesOf, pageSpot, type PageSpot } from './indexFile.js'
import { IndexPages, IndexUnusableError } from './indexPages.js'
import type { SegmentLedger } from './ledger.js'
import { scanLedger } from './ledgerScan.js'
import type { Logs, SpaceLog } from './logs.js'
import type { DiskPart } from './parts.js'
import { Page, type Place, type PlaceList } from './places.js'
import { readRecordHeader, RECORD_HEADER_BYTES } from './record.js'
import { SegmentReaders } from './segment.js'

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

export interface FrameReaderOptions {
  readonly journal: string
  readonly directory: string
  readonly fileSystem: FileSystem
  readonly logger: Logger
  readonly logs: Logs
  readonly pause: () => Promise<void>
  /** Length of a closed segment; undefined: it is none. */
  readonly endOf: (segment: number) => number | undefined
  /** The index of that segment has to be written again. */
  readonly onUnusable: (ledger: SegmentLedger) => void
}

interface FramePlace extends Place {
  readonly segment: number
}

/** Pages that one read has loaded: it must not lose them to another one's. */
type HeldPages = Map<string, Buffer>

export class FrameReader {
  readonly #segments: SegmentReaders
  readonly #pages: IndexPages
  readonly #scans = new Map<number, Promise<string | null>>()

  constructor(private readonly options: FrameReaderOptions) {
    this.#segments = new SegmentReaders(options.fileSystem, options.directory)
    this.#pages = new IndexPages(options.fileSystem, options.directory)
  }

  /** Memory of pages of index files. */
  get memoryBytes(): number {
    return this.#pages.memoryBytes
  }

  /** See Journal.read. Throws JournalDamagedError, EntriesGoneError, FileSystemError. */
  async read(uuid: string, from: number, maxBytes: number): Promise<Frame[]> {
    const frames = await this.#ofPresent(uuid, async (log) => {
      const places = await this.#find(log, (held) => this.#gather(log, from, maxBytes, held))
      const found: Frame[] = []
      for (let i = 0; i < places.length;) {
        const run = runFrom(places, i)
        found.push(...await this.#readRun(log, run))
        i += run.length
      }
      return found
    })
    return frames ?? []
  }

  /** Whether a frame of the log begins there; its place may be in an index file. */
  async begins(uuid: string, sequence: number): Promise<boolean> {
    const places = await this.#ofPresent(uuid,
      (log) => this.#find(log, (held) => this.#gather(log, sequence, 1, held)))
    return places?.[0]?.first === sequence
  }

  /**
   * Returns what is read of the log; null: there is none. If it is replaced meanwhile, whatever was
   * found or failed is of the former one, and it begins again with the new one.
   */
  async #ofPresent<T>(uuid: string, read: (log: SpaceLog) => Promise<T>): Promise<T | null> {
    for (;;) {
      const log = this.options.logs.get(uuid)
      if (!log) return null
      try {
        const found = await read(log)
        if (this.#isPresent(log)) return found
      } catch (error) {
        if (this.#isPresent(log)) throw error
      }
    }
  }

  #isPresent(log: SpaceLog): boolean {
    return this.options.logs.get(log.uuid) === log
  }

  /** That segment is given up. */
  forget(segment: number): void {
    this.#segments.forget(segment)
    this.#pages.forget(segment)
  }

  /** The index of that segment is another file now, or none. */
  forgetIndex(segment: number): void {
    this.#pages.forget(segment)
  }

  close(): void {
    this.#segments.close()
    this.#pages.close()
  }

  /**
   * Calls `gather`, which takes one turn, so it sees the log as it is then; until no page is
   * missing.
   */
  async #find(
    log: SpaceLog,
    gather: (held: HeldPages) => FramePlace[] | PageSpot,
  ): Promise<FramePlace[]> {
    const held: HeldPages = new Map()
    for (;;) {
      const found = gather(held)
      if (Array.isArray(found)) return found
      try {
        held.set(keyOf(found), await this.#pages.load(found))
      } catch (error) {
        if (!(error instanceof IndexUnusableError)) throw error
        await this.#scanInstead(log, found.segment, error)
      }
    }
  }

  /** Places from the one that holds `from` on; or a page that is missing. */
  #gather(
    log: SpaceLog,
    from: number,
    maxBytes: number,
    held: HeldPages,
  ): FramePlace[] | PageSpot {
    const places: FramePlace[] = []
    if (from > log.end.sequence) return places
    if (from <= log.base) throw new EntriesGoneError(log.uuid, from, log.base + 1)
    let bytes = 0
    for (let part = Math.max(0, log.parts.find(from)); part < log.parts.length; part++) {
      const segment = log.parts.segmentOf(part)
      const last = log.lastOf(part)
      const disk = log.parts.diskOf(part)
      let page = disk && places.length === 0 ? this.#pageOf(segment, disk, from, held) : 0
      if (typeof page !== 'number') return page
      for (const pages = disk ? pagesOf(disk.count) : 1; page < pages; page++) {
        const list = disk
          ? this.#page(pageSpot(segment, disk, page), held)
          : this.options.logs.placesOf(log, part)
        if ('segment' in list) return list
        const begin = places.length === 0 ? Math.max(0, list.find(from)) : 0
        for (let i = begin; i < list.length; i++) {
          const place = list.at(i)
          if (place.first > last) break
          if (places.length > 0 && bytes + place.bytes > maxBytes) return places
          places.push({ ...place, segment })
          bytes += place.bytes
        }
      }
    }
    return places
  }

  /** The page that holds the sequence. */
  #pageOf(
    segment: number,
    disk: DiskPart,
    sequence: number,
    held: HeldPages,
  ): number | PageSpot {
    const spot = directorySpot(segment, disk)
    if (!spot) return 0
    const bytes = this.#pages.get(spot) ?? held.get(keyOf(spot))
    if (!bytes) return spot
    const before = partition(pagesOf(disk.count), (page) => readSafe(bytes, page * 8) <= sequence)
    return Math.max(0, before - 1)
  }

  #page(spot: PageSpot, held: HeldPages): PlaceList | PageSpot {
    const bytes = held.get(keyOf(spot)) ?? this.#pages.get(spot)
    return bytes ? new Page(bytes) : spot
  }

  /** The segment is what counts: its places are found again, and its index is written again. */
  async #scanInstead(
    log: SpaceLog,
    segment: number,
    cause: IndexUnusableError,
  ): Promise<void> {
    let scan = this.#scans.get(segment)
    if (!scan) {
      this.#scans.set(segment, scan = this.#scan(segment, cause))
      void scan.catch(() => null).then(() => this.#scans.delete(segment))
    }
    const reason = await scan ?? log.damageAtRest
    if (reason) throw damaged(log, reason)
  }

  /** Returns the fault found in the segment, or null. */
  async #scan(segment: number, cause: IndexUnusableError): Promise<string | null> {
    const { options } = this
    const end = options.endOf(segment)
    if (end === undefined) return null
    options.logger.warn({ segment, reason: cause.message },
      'the index of a journal segment cannot be used: the segment is read')
    const ledger = await scanLedger(options, segment, end)
    if (options.endOf(segment) === undefined) return null
    if (typeof ledger === 'string') return `segment ${segment}, ${ledger}`
    this.#pages.forget(segment)
    options.logs.moveToMemory(ledger)
    options.onUnusable(ledger)
    return null
  }

  async #readRun(log: SpaceLog, run: readonly FramePlace[]): Promise<Frame[]> {
    const { uuid } = log
    const { segment, offset } = run[0]!
    const last = run.at(-1)!
    const bytes = Buffer.allocUnsafe(last.offset + RECORD_HEADER_BYTES + last.bytes - offset)
    const got = await this.#segments.use(segment, (handle) => handle.read(bytes, offset))
      .catch((error: unknown) => {
        // Its file may be gone by now, or be closed.
        const { base } = log
        if (run[0]!.first > base) throw error
        throw new EntriesGoneError(uuid, run[0]!.first, base + 1)
      })
    return run.map((place) => {
      const frame = this.#check(uuid, place, bytes.subarray(0, got), place.offset - offset)
      if (typeof frame !== 'string') return frame
      throw damaged(log, `segment ${segment}, offset ${place.offset}: ${frame}`)
    })
  }

  #check(uuid: string, place: FramePlace, bytes: Buffer, at: number): Frame | string {
    const { journal } = this.options
    const header = readRecordHeader(bytes, at, journal, place.segment, place.offset)
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
}

function damaged(log: SpaceLog, reason: string): JournalDamagedError {
  log.damageAtRest ??= reason
  return new JournalDamagedError(`the log of space ${log.uuid} is damaged: ${reason}`)
}

function keyOf(spot: PageSpot): string {
  return `${spot.segment}/${spot.offset}`
}

/** Consecutive places from `i` on, close together in one segment. */
function runFrom(places: readonly FramePlace[], i: number): FramePlace[] {
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
