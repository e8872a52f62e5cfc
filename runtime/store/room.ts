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

/** Rejects with NoRoomError if that many records may not fit on the disk of `directory`. */
export async function assertRoom(directory: string, records: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const wantedBytes = reserveBytes + records * pagesPerRecord * pageBytes
  if (bavail * bsize < wantedBytes) throw new NoRoomError(bavail * bsize, wantedBytes)
}
