import { messageOf } from '../../machines/base/thrown.js'
import type { NodePorts } from '../ports/node.js'
import { type Coverage, namedFiles } from '../ports/journal.js'

/**
 * Removes the files that the former records named, and none does now. Others that nothing names are
 * left: one may be of an install that is about to be recorded.
 */
export async function removeFormer(
  { journal, checkpoints, logger }: Pick<NodePorts, 'journal' | 'checkpoints' | 'logger'>,
  ...formers: readonly Coverage[]
): Promise<void> {
  const named = namedFiles(journal)
  const former = new Set(formers.flatMap(({ kept }) => kept.map(({ file }) => file)))
  for (const file of former) {
    if (named.has(file)) continue
    await checkpoints.remove(file).catch((error: unknown) =>
      logger.warn({ file, error: messageOf(error) },
        'a former checkpoint cannot be removed; the next start tries again')
    )
  }
}
