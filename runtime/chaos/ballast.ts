/** Fills a file system to its last page, and makes room again. */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../machines/base/thrown.js'

const name = 'ballast'

/** Writes one file until nothing more fits; returns its bytes. Blocks meanwhile. */
export function fill(directory: string): number {
  const file = openSync(join(directory, name), 'a', 0o600)
  let bytes = 0
  try {
    for (let size = 1 << 20; size >= 512; size /= 2) {
      const block = randomBytes(size)
      try {
        for (;;) bytes += writeSync(file, block)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    }
  } finally {
    closeSync(file)
  }
  return bytes
}

export function removeBallast(directory: string): void {
  rmSync(join(directory, name), { force: true })
}

/** A larger file system takes too long to fill, and was hardly made to be filled. */
export const diskBytesMax = 1024 ** 3

/**
 * Reason why the disk of that data directory must not be filled. null if it is a small file system
 * of its own, so that no other program is affected.
 * @param others paths that must be on other file systems
 */
export function fillRefusal(directory: string, others: readonly string[]): string | null {
  try {
    const { dev } = statSync(directory)
    const shared = ['/', ...others].find((other) => statSync(other).dev === dev)
    if (shared !== undefined) return `${directory} shares its file system with ${shared}`
    const { blocks, bsize } = statfsSync(directory)
    if (blocks * bsize <= diskBytesMax) return null
    return `the file system of ${directory} is larger than ${diskBytesMax / 1024 ** 3} GiB`
  } catch (error) {
    return `${directory}: ${messageOf(error)}`
  }
}
