import type { Position } from '../../machines/base/ids.js'
import { spansBetween } from '../../machines/log/positions.js'
import { framesAfter, namesOf } from '../forks/salvageSlices.js'
import { sendAlert } from '../member/alerts.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import type { StoredSection } from '../ports/checkpoints.js'
import type { Frame } from '../ports/frames.js'
import { firstOf } from '../ports/journal.js'
import type { MissingEntries } from '../ports/journal.js'

/** What of a log goes to a salvage. */
interface Fork {
  readonly common: Position
  readonly end: Position
  readonly missing?: MissingEntries
}

/**
 * Writes the entries above `common` to a salvage, fsynced (I6). Returns its name. `checkpoint`: of
 * this log, with the effect of what is missing; it is kept beside the salvage.
 */
export async function salvageAbove(
  member: Member,
  fork: Fork,
  joinedEpoch: number,
  checkpoint: StoredSection | null = null,
): Promise<string> {
  const { ports, self } = member.context
  const { space, uuid } = member
  const header = { space, uuid, node: self.node, ...fork, joinedEpoch,
    savedAtMs: ports.clock.wallMs() }
  const last = fork.end.sequence
  const frames = upTo(last, framesAfter(member, firstOf(header) - 1, last))
  const salvage = await ports.salvages.save(header, frames,
    checkpoint ? ports.checkpoints.pathOf(checkpoint) : undefined)
  // Counted by name: after a crash between save and truncate the file exists already.
  await ports.salvages.names().then(
    (names) => member.salvages.counted(namesOf(names, space, uuid).length),
    () => member.salvages.added(),
  )
  return salvage
}

/**
 * Writes what only this log may have, before it is replaced: its entries above `after`, as far as
 * they are kept here. Of a damaged log, those that can be read in one piece. Entries above `after`
 * that were given up are named as missing, and the newest checkpoint, which has their effect, is
 * kept.
 */
export async function salvageBeforeInstall(
  member: Member,
  after: number,
  joinedEpoch: number,
): Promise<void> {
  const { context: { pins, self }, uuid, log } = member
  // What is still here must not be given up meanwhile.
  pins.pin(uuid, { node: self.node, from: Math.max(after, log.base) + 1, bytes: 0 })
  try {
    await salvageKept(member, after, joinedEpoch)
  } finally {
    pins.release(uuid, self.node)
  }
}

async function salvageKept(member: Member, after: number, joinedEpoch: number): Promise<void> {
  const { log, log: { base }, salvages, damage } = member
  const from = Math.max(after, base) + 1
  const found = from > log.end.sequence
    ? null
    : await readable(member, from, damage === null ? from : log.end.sequence)
  const spans = spansBetween(log.history, after, base)
  // Of a damaged log it may not be known what it had.
  const isMissing = spans.length > 0 && spans.at(-1)!.last === base
  if (!found && !isMissing) return
  const checkpoint = isMissing ? checkpointOf(member) : null
  const fork: Fork = {
    common: positionAt(member, isMissing ? after : found!.first - 1),
    end: damage === null ? log.end : positionAt(member, found?.last ?? base),
    ...(isMissing && { missing: {
      begins: base + 1,
      spans,
      checkpoint: checkpoint?.position ?? null,
    } }),
  }
  const before = salvages.count
  const salvage = await salvageAbove(member, fork, joinedEpoch, checkpoint)
  if (salvages.count > before) alertFork(member, salvage, fork)
}

/** The newest checkpoint of this log that counts, as far as their files are there. */
function checkpointOf({ uuid, context: { ports } }: Member): StoredSection | null {
  const { journal, checkpoints } = ports
  const kept = journal.log(uuid)?.covers.kept ?? []
  return kept.map((one) => checkpoints.find(uuid, one)).findLast((one) => one !== null) ?? null
}

function positionAt({ log }: Member, sequence: number): Position {
  return { epoch: log.epochAt(sequence), sequence }
}

/** Entries from the frame that holds `from` on, as far as they can be read, at least to `upTo`. */
async function readable(
  member: Member,
  from: number,
  least: number,
): Promise<{ readonly first: number; readonly last: number } | null> {
  let first: number | null = null
  let last = from - 1
  try {
    for await (const frames of framesAfter(member, last, least)) {
      first ??= frames[0]!.first
      last = frames.at(-1)!.last
    }
  } catch (error) {
    if (member.damage === null || !isDamage(error)) throw error
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
  { common, end, missing }: Fork,
): void {
  const entries = end.sequence + 1 - firstOf({ common, ...(missing && { missing }) })
  const text = `gave up a fork of ${entries} entries; it is kept in ${salvage}`
  if (!missing) {
    sendAlert(context, space, 'fork', { salvage, common, end, entries }, text)
  } else {
    const { begins, checkpoint } = missing
    const kept = checkpoint ? `, and a checkpoint at ${checkpoint.sequence} is kept` : ''
    sendAlert(context, space, 'fork', { salvage, common, end, entries, begins, checkpoint },
      `${text}; entries ${common.sequence + 1} to ${begins - 1} before them are no longer kept`
        + kept)
  }
  context.ports.telemetry.count('forks', 1, { space })
}
