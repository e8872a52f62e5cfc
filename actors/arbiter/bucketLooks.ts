/**
 * Looks at the bucket as a whole, and since when they show no change of it. A record that was read
 * since then is as good as read at the last look, so spaces at rest need no read of their own.
 */
export class BucketLooks {
  private latest = ''
  private unchangedSinceMs = Infinity
  private lookedAtMs = -Infinity

  /** Mark of the last look; '': there was none on this connection. */
  get mark(): string {
    return this.latest
  }

  /** Looks over another connection, or at another bucket, begin anew. */
  reset(): void {
    this.latest = ''
    this.unchangedSinceMs = Infinity
  }

  /** Notes a look, with the monotonic times at which it was sent and answered. */
  noted(mark: string, sentAtMs: number, answeredAtMs: number): void {
    if (mark !== this.latest) this.unchangedSinceMs = answeredAtMs
    else this.lookedAtMs = sentAtMs
    this.latest = mark
  }

  /** Whether nothing has changed, up to the last look, since a read that was sent then. */
  isCurrent(readAtMs: number): boolean {
    return readAtMs >= this.unchangedSinceMs
  }

  /** The latest time as of which what was read then is known to be true. */
  currentAsOf(readAtMs: number): number {
    return this.isCurrent(readAtMs) ? Math.max(readAtMs, this.lookedAtMs) : readAtMs
  }
}
