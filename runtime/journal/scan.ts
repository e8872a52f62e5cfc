/** Walks a segment's bytes: records, and stretches that are not. Pure. */
import { crc32c } from '@node-rs/crc32'
import { asBuffer } from '../codec/frameBytes.js'
import { parseFrame } from '../codec/frames.js'
import { spaceOfCoverage } from './coverage.js'
import { readFloors, readRecordHeader, readRetained, RECORD_HEADER_BYTES, RECORD_MAGIC,
  type RecordHeader } from './record.js'

export type ScanItem =
  | {
    readonly kind: 'record'
    readonly header: RecordHeader
    readonly offset: number
    readonly end: number
    /** A view. */
    readonly payload: Buffer
  }
  | {
    readonly kind: 'bad'
    readonly offset: number
    /** Offset of the next record, or the end of the bytes. */
    readonly end: number
    readonly reason: string
    /** Sound if only the payload is bad. */
    readonly header: RecordHeader | null
  }

/**
 * Everything from `start` on, in order, without gaps. After a broken header it looks for the next
 * sound one (magic, checksum, journal, segment, and its own offset); after a broken payload it goes
 * on behind it. Throws only JournalVersionError.
 */
export function* scanSegment(
  bytes: Buffer,
  journal: string,
  segment: number,
  start = 0,
): Generator<ScanItem, void, undefined> {
  let offset = start
  while (offset < bytes.length) {
    const item = scanOne(bytes, journal, segment, offset)
    yield item
    offset = item.end
  }
}

function scanOne(bytes: Buffer, journal: string, segment: number, offset: number): ScanItem {
  const header = readRecordHeader(bytes, offset, journal, segment, offset)
  if (typeof header === 'string') {
    const end = resynchronise(bytes, journal, segment, offset + 1)
    return { kind: 'bad', offset, end, reason: header, header: null }
  }
  const end = offset + RECORD_HEADER_BYTES + header.payloadBytes
  if (end > bytes.length) {
    return { kind: 'bad', offset, end: bytes.length, reason: 'the payload is cut off', header }
  }
  const payload = bytes.subarray(offset + RECORD_HEADER_BYTES, end)
  if (crc32c(payload) !== header.payloadCrc) {
    return { kind: 'bad', offset, end, reason: 'bad checksum of the payload', header }
  }
  return { kind: 'record', header, offset, end, payload }
}

/** Offset of the next sound record header; the end of the bytes if there is none. */
function resynchronise(bytes: Buffer, journal: string, segment: number, from: number): number {
  for (let at = bytes.indexOf(RECORD_MAGIC, from); at >= 0;
    at = bytes.indexOf(RECORD_MAGIC, at + 1))
  {
    if (typeof readRecordHeader(bytes, at, journal, segment, at) !== 'string') return at
  }
  return bytes.length
}

/** The highest flush that a record from `start` on says is durable. */
export function highestSynced(
  bytes: Buffer,
  journal: string,
  segment: number,
  start: number,
): number {
  let highest = 0
  for (const { header } of scanSegment(bytes, journal, segment, start)) {
    if (header && header.syncedFlush > highest) highest = header.syncedFlush
  }
  return highest
}

/**
 * The space of a stretch without a sound header. It is known if exactly one frame, or one record of
 * checkpoints, follows the broken header; `nobody` if the record can only have been one of no
 * space; null if it is unknown.
 */
export function spaceOfStretch(bytes: Buffer, offset: number, end: number): string | null {
  if (end - offset === RECORD_HEADER_BYTES) return NOBODY
  const payload = bytes.subarray(offset + RECORD_HEADER_BYTES, end)
  if (readFloors(payload) !== null || typeof readRetained(payload) === 'number') return NOBODY
  const space = spaceOfCoverage(payload)
  if (space !== null) return space
  const frame = parseFrame(asBuffer(payload))
  return typeof frame === 'string' ? null : frame.uuid
}

export const NOBODY = 'nobody'
