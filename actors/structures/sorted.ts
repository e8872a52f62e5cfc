import { partition } from '../../machines/base/partition.js'

/** A bucket larger than this is split in two. */
const bucketMax = 512

/**
 * Distinct values in a given order. Put, find, delete, and iteration from any place take
 * logarithmic time. Two levels of arrays: as good as a tree up to some millions of values, and one
 * plain array for the few that most instances hold.
 */
export class Sorted<T> {
  private readonly buckets: T[][] = []
  private count = 0

  constructor(private readonly compare: (a: T, b: T) => number) {}

  get size(): number {
    return this.count
  }

  first(): T | undefined {
    return this.buckets[0]?.[0]
  }

  last(): T | undefined {
    return this.buckets.at(-1)?.at(-1)
  }

  /** Replaces an equal value, if there is one. */
  put(value: T): void {
    const at = this.bucketFor(value)
    const bucket = this.buckets[at]
    if (bucket === undefined) {
      this.buckets.push([value])
      this.count += 1
      return
    }
    const index = this.indexIn(bucket, value)
    if (this.isAt(bucket, index, value)) {
      bucket[index] = value
      return
    }
    this.count += 1
    bucket.splice(index, 0, value)
    if (bucket.length > bucketMax) {
      this.buckets.splice(at + 1, 0, bucket.splice(bucket.length >> 1))
    }
  }

  find(value: T): T | undefined {
    const bucket = this.buckets[this.bucketFor(value)]
    if (bucket === undefined) return undefined
    const index = this.indexIn(bucket, value)
    return this.isAt(bucket, index, value) ? bucket[index] : undefined
  }

  /** Returns whether the value was there. */
  delete(value: T): boolean {
    const at = this.bucketFor(value)
    const bucket = this.buckets[at]
    if (bucket === undefined) return false
    const index = this.indexIn(bucket, value)
    if (!this.isAt(bucket, index, value)) return false
    this.count -= 1
    bucket.splice(index, 1)
    if (bucket.length === 0) this.buckets.splice(at, 1)
    return true
  }

  /**
   * Iterates from the first value for which `liesBefore` is false; it must be monotonic in the
   * order. Nothing may be put or deleted meanwhile.
   */
  *from(liesBefore: (value: T) => boolean): Generator<T, undefined> {
    const { buckets } = this
    let at = partition(buckets.length, (index) => liesBefore(buckets[index]!.at(-1)!))
    let index = at < buckets.length
      ? partition(buckets[at]!.length, (place) => liesBefore(buckets[at]![place]!))
      : 0
    for (; at < buckets.length; at += 1) {
      const bucket = buckets[at]!
      for (; index < bucket.length; index += 1) yield bucket[index]!
      index = 0
    }
  }

  /** The bucket that holds the value or will hold it: the last one if it is beyond all. */
  private bucketFor(value: T): number {
    const { buckets, compare } = this
    const at = partition(buckets.length, (index) => compare(buckets[index]!.at(-1)!, value) < 0)
    return Math.min(at, Math.max(0, buckets.length - 1))
  }

  private indexIn(bucket: readonly T[], value: T): number {
    return partition(bucket.length, (index) => this.compare(bucket[index]!, value) < 0)
  }

  private isAt(bucket: readonly T[], index: number, value: T): boolean {
    return index < bucket.length && this.compare(bucket[index]!, value) === 0
  }
}
