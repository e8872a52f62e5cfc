import type { Random } from '../../actors/ports/system.js'

/** sfc32 (Chris Doty-Humphrey, PractRand): small, fast, passes BigCrush; the same on every run. */
export class SeededRandom implements Random {
  private a: number
  private b: number
  private c: number
  private counter = 1

  constructor(readonly seed: number) {
    this.a = 0
    this.b = seed | 0
    this.c = Math.floor(seed / 2 ** 32) | 0
    // As sfc32's author does: the first numbers would still show the seed.
    for (let round = 0; round < 12; round += 1) this.bits()
  }

  next(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53
  }

  uuid(): string {
    const hex = Array.from({ length: 4 }, () => this.bits().toString(16).padStart(8, '0')).join('')
    const variant = '89ab'[this.bits() & 3]
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-`
      + `${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  }

  /** A whole number from 0 to `below` - 1. */
  integer(below: number): number {
    return Math.floor(this.next() * below)
  }

  /** One of the items; throws when there is none. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from')
    return items[this.integer(items.length)] as T
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** Another generator that depends on this one's seed and the label only. */
  fork(label: string): SeededRandom {
    let hash = this.seed | 0
    for (const letter of label) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x9e3779b1)
    return new SeededRandom(hash >>> 0)
  }

  private bits(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum | 0
    return sum >>> 0
  }
}
