import type { GroupCommit } from '../log/groupCommit.js'
import { isNoSpace } from '../ports/fileSystem.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'

export interface ReserveOptions {
  readonly commits: Pick<GroupCommit, 'runShort'>
  readonly directory: Pick<NodeDirectory, 'keepReserve' | 'releaseReserve'>
}

/**
 * Makes a write that leads to more room. On a disk without any, it gets the reserved space: `again`
 * is then called, and nothing new is taken until the reserve can be kept again. Rejects like
 * `write` if there is no reserve.
 */
export async function withReserve<T>(
  { commits, directory }: ReserveOptions,
  write: () => Promise<T>,
  again: () => Promise<T> = write,
): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!isNoSpace(error) || !await directory.releaseReserve()) throw error
  }
  // Otherwise, a record that fits by the reserve would pass for a disk that has room.
  commits.runShort()
  try {
    return await again()
  } finally {
    if (!await directory.keepReserve()) commits.runShort()
  }
}
