/** What happened lately, for `engram status --watch`: alerts, and what two looks differ in. */
import type { ClusterStatus } from '../status/status.js'

export interface WatchEvent {
  /** Wall clock, ms since 1970. */
  readonly atMs: number
  /** Of the space, or of the node. */
  readonly subject: string
  readonly text: string
}

/** Kept for the screen; older ones are dropped. */
export const eventsMax = 50

/** What `engram.v1.alert.<space>` carries; null when it is none. */
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

/** Reigns that began or ended and nodes that came or went between two looks. */
export function changesBetween(
  before: ClusterStatus, after: ClusterStatus, atMs: number,
): WatchEvent[] {
  const events: WatchEvent[] = []
  const say = (subject: string, text: string): void => void events.push({ atMs, subject, text })
  const nodes = new Map(before.nodes.map((node) => [node.id, node]))
  for (const { id, state, incarnation } of after.nodes) {
    const was = nodes.get(id)
    if (was?.state !== state) say(id, `is ${state}${was ? `, was ${was.state}` : ''}`)
    else if (was.incarnation !== incarnation && incarnation !== null) say(id, 'has started again')
  }
  const spaces = new Map(before.spaces.map((space) => [space.id, space]))
  for (const { id, primary, epoch } of after.spaces) {
    const was = spaces.get(id)
    if (!was) say(id, `is new, epoch ${epoch}`)
    else if (primary === null && was.primary !== null) say(id, `${was.primary} reigns no more`)
    else if (primary !== null && (primary !== was.primary || epoch > was.epoch)) {
      say(id, `${primary} is primary in epoch ${epoch}, after ${was.primary ?? 'none'}`)
    }
  }
  return events
}
