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

export interface Entering {
  readonly member: Member
  readonly covers: Coverage
}

/**
 * Names the checkpoints that count from now on; durable when it resolves. Rejects with
 * ImageClosedError if the log is another one by then, and with JournalFullError.
 */
export async function enterCoverage(
  writer: CoverageWriter,
  member: Member,
  covers: Coverage,
): Promise<void> {
  const entered = await enterAll(writer, [{ member, covers }])
  if (entered.length === 0) throw new ImageClosedError()
}

/**
 * The same of several spaces, in one flush. Returns those whose log is still the same: nothing of
 * another one must count.
 */
export async function enterAll<One extends Entering>(
  { context, directory }: CoverageWriter,
  all: readonly One[],
): Promise<readonly One[]> {
  const { commits } = context
  return await withReserve({ commits, directory }, () => enteredNow(context, all))
}

function enteredNow<One extends Entering>(
  { commits, ports: { journal } }: NodeContext,
  all: readonly One[],
): Promise<readonly One[]> {
  const isSame = ({ member: { uuid, following }, covers }: One): boolean => {
    const log = journal.log(uuid)
    // The record of an install may be in this flush: another one behind it would void it.
    return log !== undefined && !following.isSwitching && log.damage === null
      && log.covers.installs === covers.installs
      && covers.kept.every(({ position }) => hasEntry(log, position))
  }
  return new Promise((resolve, reject) => {
    commits.mark({ take: () => {
      const same = all.filter(isSame)
      if (same.length === 0) resolve([])
      return same.map(({ member: { uuid }, covers }) => ({
        record: { type: 'checkpoint', uuid, covers },
        bytes: 0,
        durable: () => resolve(same),
        failed: reject,
      }))
    } })
  })
}
