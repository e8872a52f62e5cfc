/**
 * Tells at start whether the store's file can be trusted.
 *
 * The store is written without any sync (see store.ts), so its file is whole as long as the page
 * cache that took the writes is: over crashes of the process, but not of the machine. The marker
 * is made durable before the first write of a life, with the kernel's boot id, and again after
 * the sync of a clean close. Trusted is: clean, or marked in the present boot. Everything else
 * is thrown away; the journal holds all of it.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'

/** Format of the store's directory, file and keys. */
export const STORE_VERSION = 3

export interface Marker {
  readonly version: number
  /** null where the system names no boot: then only a clean close is trusted. */
  readonly boot: string | null
  readonly clean: boolean
}

const NAME = 'marker.json'

/** undefined: a new directory. A torn or foreign marker is one that vouches for nothing. */
export async function readMarker(directory: string): Promise<Marker | undefined> {
  let text: string
  try {
    text = await readFile(join(directory, NAME), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { version, boot, clean } = JSON.parse(text) as Partial<Marker>
    if (typeof version !== 'number') throw new Error('no version')
    return { version, boot: typeof boot === 'string' ? boot : null, clean: clean === true }
  } catch {
    return { version: STORE_VERSION, boot: null, clean: false }
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

/** Why the file cannot be trusted, or null. */
export function distrust(marker: Marker, boot: string | null): string | null {
  if (marker.version < STORE_VERSION) return `it has format ${marker.version}`
  if (marker.clean) return null
  if (marker.boot !== null && marker.boot === boot) return null
  return 'the machine went down while the store was open'
}
