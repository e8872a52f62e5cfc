/** Places of frames in one segment: 16 bytes per frame, found by binary search. */
import { partition } from '../../machines/base/partition.js'
import { readSafe, writeSafe } from '../codec/frameBytes.js'

export interface Place {
  /** First sequence of the frame. */
  readonly first: number
  /** Offset of the record in the segment. */
  readonly offset: number
  /** Size of the frame, without the record header. */
  readonly bytes: number
}

/** Places in the order of their sequences, which have no holes. */
export interface PlaceList {
  readonly length: number
  at(i: number): Place
  /** The last frame that begins at or before `sequence`; -1 when there is none. */
  find(sequence: number): number
}

export const PLACE_BYTES = 16
const CAPACITY_START = 8

/** Those of one space, in memory. */
export class Places implements PlaceList {
  #firsts = new Float64Array(CAPACITY_START)
  /** Offset and bytes of each. Offsets fit 32 bits: segments stay below 4 GiB. */
  #spots = new Uint32Array(CAPACITY_START * 2)
  #length = 0

  get length(): number {
    return this.#length
  }

  get memoryBytes(): number {
    return this.#firsts.byteLength + this.#spots.byteLength
  }

  push(first: number, offset: number, bytes: number): void {
    if (this.#length === this.#firsts.length) this.#grow()
    this.#firsts[this.#length] = first
    this.#spots[this.#length * 2] = offset
    this.#spots[this.#length * 2 + 1] = bytes
    this.#length++
  }

  at(i: number): Place {
    return { first: this.#firsts[i]!, offset: this.#spots[i * 2]!, bytes: this.#spots[i * 2 + 1]! }
  }

  find(sequence: number): number {
    return partition(this.#length, (i) => this.#firsts[i]! <= sequence) - 1
  }

  /** Drops the frames that begin after `sequence`. */
  truncate(sequence: number): void {
    this.#length = this.find(sequence) + 1
  }

  /** Writes the places [begin, end) to the buffer. */
  encode(begin: number, end: number, into: Buffer, at: number): void {
    for (let i = begin, to = at; i < end; i++, to += PLACE_BYTES) {
      writeSafe(into, this.#firsts[i]!, to)
      into.writeUInt32LE(this.#spots[i * 2]!, to + 8)
      into.writeUInt32LE(this.#spots[i * 2 + 1]!, to + 12)
    }
  }

  #grow(): void {
    const firsts = new Float64Array(this.#firsts.length * 2)
    firsts.set(this.#firsts)
    const spots = new Uint32Array(this.#spots.length * 2)
    spots.set(this.#spots)
    this.#firsts = firsts
    this.#spots = spots
  }
}

/** Some of one space, as `Places.encode` wrote them. */
export class Page implements PlaceList {
  readonly length: number

  constructor(private readonly bytes: Buffer) {
    this.length = Math.floor(bytes.length / PLACE_BYTES)
  }

  at(i: number): Place {
    const at = i * PLACE_BYTES
    return {
      first: readSafe(this.bytes, at),
      offset: this.bytes.readUInt32LE(at + 8),
      bytes: this.bytes.readUInt32LE(at + 12),
    }
  }

  find(sequence: number): number {
    return partition(this.length, (i) => readSafe(this.bytes, i * PLACE_BYTES) <= sequence) - 1
  }
}
