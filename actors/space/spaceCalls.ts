import type { AssignmentAt } from '../../machines/protocol/messages.js'

/** Calls of a space to the node. */
export interface SpaceCalls<Space> {
  /** Asked before a promotion begins; false: the space is reconsidered later. */
  readonly mayPromote: (space: Space) => boolean
  /** Asked before a learner joins its primary; false: others come first. */
  readonly mayLearn: (space: Space) => boolean
  /**
   * The record belongs to another space, or says that this one was dropped, or that this node was
   * taken out of its members: it ends here.
   */
  readonly over: (space: Space, record: AssignmentAt) => void
}
