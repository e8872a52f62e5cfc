import type { NodeContext } from '../member/context.js'
import type { SpaceActor } from '../space/space.js'

/** The node, as operators' commands act on it. */
export interface AdminNode {
  /** Null until the data directory is recovered; no command comes before. */
  readonly context: NodeContext | null
  readonly spaces: ReadonlyMap<string, SpaceActor>
  /** Operators may kill single actors (`killActor`). */
  readonly allowsChaos: boolean
  /** Holds the space at once, if its record lists this node. */
  take(space: string): Promise<void>
  /** Returns the spaces that this node is still primary of. */
  handOverPrimaries(reason: string): Promise<SpaceActor[]>
  /** Hands over and ends the process. */
  drain(reason: string): void
}
