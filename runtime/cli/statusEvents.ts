/** Latest events for `engram status --watch`: alerts, and differences between two polls. */
import type { ClusterStatus } from '../status/status.js'

export interface WatchEvent {
  /** Wall clock, ms since 1970. */
  readonly atMs: number
  /** Name of the space or node. */
  readonly subject: string
  readonly text: string
}

/** Events kept for the screen. Older ones are dropped. */
export const eventsMax = 50

/** The alert in a message on `engram.v1.alert.<space>`. null if it is not one. */
export function alertEvent(subject: string, data: Uint8Array, nowMs: number): WatchEvent | null {
  let alert: { kind?: unknown; message?: unknown; atMs?: unknown } | null
  try {
    alert = JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return null
  }
  if (typeof alert?.kind !== 'string' || typeof alert.message !== 'string') return null
  const space = subject.split('.').at(-1) ?? ''
  const atMs = typeof alert.atMs === 'number' ? alert.atMs : nowMs
  return { atMs, subject: space, text: `${alert.kind}: ${alert.message}` }
}

/** Changes of primaries and nodes between two polls. */
export function changesBetween(
  before: ClusterStatus,
  after: ClusterStatus,
  atMs: number,
): WatchEvent[] {
  const events: WatchEvent[] = []
  const add = (subject: string, text: string): void => void events.push({ atMs, subject, text })
  const nodes = new Map(before.nodes.map((node) => [node.id, node]))
  for (const { id, state, incarnation } of after.nodes) {
    const was = nodes.get(id)
    if (was?.state !== state) add(id, `is ${state}${was ? `, was ${was.state}` : ''}`)
    else if (was.incarnation !== incarnation && incarnation !== null) add(id, 'was restarted')
  }
  const spaces = new Map(before.spaces.map((space) => [space.id, space]))
  for (const { id, primary, epoch } of after.spaces) {
    const was = spaces.get(id)
    if (!was) add(id, `is new, epoch ${epoch}`)
    else if (primary === null && was.primary !== null) {
      add(id, `${was.primary} is no longer the primary`)
    } else if (primary !== null && (primary !== was.primary || epoch > was.epoch)) {
      add(id, `${primary} is the primary in epoch ${epoch}, after ${was.primary ?? 'none'}`)
    }
  }
  return events
}
