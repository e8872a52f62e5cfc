/**
 * Idempotency keys as stored: in groups, in log order, each under the sequence of its first key. A
 * B-tree of random keys would dirty a page for each, and need a second record to forget it by.
 * Groups are only written at the end and removed at the front, and fill their pages.
 *
 *   epoch (f64) | timestamp (f64) of the first | per key: sequence and timestamp less the first's
 *   (u32 each) | count (u32) | bytes of the key (u16) | the key in UTF-8
 */
import type { KeyRecord } from '../../machines/log/entries.js'
import { writeText } from './text.js'

/** LMDB puts two records of this size on a page of 4 KiB; longer ones would take whole pages. */
export const GROUP_BYTES_MAX = 1960
const HEAD_BYTES = 16
const ENTRY_BYTES = 14
const U32_MAX = 2 ** 32 - 1

export interface KeyRun {
  readonly key: string
  readonly record: KeyRecord
}

export interface KeyGroup {
  /** Sequence of its first key. */
  readonly first: number
  readonly bytes: Buffer
}

/** Iterates over the keys of a group; the fields are those of the present key. */
export class GroupCursor {
  sequence = 0
  timestamp = 0
  count = 0
  /** The key's bytes in the group's. */
  start = 0
  end = HEAD_BYTES
  readonly epoch: number
  private readonly firstTimestamp: number
  private readonly limit: number

  constructor(readonly first: number, readonly bytes: Buffer) {
    // Read once: lmdb's fast reads return a longer buffer with its own `length`.
    this.limit = bytes.length
    this.epoch = bytes.readDoubleLE(0)
    this.firstTimestamp = bytes.readDoubleLE(8)
  }

  /** False when there are no more. */
  next(): boolean {
    const { bytes, end: at } = this
    if (at >= this.limit) return false
    this.sequence = this.first + bytes.readUInt32LE(at)
    this.timestamp = this.firstTimestamp + bytes.readUInt32LE(at + 4)
    this.count = bytes.readUInt32LE(at + 8)
    this.start = at + ENTRY_BYTES
    this.end = this.start + bytes.readUInt16LE(at + 12)
    return true
  }

  get record(): KeyRecord {
    const { epoch, sequence, count, timestamp } = this
    return { epoch, sequence, count, timestamp }
  }
}

/** Packs keys, in order, into groups; the first ones fill up `last`. */
export class GroupWriter {
  /** New groups and groups that grew. Their bytes are never written to again. */
  readonly groups: KeyGroup[] = []
  private bytes: Buffer
  private at = 0
  private first = 0
  private epoch = -1
  private timestamp = 0
  private hasGrown = false

  constructor(last: KeyGroup | undefined) {
    this.bytes = Buffer.allocUnsafeSlow(GROUP_BYTES_MAX)
    if (last === undefined) return
    this.at = last.bytes.copy(this.bytes)
    this.first = last.first
    this.epoch = last.bytes.readDoubleLE(0)
    this.timestamp = last.bytes.readDoubleLE(8)
  }

  /** Returns the `first` of its group. */
  add({ key, record: { epoch, sequence, count, timestamp } }: KeyRun): number {
    // At most 3 bytes of UTF-8 to a unit of UTF-16.
    const fits = this.at > 0 && this.at + ENTRY_BYTES + 3 * key.length <= GROUP_BYTES_MAX
    if (!fits || epoch !== this.epoch || sequence - this.first > U32_MAX
      || timestamp < this.timestamp || timestamp - this.timestamp > U32_MAX)
    {
      this.begin(epoch, sequence, timestamp, key)
    }
    const { bytes, at } = this
    const start = at + ENTRY_BYTES
    const end = writeText(bytes, key, start)
    bytes.writeUInt32LE(sequence - this.first, at)
    bytes.writeUInt32LE(timestamp - this.timestamp, at + 4)
    bytes.writeUInt32LE(count, at + 8)
    bytes.writeUInt16LE(end - start, at + 12)
    this.at = end
    this.hasGrown = true
    return this.first
  }

  /** After at least one key. Returns the last group. */
  finish(): KeyGroup {
    const last = { first: this.first, bytes: this.bytes.subarray(0, this.at) }
    this.groups.push(last)
    return last
  }

  private begin(epoch: number, sequence: number, timestamp: number, key: string): void {
    if (HEAD_BYTES + ENTRY_BYTES + 3 * key.length > GROUP_BYTES_MAX) {
      throw new Error(`bug: an idempotency key of ${key.length} characters`)
    }
    if (this.hasGrown) {
      this.groups.push({ first: this.first, bytes: this.bytes.subarray(0, this.at) })
      this.bytes = Buffer.allocUnsafeSlow(GROUP_BYTES_MAX)
    }
    this.first = sequence
    this.epoch = epoch
    this.timestamp = timestamp
    this.bytes.writeDoubleLE(epoch, 0)
    this.at = this.bytes.writeDoubleLE(timestamp, 8)
    this.hasGrown = false
  }
}
