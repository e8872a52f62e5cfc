import type { ForkNote } from '../../machines/log/forkNotes.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { AcceptedRequest } from '../ports/frames.js'
import type { PrimaryRole } from '../primary/primary.js'

/** Carries out a command about forks at the primary. Each becomes an entry of the log. */
export async function handleForkCommand(
  command: AdminCommand,
  primary: PrimaryRole,
): Promise<Answer> {
  const { forks } = primary
  const sequence = await forks.logCommand(await wanted(command, primary))
  return { ok: true, sequence }
}

async function wanted(
  command: AdminCommand,
  { forks, reconciler }: PrimaryRole,
): Promise<AcceptedRequest | ForkNote> {
  if (command['type'] === 'closeFork') {
    const { epoch } = command
    const note = typeof epoch === 'number' ? await forks.dismissal(epoch) : null
    if (note) return note
    throw new AdminRefusal('INVALID_OPERATION', `no fork report on epoch ${String(epoch)} is open`)
  }
  const { id } = command
  const item = typeof id === 'string' ? reconciler.reapplied(id) : null
  if (!item) {
    throw new AdminRefusal('INVALID_OPERATION',
      `nothing with the id ${String(id)} is in the quarantine`)
  }
  return command['type'] === 'applyQuarantined'
    ? item
    : { type: 'ForkNote', note: 'discarded', id: id as string }
}
