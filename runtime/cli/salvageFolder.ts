/** The folder of a node's salvages, for commands on files. */
import { join } from 'node:path'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { SalvageFiles } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import type { Context } from './context.js'
import { checkNodeDirectory } from './directories.js'

// The storage code is loaded lazily, since no other client command needs it.

export interface Folder {
  readonly salvages: SalvageFiles
  readonly directory: string
  readonly fileSystem: FileSystem
}

export async function salvagesIn(context: Context, node: string): Promise<Folder> {
  checkNodeDirectory(node)
  const [{ createSalvageFiles }, { NodeFileSystem }] = await Promise.all(
    [import('../journal/salvage.js'), import('../system/fileSystem.js')],
  )
  const log = (fields: object, message: string): void =>
    context.note('reason' in fields ? `${message}: ${String(fields.reason)}` : message)
  const logger: Logger = { debug() {}, info() {}, warn: log, error: log }
  const directory = join(node, 'salvage')
  const fileSystem = new NodeFileSystem()
  return { salvages: createSalvageFiles({ directory, fileSystem, logger }), directory, fileSystem }
}
