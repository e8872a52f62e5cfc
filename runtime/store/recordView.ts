/**
 * Reads records where lmdb puts them, without a copy of each. A range of lmdb makes two arrays and
 * an object per record, which take longer than reading it. A second handle on the same database has
 * an encoder and a key encoder that only note the places.
 */
import type { RangeOptions, RootDatabase } from 'lmdb'

/** One object for all records: of the present one, valid until the next one is read. */
export class RecordView {
  /** The key lies in `keys`; lmdb uses both pieces of memory again. */
  keys: Uint8Array = new Uint8Array()
  keyStart = 0
  keyEnd = 0
  values: Uint8Array = new Uint8Array()
  /** The value begins at the start of `values`. */
  valueBytes = 0

  /** A copy. */
  key(): Buffer {
    return Buffer.from(this.keys.subarray(this.keyStart, this.keyEnd))
  }
}

export class RecordViews {
  private readonly view = new RecordView()
  private readonly records

  /** Takes a transaction for writing: to be called before anything is written. */
  constructor(records: RootDatabase<Buffer, Buffer>) {
    const { view } = this
    const encoder = {
      encode: readOnly,
      decode: (bytes: Uint8Array, length: number): null => {
        view.values = bytes
        view.valueBytes = length
        return null
      },
    }
    const keyEncoder = {
      writeKey: (key: Uint8Array, target: Uint8Array, start: number): number => {
        target.set(key, start)
        return start + key.length
      },
      readKey: (keys: Uint8Array, start: number, end: number): null => {
        view.keys = keys
        view.keyStart = start
        view.keyEnd = end
        return null
      },
    }
    const options = { name: null, encoding: 'binary', cache: false, encoder, keyEncoder } as const
    // Its types do not know that null is the main database, as its error message says.
    this.records = records.openDB<null, Buffer>(options as object as { name: string })
  }

  /** Calls for each record until it returns true, or there are no more. Returns whether it did. */
  some(
    range: Required<Pick<RangeOptions, 'start' | 'end' | 'transaction'>>,
    take: (view: RecordView) => boolean,
  ): boolean {
    for (const _ of this.records.getRange(range)) if (take(this.view)) return true
    return false
  }
}

function readOnly(): never {
  throw new Error('bug: a write by the handle for reading')
}
