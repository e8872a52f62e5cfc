import { isoTime } from '../../machines/election/pause.js'
import { droppedText, tombstone } from '../../machines/protocol/assignments.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal, spaceNameOf, unknownSpace } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { AdminNode } from './adminNode.js'
import { byOf } from './maintenance.js'
import { announceChange, settleChange } from './recordChange.js'

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

async function writeTombstone(
  context: NodeContext,
  { space, uuid, by, isDue }: DropOrder,
): Promise<Answer> {
  const { ports, self } = context
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const { assignment, revision, isLost } = await recordOf(context, space, uuid)
    if (assignment.state === 'dropped' && !isLost) return alreadyDropped(assignment)
    // A record that was lost comes back above every epoch known, as it does elsewhere.
    const base = isLost ? { ...assignment, epoch: assignment.epoch + 1 } : assignment
    const dropped = base.dropped ?? { since: isoTime(ports.clock.wallMs()), by }
    const next = tombstone(base, dropped, { writer: self.node, nonce: ports.random.uuid() })
    const settled = await settleChange(context, next, revision, isDue, 'that the space is dropped')
    if (settled === null) continue
    announceChange(context, settled, `the space ${droppedText(settled.assignment)}`)
    sendAlert(context, space, 'dropped', { by, uuid: settled.assignment.uuid },
      `the space was dropped by ${by}: its members remove their data`)
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
