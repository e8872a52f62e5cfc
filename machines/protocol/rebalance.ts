import type { NodeId } from '../base/ids.js'
import { placeSpace, preferredPrimary, type ZoneOf } from './spacePlacement.js'

/** What primaries move by themselves: nothing, themselves, or members as well. */
export const autoBalances = ['off', 'primaries', 'all'] as const
export type AutoBalanceMode = typeof autoBalances[number]

/** A space, as far as its place matters. */
export interface PlacedSpace {
  readonly space: string
  readonly members: readonly NodeId[]
  readonly primary: NodeId | null
}

export interface MemberMove {
  readonly type: 'member'
  readonly space: string
  readonly add: NodeId
  readonly remove: NodeId
}

/** A step of a rebalancing: another member, or another of the members as primary. */
export type Move =
  | MemberMove
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
    const to = preferredPrimary(space, placed)
    return to === null || to === primary ? moves : [...moves, { type: 'primary', space, to }]
  })
}
