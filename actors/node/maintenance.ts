/** Operators' commands for maintenance: drain a node, pause the failover of a space. */
import { isoTime, showPaused } from '../../machines/election/pause.js'
import { withPaused } from '../../machines/protocol/assignments.js'
import type { Paused } from '../../machines/protocol/messages.js'
import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import { AdminRefusal, refusedByArbiter, spaceNameOf, unknownSpace } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { AdminNode } from './adminNode.js'
import { announceChange, settleChange } from './recordChange.js'

/** Attempts of one command; other changes of the record may come first. */
const attemptsMax = 20

const byCharsMax = 128

/** The name that the caller gives: core NATS does not say who sent a message. */
export function byOf(command: AdminCommand): string {
  const { by } = command
  if (by === undefined) return 'an operator'
  if (typeof by === 'string' && by !== '' && by.length <= byCharsMax) return by
  throw new AdminRefusal('INVALID_OPERATION', `by must be a text of 1 to ${byCharsMax} characters`)
}

/**
 * Hands over every space that this node is primary of. Until `undrain` or a restart the node is not
 * made primary of any. A space that no other member can take now is handed over as soon as one can.
 * With `evacuate` the primaries of its spaces replace it by other nodes, one space after the other.
 * With `stop` the process ends, unless a space was left.
 */
export async function drain(node: AdminNode, command: AdminCommand): Promise<Answer> {
  const { duty, self, peers, ports: { clock, logger } } = node.context!
  const { stop = false, evacuate = false } = command
  const by = byOf(command)
  if (typeof stop !== 'boolean' || typeof evacuate !== 'boolean') {
    throw new AdminRefusal('INVALID_OPERATION', 'stop and evacuate must be true or false')
  }
  if (stop && evacuate) {
    throw new AdminRefusal('INVALID_OPERATION',
      'evacuate first, and stop the node when it is a member of no space')
  }
  duty.drain(by, isoTime(clock.wallMs()), evacuate)
  peers.beatNow()
  logger.warn({ by }, duty.drained!)
  const left = await node.handOverPrimaries(duty.drained!)
  if (left.length > 0) {
    const refused = left.find(({ member }) => member.known.rejection !== null)
    const names = left.slice(0, 3).map(({ space }) => space).join(', ')
    const what = `${self.node} is drained, but still primary of ${left.length} space(s) (${names}`
      + `${left.length > 3 ? ', …' : ''})`
    throw (refused && refusedByArbiter(refused.member.known.rejection, `${what}; `))
      ?? new AdminRefusal('NOT_ENOUGH_IN_SYNC', `${what}: no other member is in sync and fit. They `
        + 'are handed over as soon as one is', true)
  }
  // Deferred, so that the answer goes out first.
  if (stop) clock.setTimeout(() => node.drain(`${by} drains and stops it`), 0)
  return {
    ok: true,
    drained: true,
    message: stop
      ? `${self.node} is drained, and stops`
      : `${self.node} is drained: it is primary of nothing until engram undrain ${self.node}, or a `
        + 'restart',
  }
}

export function undrain({ context }: AdminNode, command: AdminCommand): Answer {
  const { duty, self, peers, ports: { logger } } = context!
  const by = byOf(command)
  if (duty.drained === null) {
    return { ok: true, drained: false, message: `${self.node} is not drained` }
  }
  duty.undrain()
  if (duty.drained !== null) throw new AdminRefusal('SHUTTING_DOWN', duty.drained)
  peers.beatNow()
  logger.warn({ by }, `${self.node} is no longer drained`)
  return { ok: true, drained: false, message: `${self.node} may be primary again` }
}

/**
 * Pauses or resumes the automatic failover of a space. The node that receives the command writes it
 * to the record, so that it works while the space has no primary. A primary, or a member that is
 * becoming one, bases its next change on it.
 */
export async function pauseSpace(
  context: NodeContext,
  command: AdminCommand,
  isPausing: boolean,
  isDue: () => boolean,
): Promise<Answer> {
  const { ports, self } = context
  const [space, by] = [spaceNameOf(command), byOf(command)]
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const { assignment, revision } = await recordOf(context, space)
    const present = assignment.paused ?? null
    if ((present !== null) === isPausing) return answerOf(space, present, false)
    const paused = isPausing ? { since: isoTime(ports.clock.wallMs()), by } : null
    const next = withPaused(assignment, paused, {
      writer: self.node,
      nonce: ports.random.uuid(),
    })
    const settled = await settleChange(context, next, revision, isDue, 'the change')
    if (settled === null) continue
    const reason = isPausing ? `failover was paused by ${by}` : `failover was resumed by ${by}`
    announceChange(context, settled, reason)
    sendAlert(context, space, isPausing ? 'paused' : 'resumed', { by }, reason)
    return answerOf(space, paused, true)
  }
  throw new AdminRefusal('INTERNAL', `the record of ${space} keeps changing; try again`, true)
}

function answerOf(space: string, paused: Paused | null, changed: boolean): Answer {
  return {
    ok: true,
    paused,
    changed,
    message: paused === null
      ? `${space}: failover is automatic`
      : `${space} is ${showPaused(paused)}: no other member takes over until it is resumed `
        + `(engram resume ${space})`,
  }
}

async function recordOf({ records }: NodeContext, space: string) {
  const read = await records.read(space)
  if (read.kind === 'present' && read.record.assignment.state !== 'dropped') return read.record
  if (read.kind === 'lost') {
    throw new AdminRefusal('INVALID_OPERATION', `the record of ${space} is being written anew: `
      + read.reason, true)
  }
  if ('reason' in read) throw new AdminRefusal('INVALID_OPERATION', read.reason)
  throw unknownSpace(space, read.kind === 'present' ? read.record.assignment : null)
}
