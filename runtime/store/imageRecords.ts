/**
 * Records of a space as bytes, one after another: what an image yields, a section of a checkpoint
 * holds and a stage takes. In this form they cost no object each.
 *
 *   table (1) | length of the key (2) | length of the value (4) | key | value
 *
 * Little-endian. The key is that of the store without the space's number and the table.
 */

export const RECORD_HEAD_BYTES = 7

/** Bytes of a key before its own part: the space's number and the table. */
export const KEY_PREFIX_BYTES = 5

/** Of an image; a larger record has a slice of its own. */
export const SLICE_BYTES_MAX = 128 * 1024

/** Longest key of the store. */
const KEY_BYTES_MAX = 1978

/** Iterates over records; the fields are those of the present one. */
export class RecordCursor {
  table = 0
  /** Places in `bytes`. */
  start = 0
  key = 0
  value: number
  end: number
  /** Why the bytes are no records, or null. */
  fault: string | null = null

  constructor(readonly bytes: Buffer) {
    this.value = 0
    this.end = 0
  }

  /** False when there are no more, or at a fault. */
  next(): boolean {
    const { bytes, end: start } = this
    const left = bytes.length - start
    if (left === 0) return false
    if (left < RECORD_HEAD_BYTES) return this.broken()
    const keyBytes = bytes[start + 1]! | bytes[start + 2]! << 8
    const valueBytes = bytes.readUInt32LE(start + 3)
    if (keyBytes > KEY_BYTES_MAX || RECORD_HEAD_BYTES + keyBytes + valueBytes > left) {
      return this.broken()
    }
    this.table = bytes[start]!
    this.start = start
    this.key = start + RECORD_HEAD_BYTES
    this.value = this.key + keyBytes
    this.end = this.value + valueBytes
    return true
  }

  private broken(): false {
    this.fault = 'a record ends beyond its bytes'
    return false
  }
}

/** Puts records into one piece of memory. `limit`, bytes: see `hasRoom`. */
export class RecordWriter {
  count = 0
  length = 0
  private memory: Buffer

  constructor(private readonly limit: number) {
    this.memory = Buffer.allocUnsafeSlow(limit)
  }

  /** The first record fits in any case. */
  hasRoom(keyBytes: number, valueBytes: number): boolean {
    return this.length === 0 || this.length + sizeOf(keyBytes, valueBytes) <= this.limit
  }

  /** `keyFrom`: where the key's own part begins. */
  add(table: number, key: Uint8Array, keyFrom: number, value: Uint8Array): void {
    this.addFrom(table, key, keyFrom, key.length, value, value.length)
  }

  /** The key's own part lies in `keys`, the value at the beginning of `values`. */
  addFrom(
    table: number,
    keys: Uint8Array,
    keyFrom: number,
    keyEnd: number,
    values: Uint8Array,
    valueBytes: number,
  ): void {
    const keyBytes = keyEnd - keyFrom
    const size = sizeOf(keyBytes, valueBytes)
    const { length } = this
    if (length + size > this.memory.length) {
      this.memory = Buffer.concat([this.memory.subarray(0, length)], 2 * (length + size))
    }
    const { memory } = this
    memory[length] = table
    memory[length + 1] = keyBytes & 0xff
    memory[length + 2] = keyBytes >>> 8
    memory.writeUInt32LE(valueBytes, length + 3)
    let at = length + RECORD_HEAD_BYTES
    for (let index = keyFrom; index < keyEnd; index += 1) memory[at++] = keys[index]!
    // A plain view: one of a subclass takes several times as long. lmdb changes `values.length`.
    memory.set(new Uint8Array(values.buffer, values.byteOffset, valueBytes), at)
    this.length += size
    this.count += 1
  }

  /** All of it; nothing is added afterwards. */
  get bytes(): Buffer {
    return this.memory.subarray(0, this.length)
  }
}

function sizeOf(keyBytes: number, valueBytes: number): number {
  return RECORD_HEAD_BYTES + keyBytes + valueBytes
}
