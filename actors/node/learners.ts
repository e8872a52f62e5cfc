import { isMember, learnerOf } from '../../machines/protocol/members.js'
import type { SpaceActor } from '../space/space.js'

/** Spaces that a node catches up with at a time: each may be an install of gigabytes. */
const learningMax = 2

/** Which of the spaces that this node is to be added to it catches up with now; others wait. */
export class Learners {
  private readonly turns = new Set<SpaceActor>()

  /** Whether the learner may join its primary now. */
  mayLearn(space: SpaceActor): boolean {
    if (this.turns.has(space)) return true
    for (const each of this.turns) if (!isLearning(each)) this.turns.delete(each)
    if (this.turns.size >= learningMax) return false
    this.turns.add(space)
    return true
  }

  /** The space is not held any more. */
  ended(space: SpaceActor): void {
    this.turns.delete(space)
  }
}

function isLearning({ member: { known: { record }, self } }: SpaceActor): boolean {
  return record !== null && !isMember(record.assignment, self)
    && learnerOf(record.assignment) === self
}
