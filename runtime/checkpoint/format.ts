/**
 * Layout of a checkpoint file, version 1: header, blocks, trailer. Little-endian.
 *
 * Header, 64 bytes:
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | magic `EGCK` |
 * | 4 | 1 | format version |
 * | 5 | 1 | version of the store's records |
 * | 6 | 2 | flags: none yet |
 * | 8 | 16 | id, random |
 * | 24 | 16 | id of the disk where it was written |
 * | 40 | 4 | its number there |
 * | 44 | 4 | number of its first block: 0, unless it is a section out of a larger file |
 * | 48 | 8 | when it was written, ms since 1970 |
 * | 56 | 4 | number of its first section, likewise |
 * | 60 | 4 | CRC32C of the header before this field |
 *
 * Block, 32 bytes and its payload:
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | magic `EGCB` |
 * | 4 | 1 | type |
 * | 5 | 3 | zeros |
 * | 8 | 4 | section; that after the last one for the footer |
 * | 12 | 4 | number of the block |
 * | 16 | 4 | first bytes of the id |
 * | 20 | 4 | length of the payload |
 * | 24 | 4 | CRC32C of the payload |
 * | 28 | 4 | CRC32C of the block's header before this field |
 *
 * Trailer, 16 bytes: offset (8) and length (4) of the footer block, magic `EGCF`.
 *
 * Magic, version and checksum of the header keep their places in every later version. Number and id
 * bind a block to its place and file.
 */
import { crc32c } from '@node-rs/crc32'
import { isSafe, readSafe, readUuid, writeSafe, writeUuid } from '../codec/frameBytes.js'

export const FORMAT_VERSION = 1
export const FILE_HEADER_BYTES = 64
export const BLOCK_HEADER_BYTES = 32
export const TRAILER_BYTES = 16
/** One record of the greatest size, and a footer of all sections, have room. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024

const FILE_MAGIC = Buffer.from('EGCK')
const BLOCK_MAGIC = Buffer.from('EGCB')
const TRAILER_MAGIC = Buffer.from('EGCF')

export const BlockType = { manifest: 1, records: 2, end: 3, footer: 4 } as const
export type BlockType = (typeof BlockType)[keyof typeof BlockType]

export interface FileHeader {
  readonly recordsVersion: number
  /** Uuids. */
  readonly id: string
  readonly disk: string
  readonly number: number
  readonly firstBlock: number
  readonly firstSection: number
  readonly writtenAtMs: number
}

export interface BlockHeader {
  readonly type: number
  readonly section: number
  readonly block: number
  readonly payloadBytes: number
  readonly payloadCrc: number
}

/** A file of a later version. */
export interface LaterVersion {
  readonly later: string
}

export function encodeFileHeader(header: FileHeader): Buffer {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  FILE_MAGIC.copy(bytes)
  bytes[4] = FORMAT_VERSION
  bytes[5] = header.recordsVersion
  writeUuid(bytes, header.id, 8)
  writeUuid(bytes, header.disk, 24)
  bytes.writeUInt32LE(header.number, 40)
  bytes.writeUInt32LE(header.firstBlock, 44)
  writeSafe(bytes, header.writtenAtMs, 48)
  bytes.writeUInt32LE(header.firstSection, 56)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60)), 60)
  return bytes
}

/** A text: what is wrong with it. `recordsVersion`: the one that this program reads. */
export function decodeFileHeader(
  bytes: Buffer,
  recordsVersion: number,
): FileHeader | LaterVersion | string {
  if (bytes.length < FILE_HEADER_BYTES) return 'its head is cut off'
  if (bytes.compare(FILE_MAGIC, 0, 4, 0, 4) !== 0) return 'its head is not that of a checkpoint'
  if (crc32c(bytes.subarray(0, 60)) !== bytes.readUInt32LE(60)) {
    return 'its head has a wrong checksum'
  }
  const version = bytes[4]!
  if (version > FORMAT_VERSION) {
    return { later: `it has format ${version}, this one reads up to ${FORMAT_VERSION}` }
  }
  const records = bytes[5]!
  if (records > recordsVersion) {
    return { later: `it has records of version ${records}, this one reads ${recordsVersion}` }
  }
  if (version < 1 || records < recordsVersion) return 'its head has a version that never was'
  const writtenAtMs = readSafe(bytes, 48)
  if (!isSafe(writtenAtMs)) return 'its head makes no sense'
  return {
    recordsVersion: records,
    id: readUuid(bytes, 8),
    disk: readUuid(bytes, 24),
    number: bytes.readUInt32LE(40),
    firstBlock: bytes.readUInt32LE(44),
    firstSection: bytes.readUInt32LE(56),
    writtenAtMs,
  }
}

export function encodeBlockHeader(header: BlockHeader, id: string): Buffer {
  const bytes = Buffer.alloc(BLOCK_HEADER_BYTES)
  BLOCK_MAGIC.copy(bytes)
  bytes[4] = header.type
  bytes.writeUInt32LE(header.section, 8)
  bytes.writeUInt32LE(header.block, 12)
  bytes.write(id, 16, 4, 'hex')
  bytes.writeUInt32LE(header.payloadBytes, 20)
  bytes.writeUInt32LE(header.payloadCrc, 24)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 28)), 28)
  return bytes
}

/** A text: what is wrong with it. */
export function decodeBlockHeader(bytes: Buffer, at: number, id: string): BlockHeader | string {
  if (bytes.compare(BLOCK_MAGIC, 0, 4, at, at + 4) !== 0) return 'is not there'
  if (crc32c(bytes.subarray(at, at + 28)) !== bytes.readUInt32LE(at + 28)) {
    return 'has a wrong checksum of its head'
  }
  if (bytes.toString('hex', at + 16, at + 20) !== id.slice(0, 8)) return 'is of another file'
  const payloadBytes = bytes.readUInt32LE(at + 20)
  if (payloadBytes > PAYLOAD_BYTES_MAX) return 'has an impossible length'
  return {
    type: bytes[at + 4]!,
    section: bytes.readUInt32LE(at + 8),
    block: bytes.readUInt32LE(at + 12),
    payloadBytes,
    payloadCrc: bytes.readUInt32LE(at + 24),
  }
}

/** Place of the footer's block, with its header. */
export interface FooterPlace {
  readonly offset: number
  readonly bytes: number
}

export function encodeTrailer({ offset, bytes }: FooterPlace): Buffer {
  const trailer = Buffer.alloc(TRAILER_BYTES)
  writeSafe(trailer, offset, 0)
  trailer.writeUInt32LE(bytes, 8)
  TRAILER_MAGIC.copy(trailer, 12)
  return trailer
}

/** The trailer is the end of a file of `size` bytes. A text: what is wrong with it. */
export function decodeTrailer(trailer: Buffer, size: number): FooterPlace | string {
  if (trailer.compare(TRAILER_MAGIC, 0, 4, 12, 16) !== 0) return 'its end is missing'
  const offset = readSafe(trailer, 0)
  const bytes = trailer.readUInt32LE(8)
  const isPlace = isSafe(offset) && offset >= FILE_HEADER_BYTES && bytes >= BLOCK_HEADER_BYTES
    && bytes <= BLOCK_HEADER_BYTES + PAYLOAD_BYTES_MAX && offset + bytes + TRAILER_BYTES === size
  return isPlace ? { offset, bytes } : 'its end names a wrong place'
}
