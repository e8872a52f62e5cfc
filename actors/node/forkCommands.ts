import type { ForkNote } from '../../machines/log/forkNotes.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { Answer, Order } from '../ports/adminApi.js'
import type { AcceptedRequest } from '../ports/frames.js'
import type { PrimaryRole } from '../primary/primary.js'

/** What operators order about forks, at the primary: each becomes an entry of the log. */
export async function obeyAboutForks(order: Order, primary: PrimaryRole): Promise<Answer> {
  const { forks, reconciler } = primary
  const sequence = await forks.order(wanted(order, reconciler))
  return { ok: true, sequence }
}

function wanted(
  order: Order, reconciler: PrimaryRole['reconciler'],
): AcceptedRequest | ForkNote {
  if (order['type'] === 'closeFork') {
    const { epoch } = order
    const note = typeof epoch === 'number' ? reconciler.tracker.dismiss(epoch) : null
    if (note) return note
    throw new AdminRefusal('INVALID_OPERATION', `no fork report on epoch ${String(epoch)} is open`)
  }
  const { id } = order
  const item = typeof id === 'string' ? reconciler.reapplied(id) : null
  if (!item) {
    throw new AdminRefusal('INVALID_OPERATION',
      `nothing with the id ${String(id)} is in the quarantine`)
  }
  return order['type'] === 'applyQuarantined' ? item
    : { type: 'ForkNote', note: 'discarded', id: id as string }
}
