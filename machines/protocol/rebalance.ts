import type { NodeId } from '../base/ids.js'
import { nextPlace, placeSpace, type ZoneOf } from './spacePlacement.js'

/** A space, as far as its place matters. */
export interface PlacedSpace {
  readonly space: string
  readonly members: readonly NodeId[]
  readonly primary: NodeId | null
}

/** A step of a rebalancing: another member, or another of the members as primary. */
export type Move =
  | { readonly type: 'member'; readonly space: string; readonly add: NodeId;
    readonly remove: NodeId }
  | { readonly type: 'primary'; readonly space: string; readonly to: NodeId }

/**
 * Returns the moves that bring all spaces to where they would be placed if they were created now,
 * on these nodes: members first, then each space's primary to its heaviest member. Spaces keep
 * their number of members; those with more members than there are nodes stay as they are.
 */
export function rebalancing(
  spaces: readonly PlacedSpace[],
  nodes: readonly NodeId[],
  zoneOf: ZoneOf,
): Move[] {
  return spaces.flatMap(({ space, members, primary }) => {
    if (members.length > nodes.length) return []
    const placed = placeSpace(space, nodes, members.length, zoneOf)
    const leaving = members.filter((node) => !placed.includes(node))
    const moves: Move[] = placed.filter((node) => !members.includes(node))
      .map((add, index) => ({ type: 'member', space, add, remove: leaving[index]! }))
    const to = preferredPrimary(space, placed, zoneOf)
    return to === null || to === primary ? moves : [...moves, { type: 'primary', space, to }]
  })
}

/** The heaviest of the members: the first one that the space would be placed on. */
export function preferredPrimary(
  space: string,
  members: readonly NodeId[],
  zoneOf: ZoneOf,
): NodeId | null {
  return nextPlace(space, members, [], zoneOf)
}
