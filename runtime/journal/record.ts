/**
 * Layout of a journal record: a header of 80 bytes, then the payload. Little-endian.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | magic `EGJR` |
 * | 4 | 1 | format version |
 * | 5 | 1 | type |
 * | 6 | 2 | flags: 1 = last record of its flush |
 * | 8 | 16 | journal uuid |
 * | 24 | 16 | space uuid, zeros when the record is about no space |
 * | 40 | 4 | segment number |
 * | 44 | 4 | length of the payload |
 * | 48 | 8 | offset of this record in the segment |
 * | 56 | 8 | flush number |
 * | 64 | 8 | synced flush: the highest flush known to be durable when this was written |
 * | 72 | 4 | CRC32C of the payload |
 * | 76 | 4 | CRC32C of the header before this field |
 *
 * Magic, version and checksum of the header keep their places in every later version, so that an
 * older node can distinguish a newer journal from a broken one. Place and journal uuid keep content
 * that looks like a record from being taken for one. The synced flush distinguishes a torn write
 * from corruption: everything at or below it was durable once.
 *
 * Version 2 marks the records without which the journal means something else, so that a program
 * that knows only version 1 refuses it: those of checkpoints, and of segments that were given up.
 * All others have version 1.
 */
import { decode, encode } from '@msgpack/msgpack'
import { crc32c } from '@node-rs/crc32'
import type { CommitFloor, JournalRecord } from '../../actors/ports/journal.js'
import type { Position } from '../../machines/base/ids.js'
import { encodeCoverage } from './coverage.js'
import { isSafe, readSafe, readUuid, writeSafe, writeUuid } from '../codec/frameBytes.js'

export const RECORD_MAGIC = Buffer.from('EGJR')
const RECORD_VERSION_PLAIN = 1
export const RECORD_VERSION = 2
export const RECORD_HEADER_BYTES = 80
const LAST_OF_FLUSH = 1
const NO_SPACE = '00000000-0000-0000-0000-000000000000'

/** Types on disk. */
export const RecordType = {
  segment: 1,
  entries: 2,
  epochStart: 3,
  truncate: 4,
  checkpoint: 5,
  confirm: 6,
  snapshotInstalled: 7,
  spaceDropped: 8,
  retained: 9,
} as const
export type RecordTypeName = keyof typeof RecordType

function versionOf(type: RecordTypeName): number {
  return type === 'checkpoint' || type === 'snapshotInstalled' || type === 'retained'
    ? RECORD_VERSION
    : RECORD_VERSION_PLAIN
}

const names = new Map<number, RecordTypeName>(
  Object.entries(RecordType).map(([name, code]) => [code, name as RecordTypeName]),
)

export interface RecordHeader {
  readonly type: RecordTypeName
  readonly lastOfFlush: boolean
  readonly space: string | null
  readonly segment: number
  readonly offset: number
  readonly flush: number
  readonly syncedFlush: number
  readonly payloadBytes: number
  readonly payloadCrc: number
}

/** The journal was written by a newer version. It is not broken, but this node cannot use it. */
export class JournalVersionError extends Error {
  readonly code = 'JOURNAL_VERSION'
  constructor(message: string) {
    super(message)
    this.name = 'JournalVersionError'
  }
}

/** A record without its place. */
export interface RecordPart {
  readonly type: RecordTypeName
  readonly space: string | null
  readonly payload: Uint8Array
}

/** Place of a flush. */
export interface FlushPlace {
  readonly journal: string
  readonly segment: number
  readonly offset: number
  readonly flush: number
  readonly syncedFlush: number
}

const EMPTY = new Uint8Array(0)

export function partOf(record: JournalRecord): RecordPart {
  switch (record.type) {
    case 'frame':
      return { type: record.frame.kind, space: record.frame.uuid, payload: record.frame.bytes }
    case 'truncate': {
      const { epoch, sequence } = record.to
      const payload = encode({ epoch, sequence, salvage: record.salvage })
      return { type: 'truncate', space: record.uuid, payload }
    }
    case 'confirm':
      return { type: 'confirm', space: null, payload: encodeFloors(record.floors ?? []) }
    case 'spaceDropped': {
      // Not empty, so that a broken record of 80 bytes can only have been a confirm.
      const payload = Buffer.alloc(16)
      writeUuid(payload, record.uuid, 0)
      return { type: 'spaceDropped', space: record.uuid, payload }
    }
    case 'checkpoint':
    case 'snapshotInstalled':
      return {
        type: record.type,
        space: record.uuid,
        payload: encodeCoverage(record.uuid, record.covers),
      }
  }
}

/** The bytes with which a record of that type begins. */
export function recordStart(type: RecordTypeName): Buffer {
  return Buffer.concat([RECORD_MAGIC, Buffer.of(versionOf(type), RecordType[type])])
}

/** Records with which each segment begins, behind its head. */
export function firstParts(firstSegment: number): RecordPart[] {
  return firstSegment > 1 ? [retainedPart(firstSegment)] : []
}

/** Segments below it were given up. */
export function retainedPart(firstSegment: number): RecordPart {
  const payload = Buffer.alloc(8)
  writeSafe(payload, firstSegment, 0)
  return { type: 'retained', space: null, payload }
}

/** Returns the first segment that was retained; a string is the fault found. */
export function readRetained(payload: Buffer): number | string {
  const firstSegment = payload.length === 8 ? readSafe(payload, 0) : 0
  return firstSegment > 0 ? firstSegment : 'a record of no segment that is retained'
}

export function recordBytes(part: RecordPart): number {
  return RECORD_HEADER_BYTES + part.payload.length
}

/** Writes the header of one record; `offset` is its place in the segment. */
export function writeRecordHeader(
  into: Buffer,
  at: number,
  part: RecordPart,
  place: FlushPlace,
  offset: number,
  last: boolean,
): void {
  RECORD_MAGIC.copy(into, at)
  into[at + 4] = versionOf(part.type)
  into[at + 5] = RecordType[part.type]
  into.writeUInt16LE(last ? LAST_OF_FLUSH : 0, at + 6)
  writeUuid(into, place.journal, at + 8)
  writeUuid(into, part.space ?? NO_SPACE, at + 24)
  into.writeUInt32LE(place.segment, at + 40)
  into.writeUInt32LE(part.payload.length, at + 44)
  writeSafe(into, offset, at + 48)
  writeSafe(into, place.flush, at + 56)
  writeSafe(into, place.syncedFlush, at + 64)
  into.writeUInt32LE(crc32c(part.payload), at + 72)
  into.writeUInt32LE(crc32c(into.subarray(at, at + 76)), at + 76)
}

/** Small flushes go into one buffer: one write of it costs less than a writev of many. */
const COALESCE_BYTES_MAX = 256 * 1024

/**
 * The bytes of one flush. With `scratch` small flushes are put there, to be written before the
 * next call; otherwise payloads are not copied.
 */
export function encodeFlush(
  parts: readonly RecordPart[],
  place: FlushPlace,
  scratch?: Buffer,
): { buffers: Uint8Array[]; bytes: number } {
  let bytes = 0
  for (const part of parts) bytes += recordBytes(part)
  const together = scratch !== undefined && bytes <= scratch.length
  const target = together ? scratch : Buffer.allocUnsafe(parts.length * RECORD_HEADER_BYTES)
  const buffers: Uint8Array[] = together ? [target.subarray(0, bytes)] : []
  let at = 0
  let offset = place.offset
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!
    writeRecordHeader(target, at, part, place, offset, i === parts.length - 1)
    if (together) target.set(part.payload, at + RECORD_HEADER_BYTES)
    else buffers.push(target.subarray(at, at + RECORD_HEADER_BYTES), part.payload)
    at += together ? recordBytes(part) : RECORD_HEADER_BYTES
    offset += recordBytes(part)
  }
  return { buffers, bytes }
}

export function flushScratch(): Buffer {
  return Buffer.allocUnsafe(COALESCE_BYTES_MAX)
}

/**
 * Reads the header at `at`. A string is the fault found. Never throws on broken bytes, but throws
 * JournalVersionError for a sound header of a later version. `journal` null: any journal.
 */
export function readRecordHeader(
  b: Buffer,
  at: number,
  journal: string | null,
  segment: number,
  offset: number,
): RecordHeader | string {
  if (at + RECORD_HEADER_BYTES > b.length) return 'the record header is cut off'
  if (b.compare(RECORD_MAGIC, 0, 4, at, at + 4) !== 0) return 'no record magic'
  if (b.readUInt32LE(at + 76) !== crc32c(b.subarray(at, at + 76))) {
    return 'bad checksum of the record header'
  }
  const version = b[at + 4]!
  if (version > RECORD_VERSION) {
    throw new JournalVersionError(`segment ${segment}, offset ${offset}: journal format version `
      + `${version}; this node understands up to ${RECORD_VERSION}: start a newer engram on it`)
  }
  const type = names.get(b[at + 5]!)
  if (!type || version !== versionOf(type))
    return `unknown record type ${b[at + 5]} of version ${version}`
  if (journal !== null && readUuid(b, at + 8) !== journal) return 'a record of another journal'
  if (b.readUInt32LE(at + 40) !== segment) return 'a record of another segment'
  if (readSafe(b, at + 48) !== offset) return 'a record of another place'
  const flush = readSafe(b, at + 56)
  const syncedFlush = readSafe(b, at + 64)
  if (flush < 1 || syncedFlush < 0 || syncedFlush >= flush) return 'impossible flush numbers'
  const space = readUuid(b, at + 24)
  return {
    type,
    segment,
    offset,
    flush,
    syncedFlush,
    lastOfFlush: (b.readUInt16LE(at + 6) & LAST_OF_FLUSH) !== 0,
    space: space === NO_SPACE ? null : space,
    payloadBytes: b.readUInt32LE(at + 44),
    payloadCrc: b.readUInt32LE(at + 72),
  }
}

export function journalOfHeader(b: Buffer, at: number): string {
  return readUuid(b, at + 8)
}

export interface Truncation {
  readonly to: Position
  readonly salvage: string
}

/** A string is the fault found. */
export function readTruncation(payload: Uint8Array): Truncation | string {
  try {
    const value = decode(payload) as { epoch: unknown; sequence: unknown; salvage: unknown }
    const { epoch, sequence, salvage } = value
    if (!isSafe(epoch) || !isSafe(sequence)) return 'a truncation to no position'
    return { to: { epoch, sequence }, salvage: String(salvage) }
  } catch (error) {
    return `a truncation that does not decode: ${(error as Error).message}`
  }
}

const FLOORS_MAGIC = Buffer.from('EGFL')
const FLOOR_BYTES = 24

/** The magic, then uuid and sequence of each; empty if there are none. */
function encodeFloors(floors: readonly CommitFloor[]): Uint8Array {
  if (floors.length === 0) return EMPTY
  const payload = Buffer.alloc(FLOORS_MAGIC.length + floors.length * FLOOR_BYTES)
  FLOORS_MAGIC.copy(payload)
  let at = FLOORS_MAGIC.length
  for (const { uuid, sequence } of floors) {
    writeUuid(payload, uuid, at)
    writeSafe(payload, sequence, at + 16)
    at += FLOOR_BYTES
  }
  return payload
}

/** Null if the payload is not that of a confirm record. */
export function readFloors(payload: Buffer): CommitFloor[] | null {
  if (payload.length === 0) return []
  const bytes = payload.length - FLOORS_MAGIC.length
  if (bytes <= 0 || bytes % FLOOR_BYTES !== 0) return null
  if (!payload.subarray(0, FLOORS_MAGIC.length).equals(FLOORS_MAGIC)) return null
  const floors: CommitFloor[] = []
  for (let at = FLOORS_MAGIC.length; at < payload.length; at += FLOOR_BYTES) {
    floors.push({ uuid: readUuid(payload, at), sequence: readSafe(payload, at + 16) })
  }
  return floors
}
