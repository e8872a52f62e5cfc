import { isoTime } from '../../machines/election/pause.js'
import { emptyHistory } from '../../machines/log/positions.js'
import { droppedText, tombstone } from '../../machines/protocol/assignments.js'
import type { Announcement, Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal, refusedByArbiter, spaceNameOf, unknownSpace } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { AdminNode } from './adminNode.js'
import { byOf } from './maintenance.js'

/** Attempts; other changes of the record may come first. */
const attemptsMax = 20
/** Time that the primary has to answer; then another node writes the record. */
const primaryMs = 2500

/** The commands of a node, as this one needs them. */
interface Commands {
  readonly node: AdminNode
  passOn(node: string, command: AdminCommand, timeoutMs: number): Promise<Answer>
}

/**
 * Ends a space for good: its record becomes a tombstone. The primary does it, if it answers, since
 * it acknowledges nothing from then on; otherwise this node does.
 */
export async function dropSpace(
  commands: Commands,
  command: AdminCommand,
  isDue: () => boolean,
): Promise<Answer> {
  const context = commands.node.context!
  const [space, by] = [spaceNameOf(command), byOf(command)]
  const { uuid } = command
  if (uuid !== undefined && typeof uuid !== 'string') {
    throw new AdminRefusal('INVALID_OPERATION', 'uuid must be that of the space to drop')
  }
  const role = commands.node.spaces.get(space)?.primaryRole ?? null
  const found = await recordOf(context, space, uuid)
  const { primary, state } = found.assignment
  if (state === 'dropped' && !found.isLost) return alreadyDropped(found.assignment)
  const isElsewhere = primary !== null && primary.node !== context.self.node
  if (!role && isElsewhere && command['passedOn'] !== true) {
    try {
      return await commands.passOn(primary.node, command, primaryMs)
    } catch (error) {
      // It is away, or the arbiter is not there for it.
      const { code } = error as Partial<AdminRefusal>
      if (code !== 'NOT_PRIMARY' && code !== 'ARBITER_UNAVAILABLE') throw error
    }
  }
  role?.giveUp('the space is being dropped')
  try {
    return await writeTombstone(context, { space, uuid, by, isDue })
  } catch (error) {
    // Whether it was applied or not: the next epoch moves the revision, and then it cannot be.
    role?.deposed('the space could not be dropped')
    throw error
  } finally {
    const held = commands.node.spaces.get(space)
    if (held) held.refresh()
    else await commands.node.take(space)
  }
}

interface DropOrder {
  readonly space: string
  readonly uuid: string | undefined
  readonly by: string
  readonly isDue: () => boolean
}

async function writeTombstone(context: NodeContext, order: DropOrder): Promise<Answer> {
  const { space, uuid, by } = order
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const { assignment, revision, isLost } = await recordOf(context, space, uuid)
    if (assignment.state === 'dropped' && !isLost) return alreadyDropped(assignment)
    // A record that was lost comes back above every epoch known, as it does elsewhere.
    const base = isLost ? { ...assignment, epoch: assignment.epoch + 1 } : assignment
    const settled = await settle(context, base, revision, order)
    if (settled === null) continue
    announce(context, settled, by)
    return {
      ok: true,
      changed: true,
      uuid: settled.assignment.uuid,
      message: `${space} was dropped: its members remove their data; one that is away does when it `
        + 'returns',
    }
  }
  throw new AdminRefusal('INTERNAL', `the record of ${space} keeps changing; try again`, true)
}

function alreadyDropped(assignment: Assignment): Answer {
  const { space, uuid } = assignment
  return { ok: true, changed: false, uuid, message: `${space} ${droppedText(assignment)}` }
}

/** Null: the record has changed meanwhile. */
async function settle(
  { records, ports, wire, self }: NodeContext,
  assignment: Assignment,
  revision: number,
  { by, isDue }: DropOrder,
): Promise<AssignmentAt | null> {
  const dropped = assignment.dropped ?? { since: isoTime(ports.clock.wallMs()), by }
  const signature = { writer: self.node, nonce: ports.random.uuid() }
  const next = tombstone(assignment, dropped, signature)
  const settled = await records.settle(next, revision, () => wire.isOpen && isDue())
  if (settled.kind === 'applied') return settled.record
  if (settled.kind === 'refused') return null
  throw (settled.kind === 'rejected' && refusedByArbiter(settled.reason))
    || new AdminRefusal('ARBITER_UNAVAILABLE', 'the arbiter has not confirmed that the space is '
      + `dropped (${settled.reason}); it may still be applied`, true)
}

function announce(context: NodeContext, { assignment, revision }: AssignmentAt, by: string): void {
  const { wire, ports } = context
  const { space, uuid } = assignment
  const reason = `the space ${droppedText(assignment)}`
  const announcement: Announcement = {
    kind: 'changed',
    assignment,
    revision,
    ...emptyHistory,
    reason,
  }
  wire.publish(subjects.assignment(space), ports.control.encode(announcement))
  sendAlert(context, space, 'dropped', { by, uuid },
    `the space was dropped by ${by}: its members remove their data`)
}

interface Found extends AssignmentAt {
  /** The arbiter has lost it. */
  readonly isLost: boolean
}

/** The present record, or a tombstone that this node remembers and the arbiter has lost. */
async function recordOf(
  { records }: NodeContext,
  space: string,
  uuid: string | undefined,
): Promise<Found> {
  const read = await records.read(space)
  const found = read.kind === 'present'
    ? read.record
    : read.kind === 'lost' && read.remembered.assignment.state === 'dropped'
    ? read.remembered
    : null
  if (found) {
    if (uuid === undefined || uuid === found.assignment.uuid)
      return { ...found, isLost: read.kind === 'lost' }
    throw new AdminRefusal('INVALID_OPERATION', `${space} is another space by now: it has the uuid `
      + `${found.assignment.uuid}, not ${uuid}`)
  }
  if (read.kind === 'lost') {
    throw new AdminRefusal('INVALID_OPERATION', `the record of ${space} is being written anew: `
      + read.reason, true)
  }
  if ('reason' in read) throw new AdminRefusal('INVALID_OPERATION', read.reason)
  throw unknownSpace(space)
}
