/** Checkpoints that are kept beside salvages, for an operator. Changes nothing. */
import { join } from 'node:path'
import { CheckpointDamagedError, CheckpointVersionError,
  type StoredSection } from '../../actors/ports/checkpoints.js'
import { type FileSystem, FileSystemError } from '../../actors/ports/fileSystem.js'
import type { Position } from '../../machines/base/ids.js'
import type { Operation } from '../../machines/graph/graph.js'
import { RecordCursor } from '../store/imageRecords.js'
import { Table } from '../store/keys.js'
import { decodeEdge, decodeNode } from '../store/record.js'
import { recordFault } from '../store/recordFault.js'
import { type FileHead, readFileHead, sectionsOf } from './fileHead.js'
import { openSection } from './sectionReader.js'

export interface KeptFile {
  readonly name: string
  readonly bytes: number
  readonly space: string
  readonly uuid: string
  readonly position: Position
  readonly writtenAtMs: number
}

export interface UnusableFile {
  readonly name: string
  readonly reason: string
}

interface Folder {
  readonly fileSystem: FileSystem
  readonly directory: string
}

/** Reads heads and footers. */
export async function keptFiles(
  folder: Folder,
  names: readonly string[],
): Promise<{ files: KeptFile[]; unusable: UnusableFile[] }> {
  const files: KeptFile[] = []
  const unusable: UnusableFile[] = []
  for (const name of names) {
    try {
      const { section: { space, uuid, position, writtenAtMs }, bytes } = await sectionIn(folder,
        name)
      files.push({ name, bytes, space, uuid, position, writtenAtMs })
    } catch (error) {
      if (!isOfFile(error)) throw error
      unusable.push({ name, reason: error.message })
    }
  }
  return { files, unusable }
}

/** The section of the space that the name says. */
async function sectionIn(
  { fileSystem, directory }: Folder,
  name: string,
): Promise<{ section: StoredSection; head: FileHead; bytes: number }> {
  const handle = await fileSystem.open(join(directory, name), 'read')
  try {
    const head = await readFileHead(handle, name)
    const section = sectionsOf(head, 0)
      .find(({ space, uuid }) => name.startsWith(`${space}.${uuid.slice(0, 8)}.`))
    if (!section) throw new CheckpointDamagedError(name, 'it has nothing of that space')
    return { section, head, bytes: head.bytes }
  } finally {
    await handle.close()
  }
}

/**
 * Yields the nodes and edges as operations that write them. Rejects like `open` of checkpoints, in
 * the end also if something is missing.
 */
export async function* operationsIn(folder: Folder, name: string): AsyncGenerator<Operation> {
  const { section, head } = await sectionIn(folder, name)
  const handle = await folder.fileSystem.open(join(folder.directory, name), 'read')
  const reader = await openSection(handle, head, section)
  try {
    for await (const piece of reader.records()) {
      const record = new RecordCursor(piece)
      while (record.next()) {
        const fault = recordFault(record)
        if (fault !== null) throw new CheckpointDamagedError(name, fault)
        const value = record.bytes.subarray(record.value, record.end)
        if (record.table === Table.node) yield { type: 'StoreNode', node: decodeNode(value) }
        if (record.table === Table.edgeBySource) {
          yield { type: 'StoreEdge', edge: decodeEdge(value) }
        }
      }
      if (record.fault !== null) throw new CheckpointDamagedError(name, record.fault)
    }
  } finally {
    await reader.close()
  }
}

function isOfFile(error: unknown): error is Error {
  return error instanceof CheckpointDamagedError || error instanceof CheckpointVersionError
    || error instanceof FileSystemError
}
