/**
 * Checks that the disk has room for a transaction. lmdb 3.5.6 corrupts its own memory when a write
 * of pages meets a full disk ("malloc(): corrupted top size", then SIGABRT). So the store is not
 * written while little room is left, and catches up from the journal later.
 */
import { statfs } from 'node:fs/promises'

/** Left for others: for example, the journal's writes during a transaction. */
const reserveBytes = 8 * 1024 * 1024
/** A changed record may split its page; the pages above it are shared by many records. */
const pagesPerRecord = 1
const pageBytes = 4096

export class NoRoomError extends Error {
  readonly code = 'ENOSPC'
  constructor(freeBytes: number, wantedBytes: number) {
    super(`no room for the store: ${freeBytes} bytes are free, ${wantedBytes} are needed`)
    this.name = 'NoRoomError'
  }
}

/**
 * With so much room left, a reading of the room is trusted for a while. Writers fill it slower:
 * some GB/s go into the page cache. Only room that another program reserves at once goes faster.
 */
const plentyBytes = 4 * 1024 * 1024 * 1024
const trustedMs = 100

/** Room on the disk of a store. */
export class Room {
  private plentyUntilMs = -Infinity

  /** `free` reads the bytes that are free; `nowMs`: monotonic. */
  constructor(
    private readonly free: () => Promise<number>,
    private readonly nowMs = () => performance.now(),
  ) {}

  static of(directory: string): Room {
    return new Room(async () => {
      const { bavail, bsize } = await statfs(directory)
      return bavail * bsize
    })
  }

  /** Rejects with NoRoomError if that many records may not fit. */
  async assert(records: number): Promise<void> {
    const wantedBytes = reserveBytes + records * pagesPerRecord * pageBytes
    if (wantedBytes < plentyBytes / 2 && this.nowMs() < this.plentyUntilMs) return
    const freeBytes = await this.free()
    this.plentyUntilMs = freeBytes >= plentyBytes ? this.nowMs() + trustedMs : -Infinity
    if (freeBytes < wantedBytes) throw new NoRoomError(freeBytes, wantedBytes)
  }
}
