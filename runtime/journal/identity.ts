/** Who this data directory is: its disk, and how often a node was started on it. */
import { join } from 'node:path'
import { FileSystemError, type FileSystem, type Random } from '../../actors/ports.js'
import { isSafe, isUuid } from '../codec/frameBytes.js'

export interface Identity {
  /** Uuid of this data directory: a node on another disk is another member (section 7). */
  readonly disk: string
  /** Raised at each start. */
  readonly incarnation: number
}

/** The file is there and makes no sense: never replaced, an incarnation must not repeat. */
export class IdentityDamagedError extends Error {
  readonly code = 'IDENTITY_DAMAGED'
  constructor(path: string, reason: string) {
    super(`${path} is damaged (${reason}): restore it, or move the data directory away to join `
      + 'with an empty disk')
    this.name = 'IdentityDamagedError'
  }
}

const FILE_BYTES_MAX = 4096

/**
 * Reads `<directory>/identity.json`, raises the incarnation, and returns once the new file is
 * durable. `firstIncarnation`: of an empty directory; a node that lost its disk must still count
 * higher than before. Throws IdentityDamagedError, FileSystemError.
 */
export async function loadIdentity(
  directory: string, fileSystem: FileSystem, random: Random, firstIncarnation = 1,
): Promise<Identity> {
  await fileSystem.makeDirectory(directory)
  const path = join(directory, 'identity.json')
  const before = await readIdentity(path, fileSystem)
  const identity: Identity = before
    ? { disk: before.disk, incarnation: before.incarnation + 1 }
    : { disk: random.uuid(), incarnation: firstIncarnation }
  const temporary = `${path}.tmp`
  await fileSystem.remove(temporary).catch(ignoreMissing)
  const handle = await fileSystem.open(temporary, 'create')
  try {
    await handle.write([Buffer.from(`${JSON.stringify({ version: 1, ...identity })}\n`)], 0)
    await handle.datasync()
  } finally {
    await handle.close()
  }
  await fileSystem.rename(temporary, path)
  await fileSystem.syncDirectory(directory)
  return identity
}

async function readIdentity(path: string, fileSystem: FileSystem): Promise<Identity | null> {
  let handle
  try {
    handle = await fileSystem.open(path, 'read')
  } catch (error) {
    ignoreMissing(error)
    return null
  }
  try {
    const bytes = Buffer.alloc(FILE_BYTES_MAX)
    const text = bytes.toString('utf8', 0, await handle.read(bytes, 0))
    return parseIdentity(path, text)
  } finally {
    await handle.close()
  }
}

function parseIdentity(path: string, text: string): Identity {
  let value: { version?: unknown; disk?: unknown; incarnation?: unknown }
  try {
    value = Object(JSON.parse(text)) as typeof value
  } catch (error) {
    throw new IdentityDamagedError(path, (error as Error).message)
  }
  const { version, disk, incarnation } = value
  if (version !== 1) throw new IdentityDamagedError(path, `version ${String(version)}, not 1`)
  if (typeof disk !== 'string' || !isUuid(disk)) throw new IdentityDamagedError(path, 'no disk id')
  if (!isSafe(incarnation)) throw new IdentityDamagedError(path, 'no incarnation')
  return { disk, incarnation }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}
