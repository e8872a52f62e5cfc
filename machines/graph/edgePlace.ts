/** Places in the list of a node's edges, and the cursors by which clients name them. */
import type { MemoryEdge } from './graph.js'
import { compareUtf8 } from './utf8.js'

/**
 * A place in that list. Outgoing edges come first, by target and kind; then incoming ones, by
 * source and kind. `other` is the target, or the source.
 */
export interface EdgePlace {
  readonly side: 'out' | 'in'
  readonly other: string
  readonly kind: string
}

/** Place before all incoming edges: no id is empty. */
export const beforeIncoming: EdgePlace = { side: 'in', other: '', kind: '' }

export function compareOutgoing(a: MemoryEdge, b: MemoryEdge): number {
  return compareUtf8(a.target, b.target) || compareUtf8(a.kind, b.kind)
}

export function compareIncoming(a: MemoryEdge, b: MemoryEdge): number {
  return compareUtf8(a.source, b.source) || compareUtf8(a.kind, b.kind)
}

/** Returns the place of an edge in the list of `nodeId`. A loop is listed once, as outgoing. */
export function placeOfEdge(
  edge: MemoryEdge,
  nodeId: string,
  direction: 'out' | 'in' | 'both',
): EdgePlace {
  const { source, target, kind } = edge
  return direction === 'in' || source !== nodeId
    ? { side: 'in', other: source, kind }
    : { side: 'out', other: target, kind }
}

/** Returns `after` of an answer to GetEdges, which is opaque to clients. */
export function cursorOf({ side, other, kind }: EdgePlace): string {
  return Buffer.from(JSON.stringify([side, other, kind])).toString('base64url')
}

/** Reads a cursor; null: `cursorOf` did not make it. */
export function placeOfCursor(cursor: string): EdgePlace | null {
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch {
    return null
  }
  if (!Array.isArray(parts) || parts.length !== 3) return null
  const [side, other, kind] = parts as readonly unknown[]
  const isPlace = (side === 'out' || side === 'in')
    && typeof other === 'string' && typeof kind === 'string'
  return isPlace ? { side, other, kind } : null
}
