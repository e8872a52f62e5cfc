import type { NodeId, Position } from '../base/ids.js'
import { comparePositions, showPosition } from '../log/positions.js'
import type { Assignment, SurveyAnswer } from '../protocol/messages.js'
import { preferredPrimary } from '../protocol/spacePlacement.js'

export interface Candidate {
  readonly node: NodeId
  readonly position: Position
}

/**
 * Orders candidates totally, so that exactly one of those that see each other claims the epoch: by
 * higher position; then the former primary (it has the store and the caches); then the place of the
 * space, so that the spaces of a node that dies are shared by those that are left.
 */
export function betterCandidate(
  { space, primary }: Pick<Assignment, 'space' | 'primary'>,
  a: Candidate,
  b: Candidate,
): boolean {
  const order = comparePositions(a.position, b.position)
  if (order !== 0) return order > 0
  const former = primary?.node
  if (a.node === former || b.node === former) return a.node === former
  return preferredPrimary(space, [a.node, b.node]) === a.node
}

export type SurveyResult =
  | { readonly kind: 'served'; readonly reason: string }
  | { readonly kind: 'better'; readonly node: NodeId; readonly reason: string }
  | { readonly kind: 'best'; readonly reason: string }

/** Decides by a survey whether this member claims the epoch now, waits, or gives up. */
export function judgeSurvey(
  self: Candidate,
  record: Assignment,
  answers: readonly SurveyAnswer[],
): SurveyResult {
  const eligible = answers.filter((a) => isInSync(record, a.node, a.disk) && a.whole)
  const serving = answers.find((a) => a.serving)
  if (serving) {
    return { kind: 'served', reason: `${serving.node} serves with valid grants` }
  }
  let best: Candidate = self
  for (const answer of eligible) if (betterCandidate(record, answer, best)) best = answer
  const mine = showPosition(self.position)
  if (best.node === self.node) {
    const heard = answers.map((a) =>
      `${a.node} at ${showPosition(a.position)}`
      + (a.whole ? '' : ` (unfit${a.unfit === undefined ? '' : `: ${a.unfit}`})`)
    ).join(', ')
    const others = heard === '' ? 'nobody answered' : heard
    return { kind: 'best', reason: `this member is at ${mine}; ${others}` }
  }
  const theirs = showPosition(best.position)
  return {
    kind: 'better',
    node: best.node,
    reason: `stands by: ${best.node} is at ${theirs}, this member is at ${mine}`,
  }
}

/** Whether the node is listed in sync with that very disk (another disk is another member). */
export function isInSync(record: Assignment, node: NodeId, disk: string): boolean {
  return record.inSync.includes(node)
    && record.members.some((m) => m.node === node && m.disk === disk)
}
