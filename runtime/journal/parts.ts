/**
 * The segments that hold a log, in order: 32 bytes per segment. A part begins with its first
 * sequence, and ends where the next one begins.
 */
import { partition } from '../../machines/base/partition.js'

export interface DiskPart {
  /** Number of places in the file, those of entries that were cut off later among them. */
  readonly count: number
  /** Offset in the index file. */
  readonly offset: number
}

const CAPACITY_START = 2

export class Parts {
  /** First sequence, and time of the last entry. */
  #numbers = new Float64Array(CAPACITY_START * 2)
  /** Segment, number of places in its index file (0: in memory), offset there. */
  #spots = new Uint32Array(CAPACITY_START * 3)
  #length = 0

  get length(): number {
    return this.#length
  }

  get memoryBytes(): number {
    return this.#numbers.byteLength + this.#spots.byteLength
  }

  firstOf(i: number): number {
    return this.#numbers[i * 2]!
  }

  /** Ms since 1970. */
  timeOf(i: number): number {
    return this.#numbers[i * 2 + 1]!
  }

  segmentOf(i: number): number {
    return this.#spots[i * 3]!
  }

  /** Null: its places are in memory, in the ledger of the segment. */
  diskOf(i: number): DiskPart | null {
    const count = this.#spots[i * 3 + 1]!
    return count === 0 ? null : { count, offset: this.#spots[i * 3 + 2]! }
  }

  /** The part that holds the sequence; -1: it lies before the first one. */
  find(sequence: number): number {
    return partition(this.#length, (i) => this.#numbers[i * 2]! <= sequence) - 1
  }

  /** The part of that segment, or -1. */
  in(segment: number): number {
    const i = partition(this.#length, (at) => this.#spots[at * 3]! < segment)
    return i < this.#length && this.segmentOf(i) === segment ? i : -1
  }

  push(first: number, segment: number, timeMs: number, disk: DiskPart | null = null): void {
    if (this.#length * 2 === this.#numbers.length) this.#grow()
    const i = this.#length++
    this.#numbers[i * 2] = first
    this.#spots[i * 3] = segment
    this.touch(timeMs)
    this.settle(i, disk)
  }

  /** Notes the time of the last entry. */
  touch(timeMs: number): void {
    this.#numbers[this.#length * 2 - 1] = timeMs
  }

  /** Notes where the places of a part are now. */
  settle(i: number, disk: DiskPart | null): void {
    this.#spots[i * 3 + 1] = disk?.count ?? 0
    this.#spots[i * 3 + 2] = disk?.offset ?? 0
  }

  /** Drops the parts that begin after `sequence`. */
  truncate(sequence: number): void {
    this.#length = this.find(sequence) + 1
  }

  /** Drops the part of that segment, if it is the first one. */
  forget(segment: number): void {
    if (this.#length === 0 || this.segmentOf(0) !== segment) return
    this.#numbers.copyWithin(0, 2)
    this.#spots.copyWithin(0, 3)
    this.#length--
  }

  #grow(): void {
    const numbers = new Float64Array(this.#numbers.length * 2)
    numbers.set(this.#numbers)
    const spots = new Uint32Array(this.#spots.length * 2)
    spots.set(this.#spots)
    this.#numbers = numbers
    this.#spots = spots
  }
}
