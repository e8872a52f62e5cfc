/**
 * Checks one record of a space by itself: its hash is computed anew, and its key has to be that of
 * its value. LMDB has no checksums, so a page that rots is found here or nowhere.
 */
import { xxh64 } from '@node-rs/xxhash'
import type { RecordCursor } from './imageRecords.js'
import { GroupCursor } from './keyGroup.js'
import { Table, tupleKey } from './keys.js'
import { decodeEdge } from './record.js'

const HASH_BYTES = 8
const NUMBER_BYTES = 8
const LENGTH_BYTES = 2
const ORIGIN_BYTES = 33
/** To compare halves: a BigInt of the stored hash would be made of three. */
const computed = new DataView(new ArrayBuffer(HASH_BYTES))

/** First hashed byte of the tables whose records begin with a hash, which the digest sums. */
function domainOf(table: number): number {
  switch (table) {
    case Table.node:
      return 0x4e
    case Table.edgeBySource:
      return 0x45
    case Table.report:
      return 0x46
    case Table.quarantine:
      return 0x51
    default:
      return 0
  }
}

export function isHashed(table: number): boolean {
  return domainOf(table) !== 0
}

/** What is wrong with the cursor's record, or null. */
export function recordFault(record: RecordCursor): string | null {
  try {
    return faultOf(record)
  } catch (error) {
    // Lengths within a record that lead beyond it.
    if (error instanceof RangeError) return badLength
    throw error
  }
}

function faultOf(record: RecordCursor): string | null {
  const { table, bytes, value, end } = record
  const domain = domainOf(table)
  if (domain !== 0) {
    const fault = hashFault(record, domain)
    if (fault !== null) return fault
  }
  switch (table) {
    case Table.node:
      return isNodeKey(record) ? null : 'a node has the key of another one'
    case Table.edgeBySource:
      return isEdgeKey(record) ? null : 'an edge has the key of another one'
    case Table.report:
      return numbersFault(record, 1)
    case Table.quarantine:
      return numbersFault(record, 2)
    case Table.keyGroup:
      return numbersFault(record, 1) ?? groupFault(bytes.subarray(value, end))
    case Table.origin:
      return numbersFault(record, 3) ?? (end - value === ORIGIN_BYTES ? null : badLength)
    case Table.forgotten:
      return numbersFault(record, 2) ?? (end - value === 1 ? null : badLength)
    default:
      return `table ${table} is not known`
  }
}

const badLength = 'a record has a wrong length'

function hashFault({ bytes, value, end }: RecordCursor, domain: number): string | null {
  const hashed = value + HASH_BYTES
  if (end <= hashed) return badLength
  const hash = xxh64(new Uint8Array(bytes.buffer, bytes.byteOffset + hashed, end - hashed))
  computed.setBigUint64(0, hash, true)
  const isRight = computed.getUint32(0, true) === bytes.readUInt32LE(value)
    && computed.getUint32(4, true) === bytes.readUInt32LE(value + 4)
  if (!isRight) return 'a record has a wrong hash'
  return bytes[hashed] === domain ? null : 'a record is in a table of others'
}

function numbersFault({ bytes, key, value }: RecordCursor, count: number): string | null {
  if (value - key !== count * NUMBER_BYTES) return 'a key has a wrong length'
  for (let at = key; at < value; at += NUMBER_BYTES) {
    // Numbers are safe integers, so the upper half has 21 bits at most.
    if (bytes.readUInt32BE(at) >= 2 ** 21) return 'a key has a number out of range'
  }
  return null
}

function groupFault(group: Buffer): string | null {
  const cursor = new GroupCursor(0, group)
  while (cursor.next());
  return cursor.end === group.length ? null : badLength
}

function isNodeKey({ bytes, key, value }: RecordCursor): boolean {
  const id = value + HASH_BYTES + 1
  const length = bytes.readUInt16LE(id)
  return length === value - key && isSame(bytes, key, id + LENGTH_BYTES, length)
}

/** Each text is followed by two zeros, if it has none in it. */
function isEdgeKey(record: RecordCursor): boolean {
  const { bytes, key, value } = record
  let inKey = key
  let inValue = value + HASH_BYTES + 1
  for (let text = 0; text < 3; text += 1) {
    const length = bytes.readUInt16LE(inValue)
    inValue += LENGTH_BYTES
    const isHere = isSame(bytes, inKey, inValue, length) && bytes[inKey + length] === 0
      && bytes[inKey + length + 1] === 0
    if (!isHere) return isEscapedEdgeKey(record)
    inKey += length + 2
    inValue += length
  }
  return inKey === value || isEscapedEdgeKey(record)
}

function isEscapedEdgeKey({ bytes, key, value, end }: RecordCursor): boolean {
  const { source, target, kind } = decodeEdge(bytes.subarray(value, end))
  const wanted = tupleKey(0, Table.edgeBySource, source, target, kind)
  return bytes.subarray(key, value).equals(wanted.subarray(key - value))
}

/** A loop: most texts are shorter than the call of a comparison takes. */
function isSame(bytes: Buffer, one: number, other: number, length: number): boolean {
  for (let at = 0; at < length; at += 1) {
    if (bytes[one + at] !== bytes[other + at]) return false
  }
  return true
}
