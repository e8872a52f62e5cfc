import type { Turns } from '../structures/turns.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'

/** Calls of a space to the node. */
export interface SpaceCalls<Space> {
  /** Asked before a promotion begins; false: the space is reconsidered later. */
  readonly mayPromote: (space: Space) => boolean
  /** This member is better than one that is a candidate already. */
  readonly insist: (space: Space) => void
  /** Names of the spaces that this node catches up with as a learner. */
  readonly learners: Turns<string>
  /** Something happens in the space: it is looked at in each heartbeat for a while. */
  readonly wake: (space: Space) => void
  /**
   * The record belongs to another space, or says that this one was dropped, or that this node was
   * taken out of its members: it ends here.
   */
  readonly over: (space: Space, record: AssignmentAt) => void
}
