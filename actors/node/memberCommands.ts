/** Operators' orders to change the members of a space, at its primary. */
import type { MemberOrder } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { PrimaryRole } from '../primary/primary.js'
import { byOf } from './maintenance.js'

/**
 * `{ add?, remove?, force? }` orders a change, `{ cancel: true }` takes it back. The answer has the
 * members and the change as they are in the record then; the change itself goes on after it.
 */
export async function changeMembers(command: AdminCommand, primary: PrimaryRole): Promise<Answer> {
  return answerOf(await primary.changeMembers(orderOf(command)))
}

/** null: cancel. */
function orderOf(command: AdminCommand): MemberOrder | null {
  const { cancel = false, force = false } = command
  if (typeof cancel !== 'boolean' || typeof force !== 'boolean') {
    throw new AdminRefusal('INVALID_OPERATION', 'cancel and force must be true or false')
  }
  const [add, remove] = [nodeOf(command, 'add'), nodeOf(command, 'remove')]
  if (!cancel) return { ...add, ...remove, force, by: byOf(command) }
  if (add || remove) {
    throw new AdminRefusal('INVALID_OPERATION', 'cancel goes without add and remove')
  }
  return null
}

function nodeOf<K extends 'add' | 'remove'>(
  command: AdminCommand,
  name: K,
): { [N in K]: string } | undefined {
  const { [name]: node } = command
  if (node === undefined) return undefined
  const fault = nameFault(node)
  if (fault !== null) throw new AdminRefusal('INVALID_OPERATION', `${name}: ${fault}`)
  return { [name]: node } as { [N in K]: string }
}

function answerOf({ members, inSync, change, settings }: Assignment): Answer {
  return { ok: true, members: members.map(({ node }) => node), inSync, change: change ?? null,
    replicas: settings.replicas }
}
