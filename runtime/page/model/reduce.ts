/** `items → state`: pure, the same for live and recorded items. */
import type { Envelope, InspectionStreamEvent, StateValue } from '../../inspect/schema.js'
import type { Frame, InspectionFrame } from '../protocol.js'
import { activePaths } from './state.js'
import type { ActorView, Item, NodeView, PageState } from './state.js'

type EventOf<T extends InspectionStreamEvent['type']> = Extract<InspectionStreamEvent, { type: T }>
type StateEvent = EventOf<'actor' | 'transition' | 'progress'>

/** Ended actors that a node still shows, since a promotion is over in milliseconds. */
const endedMax = 32
/** Longest delay of an event. A longer one means that clocks differ. */
const delayMaxMs = 2_000

/**
 * The items of a frame. Events of an inspection frame are items of their own, at their own times,
 * so that a moment within a batch can be shown. A key frame (`present`) stays whole. The item that
 * counts envelopes comes first.
 */
export function itemsOf(frame: Frame): Item[] {
  const head: Item = { atMs: timeOf(frame), kind: 'frame', frame }
  if (frame.kind !== 'inspection' || frame.envelope.present !== null) return [head]
  const { node, events } = frame.envelope
  let earliest = frame.atMs
  const items = events.map((event): Item => {
    const atMs = within(frame.atMs, 'atMs' in event ? event.atMs : frame.atMs)
    earliest = Math.min(earliest, atMs)
    return { atMs, kind: 'event', node, event }
  })
  return [{ ...head, atMs: earliest }, ...items]
}

/** Time of a frame. An event line arrives shortly after its event. */
function timeOf(frame: Frame): number {
  return frame.kind === 'story' ? within(frame.atMs, Date.parse(frame.line.at)) : frame.atMs
}

function within(frameMs: number, statedMs: number): number {
  return Number.isFinite(statedMs)
    ? Math.min(frameMs, Math.max(statedMs, frameMs - delayMaxMs))
    : frameMs
}

export function reduce(state: PageState, items: readonly Item[]): PageState {
  let next = state
  for (let index = 0; index < items.length;) {
    const item = items[index] as Item
    if (item.kind === 'frame') {
      next = { ...onFrame(next, item.frame), atMs: Math.max(next.atMs, item.atMs) }
      index += 1
    } else {
      const end = endOfRun(items, index, item.node)
      next = onRun(next, item.node, items.slice(index, end))
      index = end
    }
  }
  return next
}

/** Index after a run of events of one node. */
function endOfRun(items: readonly Item[], begin: number, node: string): number {
  let end = begin + 1
  for (; end < items.length; end += 1) {
    const item = items[end]
    if (item?.kind !== 'event' || item.node !== node) break
  }
  return end
}

/** Applies a run of events of one node, copying its actors once. */
function onRun(state: PageState, id: string, items: readonly Item[]): PageState {
  const node = state.nodes.get(id)
  const actors = new Map(node?.actors)
  let { atMs } = state
  for (const item of items) {
    atMs = Math.max(atMs, item.atMs)
    if (item.kind === 'event') onEvent(actors, id, item.event, item.atMs)
  }
  // Without a key frame nothing is known of the node.
  if (node === undefined) return { ...state, atMs }
  return { ...state, atMs, nodes: withEntry(state.nodes, id, { ...node, actors }) }
}

function onFrame(state: PageState, frame: Frame): PageState {
  switch (frame.kind) {
    case 'start':
      return { ...state, start: frame }
    case 'charts':
      return { ...state, charts: frame.charts }
    case 'broker':
      return { ...state, broker: frame }
    case 'status':
      return frame.status === null
        ? { ...state, status: state.status }
        : { ...state, status: frame.status, statusAtMs: frame.atMs }
    case 'inspection':
      return { ...state, nodes: onEnvelope(state.nodes, frame) }
    default:
      return state
  }
}

function onEnvelope(
  nodes: ReadonlyMap<string, NodeView>,
  { atMs, envelope }: InspectionFrame,
): ReadonlyMap<string, NodeView> {
  const { node: id, incarnation, stream, number, present, dropped } = envelope
  const known = nodes.get(id)
  const isNew = known === undefined || known.stream !== stream
  const gap = isNew || present !== null ? 0 : Math.max(0, number - known.number - 1)
  const isOtherLife = known === undefined || known.incarnation !== incarnation
  const view: NodeView = {
    id,
    incarnation,
    stream,
    number: isNew ? number : Math.max(number, known.number),
    heardAtMs: present !== null && envelope.events.length === 0 ? known?.heardAtMs ?? 0 : atMs,
    lost: (known?.lost ?? 0) + gap + dropped,
    actors: isOtherLife ? new Map() : known.actors,
  }
  return withEntry(nodes, id, present === null ? view : withPresent(view, known, envelope, atMs))
}

/** Applies a part of a key frame. The first part replaces the actors, the others add to them. */
function withPresent(
  view: NodeView,
  known: NodeView | undefined,
  { present, events }: Envelope,
  atMs: number,
): NodeView {
  const isFirst = present === null || present.part <= 1
  const actors = new Map(isFirst ? [] : view.actors)
  for (const event of events) {
    if (event.type !== 'actor') continue
    const isSameLife = known?.incarnation === view.incarnation
    const before = isSameLife ? known.actors.get(event.actor) : undefined
    actors.set(event.actor, actorView(view.id, event, before, atMs))
  }
  return { ...view, actors }
}

/** Changes `actors`. */
function onEvent(
  actors: Map<string, ActorView>,
  node: string,
  event: InspectionStreamEvent,
  atMs: number,
): void {
  switch (event.type) {
    case 'actor':
      actors.set(event.actor, actorView(node, event, undefined, atMs))
      return
    case 'transition':
    case 'progress':
      actors.set(event.actor, actorView(node, event, actors.get(event.actor), atMs))
      return
    case 'exit': {
      const before = actors.get(event.actor)
      if (before === undefined) return
      actors.set(event.actor, {
        ...before,
        status: event.kind === 'failed' ? 'error' : event.kind,
        timers: [],
        exit: { atMs, kind: event.kind },
      })
      forgetEnded(actors)
      return
    }
    default:
  }
}

function actorView(
  node: string,
  event: StateEvent,
  before: ActorView | undefined,
  atMs: number,
): ActorView {
  const { actor, status, state, reason, summary } = event
  return {
    node,
    actor,
    status,
    state,
    reason,
    summary,
    parent: event.type === 'actor' ? event.parent : before?.parent ?? null,
    chart: event.type === 'actor' ? event.chart : before?.chart ?? null,
    timers: event.timers ?? [],
    enteredMs: entered(event, before, atMs),
    last: event.type !== 'transition' ? before?.last ?? null : {
      atMs,
      event: event.event,
      from: event.from,
      to: state,
      reason,
      taken: event.taken ?? [],
    },
    // The last transition of an actor may arrive after its exit.
    exit: event.type === 'actor' ? null : before?.exit ?? null,
  }
}

function entered(
  event: StateEvent,
  before: ActorView | undefined,
  atMs: number,
): Readonly<Record<string, number>> {
  if (before !== undefined && isSame(before.state, event.state)) return before.enteredMs
  return Object.fromEntries(
    activePaths(event.state).map((path) => [path, before?.enteredMs[path] ?? atMs]),
  )
}

function isSame(one: StateValue | null, other: StateValue | null): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

function forgetEnded(actors: Map<string, ActorView>): void {
  const ended = [...actors.values()].filter(({ exit }) => exit !== null)
  if (ended.length <= endedMax) return
  const oldest = ended.toSorted((a, b) => (a.exit?.atMs ?? 0) - (b.exit?.atMs ?? 0))
  for (const { actor } of oldest.slice(0, ended.length - endedMax)) actors.delete(actor)
}

function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}
