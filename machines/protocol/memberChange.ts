import type { NodeId } from '../base/ids.js'

/** A change of the members: `add` first, then `remove`; what is done is left out. */
export interface MemberChange {
  /** The learner: it holds the space, and is no member yet. */
  readonly add?: NodeId
  readonly remove?: NodeId
  /** ISO 8601, UTC. */
  readonly since: string
  /** Who ordered it, as given. */
  readonly by: string
}

export interface RemovedNode {
  readonly node: NodeId
  /** ISO 8601, UTC. */
  readonly at: string
}
