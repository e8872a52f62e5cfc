/**
 * A consistent state of a space, by a read transaction of LMDB: its pages stay as they are until it
 * is done, and writers do not wait for it. Read in slices, each from the last key on.
 */
import type { SpaceImage, SpaceState } from '../../actors/ports/store.js'
import { ImageClosedError, stageRecordsMax } from '../../actors/ports/store.js'
import type { GraphSnapshot } from './graphFile.js'
import { type Table, tableEnd, tableKey } from './keys.js'
import { KEY_PREFIX_BYTES, RecordWriter, SLICE_BYTES_MAX } from './imageRecords.js'
import { recordFault } from './recordFault.js'
import { imageTables, StateSums } from './stateSums.js'

/** For reading; the check takes half as long again. */
const READ_MS_MAX = 1.25
/** Records between two looks at the clock. */
const RECORDS_PER_LOOK = 16

export interface LmdbImageOptions {
  readonly snapshot: GraphSnapshot
  readonly number: number
  /** Of the header record in the snapshot. */
  readonly state: SpaceState
  readonly onClosed: (image: LmdbImage) => void
}

export class LmdbImage implements SpaceImage {
  private readonly sums: StateSums
  /** Index of the table that is read. */
  private table = 0
  private start: Buffer | undefined
  private isClosed = false
  private readonly fileBytes: number

  constructor(private readonly options: LmdbImageOptions) {
    this.sums = new StateSums(options.state)
    this.fileBytes = options.snapshot.fileBytes()
  }

  get state(): SpaceState {
    return this.options.state
  }

  get grownBytes(): number {
    return this.isClosed ? 0 : this.options.snapshot.fileBytes() - this.fileBytes
  }

  next(): Buffer {
    if (this.isClosed) throw new ImageClosedError()
    const slice = new RecordWriter(SLICE_BYTES_MAX)
    const until = performance.now() + READ_MS_MAX
    while (this.table < imageTables.length) {
      if (this.read(imageTables[this.table]!, slice, until)) break
      this.table += 1
      this.start = undefined
    }
    const { bytes } = slice
    this.check(bytes)
    return bytes
  }

  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.options.snapshot.done()
    this.options.onClosed(this)
  }

  /** Reads on in the table; true: the slice is over, before its end. */
  private read(table: Table, slice: RecordWriter, until: number): boolean {
    const { snapshot, number } = this.options
    const start = this.start ?? tableKey(number, table)
    return snapshot.some(start, tableEnd(number, table), (record) => {
      const { keys, keyStart, keyEnd, values, valueBytes } = record
      const ownStart = keyStart + KEY_PREFIX_BYTES
      const isOver = slice.count >= stageRecordsMax
        || !slice.hasRoom(keyEnd - ownStart, valueBytes)
        || (slice.count % RECORDS_PER_LOOK === RECORDS_PER_LOOK - 1 && performance.now() >= until)
      if (isOver) this.start = record.key()
      else slice.addFrom(table, keys, ownStart, keyEnd, values, valueBytes)
      return isOver
    })
  }

  private check(bytes: Buffer): void {
    const { sums } = this
    let fault = sums.addAll(bytes, recordFault)
    if (this.table === imageTables.length) fault ??= sums.fault()
    if (fault !== null) throw this.options.snapshot.damaged(fault)
  }
}
