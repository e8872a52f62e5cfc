import { hasEntry } from '../../machines/log/positions.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { Coverage } from '../ports/journal.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import { ImageClosedError } from '../ports/store.js'
import { withReserve } from './reserve.js'

export interface CoverageWriter {
  readonly context: NodeContext
  readonly directory: Pick<NodeDirectory, 'keepReserve' | 'releaseReserve'>
}

/**
 * Names the checkpoints that count from now on; durable when it resolves. Rejects with
 * ImageClosedError if the log is another one by then, and with JournalFullError.
 */
export async function enterCoverage(
  { context, directory }: CoverageWriter,
  member: Member,
  covers: Coverage,
): Promise<void> {
  const { commits } = context
  await withReserve({ commits, directory }, () => entered(member, covers))
}

/** Writes the record, unless the log is another one by then: nothing of it must count. */
function entered({ uuid, following, context }: Member, covers: Coverage): Promise<void> {
  const { commits, ports: { journal } } = context
  return new Promise((resolve, reject) => {
    commits.mark({ take: () => {
      const log = journal.log(uuid)
      // The record of an install may be in this flush: another one behind it would void it.
      const isSame = log && !following.isSwitching && log.damage === null
        && log.covers.installs === covers.installs
        && covers.kept.every(({ position }) => hasEntry(log, position))
      if (isSame) {
        const record = { type: 'checkpoint', uuid, covers } as const
        return [{ record, bytes: 0, durable: resolve, failed: reject }]
      }
      reject(new ImageClosedError())
      return []
    } })
  })
}
