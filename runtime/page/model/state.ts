/** State of the cluster at one moment, as the page knows it. Immutable, with shared parts. */
import type { Chart } from '../../charts/chart.js'
import type { InspectionStreamEvent, RunningTimer, StateValue,
  TakenTransition } from '../../inspect/schema.js'
import type { ClusterStatus } from '../../status/status.js'
import type { BrokerFrame, Frame, StartFrame } from '../protocol.js'

/** The last change of state of an actor. */
export interface LastTransition {
  readonly atMs: number
  readonly event: string
  readonly from: StateValue | null
  readonly to: StateValue | null
  readonly reason: string | null
  readonly taken: readonly TakenTransition[]
}

export interface ActorView {
  readonly node: string
  /** Id in the actor host. */
  readonly actor: string
  readonly parent: string | null
  /** Id of its chart. null for logic without states. */
  readonly chart: string | null
  readonly status: 'active' | 'done' | 'error' | 'stopped'
  readonly state: StateValue | null
  readonly reason: string | null
  readonly summary: Readonly<Record<string, unknown>>
  readonly timers: readonly RunningTimer[]
  /** Time of entry into each active state, by its path. */
  readonly enteredMs: Readonly<Record<string, number>>
  readonly last: LastTransition | null
  /** End of the actor. null while it runs. */
  readonly exit: { readonly atMs: number; readonly kind: string } | null
}

export interface NodeView {
  readonly id: string
  readonly incarnation: number
  readonly stream: string
  /** Number of the last envelope. */
  readonly number: number
  /** Time of the last envelope. */
  readonly heardAtMs: number
  /** Number of dropped events and lost envelopes. */
  readonly lost: number
  readonly actors: ReadonlyMap<string, ActorView>
}

export interface PageState {
  /** Time of the last item. 0 before the first. */
  readonly atMs: number
  readonly start: StartFrame | null
  readonly charts: Readonly<Record<string, Chart>>
  readonly broker: BrokerFrame | null
  readonly status: ClusterStatus | null
  /** Time of the last status that had an answer. */
  readonly statusAtMs: number
  readonly nodes: ReadonlyMap<string, NodeView>
}

export const emptyState: PageState = {
  atMs: 0,
  start: null,
  charts: {},
  broker: null,
  status: null,
  statusAtMs: 0,
  nodes: new Map(),
}

/** A frame, or one event of an inspection frame at the time at which it happened. */
export type Item =
  | { readonly atMs: number; readonly kind: 'frame'; readonly frame: Frame }
  | {
    readonly atMs: number
    readonly kind: 'event'
    readonly node: string
    readonly event: InspectionStreamEvent
  }

/** Paths of all active states, outermost first: `serving`, `serving.ingest` … */
export function activePaths(state: StateValue | null, above = ''): string[] {
  if (state === null) return []
  const path = (key: string): string => (above === '' ? key : `${above}.${key}`)
  if (typeof state === 'string') return [path(state)]
  return Object.entries(state).flatMap((
    [key, inner],
  ) => [path(key), ...activePaths(inner, path(key))])
}

/** `serving {ingest open, lease valid}` → `serving: ingest open, lease valid`; null → `–`. */
export function stateText(state: StateValue | null): string {
  if (state === null) return '–'
  if (typeof state === 'string') return state
  return Object.entries(state).map(([key, inner]) =>
    typeof inner === 'string'
      ? `${key}.${inner}`
      : `${key} (${
        Object.entries(inner).map(([region, value]) => `${region} ${stateText(value)}`).join(', ')
      })`
  ).join(', ')
}
