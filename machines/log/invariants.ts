import type { EpochHistory, EpochSpan, Position } from '../base/ids.js'
import { comparePositions, showPosition } from './positions.js'

/** Invariants. Asserted in production where cheap, and at every step of the simulator. */
export const invariants = {
  I1: 'one primary per epoch: entries of one (space, epoch) are numbered by one '
    + '(node, incarnation, connection)',
  I2: 'one at a time: no two nodes decide, over a connection that the broker still holds, to '
    + 'answer writes of a space positively at the same instant (clock rates within 10 %)',
  I3: 'log matching: equal (epoch, sequence) implies equal prefixes',
  I4: 'durable before visible: no ack of level durable or more, and no replica ack, before the '
    + 'fdatasync that covers it',
  I5: 'an entry answered at committed is in the log of every later epoch',
  I6: 'an entry answered at durable is in the log, or in a salvage, or counted as lost in a '
    + 'report; never silently gone',
  I7: 'an idempotency key takes effect at most once',
  I8: 'convergence: when faults stop, members reach the same sequence and digest; stores hold '
    + 'committed entries only',
  I9: 'a member\'s epoch and applied sequence never shrink, over restarts too; its commit '
    + 'sequence not within a joined session (forced promotions aside)',
  I10: 'liveness: while an in-sync member and the arbiter can talk, writes are accepted again '
    + 'within 5 s',
  I11: 'every queue, window, map and retry has a bound, and its overflow has a defined answer',
  I12: 'recovery after a crash at any instruction yields a prefix of what was appended that '
    + 'holds all that was acknowledged as durable',
  I13: 'a checkpoint holds exactly the effect of the log up to its position: graph, versions, '
    + 'keys, origins, reports, quarantine, digest',
  I14: 'a member gives up an entry only if the entry is committed and two checkpoints on this disk '
    + 'that count, each read back and verified, cover it',
  I15: 'an install is all or nothing; afterwards the member is as if it had applied the log from '
    + 'its first entry',
  I16: 'members change one at a time, by an order that the record carries from epoch to epoch; '
    + 'a learner makes no entry committed or safe, and is not promoted',
} as const

export type InvariantName = keyof typeof invariants

/** A bug, never an operating fault: it stops the actor or the process. */
export class InvariantViolation extends Error {
  readonly code = 'INVARIANT_VIOLATION'

  constructor(readonly invariant: InvariantName, readonly details: string) {
    super(`${invariant} is violated (${invariants[invariant]}): ${details}`)
    this.name = 'InvariantViolation'
  }
}

/** `details` may be a function, so that no text is built while the condition holds. */
export function assertInvariant(
  name: InvariantName,
  condition: boolean,
  details: string | (() => string),
): asserts condition {
  if (condition) return
  throw new InvariantViolation(name, typeof details === 'string' ? details : details())
}

/** Asserts I9 of a sequence. */
function assertNeverShrinks(what: string, before: number, after: number): void {
  assertInvariant('I9', after >= before, () => `${what} went from ${before} to ${after}`)
}

/** Asserts I9 of the end of a log, outside of a truncation after a join. */
export function assertPositionMonotone(what: string, before: Position, after: Position): void {
  assertInvariant('I9', comparePositions(after, before) >= 0,
    () => `${what} went from ${showPosition(before)} to ${showPosition(after)}`)
}

/** Asserts I4: the commit sequence is durable here too, since the primary is in sync. */
export function assertCommitDurable(commitSequence: number, durableSequence: number): void {
  assertInvariant('I4', commitSequence <= durableSequence,
    () => `commit sequence ${commitSequence} is above the durable sequence ${durableSequence}`)
}

/** Asserts I8: the store holds at most min(commit sequence, own durable sequence). */
export function assertStoreCommitted(
  appliedSequence: number,
  commitSequence: number,
  durableSequence: number,
): void {
  assertInvariant('I8', appliedSequence <= Math.min(commitSequence, durableSequence),
    () =>
      `the store holds ${appliedSequence}, committed is ${commitSequence}, `
      + `durable ${durableSequence}`)
}

/**
 * Asserts I3: spans of a history rise in epoch and in last sequence; none is empty; the first one
 * includes the root.
 */
export function assertHistoryWellFormed(history: EpochHistory): void {
  const fault = historyFault(history.history) ?? rootFault(history)
  assertInvariant('I3', fault === null, () => fault ?? '')
}

/** Returns why it is no epoch history, or null. For input; inside, `assertHistoryWellFormed`. */
export function historyFault(history: readonly EpochSpan[]): string | null {
  let before: EpochSpan = { epoch: 0, last: 0 }
  for (const span of history) {
    if (!Number.isSafeInteger(span.epoch) || !Number.isSafeInteger(span.last)) {
      return `epoch ${span.epoch} up to ${span.last}: no safe integers`
    }
    if (span.epoch <= before.epoch) return `epoch ${span.epoch} follows epoch ${before.epoch}`
    if (span.last <= before.last) {
      return `epoch ${span.epoch} ends at ${span.last}, the one before at ${before.last}`
    }
    before = span
  }
  return null
}

/** Returns why it is no root of that history, or null. */
export function rootFault({ root, history: [first] }: EpochHistory): string | null {
  if (root.sequence === 0 && root.epoch === 0) return null
  if (root.sequence > 0 && first?.epoch === root.epoch && first.last >= root.sequence) return null
  const span = first ? `epoch ${first.epoch} up to ${first.last}` : 'no span'
  return `the root ${showPosition(root)} is not in its first span: ${span}`
}

/** Asserts I13: a checkpoint has the digest and the counts of its header. */
export function assertCheckpointWhole(
  space: string,
  position: Position,
  fault: string | null,
): void {
  assertInvariant('I13', fault === null,
    () => `the checkpoint of '${space}' at ${showPosition(position)}: ${fault}`)
}

/** Asserts I15: a space that was replaced as a whole is what its new header says. */
export function assertInstalled(uuid: string, position: Position, fault: string | null): void {
  assertInvariant('I15', fault === null,
    () => `the space ${uuid}, replaced by its state at ${showPosition(position)}: ${fault}`)
}

/** Progress of a member within one session. */
export interface SessionProgress {
  readonly session: number
  readonly durableSequence: number
  readonly appliedSequence: number
}

/**
 * Asserts I3: a member's progress fits the log that this session gave it. It neither shrinks nor
 * reaches beyond the end, and its store is not ahead of its journal.
 */
export function assertSessionProgress(
  before: SessionProgress,
  after: SessionProgress,
  endSequence: number,
): void {
  if (after.session !== before.session) return
  assertNeverShrinks('durable progress of a session', before.durableSequence, after.durableSequence)
  assertInvariant('I3', after.durableSequence <= endSequence,
    () => `a member acks ${after.durableSequence}, the log ends at ${endSequence}`)
  assertInvariant('I8', after.appliedSequence <= after.durableSequence,
    () => `a member applied ${after.appliedSequence}, durable there is ${after.durableSequence}`)
}
