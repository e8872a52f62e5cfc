import { messageOf } from '../../machines/base/thrown.js'
import type { NodeContext } from '../member/context.js'
import { namedFiles } from '../ports/journal.js'

export interface UnusedOptions {
  readonly context: NodeContext
  /** Spaces here, and whether an install of them is under way. */
  readonly installing: () => ReadonlyMap<string, boolean>
}

/**
 * Removes checkpoint files that no record names, and parts of installs that are not under way:
 * such an install begins anew. Called while no checkpoint is written. Never rejects.
 */
export async function removeUnused({ context, installing }: UnusedOptions): Promise<void> {
  const { checkpoints, journal, logger } = context.ports
  try {
    for (const uuid of await checkpoints.spacesOfParts()) {
      if (installing().get(uuid) !== true) await checkpoints.removeParts(uuid)
    }
    // A journal that lost records may have lost the name of a file that counts.
    if (journal.recovery.damaged.length > 0) return
    for (const { number, sections } of checkpoints.files()) {
      // A file of an install is there before its record is.
      const isSettled = sections.every(({ uuid }) => installing().get(uuid) === false)
      if (isSettled && !namedFiles(journal).has(number)) await checkpoints.remove(number)
    }
  } catch (error) {
    logger.warn({ error: messageOf(error) }, 'checkpoint files that are not used are still there')
  }
}
