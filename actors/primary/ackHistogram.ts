/** Counts, for one epoch, the writes that became durable and how long their answers took. */

/** Buckets grow by this factor: a percentile read from them is at most 19 % too high. */
const growth = 2 ** 0.25
const firstMs = 0.05
/** The last one, from 10 s on, has no upper bound. */
const bucketsMax = 72

/** Upper bound of a bucket, ms. */
export function bucketMs(bucket: number): number {
  return firstMs * growth ** bucket
}

function bucketOf(ms: number): number {
  if (!(ms > firstMs)) return 0
  return Math.min(bucketsMax - 1, Math.ceil(Math.log2(ms / firstMs) * 4))
}

/** Cumulative. Noted once per batch, so that it costs nothing per write. */
export class AckHistogram {
  private entries = 0
  /** Null: none were counted, as in most of many spaces. */
  private counts: Float64Array | null = null

  /**
   * @param entries that became durable
   * @param writes that were answered for them
   * @param ms since the first of these was taken
   */
  note(entries: number, writes: number, ms: number): void {
    this.entries += entries
    const bucket = bucketOf(ms)
    this.counts ??= new Float64Array(bucketsMax)
    this.counts[bucket] = (this.counts[bucket] ?? 0) + writes
  }

  counted(): { writes: number; acks: [bucket: number, count: number][] } {
    const acks: [number, number][] = []
    for (const [bucket, count] of this.counts?.entries() ?? []) {
      if (count > 0) acks.push([bucket, count])
    }
    return { writes: this.entries, acks }
  }
}
