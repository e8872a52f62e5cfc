/**
 * Gives the bytes of free pages back: LMDB's file never shrinks. When more than half of it is free,
 * an opening copies it without its free pages (LMDB's own copy) before anything reads it, and the
 * copy takes its place:
 *
 *   | step                                  | a crash right after leaves                    |
 *   |---------------------------------------|-----------------------------------------------|
 *   | copy into `compacted/`, sync, check   | the file; the next opening removes the copy   |
 *   | close the file; the marker names both | the file                                      |
 *   | rename                                | the copy, which the marker names, too         |
 *   | the marker names the copy alone       | the copy                                      |
 *
 * Nothing is written meanwhile, so both hold the same, the nonce of this opening included. A power
 * cut discards the store in any case (marker.ts). A fault leaves the file as it was.
 *
 * What is copied is less than what is given back. A process that is killed meanwhile, perhaps since
 * its start took too long, leaves `compacted/` behind: the next start then does without.
 */
import { mkdir, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import type { Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import { bytesText, msText } from '../../machines/base/units.js'
import { damageIn, fileFault } from './graphFile.js'
import { type Marker, type Place, placeOf, syncPath, writeMarker } from './marker.js'
import { nonceKey, openRecords } from './opening.js'
import { type LmdbStats, pageUse } from './pages.js'

/** What a compaction does beside LMDB. */
export interface CompactionFiles {
  freeBytes(path: string): Promise<number>
  exists(path: string): Promise<boolean>
  makeDirectory(path: string): Promise<void>
  sync(path: string): Promise<void>
  mark(directory: string, marker: Marker): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** With all that is below it; it may be missing. */
  remove(path: string): Promise<void>
}

export const compactionFiles: CompactionFiles = {
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
  exists: (path) => stat(path).then(() => true, () => false),
  makeDirectory: async (path) => {
    await mkdir(path)
  },
  sync: syncPath,
  mark: writeMarker,
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
}

export interface CompactionOptions {
  /** Fewer bytes are not worth it. Default 1 GiB. */
  readonly freeBytesMin?: number
  /** That the copy must leave on the disk. Default 64 MiB. */
  readonly spareBytes?: number
  readonly files?: CompactionFiles
  /** Monotonic. */
  readonly nowMs?: () => number
}

export interface Compacting extends CompactionOptions {
  /** Of the store. */
  readonly directory: string
  /** See removeCopy. */
  readonly wasCutOff: boolean
  /** Open; nothing else uses it. */
  readonly records: RootDatabase<Buffer, Buffer>
  /** As it is on the disk. */
  readonly marker: Marker
  readonly logger: Logger | undefined
  /** The file turns out to be broken. Returns the error. */
  readonly damaged: (reason: string, cause: unknown) => Error
}

const copyOf = (directory: string): string => join(directory, 'compacted')

/** Removes what a compaction that was cut off has left. Returns whether there was anything. */
export async function removeCopy(directory: string, files = compactionFiles): Promise<boolean> {
  const copy = copyOf(directory)
  if (!await files.exists(copy)) return false
  await files.remove(copy)
  return true
}

/** The file, open: compacted if that is worth it, else as it was. */
export async function compacted(of: Compacting): Promise<RootDatabase<Buffer, Buffer>> {
  const { directory, records, logger, nowMs = () => performance.now() } = of
  const { freeBytesMin = 2 ** 30, spareBytes = 2 ** 26, files = compactionFiles } = of
  const copy = copyOf(directory)
  const { liveBytes, freeBytes } = pageUse(records)
  if (freeBytes <= liveBytes || freeBytes <= freeBytesMin) return records
  const free = `${bytesText(freeBytes)} of its ${bytesText(liveBytes + freeBytes)} are free`
  const leave = (reason: string): void =>
    logger?.warn({ freeBytes, liveBytes }, `the store is not compacted, ${free}: ${reason}`)
  if (of.wasCutOff) {
    leave('the last start was cut off in it; the next one tries again')
    return records
  }
  const begunMs = nowMs()
  try {
    const room = await files.freeBytes(directory)
    if (room < liveBytes + spareBytes) {
      leave(`the disk has no room for a copy of ${bytesText(liveBytes)}: ${bytesText(room)} free`)
      return records
    }
    logger?.info({ freeBytes, liveBytes }, `compacting the store: ${free}`)
    await files.makeDirectory(copy)
    await records.backup(copy, true)
    await files.sync(join(copy, 'data.mdb'))
    await check(copy, records)
  } catch (error) {
    await files.remove(copy).catch(() => undefined)
    if (damageIn(error) !== null) throw of.damaged(messageOf(error), error)
    leave(messageOf(error))
    return records
  }
  await records.close()
  try {
    await replace(of, files, copy)
    const took = msText(nowMs() - begunMs)
    logger?.info({ freeBytes, liveBytes },
      `the store is compacted: ${bytesText(freeBytes)} were given back in ${took}`)
  } catch (error) {
    leave(messageOf(error))
  }
  await files.remove(copy).catch(() => undefined)
  return openRecords(join(directory, 'graph'))
}

/** Rejects if the copy does not open, or is another state: it must be found before the switch. */
async function check(path: string, records: RootDatabase<Buffer, Buffer>): Promise<void> {
  const fault = await fileFault(join(path, 'data.mdb'))
  if (fault !== null) throw new Error(`its copy is of no use: ${fault}`)
  const copy = openRecords(path)
  try {
    const marks = [records, copy].map((file) => {
      const { entryCount } = file.getStats() as LmdbStats
      return `${entryCount} records, nonce ${file.getBinary(nonceKey)?.toString()}`
    })
    if (marks[0] !== marks[1]) throw new Error(`its copy has ${marks[1]}, and not ${marks[0]}`)
  } finally {
    await copy.close()
  }
}

/** The copy takes the place of the file; both are closed. */
async function replace(
  { directory, marker }: Compacting,
  files: CompactionFiles,
  copy: string,
): Promise<void> {
  const file = join(directory, 'graph', 'data.mdb')
  const from = join(copy, 'data.mdb')
  const place: Place | null = await placeOf(from)
  if (place === null || marker.file === null) throw new Error('its copy is gone')
  await files.mark(directory, { ...marker, compacted: place })
  await files.rename(from, file)
  await files.mark(directory, { ...marker, file: { ...marker.file, ...place } })
}
