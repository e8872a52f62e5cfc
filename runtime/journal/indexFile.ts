/**
 * The index of a closed segment, in a file beside it: what a start needs instead of a scan, and
 * the places of the frames. It is derived data: a file with any fault is ignored, and written
 * again. Little-endian.
 *
 * | offset | bytes | field of the head |
 * |---|---|---|
 * | 0 | 4 | magic `EGJI` |
 * | 4 | 4 | format version |
 * | 8 | 16 | journal uuid |
 * | 24 | 4 | segment |
 * | 28 | 4 | length of the table, which follows the head |
 * | 32 | 8 | length of the segment |
 * | 40 | 8 | highest flush of the segment |
 * | 48 | 8 | number of its records |
 * | 56 | 8 | length of this file |
 * | 64 | 8 | reserved, 0 |
 * | 72 | 4 | CRC32C of the table |
 * | 76 | 4 | CRC32C of the head before this field |
 *
 * The table: number of spaces (4), then each space: uuid (16), time of the last entry (8), first
 * sequence with a place (8), number of places (4), their offset behind the table (4), number of
 * items (4), the items in order. An item: kind (1), then its numbers, 8 bytes each; or the length
 * (4) of a record's payload, and that.
 *
 * Places of a space: if they fill more than one page, a directory with the first sequence (8) of
 * each page, and its CRC32C; then the pages, each of up to 4,096 places and their CRC32C.
 */
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { FileSystemError, type FileHandle, type FileSystem } from '../../actors/ports/fileSystem.js'
import { readSafe, readUuid, writeSafe, writeUuid } from '../codec/frameBytes.js'
import { decodeCoverage, encodeCoverage } from './coverage.js'
import type { LedgerItem, SegmentLedger, SpaceLedger } from './ledger.js'
import type { DiskPart } from './parts.js'
import { PLACE_BYTES, type Places } from './places.js'

const MAGIC = Buffer.from('EGJI')
const VERSION = 1
export const INDEX_HEAD_BYTES = 80
export const INDEX_SUFFIX = '.index'
const SPACE_BYTES = 44
const CRC_BYTES = 4
export const PAGE_PLACES = 4096
/** A table longer than this is not read: it would not be a table. */
const TABLE_BYTES_MAX = 256 * 1024 * 1024

/** Stretch of an index file that is read, checked and kept as a whole. */
export interface PageSpot {
  readonly segment: number
  readonly offset: number
  /** Without the checksum that follows. */
  readonly bytes: number
}

export interface IndexedSpace {
  readonly uuid: string
  readonly timeMs: number
  readonly first: number
  readonly count: number
  readonly offset: number
  readonly items: readonly LedgerItem[]
}

export interface IndexTable {
  readonly highestFlush: number
  readonly records: number
  readonly spaces: readonly IndexedSpace[]
}

export function indexName(segment: number): string {
  return String(segment).padStart(10, '0') + INDEX_SUFFIX
}

/** Number of pages of so many places. */
export function pagesOf(count: number): number {
  return Math.ceil(count / PAGE_PLACES)
}

/** Bytes of all places of a space. */
export function blockBytes(count: number): number {
  const pages = pagesOf(count)
  const directory = pages > 1 ? pages * 8 + CRC_BYTES : 0
  return directory + count * PLACE_BYTES + pages * CRC_BYTES
}

/** The directory of these pages, or null: there is one page. */
export function directorySpot(segment: number, block: DiskPart): PageSpot | null {
  const pages = pagesOf(block.count)
  return pages > 1 ? { segment, offset: block.offset, bytes: pages * 8 } : null
}

export function pageSpot(segment: number, block: DiskPart, page: number): PageSpot {
  const pages = pagesOf(block.count)
  const directory = pages > 1 ? pages * 8 + CRC_BYTES : 0
  return {
    segment,
    offset: block.offset + directory + page * (PAGE_PLACES * PLACE_BYTES + CRC_BYTES),
    bytes: Math.min(PAGE_PLACES, block.count - page * PAGE_PLACES) * PLACE_BYTES,
  }
}

/** Checks what was read of a spot, checksum included. Null: it is not what was written. */
export function checkedPage(bytes: Buffer): Buffer | null {
  const body = bytes.subarray(0, bytes.length - CRC_BYTES)
  return bytes.readUInt32LE(body.length) === crc32c(body) ? body : null
}

/** Bytes to read for a spot. */
export function spotBytes(spot: PageSpot): number {
  return spot.bytes + CRC_BYTES
}

function sealed(body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(body.length + CRC_BYTES)
  body.copy(bytes)
  bytes.writeUInt32LE(crc32c(body), body.length)
  return bytes
}

/** The places of a space in pieces of at most one page. */
export function* encodeBlock(places: Places): Generator<Buffer, void, undefined> {
  const pages = pagesOf(places.length)
  if (pages > 1) {
    const directory = Buffer.alloc(pages * 8)
    for (let i = 0; i < pages; i++) writeSafe(directory, places.at(i * PAGE_PLACES).first, i * 8)
    yield sealed(directory)
  }
  for (let i = 0; i < places.length; i += PAGE_PLACES) {
    const end = Math.min(places.length, i + PAGE_PLACES)
    const page = Buffer.allocUnsafe((end - i) * PLACE_BYTES)
    places.encode(i, end, page, 0)
    yield sealed(page)
  }
}

const KINDS = ['run', 'truncate', 'floor', 'dropped', 'checkpoint', 'installed'] as const

function numbersOf(item: LedgerItem): number[] {
  switch (item.kind) {
    case 'run': {
      const { epoch, first, last, previousEpoch } = item.run
      return [epoch, first, last, previousEpoch, item.bytes]
    }
    case 'truncate':
      return [item.to.epoch, item.to.sequence]
    case 'floor':
      return [item.sequence]
    default:
      return []
  }
}

function encodeItem(uuid: string, item: LedgerItem): Buffer {
  if (item.kind === 'checkpoint' || item.kind === 'installed') {
    const payload = encodeCoverage(uuid, item.covers)
    const bytes = Buffer.alloc(5 + payload.length)
    bytes[0] = KINDS.indexOf(item.kind)
    bytes.writeUInt32LE(payload.length, 1)
    bytes.set(payload, 5)
    return bytes
  }
  const numbers = numbersOf(item)
  const bytes = Buffer.alloc(1 + numbers.length * 8)
  bytes[0] = KINDS.indexOf(item.kind)
  for (const [i, number] of numbers.entries()) writeSafe(bytes, number, 1 + i * 8)
  return bytes
}

/** The entry of a space in the table; `offset` is that of its places, from the table's end. */
export function encodeSpace(uuid: string, space: SpaceLedger, offset: number): Buffer {
  const items = space.items().map((item) => encodeItem(uuid, item))
  const { places, timeMs } = space
  const head = Buffer.alloc(SPACE_BYTES)
  writeUuid(head, uuid, 0)
  writeSafe(head, timeMs, 16)
  writeSafe(head, places.length > 0 ? places.at(0).first : 0, 24)
  head.writeUInt32LE(places.length, 32)
  head.writeUInt32LE(offset, 36)
  head.writeUInt32LE(items.length, 40)
  return Buffer.concat([head, ...items])
}

export function encodeIndexHead(
  journal: string,
  ledger: SegmentLedger,
  file: { readonly tableBytes: number; readonly tableCrc: number; readonly fileBytes: number },
): Buffer {
  const head = Buffer.alloc(INDEX_HEAD_BYTES)
  MAGIC.copy(head)
  head.writeUInt32LE(VERSION, 4)
  writeUuid(head, journal, 8)
  head.writeUInt32LE(ledger.segment, 24)
  head.writeUInt32LE(file.tableBytes, 28)
  writeSafe(head, ledger.end, 32)
  writeSafe(head, ledger.highestFlush, 40)
  writeSafe(head, ledger.records, 48)
  writeSafe(head, file.fileBytes, 56)
  head.writeUInt32LE(file.tableCrc, 72)
  head.writeUInt32LE(crc32c(head.subarray(0, 76)), 76)
  return head
}

/** Head and table of a segment's index. A string: why it cannot be used; null: there is none. */
export async function readIndex(
  fileSystem: FileSystem,
  directory: string,
  journal: string,
  segment: number,
  end: number,
): Promise<IndexTable | string | null> {
  let handle: FileHandle | undefined
  try {
    handle = await fileSystem.open(join(directory, indexName(segment)), 'read')
    return await readFrom(handle, journal, segment, end)
  } catch (error) {
    if (error instanceof FileSystemError && error.code === 'ENOENT') return null
    return (error as Error).message
  } finally {
    await handle?.close().catch(() => undefined)
  }
}

async function readFrom(
  handle: FileHandle,
  journal: string,
  segment: number,
  end: number,
): Promise<IndexTable | string> {
  const head = Buffer.alloc(INDEX_HEAD_BYTES)
  if (await handle.read(head, 0) < head.length) return 'its head is cut off'
  if (head.compare(MAGIC, 0, 4, 0, 4) !== 0) return 'no magic of an index'
  if (head.readUInt32LE(76) !== crc32c(head.subarray(0, 76))) return 'bad checksum of its head'
  const version = head.readUInt32LE(4)
  if (version !== VERSION) return `it has format version ${version}`
  if (readUuid(head, 8) !== journal) return 'it is of another journal'
  if (head.readUInt32LE(24) !== segment) return 'it is of another segment'
  if (readSafe(head, 32) !== end) return `it is of a segment of ${readSafe(head, 32)} bytes`
  if (readSafe(head, 56) !== await handle.size()) return 'it has another length'
  const table = Buffer.alloc(Math.min(head.readUInt32LE(28), TABLE_BYTES_MAX))
  if (await handle.read(table, INDEX_HEAD_BYTES) < table.length) return 'its table is cut off'
  if (head.readUInt32LE(72) !== crc32c(table)) return 'bad checksum of its table'
  const spaces = decode(table, INDEX_HEAD_BYTES + table.length)
  return { highestFlush: readSafe(head, 40), records: readSafe(head, 48), spaces }
}

/** Behind a checksum: a table of another shape is a defect, and throws. */
function decode(table: Buffer, end: number): IndexedSpace[] {
  const spaces: IndexedSpace[] = []
  let at = 4
  for (let left = table.readUInt32LE(0); left > 0; left--) {
    const items: LedgerItem[] = []
    let next = at + SPACE_BYTES
    for (let count = table.readUInt32LE(at + 40); count > 0; count--) {
      const [item, end] = readItem(table, next)
      items.push(item)
      next = end
    }
    spaces.push({
      uuid: readUuid(table, at),
      timeMs: readSafe(table, at + 16),
      first: readSafe(table, at + 24),
      count: table.readUInt32LE(at + 32),
      offset: end + table.readUInt32LE(at + 36),
      items,
    })
    at = next
  }
  return spaces
}

/** The item, and where the next one begins. */
function readItem(from: Buffer, at: number): [LedgerItem, number] {
  const number = (i: number): number => readSafe(from, at + 1 + i * 8)
  const kind = KINDS[from[at]!]
  switch (kind) {
    case 'run': {
      const run = { epoch: number(0), first: number(1), last: number(2), previousEpoch: number(3) }
      return [{ kind, run, bytes: number(4) }, at + 41]
    }
    case 'truncate':
      return [{ kind, to: { epoch: number(0), sequence: number(1) } }, at + 17]
    case 'floor':
      return [{ kind, sequence: number(0) }, at + 9]
    case 'dropped':
      return [{ kind }, at + 1]
    case 'checkpoint':
    case 'installed': {
      const end = at + 5 + from.readUInt32LE(at + 1)
      const covers = decodeCoverage(from.subarray(at + 5, end))
      if (typeof covers === 'string') throw new RangeError(covers)
      return [{ kind, covers }, end]
    }
    default:
      throw new RangeError(`item ${from[at]} of an index`)
  }
}
