import type { NodeId } from '../base/ids.js'

/** Failure domain of a node, such as a rack; nodes without one share the zone `''`. */
export type ZoneOf = (node: NodeId) => string

const noZone: ZoneOf = () => ''

/**
 * Places a space by rendezvous hashing (Thaler and Ravishankar 1998): a node's weight for a space
 * is a hash of both names, and the heaviest nodes hold it, as evenly over the zones as they allow.
 * Only spaces of nodes that come or go move.
 */
export function placeSpace(
  space: string,
  nodes: readonly NodeId[],
  count: number,
  zoneOf: ZoneOf = noZone,
): NodeId[] {
  const placed: NodeId[] = []
  while (placed.length < Math.min(count, nodes.length)) {
    placed.push(nextPlace(space, nodes, placed, zoneOf)!)
  }
  return placed.toSorted()
}

/**
 * The best node to hold the space beside those that do: in a zone with the fewest of them, and the
 * heaviest there. Null: there is no other node.
 */
export function nextPlace(
  space: string,
  nodes: readonly NodeId[],
  holders: readonly NodeId[],
  zoneOf: ZoneOf = noZone,
): NodeId | null {
  const held = new Map<string, number>()
  for (const node of holders) held.set(zoneOf(node), (held.get(zoneOf(node)) ?? 0) + 1)
  let best: { node: NodeId; crowd: number; weight: number } | null = null
  for (const node of nodes) {
    if (holders.includes(node)) continue
    const crowd = held.get(zoneOf(node)) ?? 0
    const weight = hash(`${node}/${space}`)
    const isBetter = best === null || crowd < best.crowd
      || (crowd === best.crowd && (weight > best.weight
        || (weight === best.weight && node < best.node)))
    if (isBetter) best = { node, crowd, weight }
  }
  return best?.node ?? null
}

/** The heaviest of the members: the first one that the space would be placed on. */
export function preferredPrimary(space: string, members: readonly NodeId[]): NodeId | null {
  return nextPlace(space, members, [])
}

/** FNV-1a, 32 bits, with a final avalanche (names differ in few characters). */
function hash(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
