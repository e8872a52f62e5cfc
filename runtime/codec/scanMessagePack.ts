/**
 * Walks MessagePack without building anything, before the decoder may allocate: a header of five
 * bytes can announce an array of four billion elements, a kilobyte of headers a thousand nested
 * ones. After the walk, the decoder's allocations are bounded by the actual contents. It also
 * refuses what the decoder lets pass: ill-formed UTF-8, numeric map keys, and integers beyond 2^53,
 * which would be decoded to another number.
 */
import { isUtf8 } from 'node:buffer'
import { decode } from '@msgpack/msgpack'
import { pathOf, WIDE_INTEGER } from './wideIntegers.js'

/** Request, operations, operation, node, and metadata's eight, with some to spare. */
const DEPTH_MAX = 16
/** Below this a loop is faster than a call to isUtf8. */
const SHORT_STRING_BYTES = 40

/** The fault found, with its place, or null. */
export function scanMessagePack(data: Uint8Array): string | null {
  const scan = new Scan(data, null)
  const reason = scan.value(0) ?? (scan.at < data.length ? 'bytes after the value' : null)
  if (reason === WIDE_INTEGER) return `${placeOf(data)} ${reason}`
  return reason === null ? null : `not valid MessagePack at byte ${scan.at}: ${reason}`
}

/** Place of a fault: a second walk that keeps its path, for refused requests only. */
function placeOf(data: Uint8Array): string {
  const path: (string | number)[] = []
  new Scan(data, path).value(0)
  return path.length > 0 ? pathOf(path) : 'the request'
}

const TRUNCATED = 'the value is cut off'

class Scan {
  at = 0

  /** `path`: place of the walk, if it is kept. */
  constructor(
    private readonly data: Uint8Array,
    private readonly path: (string | number)[] | null,
  ) {}

  value(depth: number): string | null {
    if (this.at >= this.data.length) return TRUNCATED
    const head = this.data[this.at]!
    if (head < 0x80 || head >= 0xe0) return this.skip(1)
    if (head >= 0xa0 && head < 0xc0) return this.text(1, head & 0x1f)
    if (head < 0x90) return this.map(1, head & 0x0f, depth)
    if (head < 0xa0) return this.array(1, head & 0x0f, depth)
    switch (head) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return this.skip(1)
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.sized(2 ** (head - 0xc4), 0)
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.sized(2 ** (head - 0xc7), 1)
      case 0xca:
        return this.skip(5)
      case 0xcb:
        return this.skip(9)
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.skip(1 + 2 ** (head - 0xcc))
      case 0xcf:
      case 0xd3:
        return this.wideInteger(head === 0xd3)
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.skip(1 + 2 ** (head - 0xd0))
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.skip(2 + 2 ** (head - 0xd4))
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.sizedText(2 ** (head - 0xd9))
      case 0xdc:
        return this.array(3, this.unsigned(2), depth)
      case 0xdd:
        return this.array(5, this.unsigned(4), depth)
      case 0xde:
        return this.map(3, this.unsigned(2), depth)
      case 0xdf:
        return this.map(5, this.unsigned(4), depth)
      default:
        return 'no such type'
    }
  }

  /** The big-endian number after the head byte, or -1 when it is cut off. */
  private unsigned(size: number): number {
    if (this.at + 1 + size > this.data.length) return -1
    let number = 0
    for (let index = 1; index <= size; index += 1) {
      number = number * 256 + this.data[this.at + index]!
    }
    return number
  }

  private skip(size: number): string | null {
    if (this.at + size > this.data.length) return TRUNCATED
    this.at += size
    return null
  }

  /** Binary and extension: passed here, refused by the validator, which can name the field. */
  private sized(sizeBytes: number, extra: number): string | null {
    const length = this.unsigned(sizeBytes)
    return length < 0 ? TRUNCATED : this.skip(1 + sizeBytes + extra + length)
  }

  private sizedText(sizeBytes: number): string | null {
    const length = this.unsigned(sizeBytes)
    return length < 0 ? TRUNCATED : this.text(1 + sizeBytes, length)
  }

  private text(headBytes: number, length: number): string | null {
    const start = this.at + headBytes
    const end = start + length
    if (end > this.data.length) return TRUNCATED
    let ascii = length <= SHORT_STRING_BYTES
    for (let index = start; ascii && index < end; index += 1) ascii = this.data[index]! < 0x80
    if (!ascii && !isUtf8(this.data.subarray(start, end))) return 'a string is not UTF-8'
    this.at = end
    return null
  }

  private wideInteger(signed: boolean): string | null {
    if (this.at + 9 > this.data.length) return TRUNCATED
    const view = new DataView(this.data.buffer, this.data.byteOffset + this.at + 1, 8)
    const high = signed ? view.getInt32(0) : view.getUint32(0)
    if (!Number.isSafeInteger(high * 2 ** 32 + view.getUint32(4))) {
      return WIDE_INTEGER
    }
    return this.skip(9)
  }

  private array(headBytes: number, count: number, depth: number): string | null {
    const reason = this.open(headBytes, count, depth)
    if (reason !== null) return reason
    for (let index = 0; index < count; index += 1) {
      this.path?.push(index)
      const inner = this.value(depth + 1)
      if (inner !== null) return inner
      this.path?.pop()
    }
    return null
  }

  private map(headBytes: number, count: number, depth: number): string | null {
    const reason = this.open(headBytes, count * 2, depth)
    if (reason !== null) return reason
    for (let index = 0; index < count; index += 1) {
      const head = this.data[this.at] ?? 0
      const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)
      if (!isText) return 'a map key is not a string'
      const start = this.at
      const key = this.value(depth + 1)
      if (key !== null) return key
      this.path?.push(String(decode(this.data.subarray(start, this.at))))
      const inner = this.value(depth + 1)
      if (inner !== null) return inner
      this.path?.pop()
    }
    return null
  }

  /** Passes the head of an array or map; its values take at least a byte each. */
  private open(headBytes: number, values: number, depth: number): string | null {
    if (depth >= DEPTH_MAX) return `nested deeper than ${DEPTH_MAX} levels`
    if (values < 0 || this.at + headBytes + values > this.data.length) return TRUNCATED
    return this.skip(headBytes)
  }
}
