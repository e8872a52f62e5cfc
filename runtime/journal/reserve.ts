/**
 * Reserved disk space, so that a node can start on a full disk. A start writes its number, and the
 * last flush of a crashed process, before it can report that the disk is full.
 */
import { join } from 'node:path'
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'

const FILE = 'reserve'
/** Size of a start's writes: the last flush again (some MiB at most), and a few small files. */
export const RESERVE_BYTES = 8 * 1024 * 1024
const CHUNK = new Uint8Array(256 * 1024)

/** Fills the reserve as far as the disk has room; false: there is too little. Never rejects. */
export async function keepReserve(
  directory: string,
  fileSystem: FileSystem,
  reserveBytes: number,
): Promise<boolean> {
  const path = join(directory, FILE)
  try {
    const handle = await fileSystem.open(path, 'readWrite').catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error
      return fileSystem.open(path, 'create')
    })
    try {
      // Written with bytes: a hole would reserve nothing.
      for (let at = await handle.size(); at < reserveBytes; at += CHUNK.length) {
        await handle.write([CHUNK.subarray(0, reserveBytes - at)], at)
      }
      await handle.datasync()
    } finally {
      await handle.close()
    }
    return true
  } catch {
    return false
  }
}

/** Gives the reserve back to the disk. False: there is none. */
export async function releaseReserve(directory: string, fileSystem: FileSystem): Promise<boolean> {
  try {
    await fileSystem.remove(join(directory, FILE))
    await fileSystem.syncDirectory(directory)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): string {
  if (error instanceof FileSystemError) return error.code
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
