import type { Position } from '../../machines/base/ids.js'
import { framesAbove, namesOf } from '../forks/salvageSlices.js'
import { sendAlert } from '../member/alerts.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import type { Frame } from '../ports/frames.js'

const readBytes = 1024 * 1024

/** Writes the entries above `common` to a salvage, fsynced (I6). Returns its name. */
export async function salvageAbove(
  member: Member,
  common: Position,
  joinedEpoch: number,
  end = member.log.end,
): Promise<string> {
  const { ports, self } = member.context
  const { space, uuid } = member
  const salvage = await ports.salvages.save({
    space,
    uuid,
    node: self.node,
    common,
    end,
    joinedEpoch,
    savedAtMs: ports.clock.wallMs(),
  }, upTo(end.sequence, framesAbove(member, common.sequence)))
  // Counted by name: after a crash between save and truncate the file exists already.
  await ports.salvages.names().then(
    (names) => member.salvages.counted(namesOf(names, space, uuid).length),
    () => member.salvages.added(),
  )
  return salvage
}

/**
 * Writes what only this log may have, before it is replaced: its entries above `after`, as far as
 * they are kept here. Of a damaged log, those that can be read in one piece.
 */
export async function salvageBeforeInstall(
  member: Member,
  after: number,
  joinedEpoch: number,
): Promise<void> {
  const { log, salvages, damage } = member
  const from = Math.max(after, log.base) + 1
  if (from > log.end.sequence) return
  const found = await readable(member, from, damage === null ? from : log.end.sequence)
  if (!found) return
  const common = positionAt(member, found.first - 1)
  const end = damage === null ? log.end : positionAt(member, found.last)
  const before = salvages.count
  const salvage = await salvageAbove(member, common, joinedEpoch, end)
  if (salvages.count > before) alertFork(member, salvage, common, end)
}

function positionAt({ log }: Member, sequence: number): Position {
  return { epoch: log.epochAt(sequence), sequence }
}

/** Entries from the frame that holds `from` on, as far as they can be read, at least to `upTo`. */
async function readable(
  { log, damage }: Member,
  from: number,
  least: number,
): Promise<{ readonly first: number; readonly last: number } | null> {
  let first: number | null = null
  let last = from - 1
  try {
    while (last < least) {
      const frames = await log.framesFrom(last + 1, readBytes)
      if (frames.length === 0) break
      first ??= frames[0]!.first
      last = frames.at(-1)!.last
    }
  } catch (error) {
    if (damage === null || !isDamage(error)) throw error
  }
  return first === null ? null : { first, last }
}

async function* upTo(
  last: number,
  frames: AsyncIterable<readonly Frame[]>,
): AsyncIterable<readonly Frame[]> {
  for await (const some of frames) {
    const within = some.filter((frame) => frame.last <= last)
    if (within.length > 0) yield within
    if (within.length < some.length || within.at(-1)?.last === last) return
  }
}

/** Reports that entries of this log were given up, and are kept in a salvage. */
export function alertFork(
  { context, space }: Member,
  salvage: string,
  common: Position,
  end: Position,
): void {
  const entries = end.sequence - common.sequence
  sendAlert(context, space, 'fork', { salvage, common, end, entries },
    `gave up a fork of ${entries} entries; it is kept in ${salvage}`)
  context.ports.telemetry.count('forks', 1, { space })
}
