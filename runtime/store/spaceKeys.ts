/** Idempotency keys of one space: adds those of a batch, finds one, and forgets old ones. */
import type { KeyRetention } from '../../machines/graph/graph.js'
import type { KeyRecord, LogEntry } from '../../machines/log/entries.js'
import { keyTimeAfter } from '../../machines/log/keyClock.js'
import type { KeyTime } from '../../machines/log/keyClock.js'
import type { GraphFile } from './graphFile.js'
import type { SpaceHeader } from './header.js'
import { GROUP_BYTES_MAX, GroupCursor, GroupWriter, type KeyGroup,
  type KeyRun } from './keyGroup.js'
import { hashOfKey, KeyIndex } from './keyIndex.js'
import { numberIn, sequenceKey, Table, tableEnd, tableKey } from './keys.js'
import { writeText } from './text.js'

/** Changes of the keys by a batch, for its transaction. */
export interface KeyChanges {
  readonly keys: number
  readonly keysFrom: number
  /** As of the end of the batch. */
  readonly time: KeyTime
  readonly puts: readonly Buffer[]
  readonly removes: readonly Buffer[]
  /** Called when the transaction has committed. */
  committed(): void
}

interface Forgotten {
  readonly keys: number
  readonly keysFrom: number
  readonly removes: readonly Buffer[]
  readonly front: KeyGroup | undefined
}

/** Groups read into the index at a time: about a quarter of a millisecond's work. */
const READ_GROUPS = 16

/** The key to find, as UTF-8. */
const scratch = Buffer.allocUnsafeSlow(GROUP_BYTES_MAX)

export class SpaceKeys {
  private readonly index = new KeyIndex()
  /** The index has all keys up to this sequence, and no others. */
  private indexedUpTo = 0
  private indexedGroup = 0
  /** undefined: not read yet; null: there is none. */
  private last: KeyGroup | null | undefined
  /** The oldest group, if it is known. */
  private front: KeyGroup | undefined

  /** `isRead`: the index has all keys that the store has; at first, that there are none. */
  constructor(
    private readonly records: GraphFile,
    private readonly space: number,
    public isRead: boolean,
  ) {}

  /** Memory of the index, bytes. */
  get bytes(): number {
    return this.index.bytes
  }

  /** Once all keys are read. */
  find(key: string, header: SpaceHeader): KeyRecord | undefined {
    const { keys, keysFrom } = header
    if (!this.isRead) throw new Error('bug: a key is searched before all of them are read')
    if (keys === 0 || 3 * key.length > scratch.length) return undefined
    const length = writeText(scratch, key, 0)
    for (const first of this.index.candidates(hashOfKey(scratch, 0, length))) {
      const found = this.findIn(first, length, keysFrom)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** The key is in `scratch`. */
  private findIn(first: number, length: number, keysFrom: number): KeyRecord | undefined {
    const bytes = this.records.getFast(sequenceKey(this.space, Table.keyGroup, first))
    if (bytes === undefined) return undefined
    let found: KeyRecord | undefined
    const cursor = new GroupCursor(first, bytes)
    while (cursor.next()) {
      if (cursor.sequence < keysFrom || cursor.end - cursor.start !== length) continue
      // The last one counts: a request that was split over two calls has a place of each.
      if (bytes.compare(scratch, 0, length, cursor.start, cursor.end) === 0) found = cursor.record
    }
    return found
  }

  /** `header`: before the batch. */
  fold(entries: readonly LogEntry[], header: SpaceHeader, retention: KeyRetention): KeyChanges {
    const runs = this.runsOf(entries, header)
    const { epoch, timestamp, keysNow } = header
    const time = keyTimeAfter({ epoch, timestamp, now: keysNow }, entries)
    const oldest = time.now - retention.ms
    const limit = 2 * entries.length + 64
    const forgotten = this.forget(header, oldest, retention.count - runs.length, limit)
    const { keysFrom, removes } = forgotten
    const keys = forgotten.keys + runs.length
    const puts: Buffer[] = []
    if (runs.length === 0) {
      return { keys, keysFrom, time, puts, removes, committed: () => this.done(forgotten) }
    }
    const writer = new GroupWriter(this.lastGroup())
    const firsts = runs.map((run) => writer.add(run))
    const last = writer.finish()
    for (const { first, bytes } of writer.groups) {
      puts.push(sequenceKey(this.space, Table.keyGroup, first), bytes)
    }
    const committed = (): void => {
      this.last = last
      this.done(forgotten)
      // The first of them may be a group that has grown.
      if (this.front?.first === writer.groups[0]!.first) this.front = writer.groups[0]
      if (this.isRead) this.addToIndex(runs, firsts)
    }
    return { keys, keysFrom, time, puts, removes, committed }
  }

  private done({ front, keysFrom }: Forgotten): void {
    this.front = front
    this.index.forgetBelow(keysFrom)
  }

  /**
   * Entries of one request are consecutive and have its key. Only the first run of a batch can
   * continue a request that an earlier batch began; then the record so far ends right before it.
   */
  private runsOf(entries: readonly LogEntry[], header: SpaceHeader): KeyRun[] {
    const runs: KeyRun[] = []
    let count = 0
    for (let index = 0; index < entries.length; index += 1) {
      const { writeId, epoch, sequence, timestamp } = entries[index]!
      if (writeId === null) continue
      if (index === 0) count = this.begun(writeId, sequence, header)
      count += 1
      if (entries[index + 1]?.writeId === writeId) continue
      runs.push({ key: writeId, record: { epoch, sequence, count, timestamp } })
      count = 0
    }
    return runs
  }

  /** Entries of the request that lie before `sequence`. */
  private begun(key: string, sequence: number, { keysFrom }: SpaceHeader): number {
    const last = this.lastGroup()
    if (last === undefined || sequence <= keysFrom) return 0
    const cursor = new GroupCursor(last.first, last.bytes)
    while (cursor.next()) {
      if (cursor.sequence !== sequence - 1) continue
      return last.bytes.toString('utf8', cursor.start, cursor.end) === key ? cursor.count : 0
    }
    return 0
  }

  /**
   * Forgets keys of earlier batches that are older than `oldest`, or beyond `count`: at most
   * `limit`, the rest with later batches. A group is removed once all of it is forgotten and
   * another one follows.
   */
  private forget(header: SpaceHeader, oldest: number, count: number, limit: number): Forgotten {
    let { keys, keysFrom } = header
    const removes: Buffer[] = []
    let front = this.front
    if (keys === 0) return { keys, keysFrom, removes, front }
    const until = keys - limit
    front ??= this.groupFrom(0)
    while (front !== undefined) {
      const cursor = new GroupCursor(front.first, front.bytes)
      while (cursor.next()) {
        if (cursor.sequence < keysFrom) continue
        if ((cursor.timestamp >= oldest && keys <= count) || keys === until) {
          return { keys, keysFrom, removes, front }
        }
        keys -= 1
        keysFrom = cursor.sequence + 1
      }
      const next = this.groupFrom(front.first + 1)
      if (next === undefined) break
      removes.push(sequenceKey(this.space, Table.keyGroup, front.first))
      front = next
    }
    return { keys, keysFrom, removes, front }
  }

  /** The first one at `sequence` or above. */
  private groupFrom(sequence: number): KeyGroup | undefined {
    const start = sequenceKey(this.space, Table.keyGroup, sequence)
    const end = tableEnd(this.space, Table.keyGroup)
    for (const { key, value } of this.records.range({ start, end, limit: 1 })) {
      return copyOf(key, value)
    }
    return undefined
  }

  private lastGroup(): KeyGroup | undefined {
    if (this.last === undefined) {
      const start = tableEnd(this.space, Table.keyGroup)
      const end = tableKey(this.space, Table.keyGroup)
      const range = { start, end, limit: 1, reverse: true }
      this.last = null
      for (const { key, value } of this.records.range(range)) this.last = copyOf(key, value)
    }
    return this.last ?? undefined
  }

  /** Reads some more of the groups that were there before this process. */
  readOn({ keys, keysFrom }: SpaceHeader): void {
    if (this.indexedUpTo === 0) this.index.expect(keys)
    const start = sequenceKey(this.space, Table.keyGroup, this.indexedGroup)
    const end = tableEnd(this.space, Table.keyGroup)
    let left = READ_GROUPS
    for (const key of this.records.keys({ start, end })) {
      if (left === 0) return
      left -= 1
      this.indexedGroup = numberIn(key, 0)
      const bytes = this.records.getFast(key)!
      const cursor = new GroupCursor(this.indexedGroup, bytes)
      while (cursor.next()) {
        const { sequence } = cursor
        if (sequence <= this.indexedUpTo) continue
        this.indexedUpTo = sequence
        if (sequence < keysFrom) continue
        this.index.add(hashOfKey(bytes, cursor.start, cursor.end), this.indexedGroup, sequence)
      }
    }
    this.isRead = true
  }

  private addToIndex(runs: readonly KeyRun[], firsts: readonly number[]): void {
    for (let at = 0; at < runs.length; at += 1) {
      const { key, record: { sequence } } = runs[at]!
      // The store shows a transaction a little before it is known to be done.
      if (sequence <= this.indexedUpTo) continue
      const hash = hashOfKey(scratch, 0, writeText(scratch, key, 0))
      this.index.add(hash, firsts[at]!, sequence)
      this.indexedUpTo = sequence
    }
  }
}

/** lmdb may reuse the memory of both. */
function copyOf(key: Buffer, value: Buffer): KeyGroup {
  return { first: numberIn(key, 0), bytes: Buffer.from(value.subarray(0, value.length)) }
}
