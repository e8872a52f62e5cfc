import type { NodeId } from '../base/ids.js'

/**
 * Places a space by rendezvous hashing (Thaler and Ravishankar 1998): a node's weight for a space
 * is a hash of both names, and the heaviest nodes hold it. Only spaces of nodes that come or go
 * move.
 */
export function placeSpace(space: string, nodes: readonly NodeId[], count: number): NodeId[] {
  return nodes
    .map((node) => ({ node, weight: hash(`${node}/${space}`) }))
    .toSorted((a, b) => b.weight - a.weight || (a.node < b.node ? -1 : 1))
    .slice(0, count)
    .map(({ node }) => node)
    .toSorted()
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
