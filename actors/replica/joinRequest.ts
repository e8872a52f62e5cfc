import type { EpochHistory, NodeId } from '../../machines/base/ids.js'
import { assertHistoryWellFormed, InvariantViolation } from '../../machines/log/invariants.js'
import { emptyHistory, historyFault } from '../../machines/log/positions.js'
import { checkpointVersion } from '../../machines/protocol/messages.js'
import type { JoinAnswer, JoinRequest } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { ReplicaEvent } from '../../machines/protocol/replicaTypes.js'
import type { Member } from '../member/member.js'

/** A join that cannot be sent, or an answer that is of no use. */
export class JoinError extends Error {
  readonly code = 'JOIN_FAILED'
}

/** Asks the primary for a session. Rejects with JoinError, InvariantViolation, or as a request. */
export async function askToJoin(
  member: Member,
  primary: NodeId,
  epoch: number,
  number: number,
): Promise<JoinAnswer> {
  return await ask(member, primary, joinOf(member, epoch, number))
}

/** Asks what of this log the primary lacks; this node was taken out. Rejects likewise. */
export async function askToDepart(
  member: Member,
  primary: NodeId,
  epoch: number,
): Promise<JoinAnswer> {
  return await ask(member, primary, { ...joinOf(member, epoch, 0), departing: true })
}

async function ask(member: Member, primary: NodeId, join: JoinRequest): Promise<JoinAnswer> {
  const { ports, wire, settings } = member.context
  const { epoch, number } = join
  const request = ports.control.encode(join)
  const subject = subjects.ack(member.space, primary)
  const message = await wire.request(subject, request, { timeoutMs: settings.standByMs })
  const decoded = ports.control.joinAnswer(message.data)
  if (!decoded.ok) throw new JoinError(decoded.reason)
  const answer = decoded.value
  if (answer.number !== number || answer.epoch !== epoch) {
    throw new JoinError('the answer is to another request')
  }
  return answer
}

function joinOf(member: Member, epoch: number, number: number): JoinRequest {
  const { context: { wire, self }, space, uuid, fitness } = member
  return {
    kind: 'join',
    space,
    uuid,
    node: self.node,
    disk: self.disk,
    ...wire.life,
    epoch,
    number,
    ...historyOf(member),
    applied: appliedOf(member),
    floor: member.committed().sequence,
    damaged: member.damage !== null,
    rebuilding: fitness.rebuilding !== null,
    reads: checkpointVersion,
  }
}

/** Sequence that the store holds, or that it is being loaded with. */
function appliedOf({ store, uuid, rebuild, context }: Member): number {
  const newest = context.ports.journal.log(uuid)?.covers.kept.at(-1)?.position.sequence ?? 0
  // The store may still be that of a log that was replaced.
  if (rebuild.isLoading) return newest
  return Math.max(store.applied.sequence, newest)
}

function historyOf({ log, damage }: Member): EpochHistory {
  const { root, history } = log
  if (damage !== null) return isWhole(log) ? { root, history } : emptyHistory
  assertHistoryWellFormed(log)
  const fault = historyFault(history)
  if (fault !== null) throw new JoinError(fault)
  return { root, history }
}

/** Whether the history of a damaged log makes sense; if not, nothing of the log is named. */
function isWhole(log: EpochHistory): boolean {
  try {
    assertHistoryWellFormed(log)
    return historyFault(log.history) === null
  } catch (error) {
    if (error instanceof InvariantViolation) return false
    throw error
  }
}

/** What the answer of a primary means for this member. */
export function joinedBy(
  member: Member,
  answer: JoinAnswer,
): ReplicaEvent & { type: 'joined' } {
  const { log, damage } = member
  const { number, session, common, endSequence, install = null } = answer
  // A primary of an earlier release does not know what the store holds, nor of damage.
  const isStuck = answer.snapshotNeeded || damage !== null
    || common.sequence < Math.max(appliedOf(member), log.root.sequence, log.covered.sequence)
  return {
    type: 'joined',
    number,
    session,
    common,
    primaryEnd: endSequence,
    isFork: common.sequence < log.end.sequence,
    snapshotNeeded: isStuck,
    install,
  }
}
