import { messageOf } from '../../machines/base/thrown.js'
import { removeFormer } from '../checkpoints/formerFiles.js'
import type { Member } from '../member/member.js'
import { JournalFullError } from '../ports/journal.js'
import type { Coverage } from '../ports/journal.js'
import { StageDiscardedError } from '../ports/store.js'
import { untilTaken } from '../structures/untilTaken.js'
import type { Staged } from './staged.js'

/**
 * Replaces log and store of the member by a checkpoint. One record decides, alone in its flush for
 * this space: with it the log is the checkpoint's, whatever the store holds; a start loads it then.
 * `staleReason` is asked right before the record is handed to the journal. Returns why nothing was
 * replaced, or null.
 */
export async function replaceState(
  member: Member,
  staged: Staged,
  staleReason: () => string | null,
): Promise<string | null> {
  const { applier, uuid, context: { ports: { journal }, commits, floors } } = member
  const { loaded, file } = staged
  if (!loaded || !file) throw new Error('bug: a switch to what is not loaded')
  const before = journal.log(uuid)?.covers
  const { id, position } = file
  const { history, clock, timestamp } = loaded.manifest
  const covers: Coverage = {
    installs: (before?.installs ?? 0) + 1,
    kept: [{ file: file.file, id, position }],
    covered: position,
    history,
    clock,
    timestamp,
  }
  applier.hold()
  try {
    await applier.quiet()
    const stale = staleReason()
    if (stale !== null) return stale
    // How far the former log was committed says nothing of the new one.
    floors.forget(member.log)
    await commits.submit({ type: 'snapshotInstalled', uuid, covers })
  } catch (error) {
    if (error instanceof JournalFullError) return messageOf(error)
    throw error
  } finally {
    // The hold of a damaged member, and that of a load, stay.
    const isReplaced = journal.log(uuid)?.covers.installs === covers.installs
    if (!isReplaced && member.damage === null && !member.rebuild.isLoading) applier.release()
  }
  member.log.replace(covers)
  // Before the store has the number of the record: until then, a mark is void.
  await member.unmarkDamaged()
  await adopted(member, staged, covers.installs)
  member.replaced()
  applier.release()
  if (before) await removeFormer(member.context.ports, before)
  return null
}

/** A full disk is waited for: the record is in force. */
async function adopted(member: Member, { loaded }: Staged, installs: number): Promise<void> {
  const { logger, clock } = member.context.ports
  try {
    await untilTaken(() => loaded!.stage.adopt(installs), {
      clock,
      isOver: () => false,
      onHindered: (error) =>
        logger.error({ space: member.space, error }, 'the store cannot be written'),
    })
  } catch (error) {
    // The node stops: the next start loads it.
    if (error instanceof StageDiscardedError) return await new Promise(() => {})
    throw error
  }
}
