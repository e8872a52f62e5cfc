import { compareUtf8 } from '../../machines/graph/utf8.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import type { AssignmentStore } from '../arbiter/assignmentStore.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { Clock } from '../ports/system.js'

const limitMax = 1000
/** Records read at the arbiter at a time; as many are decoded in one turn at most. */
const readAtOnce = 16
/** Names are fetched again after this time, however many lists are requested. */
const namesMs = 500

/** Lists the spaces of the arbiter, page by page. */
export class SpaceList {
  private names: { readonly atMs: number; readonly sorted: Promise<readonly string[]> } | null =
    null

  constructor(
    private readonly records: AssignmentStore,
    private readonly clock: Clock,
    /** Limit of an encoded page. */
    private readonly bytesMax: number,
  ) {}

  /** Rejects with AdminRefusal, ArbiterUnavailableError. */
  async page(command: AdminCommand): Promise<Answer> {
    const { after = '', limit = limitMax } = command
    if (typeof after !== 'string') {
      throw new AdminRefusal('INVALID_OPERATION', 'after must be the name of a space')
    }
    if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > limitMax) {
      throw new AdminRefusal('INVALID_OPERATION',
        `limit must be a whole number from 1 to ${limitMax}`)
    }
    const names = (await this.allNames()).filter((name) => compareUtf8(name, after) > 0)
    const [spaces, unreadable]: [object[], object[]] = [[], []]
    let bytes = 0
    let last = ''
    for (let from = 0; from < names.length; from += readAtOnce) {
      const some = names.slice(from, from + readAtOnce)
      const found = await Promise.all(some.map((name) => this.shown(name)))
      for (const [index, shown] of found.entries()) {
        const size = shown ? Buffer.byteLength(JSON.stringify(shown)) + 1 : 0
        const count = spaces.length + unreadable.length
        const isFull = count > 0 && (count >= (limit as number) || bytes + size > this.bytesMax)
        if (shown && isFull) return { ...listed(spaces, unreadable), more: true, after: last }
        last = some[index]!
        bytes += size
        if (shown && 'reason' in shown) unreadable.push(shown)
        else if (shown) spaces.push(shown)
      }
    }
    return listed(spaces, unreadable)
  }

  private allNames(): Promise<readonly string[]> {
    const nowMs = this.clock.monotonicMs()
    if (this.names === null || nowMs - this.names.atMs > namesMs) {
      const sorted = this.records.spaces().then((names) => names.toSorted(compareUtf8))
      this.names = { atMs: nowMs, sorted }
      sorted.catch(() => {
        this.names = null
      })
    }
    return this.names.sorted
  }

  /** Null: the space does not exist any more. */
  private async shown(name: string): Promise<object | null> {
    const read = await this.records.read(name)
    if (read.kind === 'unreadable' || read.kind === 'newer') {
      return { space: name, reason: read.reason }
    }
    const record = read.kind === 'present'
      ? read.record
      : read.kind === 'lost'
      ? read.remembered
      : null
    return record && record.assignment.state !== 'dropped' ? shownOf(record.assignment) : null
  }
}

function listed(spaces: readonly object[], unreadable: readonly object[]): Answer {
  return { ok: true, spaces, ...(unreadable.length > 0 && { unreadable }) }
}

function shownOf(record: Assignment): object {
  const { space, uuid, epoch, state, primary, members, inSync, settings } = record
  return {
    space,
    uuid,
    epoch,
    state,
    primary: primary?.node ?? null,
    members: members.map((m) => m.node),
    inSync,
    settings,
  }
}
