/**
 * Decides at start whether the store's file can be trusted.
 *
 * The store is written without any sync (see store.ts), so its file is whole as long as the page
 * cache with its writes is: over crashes of the process, but not of the machine. The marker is made
 * durable before the first write of a life, with the kernel's boot id, and again after the sync of
 * a clean close. A file is trusted if it is clean, or marked in the present boot. It must be the
 * very file that was marked, by device, inode, and a nonce that each opening writes into the file,
 * too, so that neither a copy nor an older state of it passes. While a compacted copy takes the
 * place of the file, the marker names both. Everything else is discarded; the
 * journal holds all of it.
 */
import { writeFileSync } from 'node:fs'
import { open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Format of the store's directory, file and keys. */
export const STORE_VERSION = 3
/** Format of the records of spaces, which checkpoints have, too. */
export const RECORDS_VERSION = 3

export interface Marker {
  readonly version: number
  /** null if the system has no boot id: then only a clean close is trusted. */
  readonly boot: string | null
  readonly clean: boolean
  /** The file that was opened; null while it is being opened, and from earlier releases. */
  readonly file: FileMark | null
  /** A copy that takes the place of `file`, with the same nonce: either of them counts. */
  readonly compacted?: Place
  /** Set while the file is being opened; if it stays set, the process died meanwhile. */
  readonly opening?: boolean
  /** Damage that a process found in the file. */
  readonly damage?: string
}

/** Device and inode as text, for they may exceed a safe integer. */
export interface Place {
  readonly device: string
  readonly inode: string
}

export interface FileMark extends Place {
  /** The same as in the file. */
  readonly nonce: string
}

const NAME = 'marker.json'

/** undefined: a new directory. A torn or foreign marker vouches for nothing. */
export async function readMarker(directory: string): Promise<Marker | undefined> {
  let text: string
  try {
    text = await readFile(join(directory, NAME), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { version, boot, clean, file, compacted, opening, damage } = JSON.parse(text) as Partial<
      Marker
    >
    if (typeof version !== 'number') throw new Error('no version')
    return {
      version,
      boot: typeof boot === 'string' ? boot : null,
      clean: clean === true,
      file: file ?? null,
      ...(compacted !== undefined && { compacted }),
      ...(opening === true && { opening }),
      ...(damage !== undefined && { damage: String(damage) }),
    }
  } catch {
    return { version: STORE_VERSION, boot: null, clean: false, file: null }
  }
}

/** Durable when it resolves. */
export async function writeMarker(directory: string, marker: Marker): Promise<void> {
  const path = join(directory, NAME)
  const file = await open(`${path}.new`, 'w')
  try {
    await file.writeFile(JSON.stringify(marker))
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  await syncPath(directory)
}

/** For a process that may die at once: as durable as the file system makes it. */
export function writeMarkerSync(directory: string, marker: Marker): void {
  try {
    writeFileSync(join(directory, NAME), JSON.stringify(marker))
  } catch {
    // A full disk: the next start finds the damage again.
  }
}

export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Id of this boot of the machine, or null where there is none (not Linux). */
export async function bootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch {
    return null
  }
}

/** Device and inode of the file; null if it does not exist. */
export async function placeOf(path: string): Promise<Place | null> {
  try {
    const { dev, ino } = await stat(path, { bigint: true })
    return { device: String(dev), inode: String(ino) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Why the file cannot be trusted, or null. `place`: where it is now. */
export function distrust(
  marker: Marker,
  boot: string | null,
  place: Place | null,
): string | null {
  const { file, compacted } = marker
  if (marker.version < STORE_VERSION) return `it has format ${marker.version}`
  if (marker.damage !== undefined) return marker.damage
  if (marker.opening) return 'the process that opened it last died while it did'
  if (place === null) return 'its file does not exist any more'
  const isHere = (one: Place): boolean => one.device === place.device && one.inode === place.inode
  if (file && !isHere(file) && !(compacted && isHere(compacted))) {
    return 'its file is not the one that was written, but a copy'
  }
  if (marker.clean) return null
  if (marker.boot !== null && marker.boot === boot) return null
  return 'the machine went down while the store was open'
}
