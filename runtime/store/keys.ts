/**
 * Keys of the one LMDB database that all spaces of a node share:
 *
 *   space number (4, big-endian) | table (1) | …
 *
 * A thousand spaces with databases of their own would cost LMDB a handle and a page each in every
 * transaction. Longest key: 5 + 3 x (2 x 256 + 2) = 1,547 bytes (ids of 256 zero bytes); LMDB's
 * limit is 1,978.
 */

import { writeText } from './text.js'

export const Table = {
  /** uuid → space number; under number 0. */
  registry: 0x52,
  /** In space 0: one record, different at each opening of the file. */
  nonce: 0x4a,
  /** One record: position, digest, counts. */
  header: 0x48,
  node: 0x4e,
  edgeBySource: 0x4f,
  edgeByTarget: 0x50,
  /** Sequence → idempotency keys from there on, some dozens (see keyGroup.ts). */
  keyGroup: 0x58,
  /** Epoch → fork report. */
  report: 0x46,
  /** Report key (see reportKeyOf), epoch, sequence → outcome of the write first logged there. */
  origin: 0x55,
  /** Epoch, sequence → write in quarantine. */
  quarantine: 0x51,
  /** Report key, epoch: its origins are forgotten, and not removed yet. */
  forgotten: 0x47,
} as const
export type Table = (typeof Table)[keyof typeof Table]

const PREFIX_BYTES = 5

/** Key with a text as its last part: bytes as they are, so that order is UTF-8 byte order. */
export function textKey(space: number, table: Table, text: string): Buffer {
  const key = Buffer.allocUnsafe(PREFIX_BYTES + text.length * 3)
  writePrefix(key, space, table)
  return key.subarray(0, writeText(key, text, PREFIX_BYTES))
}

/** The smallest key of the table above that of `text`; all of the table for ''. */
export function keyAfter(space: number, table: Table, text: string): Buffer {
  if (text === '') return tableKey(space, table)
  return Buffer.concat([textKey(space, table, text), Buffer.of(0)])
}

/** Sequences sort as numbers. */
export function sequenceKey(space: number, table: Table, sequence: number): Buffer {
  const key = writePrefix(Buffer.allocUnsafe(PREFIX_BYTES + 8), space, table)
  key.writeBigUInt64BE(BigInt(sequence), PREFIX_BYTES)
  return key
}

/** Several of them, for rare keys: sorted by the first, then the second … */
export function numbersKey(space: number, table: Table, ...numbers: readonly number[]): Buffer {
  const key = writePrefix(Buffer.allocUnsafe(PREFIX_BYTES + 8 * numbers.length), space, table)
  let at = PREFIX_BYTES
  for (const number of numbers) at = key.writeBigUInt64BE(BigInt(number), at)
  return key
}

/** The number at that place of such a key. */
export function numberIn(key: Buffer, index: number): number {
  return Number(key.readBigUInt64BE(PREFIX_BYTES + 8 * index))
}

export function tableKey(space: number, table: Table): Buffer {
  return writePrefix(Buffer.allocUnsafe(PREFIX_BYTES), space, table)
}

/** The same in memory of its own: a small buffer that is kept keeps 8 KiB of those around it. */
export function keptTableKey(space: number, table: Table): Buffer {
  return writePrefix(Buffer.allocUnsafeSlow(PREFIX_BYTES), space, table)
}

/** The smallest key of the space, and of all above it. */
export function spaceKey(space: number): Buffer {
  return writePrefix(Buffer.allocUnsafe(PREFIX_BYTES), space, 0)
}

/** Number of the space that has the key. */
export function spaceOf(key: Buffer): number {
  return key.readUInt32BE(0)
}

/** Key of a record of an image, which lies there from `start` to `end`. */
export function imageKey(
  space: number,
  table: number,
  bytes: Buffer,
  start: number,
  end: number,
): Buffer {
  const key = writePrefix(Buffer.allocUnsafe(PREFIX_BYTES + end - start), space, table)
  bytes.copy(key, PREFIX_BYTES, start, end)
  return key
}

/** Key by target of the edge whose own part of the key by source lies there. */
export function targetKey(space: number, bytes: Buffer, start: number, end: number): Buffer {
  const targetAt = textEnd(bytes, start)
  const kindAt = textEnd(bytes, targetAt)
  const key = writePrefix(Buffer.allocUnsafe(PREFIX_BYTES + end - start), space, Table.edgeByTarget)
  const sourceAt = PREFIX_BYTES + bytes.copy(key, PREFIX_BYTES, targetAt, kindAt)
  const rest = sourceAt + bytes.copy(key, sourceAt, start, targetAt)
  bytes.copy(key, rest, kindAt, end)
  return key
}

/** Where the text of a tuple's key ends that begins at `start`. */
function textEnd(bytes: Buffer, start: number): number {
  let at = bytes.indexOf(0, start)
  // 00 FF is a 00 of the text.
  while (bytes[at + 1] === 0xff) at = bytes.indexOf(0, at + 2)
  return at + 2
}

/** Upper bound of all keys of the table. */
export function tableEnd(space: number, table: Table): Buffer {
  return writePrefix(Buffer.allocUnsafe(PREFIX_BYTES), space, table + 1)
}

/**
 * Key of several texts, each ended by 00 00 with every 00 in it as 00 FF: keeps their order, and
 * no text's key is the beginning of another's ("a" never finds "ab").
 */
export function tupleKey(space: number, table: Table, ...texts: readonly string[]): Buffer {
  let limit = PREFIX_BYTES
  for (const text of texts) limit += text.length * 3 + 2
  const key = Buffer.allocUnsafe(limit)
  writePrefix(key, space, table)
  let at = PREFIX_BYTES
  for (const text of texts) {
    if (text.includes('\0')) return escapedTupleKey(space, table, texts)
    at = writeText(key, text, at)
    at = key.writeUInt16BE(0, at)
  }
  return key.subarray(0, at)
}

function escapedTupleKey(space: number, table: Table, texts: readonly string[]): Buffer {
  const parts = [tableKey(space, table)]
  for (const text of texts) {
    // FF never occurs in UTF-8, so latin1 carries the escaped bytes through a string.
    const escaped = Buffer.from(text, 'utf8').toString('latin1').replaceAll('\0', '\0\u00ff')
    parts.push(Buffer.from(`${escaped}\0\0`, 'latin1'))
  }
  return Buffer.concat(parts)
}

/**
 * Upper bound of all keys that begin with the given one: UTF-8 has no byte FF, and a number of
 * less than 2^53 does not begin with it.
 */
export function prefixEnd(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.of(0xff)])
}

function writePrefix(key: Buffer, space: number, table: number): Buffer {
  key.writeUInt32BE(space, 0)
  key[4] = table
  return key
}
