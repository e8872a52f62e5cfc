/** Index of a space's frames: one place per frame, 20 bytes each, found by binary search. */

export interface Place {
  /** First sequence of the frame. */
  readonly first: number
  readonly segment: number
  /** Offset of the record in the segment. */
  readonly offset: number
  /** Size of the frame, without the record header. */
  readonly bytes: number
}

const CAPACITY_START = 8

/** Frames in order without holes; the caller knows the end of the log. */
export class PlaceIndex {
  #firsts = new Float64Array(CAPACITY_START)
  /** Segment, offset, bytes of each. Offsets fit 32 bits: segments stay below 4 GiB. */
  #places = new Uint32Array(CAPACITY_START * 3)
  #length = 0

  get length(): number {
    return this.#length
  }

  get memoryBytes(): number {
    return this.#firsts.byteLength + this.#places.byteLength
  }

  push(first: number, segment: number, offset: number, bytes: number): void {
    if (this.#length === this.#firsts.length) this.#grow()
    this.#firsts[this.#length] = first
    this.#places.set([segment, offset, bytes], this.#length * 3)
    this.#length++
  }

  at(i: number): Place {
    return {
      first: this.#firsts[i]!,
      segment: this.#places[i * 3]!,
      offset: this.#places[i * 3 + 1]!,
      bytes: this.#places[i * 3 + 2]!,
    }
  }

  /** The last frame that begins at or before `sequence`; -1 when there is none. */
  find(sequence: number): number {
    let low = 0
    let high = this.#length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#firsts[middle]! <= sequence) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Whether a frame begins at `sequence`. */
  begins(sequence: number): boolean {
    const i = this.find(sequence)
    return i >= 0 && this.#firsts[i] === sequence
  }

  /** Drops the frames that begin after `sequence`. */
  truncate(sequence: number): void {
    this.#length = this.find(sequence) + 1
  }

  /** Updates the place of the frame that was at (segment, offset). */
  move(first: number, from: { segment: number; offset: number }, to: {
    segment: number
    offset: number
  }): void {
    const i = this.find(first)
    if (i < 0 || this.#firsts[i] !== first) return
    const at = i * 3
    if (this.#places[at] !== from.segment || this.#places[at + 1] !== from.offset) return
    this.#places[at] = to.segment
    this.#places[at + 1] = to.offset
  }

  #grow(): void {
    const firsts = new Float64Array(this.#firsts.length * 2)
    firsts.set(this.#firsts)
    const places = new Uint32Array(this.#places.length * 2)
    places.set(this.#places)
    this.#firsts = firsts
    this.#places = places
  }
}
