import { crc32c } from '@node-rs/crc32'
import type { AcceptedRequest, Frame, FrameBuilder,
  FrameOrigin } from '../../actors/ports/frames.js'
import { asBuffer, isSafe, writeSafe, writeUuid } from './frameBytes.js'
import { encodeOrigin, ENTRY_HEADER_BYTES, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_MAGIC,
  FRAME_VERSION_FORK, FRAME_VERSION_PLAIN, KIND_ENTRIES, KIND_EPOCH_START, NO_KEY,
  refusePlace } from './frameLayout.js'
import { FORK_TAG } from './operation.js'

/**
 * Room before the entries for the header and the origin. Entries are encoded once, straight into
 * their final place, and sealing writes the header backwards from here. An origin that needs more
 * room (a clock of some twenty nodes) costs one copy.
 */
const HEADROOM = 512
const CAPACITY_START = 2048
const OPERATIONS_MAX = 0xffff
const DELTA_MAX = 2 ** 48 - 1

/** Encodes entries as they come: one growing buffer, no object per entry. Sealed once. */
export class EntryBuffer implements FrameBuilder {
  #buffer = Buffer.allocUnsafe(CAPACITY_START)
  #end = HEADROOM
  #count = 0
  #base = 0
  #delta = 0
  #sealed = false
  #version: number = FRAME_VERSION_PLAIN

  constructor(readonly kind: number) {}

  get count(): number {
    return this.#count
  }

  /**
   * Upper bound of the size of the frame: the origin is only known when sealing, so room for it is
   * counted in full (some 400 bytes more than a short origin needs).
   */
  get bytes(): number {
    return this.#end
  }

  /**
   * Timestamp in ms since 1970, fractions dropped. Throws RangeError, and adds nothing, if the
   * frame would exceed 1 MiB, if the timestamp goes back, or if the request is empty: all bugs of
   * the caller.
   */
  add(request: AcceptedRequest, timestamp: number): void {
    const { encoded, key } = request
    const time = Math.floor(timestamp)
    this.#refuse(encoded, time)
    const keyBytes = key === null ? 0 : Buffer.byteLength(key)
    if (keyBytes >= NO_KEY) throw new RangeError(`bug: a key of ${keyBytes} bytes`)
    let need = encoded.length * ENTRY_HEADER_BYTES + keyBytes
    for (const bytes of encoded) {
      if (bytes.length < 2) throw new RangeError('bug: an operation without bytes')
      need += bytes.length
    }
    if (this.#end + need > FRAME_BYTES_MAX) {
      throw new RangeError(`bug: the frame would have ${this.#end + need} bytes`)
    }
    this.#reserve(need)
    if (this.#count === 0) this.#base = time
    this.#delta = time - this.#base
    this.#put(encoded[0]!, encoded.length, key, keyBytes)
    for (let i = 1; i < encoded.length; i++) this.#put(encoded[i]!, 0, null, 0)
    this.#count += encoded.length
  }

  /**
   * Throws RangeError when the origin is not a place in a log, or when sealed before. The frame
   * keeps the builder's buffer (at most twice its size).
   */
  seal(origin: FrameOrigin): Frame {
    if (this.#sealed) throw new RangeError('bug: a frame is sealed once')
    const { epoch, first, previousEpoch, uuid } = origin
    const reason = refusePlace(this.kind, epoch, first, previousEpoch, this.#count)
    if (reason) throw new RangeError(`bug: ${reason}`)
    const map = encodeOrigin(origin)
    const headerBytes = FRAME_HEADER_BYTES + map.length
    if (headerBytes > HEADROOM) this.#widen(headerBytes - HEADROOM)
    const start = Math.max(HEADROOM, headerBytes) - headerBytes
    const frame = this.#buffer.subarray(start, this.#end)
    if (frame.length > FRAME_BYTES_MAX) throw new RangeError('bug: the frame exceeds 1 MiB')
    this.#sealed = true
    frame.writeUInt32LE(FRAME_MAGIC, 0)
    frame[8] = this.#version
    frame[9] = this.kind
    frame.writeUInt16LE(0, 10)
    frame.writeUInt32LE(frame.length, 12)
    writeUuid(frame, uuid, 16)
    writeSafe(frame, epoch, 32)
    writeSafe(frame, first, 40)
    writeSafe(frame, previousEpoch, 48)
    writeSafe(frame, this.#base, 56)
    frame.writeUInt32LE(this.#count, 64)
    frame.writeUInt32LE(map.length, 68)
    frame.set(map, FRAME_HEADER_BYTES)
    frame.writeUInt32LE(crc32c(frame.subarray(8)), 4)
    return {
      bytes: frame,
      kind: this.kind === KIND_EPOCH_START ? 'epochStart' : 'entries',
      uuid,
      epoch,
      first,
      last: first + this.#count - 1,
      previousEpoch,
    }
  }

  #refuse(encoded: readonly Uint8Array[], time: number): void {
    if (this.#sealed) throw new RangeError('bug: the frame is sealed')
    if (encoded.length === 0) throw new RangeError('bug: a request without operations')
    if (encoded.length > OPERATIONS_MAX) throw new RangeError('bug: too many operations')
    if (!isSafe(time)) throw new RangeError(`bug: timestamp ${time}`)
    if (this.#count === 0) return
    const delta = time - this.#base
    if (delta < this.#delta) throw new RangeError('bug: the timestamp goes back')
    if (delta > DELTA_MAX) throw new RangeError('bug: the timestamp jumps too far')
  }

  #put(operation: Uint8Array, operations: number, key: string | null, keyBytes: number): void {
    const b = this.#buffer
    const at = this.#end
    const body = at + ENTRY_HEADER_BYTES
    b.writeUInt32LE(ENTRY_HEADER_BYTES - 4 + keyBytes + operation.length, at)
    b.writeUIntLE(this.#delta, at + 4, 6)
    b.writeUInt16LE(operations, at + 10)
    b.writeUInt16LE(key === null ? NO_KEY : keyBytes, at + 12)
    if (keyBytes > 0) b.write(key!, body, 'utf8')
    b.set(operation, body + keyBytes)
    if (operation[0] === FORK_TAG) this.#version = FRAME_VERSION_FORK
    this.#end = body + keyBytes + operation.length
  }

  #reserve(need: number): void {
    const wanted = this.#end + need
    if (wanted <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(wanted, this.#buffer.length * 2))
    this.#buffer.copy(grown, HEADROOM, HEADROOM, this.#end)
    this.#buffer = grown
  }

  #widen(by: number): void {
    const wider = Buffer.allocUnsafe(this.#end + by)
    asBuffer(this.#buffer).copy(wider, HEADROOM + by, HEADROOM, this.#end)
    this.#buffer = wider
    this.#end += by
  }
}

export function entriesBuilder(): FrameBuilder {
  return new EntryBuffer(KIND_ENTRIES)
}
