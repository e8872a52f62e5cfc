/** Which checkpoint files the journal in a data directory names. Changes nothing. */
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Position } from '../../machines/base/ids.js'

/** A checkpoint of a space that the journal names: by that it counts. */
export interface NamedCheckpoint {
  readonly uuid: string
  /** Number and id of the file. */
  readonly file: number
  readonly id: string
  readonly position: Position
}

/** Rejects when it is not known. */
export async function namedCheckpoints(
  _directory: string,
  _fileSystem: FileSystem,
): Promise<readonly NamedCheckpoint[]> {
  throw new Error('the journal names none yet')
}
