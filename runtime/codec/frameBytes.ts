/** Byte helpers of the frame and journal formats: 64-bit counts, uuids, buffers. Little-endian. */

const HIGH = 0x1_0000_0000
/** Safe integers end at 2^53 - 1: the upper word holds 21 bits at most. */
const HIGH_MAX = 0x1f_ffff

/** A count that the formats can hold: an integer in [0, 2^53 - 1]. */
export function isSafe(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Throws RangeError unless `value` is in [0, 2^53 - 1]. */
export function writeSafe(into: Buffer, value: number, offset: number): void {
  if (!isSafe(value)) throw new RangeError(`bug: ${value} is not a safe integer`)
  into.writeUInt32LE(value % HIGH, offset)
  into.writeUInt32LE(Math.floor(value / HIGH), offset + 4)
}

/** -1 if the 64 bits are not a safe integer: bytes from outside never throw. */
export function readSafe(from: Buffer, offset: number): number {
  const high = from.readUInt32LE(offset + 4)
  return high > HIGH_MAX ? -1 : high * HIGH + from.readUInt32LE(offset)
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** Throws RangeError unless `uuid` is one in canonical lower-case form (RFC 9562). */
export function writeUuid(into: Buffer, uuid: string, offset: number): void {
  if (!UUID.test(uuid)) throw new RangeError(`bug: '${uuid}' is not a lower-case uuid`)
  into.write(uuid.replaceAll('-', ''), offset, 'hex')
}

/** Texts of uuids seen lately, by their first word: the same few come with every frame. */
const texts = new Map<number, { readonly bytes: Buffer; readonly text: string }>()
const TEXTS_MAX = 4096

export function readUuid(from: Buffer, offset: number): string {
  const word = from.readUInt32LE(offset)
  const known = texts.get(word)
  if (known && from.compare(known.bytes, 0, 16, offset, offset + 16) === 0) return known.text
  const hex = from.toString('hex', offset, offset + 16)
  const text = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${
    hex.slice(20)
  }`
  if (texts.size >= TEXTS_MAX) texts.clear()
  texts.set(word, { bytes: Buffer.from(from.subarray(offset, offset + 16)), text })
  return text
}
