/** Actors of a node as its inspection knows them, from XState's events at the least cost. */
import type { ActorRefLike, AnyActorRef, InspectionEvent } from 'xstate'
import type { InspectionStreamEvent, RunningTimer, StateValue } from './schema.js'
import { summaryOf } from './summary.js'
import { timersOf } from './transitions.js'
import type { TakenDefinition } from './transitions.js'

type Status = 'active' | 'done' | 'error' | 'stopped'

export interface Inspected {
  /** Id in the host. For a child of a chart: its parent's path, a slash, its own id. */
  readonly path: string
  readonly parent: string | null
  readonly chart: string | null
  readonly ref: AnyActorRef
  snapshot: Snapshot | null
  /** Events without a change of state since the last report. */
  counts: Map<string, number>
  /** Transitions taken since the last snapshot. */
  taken: TakenDefinition[]
  /** Event that caused them. */
  cause: string | null
  /** True if `snapshot` was reported before XState's own event of it. */
  isAhead: boolean
  /** True after its end, which has been reported: nothing more is said of it. */
  isOver: boolean
}

/** Fields read of snapshots of any logic. */
export interface Snapshot {
  readonly status?: Status
  readonly value?: StateValue
  readonly context?: unknown
  readonly children?: Readonly<Record<string, AnyActorRef | undefined>>
}

interface Logic {
  readonly config?: { readonly id?: string }
}

/** Event types counted individually, per actor and interval. Others are summed up. */
const typesMax = 16

/** The living actors, and the charts that they run. */
export class InspectedActors {
  private readonly byRef = new WeakMap<object, Inspected>()
  private readonly byPath = new Map<string, Inspected>()
  /** Children of a chart, by the path of the actor that runs it. */
  private readonly children = new Map<string, Set<Inspected>>()
  private readonly charts = new Map<string, string>()

  constructor(
    private readonly payloads: boolean,
    /** Parent in the host. null if none. */
    private readonly parentOf: (actor: string) => string | null,
    /** Called before an actor takes the path of one whose chart has begun it anew. */
    private readonly onReplaced: (path: string) => void,
  ) {}

  [Symbol.iterator](): IterableIterator<Inspected> {
    return this.byPath.values()
  }

  get size(): number {
    return this.byPath.size
  }

  at(path: string): Inspected | undefined {
    return this.byPath.get(path)
  }

  /** The actor of a reference, added if it is new. */
  of(ref: ActorRefLike, hosted: string): Inspected {
    const known = this.byRef.get(ref)
    if (known !== undefined) return known
    const actorRef = ref as AnyActorRef
    const above = actorRef._parent
    const parent = above === undefined ? this.parentOf(hosted) : this.of(above, hosted).path
    const path = above === undefined ? hosted : `${parent}/${actorRef.id}`
    const chart = this.chartOf(actorRef)
    if (this.byPath.has(path)) this.onReplaced(path)
    const inspected: Inspected = {
      path,
      parent,
      chart,
      ref: actorRef,
      snapshot: null,
      counts: new Map(),
      taken: [],
      cause: null,
      isAhead: false,
      isOver: false,
    }
    this.byRef.set(ref, inspected)
    this.byPath.set(path, inspected)
    if (above !== undefined) this.childrenOf(parent!).add(inspected)
    return inspected
  }

  /** Removes an actor and all below it in its chart. Returns them. */
  forget(path: string): Inspected[] {
    const known = this.byPath.get(path)
    if (known === undefined) return []
    const below = [...this.children.get(path) ?? []].flatMap((child) => this.forget(child.path))
    known.isOver = true
    this.byPath.delete(path)
    this.children.delete(path)
    if (known.parent !== null) this.children.get(known.parent)?.delete(known)
    return [known, ...below]
  }

  private childrenOf(path: string): Set<Inspected> {
    let children = this.children.get(path)
    if (children === undefined) this.children.set(path, children = new Set())
    return children
  }

  /** Paths of children that the chart has left behind. */
  orphans(parent: Inspected): string[] {
    const kept = parent.snapshot?.children ?? {}
    return [...this.children.get(parent.path) ?? []]
      .filter((child) => child.ref._parent === parent.ref && kept[child.ref.id] !== child.ref)
      .map((child) => child.path)
  }

  definition(chart: string): string | undefined {
    return this.charts.get(chart)
  }

  actorEvent(inspected: Inspected, atMs: number): InspectionStreamEvent {
    const { path, parent, chart } = inspected
    return { type: 'actor', actor: path, parent, chart, atMs, ...this.stateOf(inspected) }
  }

  stateOf({ snapshot, ref }: Inspected): {
    status: Status
    state: StateValue | null
    reason: string | null
    summary: Record<string, unknown>
    timers?: RunningTimer[]
  } {
    const context = snapshot?.context
    const reason = (context as { lastReason?: unknown } | undefined)?.lastReason
    const timers = timersOf(ref)
    return {
      status: snapshot?.status ?? 'active',
      state: snapshot?.value ?? null,
      reason: typeof reason === 'string' && reason !== '' ? reason.slice(0, 300) : null,
      summary: summaryOf(context, this.payloads),
      ...(timers.length === 0 ? {} : { timers }),
    }
  }

  private chartOf(ref: AnyActorRef): string | null {
    const config = (ref as unknown as { logic?: Logic }).logic?.config
    // Of other logic (a callback, a promise) it is a function.
    if (typeof config !== 'object') return null
    const chart = config.id ?? '(machine)'
    if (!this.charts.has(chart)) this.charts.set(chart, definitionOf(config))
    return chart
  }
}

/** True if the state is the same. XState mostly, but not always, keeps an unchanged value. */
export function isSame(before: Snapshot['value'], now: Snapshot['value']): boolean {
  if (before === now) return true
  return typeof before === 'object' && typeof now === 'object'
    && JSON.stringify(before) === JSON.stringify(now)
}

export function countEvent(counts: Map<string, number>, type: string): void {
  const key = counts.has(type) || counts.size < typesMax ? type : 'other'
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

/**
 * The config of a machine as JSON, without its initial context. Functions are given by their names,
 * as Stately's inspector expects.
 */
function definitionOf(config: object): string {
  return JSON.stringify({ ...config, context: undefined },
    (_key, value: unknown) => typeof value === 'function' ? { type: value.name } : value)
}

export type XStateEvent = Extract<InspectionEvent, { type: '@xstate.actor' | '@xstate.snapshot' }>
