/**
 * Change of the digest by the records of a batch, modulo 2^64. The hashes are summed as halves in
 * doubles: exact for 2^20 records, and a fifth of the work of a BigInt each.
 */
export class HashSum {
  private low = 0
  private high = 0

  /** `record` begins with its hash. */
  add(record: Buffer): void {
    this.low += record.readUInt32LE(0)
    this.high += record.readUInt32LE(4)
  }

  /** The record begins at `at`. */
  addAt(bytes: Buffer, at: number): void {
    this.low += bytes.readUInt32LE(at)
    this.high += bytes.readUInt32LE(at + 4)
  }

  remove(record: Buffer): void {
    this.low -= record.readUInt32LE(0)
    this.high -= record.readUInt32LE(4)
  }

  addTo(digest: bigint): bigint {
    return BigInt.asUintN(64, digest + (BigInt(this.high) << 32n) + BigInt(this.low))
  }
}
