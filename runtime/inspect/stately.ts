/**
 * The inspection stream as events of Stately's inspector (`@statelyai/inspect`, protocol 0.7). Each
 * actor of each node is a session, such as `n1/space.demo.primary`.
 */
import type { StatelyInspectionEvent } from '@statelyai/inspect'
import type { ActorShown, InspectionSnapshot } from './snapshot.js'
import type { Envelope, InspectionStreamEvent } from './schema.js'

/** Version of the protocol, by which the inspector recognises these events. */
export const statelyVersion = '0.7.2'

type EventOf<T extends InspectionStreamEvent['type']> = Extract<InspectionStreamEvent, { type: T }>

/** Session of an actor. */
export const sessionId = (node: string, actor: string): string => `${node}/${actor}`

/**
 * The inspector's events of an envelope.
 * @param snapshot to which the envelope has been applied
 * @param gone actors that applying it returned
 */
export function statelyEvents(
  envelope: Envelope,
  snapshot: InspectionSnapshot,
  gone: readonly ActorShown[],
): StatelyInspectionEvent[] {
  const { node } = envelope
  const stopped = gone
    .filter((actor) => snapshot.actor(node, actor.actor) === undefined)
    .map((actor) => stoppedEvent(node, actor))
  return [...stopped, ...envelope.events.flatMap((event) => translated(node, event, snapshot))]
}

/** The whole snapshot, for an inspector that connects later. */
export function statelySnapshot(snapshot: InspectionSnapshot): StatelyInspectionEvent[] {
  return [...snapshot.nodes].flatMap(([node, { actors }]) =>
    [...actors.values()].map((actor) => actorEvent(node, actor, snapshot))
  )
}

/** The event that shows an actor as stopped. */
export function stoppedEvent(node: string, actor: ActorShown): StatelyInspectionEvent {
  return snapshotEvent(node, { ...actor, status: 'stopped' }, { type: 'engram.gone' })
}

function translated(
  node: string,
  event: InspectionStreamEvent,
  snapshot: InspectionSnapshot,
): StatelyInspectionEvent[] {
  switch (event.type) {
    case 'actor':
      return [actorEvent(node, event, snapshot)]
    case 'transition':
      return [
        eventEvent(node, event.actor, event.atMs, { type: event.event }),
        snapshotEvent(node, event, { type: event.event, reason: event.reason }),
      ]
    case 'progress':
      return [snapshotEvent(node, event, { type: progressName(event), counts: event.counts })]
    case 'kill':
    case 'restart':
    case 'escalation':
    case 'deadLetter': {
      const { actor, atMs, type, ...rest } = event
      return [eventEvent(node, actor, atMs, { ...rest, type: `engram.${type}` })]
    }
    case 'exit':
      return [exitEvent(node, event)]
    case 'messages':
      return messageEvents(node, event, snapshot)
    case 'chart':
    case 'recorded':
      return []
  }
}

/** The most frequent event, since a snapshot names the one event that led to it. */
function progressName({ counts }: EventOf<'progress'>): string {
  const [most] = Object.entries(counts).toSorted(([, a], [, b]) => b - a)
  return most?.[0] ?? 'engram.progress'
}

/** null, as Stately's own sender has it, against its types. */
const noId = null as unknown as string

function head(node: string, atMs: number) {
  return { _version: statelyVersion, createdAt: String(atMs), rootId: node, id: noId }
}

function actorEvent(
  node: string,
  actor: ActorShown,
  snapshot: InspectionSnapshot,
): StatelyInspectionEvent {
  const { parent, chart } = actor
  return {
    type: '@xstate.actor',
    ...head(node, actor.atMs),
    name: sessionId(node, actor.actor),
    sessionId: sessionId(node, actor.actor),
    parentId: parent === null ? undefined : sessionId(node, parent),
    definition: (chart === null ? undefined : snapshot.charts.get(chart))
      ?? JSON.stringify({ id: actor.actor }),
    snapshot: snapshotOf(actor),
  }
}

type Shown = Pick<ActorShown, 'actor' | 'atMs' | 'status' | 'state' | 'reason' | 'summary'>

function snapshotOf({ status, state, summary }: Shown) {
  return { status, ...(state === null ? {} : { value: state }), context: summary }
}

function snapshotEvent(
  node: string,
  shown: Shown,
  event: { type: string } & Record<string, unknown>,
): StatelyInspectionEvent {
  return {
    type: '@xstate.snapshot',
    ...head(node, shown.atMs),
    sessionId: sessionId(node, shown.actor),
    event,
    // Its type is Snapshot<unknown>, which lacks value and context.
    snapshot: snapshotOf(shown) as never,
  }
}

function eventEvent(
  node: string,
  actor: string,
  atMs: number,
  event: { type: string } & Record<string, unknown>,
  source?: string,
): StatelyInspectionEvent {
  return {
    type: '@xstate.event',
    ...head(node, atMs),
    sessionId: sessionId(node, actor),
    sourceId: source,
    event,
  }
}

const statusAtExit = { done: 'done', stopped: 'stopped', failed: 'error' } as const

function exitEvent(node: string, { actor, atMs, kind }: EventOf<'exit'>): StatelyInspectionEvent {
  return snapshotEvent(node, {
    actor,
    atMs,
    status: statusAtExit[kind],
    state: null,
    reason: null,
    summary: {},
  }, { type: 'engram.exit', kind })
}

/** Sending and receiving actor of each kind of message, both drawn in the sequence. */
const ends: Readonly<Record<string, (space: string, from: string) => [string, string]>> = {
  wal: (space) => [`space.${space}.primary`, `space.${space}.replica`],
  ack: (space) => [`space.${space}.replica`, `space.${space}.primary`],
  survey: (space) => [`space.${space}.promotion`, `space.${space}`],
  heartbeat: (_, from) => ['node', `detector.${from}`],
  ping: (_, from) => [`detector.${from}`, 'node'],
}

function messageEvents(
  node: string,
  message: EventOf<'messages'>,
  snapshot: InspectionSnapshot,
): StatelyInspectionEvent[] {
  const { kind, space, to, atMs, count, bytes } = message
  const receivers = to === null ? [...snapshot.nodes.keys()].filter((id) => id !== node) : [to]
  return receivers.flatMap((receiver) => {
    const [source, target] = ends[kind]?.(space ?? '', kind === 'ping' ? receiver : node)
      ?? ['', '']
    if (snapshot.actor(receiver, target) === undefined) return []
    return [
      eventEvent(receiver, target, atMs, { type: `engram.${kind}`, count, bytes },
        sessionId(node, source)),
    ]
  })
}
