import { GrowingHistory } from '../../machines/log/growingHistory.js'
import type { Position } from '../../machines/base/ids.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { AlignedImage } from '../log/applier.js'
import type { Member } from '../member/member.js'
import type { SectionNotes } from '../ports/checkpoints.js'

type EntryNotes = Pick<LogEntry, 'vectorClock' | 'timestamp'>

/** What the member's log says about the position of the image. Rejects when it cannot be read. */
export async function notesOf(
  member: Member,
  { image, entry }: AlignedImage,
): Promise<SectionNotes> {
  const { space, uuid, log, known } = member
  const { position } = image.state
  const { vectorClock, timestamp } = entry ?? await entryAt(member, position)
  const history = new GrowingHistory(log)
  history.truncate(position.sequence)
  return {
    space,
    uuid,
    history: { root: history.root, history: history.history },
    clock: vectorClock,
    timestamp,
    settings: known.record?.assignment.settings ?? null,
  }
}

/** Of an entry that was applied before this start. */
async function entryAt({ log, uuid, context }: Member, at: Position): Promise<EntryNotes> {
  const { journal, frames: codec } = context.ports
  const covers = journal.log(uuid)?.covers
  // Its frame may be gone: then a record of the journal says the same.
  if (covers && covers.covered.sequence === at.sequence) {
    return { vectorClock: covers.clock, timestamp: covers.timestamp }
  }
  const [frame] = await log.framesFrom(at.sequence, 1)
  const found = frame && codec.entries(frame).find(({ sequence }) => sequence === at.sequence)
  if (!found) throw new Error(`bug: entry ${at.sequence} of ${log.space} is not in its frame`)
  return found
}
