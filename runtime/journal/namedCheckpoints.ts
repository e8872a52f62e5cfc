/** Which checkpoints the journal in a data directory names. Changes nothing. */
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { KeptCheckpoint } from '../../actors/ports/journal.js'
import { journalIn, NoJournalError, silent, unmoved } from './inspect.js'
import { scanJournal } from './recovery.js'
import { takeRecord } from './walk.js'

/** A checkpoint of a space that the journal names: by that it counts. */
export interface NamedCheckpoint extends KeptCheckpoint {
  readonly uuid: string
}

/** Reads the last segment, and indexes. Errors as verifyJournal. */
export async function namedCheckpoints(
  directory: string,
  fileSystem: FileSystem,
): Promise<readonly NamedCheckpoint[]> {
  const where = await journalIn(directory, fileSystem)
  const scan = await unmoved(() => scanJournal(fileSystem, where, silent))
  if (!scan) throw new NoJournalError(directory)
  for (const record of scan.tail) takeRecord(scan.logs, record)
  return scan.logs.all().flatMap(({ uuid, covers }) =>
    covers.kept.map((kept) => ({ uuid, ...kept }))
  )
}
