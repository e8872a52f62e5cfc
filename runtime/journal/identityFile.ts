/** Identity of a data directory as a file in it: its node, its disk, the number of its starts. */
import { dirname, join } from 'node:path'
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'
import type { DirectoryIdentity } from '../../machines/protocol/dataDirectoryVerdict.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { isSafe, isUuid } from '../codec/frameBytes.js'

/** The file exists but makes no sense. It is never replaced: an incarnation must not repeat. */
export class IdentityDamagedError extends Error {
  readonly code = 'IDENTITY_DAMAGED'
  constructor(path: string, reason: string) {
    super(`${path} is damaged (${reason}): restore it, or move the data directory `
      + `${dirname(path)} away to join with an empty disk`)
    this.name = 'IdentityDamagedError'
  }
}

/** The identity as stored in the directory. */
export interface StoredIdentity extends DirectoryIdentity {
  /** Uuid of the directory's journal; null until there is one, and in former releases. */
  readonly journal: string | null
}

const FILE = 'identity.json'
const FILE_BYTES_MAX = 4096

/**
 * Reads `<directory>/identity.json`; null if there is none. Changes nothing. Throws
 * IdentityDamagedError, FileSystemError.
 */
export async function readIdentity(
  directory: string,
  fileSystem: FileSystem,
): Promise<StoredIdentity | null> {
  const path = join(directory, FILE)
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

/** Durable when it resolves: the old file or the new one, never a mix. Throws FileSystemError. */
export async function writeIdentity(
  directory: string,
  identity: StoredIdentity,
  fileSystem: FileSystem,
): Promise<void> {
  await fileSystem.makeDirectory(directory)
  const path = join(directory, FILE)
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
}

function parseIdentity(path: string, text: string): StoredIdentity {
  let value: { version?: unknown } & Partial<Record<keyof StoredIdentity, unknown>>
  try {
    value = Object(JSON.parse(text)) as typeof value
  } catch (error) {
    throw new IdentityDamagedError(path, (error as Error).message)
  }
  // A directory of a release that wrote neither node nor journal, and no spoken number.
  const { version, disk, incarnation, node = null, journal = null, spoken = incarnation } = value
  if (version !== 1) throw new IdentityDamagedError(path, `version ${String(version)}, not 1`)
  if (typeof disk !== 'string' || !isUuid(disk)) throw new IdentityDamagedError(path, 'no disk id')
  if (!isSafe(incarnation)) throw new IdentityDamagedError(path, 'no incarnation')
  if (!isSafe(spoken)) throw new IdentityDamagedError(path, 'no spoken number')
  if (node !== null && nameFault(node) !== null) throw new IdentityDamagedError(path, 'no node')
  if (journal !== null && (typeof journal !== 'string' || !isUuid(journal))) {
    throw new IdentityDamagedError(path, 'no journal id')
  }
  return { node: node as string | null, disk, incarnation, spoken, journal }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof FileSystemError) || error.code !== 'ENOENT') throw error
}
