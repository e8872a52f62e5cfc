/**
 * Layout of a frame. The checksum comes right after the magic, so that it covers the
 * version, kind and flags as well. All integers are little-endian.
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 4 | magic `EGFR` |
 * | 4 | 4 | CRC32C of all that follows |
 * | 8 | 1 | format version, see below |
 * | 9 | 1 | kind: 1 entries, 2 epochStart |
 * | 10 | 2 | flags, 0 |
 * | 12 | 4 | total length in bytes |
 * | 16 | 16 | space uuid |
 * | 32 | 8 | epoch |
 * | 40 | 8 | first sequence |
 * | 48 | 8 | previous epoch |
 * | 56 | 8 | base timestamp, ms since 1970 |
 * | 64 | 4 | count of entries |
 * | 68 | 4 | length of the origin |
 * | 72 |   | origin: MessagePack map {node, clock}: the clock before the first entry, and its |
 * |    |   | component that counts the entries (machines/log/vectorClock.ts) |
 * |    |   | entries |
 *
 * An entry: length of the rest (4), timestamp minus base (6), operations of the request on its
 * first entry, else 0 (2), length of the key or 0xffff for none (2), key, operation as encoded
 * (operation.ts).
 *
 * Version 2 marks frames that members which know only version 1 cannot understand, and so refuse:
 * those with an entry of tag 2. All others have version 1, so that a cluster can be upgraded node
 * by node, failovers included, as long as no fork is reconciled.
 */
import { Decoder, Encoder } from '@msgpack/msgpack'
import { crc32c } from '@node-rs/crc32'
import type { Frame } from '../../actors/ports/frames.js'
import { asBuffer, isSafe, readSafe, readUuid } from './frameBytes.js'
import { FORK_TAG, JSON_TAG } from './operation.js'

export const FRAME_MAGIC = 0x52464745
export const FRAME_VERSION_PLAIN = 1
export const FRAME_VERSION_FORK = 2
export const FRAME_HEADER_BYTES = 72
/** The default max_payload of NATS; builders are sealed at half of it. */
export const FRAME_BYTES_MAX = 1024 * 1024
export const ENTRY_HEADER_BYTES = 14
export const NO_KEY = 0xffff
export const KIND_ENTRIES = 1
export const KIND_EPOCH_START = 2

const NODE_BYTES_MAX = 256
const CLOCK_NODES_MAX = 1024

/** Origin of a frame's entries: their writer, and the vector clock before the first of them. */
export interface Origin {
  /** Component of the clock: `n1`, or `n1@3`. */
  readonly node: string
  readonly clock: Readonly<Record<string, number>>
}

const encoder = new Encoder()
// Bounds come before memory: a length in hostile bytes never sizes an allocation.
const decoder = new Decoder({
  maxStrLength: NODE_BYTES_MAX,
  maxMapLength: CLOCK_NODES_MAX,
  maxArrayLength: 0,
  maxBinLength: 0,
  maxExtLength: 0,
})

export function encodeOrigin(origin: Origin): Uint8Array {
  const reason = refuseOrigin(origin)
  if (reason) throw new RangeError(`bug: ${reason}`)
  return encoder.encodeSharedRef({ node: origin.node, clock: origin.clock })
}

/** Earlier count of the component; own properties only, since a node may be called `valueOf`. */
export function componentOf(origin: Origin): number {
  return Object.hasOwn(origin.clock, origin.node) ? origin.clock[origin.node]! : 0
}

/** A string is the fault found. */
export function decodeOrigin(bytes: Uint8Array): Origin | string {
  try {
    const value = decoder.decode(bytes) as Origin
    return refuseOrigin(value) ?? value
  } catch (error) {
    return `the origin does not decode: ${(error as Error).message}`
  }
}

function refuseOrigin(value: Origin): string | null {
  if (typeof value !== 'object' || value === null) return 'the origin is not a map'
  const { node, clock } = value
  if (typeof node !== 'string' || node === '') return 'the origin names no node'
  if (Buffer.byteLength(node) > NODE_BYTES_MAX) return 'the node id is too long'
  if (typeof clock !== 'object' || clock === null) return 'the vector clock is not a map'
  const nodes = Object.keys(clock)
  if (nodes.length > CLOCK_NODES_MAX) return 'the vector clock names too many nodes'
  for (const name of nodes) {
    if (!isSafe(clock[name])) return 'the vector clock holds an unsafe integer'
  }
  return null
}

/**
 * Reads the fixed header, and checks it for consistency and against the length of `bytes`; neither
 * checksum nor entries. For bytes that another checksum already covers (journal recovery).
 */
export function peekFrame(bytes: Uint8Array): Frame | string {
  const b = asBuffer(bytes)
  if (b.length < FRAME_HEADER_BYTES) return `too short for a frame: ${b.length} bytes`
  if (b.length > FRAME_BYTES_MAX) return `longer than a frame may be: ${b.length} bytes`
  if (b.readUInt32LE(0) !== FRAME_MAGIC) return 'not a frame: wrong magic'
  const version = b[8]!
  if (version > FRAME_VERSION_FORK) {
    return `frame format version ${version}; this node understands up to ${FRAME_VERSION_FORK}: `
      + 'upgrade it'
  }
  if (version < 1) return `frame format version ${version} does not exist`
  const kind = b[9]!
  if (kind !== KIND_ENTRIES && kind !== KIND_EPOCH_START) return `unknown frame kind ${kind}`
  if (b.readUInt16LE(10) !== 0) return `unknown frame flags ${b.readUInt16LE(10)}`
  const total = b.readUInt32LE(12)
  if (total !== b.length) return `frame of ${total} bytes in ${b.length} bytes`
  const epoch = readSafe(b, 32)
  const first = readSafe(b, 40)
  const previousEpoch = readSafe(b, 48)
  const count = b.readUInt32LE(64)
  const reason = refusePlace(kind, epoch, first, previousEpoch, count)
  if (reason) return reason
  return {
    bytes,
    kind: kind === KIND_EPOCH_START ? 'epochStart' : 'entries',
    uuid: readUuid(b, 16),
    epoch,
    first,
    last: first + count - 1,
    previousEpoch,
  }
}

/** Checks a frame's place in the log; shared by sealing and parsing. */
export function refusePlace(
  kind: number,
  epoch: number,
  first: number,
  previousEpoch: number,
  count: number,
): string | null {
  if (!isSafe(epoch) || epoch < 1) return 'epoch is not a positive safe integer'
  if (!isSafe(first) || first < 1) return 'first sequence is not a positive safe integer'
  if (!isSafe(previousEpoch)) return 'previous epoch is not a safe integer'
  if (count < 1) return 'a frame without entries'
  if (!isSafe(first + count - 1)) return 'last sequence is not a safe integer'
  if (previousEpoch > epoch) return `previous epoch ${previousEpoch} above epoch ${epoch}`
  if ((first === 1) !== (previousEpoch === 0)) {
    return `first sequence ${first} does not go with previous epoch ${previousEpoch}`
  }
  if (kind !== KIND_EPOCH_START) return null
  if (count !== 1) return `an epoch start of ${count} entries`
  return previousEpoch === epoch ? 'an epoch start within its own epoch' : null
}

/** Null if checksum, origin and every entry are in order. Call it after `peekFrame`. */
export function refuseBody(b: Buffer): string | null {
  if (b.readUInt32LE(4) !== crc32c(b.subarray(8))) return 'bad checksum'
  const base = readSafe(b, 56)
  if (base < 0) return 'base timestamp is not a safe integer'
  const originEnd = FRAME_HEADER_BYTES + b.readUInt32LE(68)
  if (originEnd > b.length) return 'the origin reaches beyond the frame'
  const origin = decodeOrigin(b.subarray(FRAME_HEADER_BYTES, originEnd))
  if (typeof origin === 'string') return origin
  const count = b.readUInt32LE(64)
  if (!isSafe(componentOf(origin) + count)) return 'the vector clock overflows'
  return refuseEntries(b, originEnd, count, base)
}

function refuseEntries(b: Buffer, start: number, count: number, base: number): string | null {
  let at = start
  let delta = 0
  let openOfRequest = 0
  const holdsForks = b[8] === FRAME_VERSION_FORK && b[9] === KIND_ENTRIES
  const tagMax = holdsForks ? FORK_TAG : JSON_TAG
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_HEADER_BYTES > b.length) return `entry ${i} reaches beyond the frame`
    const end = at + 4 + b.readUInt32LE(at)
    const keyLength = b.readUInt16LE(at + 12)
    const operation = at + ENTRY_HEADER_BYTES + (keyLength === NO_KEY ? 0 : keyLength)
    if (end > b.length || operation >= end) return `entry ${i}: lengths do not add up`
    const entryDelta = b.readUIntLE(at + 4, 6)
    if (entryDelta < delta) return `entry ${i}: its timestamp goes back`
    delta = entryDelta
    const operations = b.readUInt16LE(at + 10)
    if (openOfRequest === 0 ? operations === 0 : operations !== 0 || keyLength !== NO_KEY) {
      return `entry ${i}: requests do not add up`
    }
    openOfRequest = (openOfRequest || operations) - 1
    const tag = b[operation]!
    if (tag > tagMax) return `entry ${i}: encoding ${tag}, of at most ${tagMax} here`
    at = end
  }
  if (openOfRequest !== 0) return 'the last request is not complete'
  if (at !== b.length) return `${b.length - at} bytes after the last entry`
  return isSafe(base + delta) ? null : 'a timestamp is not a safe integer'
}
