import type { NodeId } from '../base/ids.js'
import { nextPlace, type ZoneOf } from './spacePlacement.js'

/** A space that is to have more members, or fewer. */
export interface ResizedSpace {
  readonly space: string
  readonly members: readonly NodeId[]
  readonly inSync: readonly NodeId[]
  readonly primary: NodeId
  /** Members whose node is gone, drained, or otherwise not to hold a space. */
  readonly unfit: readonly NodeId[]
}

/** One change of the members on the way to another number of them. */
export type ResizeStep = { readonly add: NodeId } | { readonly remove: NodeId }

/**
 * Returns the next change on the way to `count` members; null: none is left, or no spare node is
 * there. The node to add is the one on which the space would be placed next. A member that is not
 * in sync goes first, then one whose node is unfit, else the one on which it would be placed last,
 * and never the primary.
 */
export function nextResize(
  { space, members, inSync, primary, unfit }: ResizedSpace,
  count: number,
  spares: readonly NodeId[],
  zoneOf: ZoneOf,
): ResizeStep | null {
  if (members.length < count) {
    const add = nextPlace(space, spares, members, zoneOf)
    return add === null ? null : { add }
  }
  if (members.length === count) return null
  const others = members.filter((node) => node !== primary)
  const behind = others.filter((node) => !inSync.includes(node))
  const idle = (nodes: readonly NodeId[]) => nodes.filter((node) => unfit.includes(node))
  const leaving = [idle(behind), behind, idle(others)].find(({ length }) => length > 0) ?? others
  const holders = members.filter((node) => !leaving.includes(node))
  for (let last: NodeId | null = null;;) {
    const next = nextPlace(space, leaving, holders, zoneOf)
    if (next === null) return last === null ? null : { remove: last }
    holders.push(next)
    last = next
  }
}
