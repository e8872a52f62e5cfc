/**
 * Memory for the records of one transaction. They stay untouched until it has committed: LMDB's
 * writer thread reads them in place, so no chunk is used a second time.
 */
export class Slab {
  bytes: Buffer
  /** The same memory: stores 64 bits at once, which a Buffer composes of two halves. */
  view: DataView
  private at = 0

  /** `chunkBytes`: of each piece of memory taken from the system. */
  constructor(private readonly chunkBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(chunkBytes)
    this.view = new DataView(this.bytes.buffer)
  }

  /** Offset in `bytes` from which `limit` bytes or more are free. May change `bytes`, `view`. */
  reserve(limit: number): number {
    if (this.at + limit > this.bytes.length) {
      this.bytes = Buffer.allocUnsafeSlow(Math.max(this.chunkBytes, limit))
      this.view = new DataView(this.bytes.buffer)
      this.at = 0
    }
    return this.at
  }

  /** The bytes from `start` (the last reservation) to `end`, now taken. */
  take(start: number, end: number): Buffer {
    this.at = end
    return this.bytes.subarray(start, end)
  }
}
