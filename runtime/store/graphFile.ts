/**
 * The LMDB file of the graphs. It is checked before it is mapped, and all its errors are noticed.
 * LMDB has no checksums and trusts its file: a read of a truncated, mapped file ends the process
 * (SIGBUS), and a read of a broken one may (SIGSEGV). The journal holds all that the file does, so
 * a doubtful file is discarded and rebuilt.
 */
import { open as openFile } from 'node:fs/promises'
import type { RangeOptions, RootDatabase } from 'lmdb'
import { messageOf } from '../../machines/base/thrown.js'
import { freeBetween } from './freePages.js'
import { fileBytesOf } from './pages.js'
import { type RecordView, RecordViews } from './recordView.js'

/** The file does not hold what was written to it. It is rebuilt at the next start. */
export class StoreDamagedError extends Error {
  readonly code = 'STORE_DAMAGED'
  readonly retryable = false
  constructor(reason: string, cause?: unknown) {
    super(`the store's file is damaged (${reason}): it is built anew from the journal at the next `
      + 'start', { cause })
    this.name = 'StoreDamagedError'
  }
}

/**
 * Page header and meta page of the format that lmdb 3.5 writes (mdb.c, MDB_DATA_VERSION 2). A file
 * begins with two of them, on a page each; the page size depends on the machine that made it.
 */
const META_BYTES = 160
const PAGE_BYTES_MAX = 65_536
const MAGIC = 0xbeefc0de
const place = { magic: 24, version: 28, pageBytes: 48, freeBranches: 56, freeLeaves: 64,
  freeRoot: 88, lastPage: 144, transaction: 152 }

/** Why the file must not be mapped, or null. An absent or empty file is a new one. */
export async function fileFault(path: string): Promise<string | null> {
  let file
  try {
    file = await openFile(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const { size } = await file.stat()
    const head = Buffer.alloc(PAGE_BYTES_MAX + META_BYTES)
    const { bytesRead } = await file.read(head, 0, head.length, 0)
    const tooShort = `it has ${size} bytes, too few for its head`
    if (bytesRead < META_BYTES) return tooShort
    const isMeta = (at: number): boolean => head.readUInt32LE(at + place.magic) === MAGIC
    const pageBytes = head.readUInt32LE(place.pageBytes)
    if (!isMeta(0) || pageBytes < META_BYTES || pageBytes > PAGE_BYTES_MAX) return noStore
    if (bytesRead < pageBytes + META_BYTES) return tooShort
    if (!isMeta(pageBytes)) return noStore
    const [latest = 0] = [0, pageBytes].toSorted((a, b) =>
      Number(
        head.readBigUInt64LE(b + place.transaction) - head.readBigUInt64LE(a + place.transaction),
      )
    )
    const at = (field: number): bigint => head.readBigUInt64LE(latest + field)
    const lastPage = at(place.lastPage)
    const wanted = (lastPage + 1n) * BigInt(pageBytes)
    if (wanted <= BigInt(size)) return null
    const list = { pageBytes, root: at(place.freeRoot),
      pages: at(place.freeBranches) + at(place.freeLeaves) }
    const missing = BigInt(Math.floor(size / pageBytes))
    const free = await freeBetween(file, list, missing, lastPage).catch(() => 0n)
    return free === lastPage - missing + 1n ? null : `it has ${size} bytes, and had ${wanted}`
  } finally {
    await file.close()
  }
}

const noStore = 'its head is not that of a store'

/** LMDB's errors that mean that the file is not as it was written (lmdb.h). */
const damage = /MDB_(PAGE_NOTFOUND|CORRUPTED|PANIC|INVALID|BAD_TXN|CURSOR_FULL|PAGE_FULL)/

/** LMDB's message if it means that the file is broken, or null. */
export function damageIn(error: unknown): string | null {
  const text = messageOf(error)
  return damage.test(text) ? text : null
}

/** A read transaction. */
export interface GraphSnapshot {
  /** A copy. */
  get(key: Buffer): Buffer | undefined
  /** Calls for each record until it returns true, or there are no more. Returns whether it did. */
  some(start: Buffer, end: Buffer, take: (record: RecordView) => boolean): boolean
  damaged(reason: string): StoreDamagedError
  /** Of the file, as it is now. */
  fileBytes(): number
  done(): void
}

/** The records of the graphs. An error that means damage is reported once, before it is thrown. */
export class GraphFile {
  private readonly views: RecordViews

  constructor(
    private readonly records: RootDatabase<Buffer, Buffer>,
    private readonly onDamage: (reason: string) => void,
    private readonly onWritten: () => void = () => undefined,
  ) {
    this.views = new RecordViews(records)
  }

  /** A copy. */
  get(key: Buffer): Buffer | undefined {
    try {
      return this.records.getBinary(key)
    } catch (error) {
      throw this.judged(error)
    }
  }

  /** Valid until the next read. */
  getFast(key: Buffer): Buffer | undefined {
    try {
      return this.records.getBinaryFast(key)
    } catch (error) {
      throw this.judged(error)
    }
  }

  /** Values are valid until the next step. */
  *range(options: RangeOptions): Generator<{ key: Buffer; value: Buffer }> {
    try {
      yield* this.records.getRange(options)
    } catch (error) {
      throw this.judged(error)
    }
  }

  /** Copies: lmdb may use a key's memory again. */
  *keys(options: RangeOptions): Generator<Buffer> {
    try {
      for (const key of this.records.getKeys(options)) yield Buffer.from(key)
    } catch (error) {
      throw this.judged(error)
    }
  }

  /** What the file holds now, for as long as `done` is not called. */
  snapshot(): GraphSnapshot {
    const { records, views } = this
    const transaction = records.useReadTransaction()
    const judged = <T>(read: () => T): T => {
      try {
        return read()
      } catch (error) {
        throw this.judged(error)
      }
    }
    return {
      get: (key) => judged(() => records.get(key, { transaction })),
      some: (start, end, take) => judged(() => views.some({ start, end, transaction }, take)),
      damaged: (reason) => this.damaged(reason),
      fileBytes: () => fileBytesOf(records),
      done: () => transaction.done(),
    }
  }

  /** Marks the file as broken, by what was found in it. */
  damaged(reason: string): StoreDamagedError {
    this.onDamage(reason)
    return new StoreDamagedError(reason)
  }

  /** One transaction. `puts`: alternating keys and values. */
  async write(puts: readonly Buffer[], removes: readonly Buffer[]): Promise<void> {
    const { records } = this
    try {
      // All puts of a batch go into one transaction on LMDB's writer thread, so that a write which
      // has to wait for the disk does not hold up heartbeats on this thread.
      await records.batch(() => {
        for (let index = 0; index < puts.length; index += 2) {
          void records.put(puts[index]!, puts[index + 1]!)
        }
        for (const key of removes) void records.remove(key)
      })
      this.onWritten()
    } catch (error) {
      throw this.judged(error)
    }
  }

  private judged(error: unknown): unknown {
    const reason = damageIn(error)
    if (reason === null) return error
    this.onDamage(reason)
    return new StoreDamagedError(reason, error)
  }
}
