/** Walks over statecharts, for the tests of all of them. Nothing here performs an effect. */
import { createActor, getInitialMicrosteps, getMicrosteps, getNextTransitions, initialTransition,
  transition } from 'xstate'
import type { Actor, AnyMachineSnapshot, AnyStateMachine, AnyStateNode, EmittedFrom, EventFromLogic,
  EventObject, InputFrom, SnapshotFrom } from 'xstate'
import { getShortestPaths, getStateNodes } from 'xstate/graph'

const pathOf = (node: AnyStateNode) => node.path.join('.')
const isDelay = (type: string) => type.startsWith('xstate.after.')

export interface Coverage<TMachine extends AnyStateMachine> {
  readonly machine: TMachine
  readonly input: InputFrom<TMachine>
  /** Events to try in every state. Those of delays (`xstate.after.*`) are added by themselves. */
  readonly events: readonly EventFromLogic<TMachine>[]
  /** Equality of two snapshots to the walk. Default: value and context, no reason. */
  readonly key?: (snapshot: SnapshotFrom<TMachine>) => string
  /** Walk no further from here: bounds counters that grow. */
  readonly stopWhen?: (snapshot: SnapshotFrom<TMachine>) => boolean
  /** Start here rather than from the input. */
  readonly fromState?: SnapshotFrom<TMachine>
  /** State nodes that cannot be reached this way: path to the reason. */
  readonly unreachable?: Readonly<Record<string, string>>
}

/** Events by which a delay of the present configuration runs out. */
export function delayEvents(snapshot: AnyMachineSnapshot): EventObject[] {
  if (snapshot.status !== 'active') return []
  const types = getNextTransitions(snapshot).map((t) => t.eventType).filter(isDelay)
  return [...new Set(types)].map((type) => ({ type }))
}

function defaultKey(snapshot: AnyMachineSnapshot): string {
  const { lastReason: _, ...context } = snapshot.context as Record<string, unknown>
  return JSON.stringify([snapshot.value, context])
}

/**
 * Fails, listing them, when some state nodes of the chart are on no path; states that are left
 * at once (`always`) count as reached when a step leads through them. Returns the paths.
 */
export function assertCovered<TMachine extends AnyStateMachine>(spec: Coverage<TMachine>) {
  const key = spec.key ?? defaultKey
  const eventsIn = (snapshot: SnapshotFrom<TMachine>) => [
    ...spec.events,
    ...(delayEvents(snapshot) as EventFromLogic<TMachine>[]),
  ]
  const paths = getShortestPaths(spec.machine, {
    input: spec.input,
    events: eventsIn,
    serializeState: (snapshot: SnapshotFrom<TMachine>) => key(snapshot),
    ...(spec.stopWhen ? { stopWhen: spec.stopWhen } : {}),
    ...(spec.fromState ? { fromState: spec.fromState } : {}),
  } as Parameters<typeof getShortestPaths<TMachine>>[1])
  const reached = new Set<string>()
  const note = (snapshot: AnyMachineSnapshot) => {
    for (const node of snapshot._nodes) reached.add(pathOf(node))
  }
  const start = getInitialMicrosteps(spec.machine as AnyStateMachine, spec.input)
  for (const [snapshot] of start) note(snapshot)
  for (const { state } of paths) {
    note(state as AnyMachineSnapshot)
    for (const event of eventsIn(state as SnapshotFrom<TMachine>)) {
      const steps = getMicrosteps(spec.machine as AnyStateMachine, state, event)
      for (const [snapshot] of steps) note(snapshot)
    }
  }
  const excused = new Set(Object.keys(spec.unreachable ?? {}))
  const all = getStateNodes(spec.machine).map(pathOf)
  const missed = all.filter((path) => !reached.has(path) && !excused.has(path))
  const stale = [...excused].filter((path) => reached.has(path) || !all.includes(path))
  const faults = [
    ...missed.map((path) => `${spec.machine.id}: no path reaches ${path}`),
    ...stale.map((path) => `${spec.machine.id}: ${path} is listed as unreachable for nothing`),
  ]
  if (faults.length > 0) throw new Error(faults.join('\n'))
  return paths
}

/** Events that are ignored in a state, and in all states below it. */
export interface IgnoreRow {
  /** Path of a state node (`alive.watch`), or '' for the whole chart. */
  readonly state: string
  readonly events: readonly string[]
  readonly reason: string
}

export interface Handled {
  readonly machine: AnyStateMachine
  /** Every type of the chart's event union: types are gone at run time. */
  readonly events: readonly string[]
  readonly ignoreTable: readonly IgnoreRow[]
}

function handlesAlways(node: AnyStateNode, type: string): boolean {
  if (node.transitions.has(type)) return true
  const children = Object.values(node.states)
  if (node.type === 'parallel') return children.some((child) => handlesAlways(child, type))
  return children.length > 0 && children.every((child) => handlesAlways(child, type))
}

/** The leaf, a state around it, or whatever state a region beside it is in takes the event. */
function isHandled(leaf: AnyStateNode, type: string): boolean {
  for (let node: AnyStateNode | undefined = leaf; node; node = node.parent) {
    if (node.transitions.has(type)) return true
    if (node.type === 'parallel' && handlesAlways(node, type)) return true
  }
  return false
}

/** Left at once, by a transition without a guard: no event ever meets it. */
function isTransient(node: AnyStateNode): boolean {
  return (node.always ?? []).some((t) => t.guard === undefined)
}

const covers = (row: IgnoreRow, path: string) =>
  row.state === '' || path === row.state || path.startsWith(`${row.state}.`)

/**
 * Every event is handled in every state, or a row says why not. A row that covers no unhandled
 * pair is stale, and fails as well: the table is to stay true.
 */
export function assertHandled({ machine, events, ignoreTable }: Handled): void {
  const faults: string[] = []
  const used = new Set<string>()
  const leaves = getStateNodes(machine).filter((n) =>
    n.type !== 'final' && Object.keys(n.states).length === 0 && !isTransient(n)
  )
  for (const leaf of leaves) {
    const path = pathOf(leaf)
    for (const type of events) {
      if (isHandled(leaf, type)) continue
      const rows = ignoreTable.filter((row) => covers(row, path) && row.events.includes(type))
      if (rows.length === 0) faults.push(`${path} does not handle ${type}, and no row says why`)
      for (const row of rows) used.add(`${row.state} ${type}`)
    }
  }
  for (const row of ignoreTable) {
    for (const type of row.events) {
      if (!used.has(`${row.state} ${type}`)) faults.push(`stale row: ${row.state} ${type}`)
    }
  }
  const known = new Set(events)
  for (const type of machine.events.filter((e) => !e.startsWith('xstate.') && !known.has(e))) {
    faults.push(`the chart handles ${type}, which is not among the events of the test`)
  }
  if (faults.length > 0) throw new Error(`${machine.id}:\n${faults.join('\n')}`)
}

/** An event, or the running out of a delay of the present configuration. */
export type Step<TMachine extends AnyStateMachine> =
  | EventFromLogic<TMachine>
  | { readonly after: string }

function delayEventOf(snapshot: AnyMachineSnapshot, delay: string): EventObject {
  const found = delayEvents(snapshot).find((e) => e.type.startsWith(`xstate.after.${delay}.`))
  if (found) return found
  throw new Error(`no delay ${delay} runs in ${showState(snapshot)}`)
}

/** `{ alive: { watch: 'close' } }` as `alive.watch.close`; regions are joined by ` | `. */
export function showState(snapshot: AnyMachineSnapshot): string {
  const leaves = snapshot._nodes.filter((node) => Object.keys(node.states).length === 0)
  return leaves.map(pathOf).join(' | ')
}

const line = (fields: object) => JSON.stringify(fields).replace(/^\{|\}$/g, '').replace(/"/g, '')

function showEvent(event: EventObject): string {
  const { type, ...rest } = event
  const shown = line(rest)
  return shown ? `${type} ${shown}` : type
}

interface ActionLike {
  readonly type: string
  readonly params?: unknown
}

/** The effects among the actions of a pure transition. */
export function emittedBy(actions: readonly ActionLike[]): EventObject[] {
  return actions
    .filter((action) => action.type === 'xstate.emit')
    .map((action) => (action.params as { event: EventObject }).event)
}

/**
 * What the chart did with these steps, as text for golden comparisons:
 *
 *     > probeGone life:{incarnation:1,connection:1}
 *     dead.gone: 503: the connection of n2 1.1 is gone
 *       peerDied peer:n2,vacancy:noResponders
 */
export function transcript<TMachine extends AnyStateMachine>(
  machine: TMachine,
  input: InputFrom<TMachine>,
  steps: readonly Step<TMachine>[],
): string {
  const lines: string[] = []
  const note = (snapshot: AnyMachineSnapshot, actions: readonly ActionLike[]) => {
    const { lastReason } = snapshot.context as { lastReason?: string }
    lines.push(showState(snapshot) + (lastReason ? `: ${lastReason}` : ''))
    // The reason is in the line above already.
    for (const effect of emittedBy(actions)) {
      const { reason, ...rest } = effect as EventObject & { reason?: string }
      lines.push(`  ${showEvent(reason === lastReason ? rest : effect)}`)
    }
  }
  let [snapshot, actions] = initialTransition(machine as AnyStateMachine, input)
  note(snapshot, actions)
  for (const step of steps) {
    const event: EventObject = 'after' in step
      ? delayEventOf(snapshot, String(step.after))
      : (step as EventObject)
    lines.push(`> ${'after' in step ? `after ${String(step.after)}` : showEvent(event)}`)
    ;[snapshot, actions] = transition(machine as AnyStateMachine, snapshot, event)
    note(snapshot, actions)
  }
  return lines.join('\n')
}

/** A golden text in a template literal: without its first line break and its indentation. */
export function golden(text: string): string {
  const lines = text.replace(/^\n/, '').trimEnd().split('\n')
  const indents = lines.filter((l) => l.trim()).map((l) => l.length - l.trimStart().length)
  const indent = Math.min(...indents)
  return lines.map((l) => l.slice(indent)).join('\n')
}

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

/**
 * A clock for `createActor(machine, { clock })` that goes from deadline to deadline: a 100 ms
 * loop runs ten times in a second (XState's SimulatedClock would run it once).
 */
export class VirtualClock {
  nowMs = 0
  private order = 0
  private readonly timers = new Map<number, Timer>()

  setTimeout = (run: () => void, ms: number): number => {
    const order = ++this.order
    this.timers.set(order, { at: this.nowMs + ms, order, run })
    return order
  }

  clearTimeout = (id: number): void => {
    this.timers.delete(id)
  }

  advance(ms: number): void {
    const until = this.nowMs + ms
    for (;;) {
      const next = [...this.timers.values()]
        .filter((timer) => timer.at <= until)
        .toSorted((a, b) => a.at - b.at || a.order - b.order)[0]
      if (!next) break
      this.timers.delete(next.order)
      this.nowMs = next.at
      next.run()
    }
    this.nowMs = until
  }
}

export interface TimedRun<TMachine extends AnyStateMachine> {
  readonly actor: Actor<TMachine>
  readonly clock: VirtualClock
  /** Effects so far, with the virtual time of each. */
  readonly log: { readonly atMs: number; readonly effect: EmittedFrom<TMachine> }[]
  /** Text of the log since the last call: `300 peerSuspected`. */
  take(): string[]
}

/** Runs the chart as a real actor, in virtual time. */
export function runTimed<TMachine extends AnyStateMachine>(
  machine: TMachine,
  input: InputFrom<TMachine>,
): TimedRun<TMachine> {
  const clock = new VirtualClock()
  const options = { input, clock } as unknown as Parameters<typeof createActor<TMachine>>[1]
  const actor = createActor(machine, options as never) as Actor<TMachine>
  const log: { atMs: number; effect: EmittedFrom<TMachine> }[] = []
  let taken = 0
  actor.on('*' as never, (effect: EmittedFrom<TMachine>) => {
    log.push({ atMs: clock.nowMs, effect })
  })
  actor.start()
  const take = () => {
    const fresh = log.slice(taken)
    taken = log.length
    return fresh.map(({ atMs, effect }) => `${atMs} ${(effect as EventObject).type}`)
  }
  return { actor, clock, log, take }
}
