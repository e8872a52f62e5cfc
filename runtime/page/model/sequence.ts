/** Rows of the sequence diagram: messages and changes of state, in order of time. */
import type { InspectionStreamEvent } from '../../inspect/schema.js'
import { words } from './promotions.js'
import { stateText } from './state.js'
import type { Item } from './state.js'

/** Kinds of rows, in the order of the filter; `change` for changes of state. */
export const messageKinds = ['change', 'wal', 'ack', 'heartbeat', 'ping', 'survey',
  'assignment'] as const

/** A node, or an actor of a node. */
export interface Lane {
  readonly node: string
  /** null for all actors of the node without a lane of their own. */
  readonly actor: string | null
}

export interface Row {
  readonly atMs: number
  /** Kind of the messages, or `change` for a change of state. */
  readonly kind: string
  /** Indexes of lanes, equal for a change within one. */
  readonly from: number
  readonly to: number
  readonly text: string
  readonly detail: string
  /** Number of messages in this row. */
  readonly count: number
}

type Messages = Extract<InspectionStreamEvent, { type: 'messages' }>

/**
 * @param kinds kinds of messages that are shown; `change` for changes of state
 * @param rowsMax the latest are kept
 */
export function rowsOf(
  items: readonly Item[],
  lanes: readonly Lane[],
  kinds: ReadonlySet<string>,
  rowsMax: number,
): Row[] {
  const rows: Row[] = []
  // From the latest back, until there are enough.
  for (const item of items.toReversed()) {
    if (rows.length >= rowsMax) break
    if (item.kind !== 'event') continue
    const { event, node, atMs } = item
    if (event.type === 'messages') {
      if (!kinds.has(event.kind)) continue
      rows.push(...messageRows(lanes, node, atMs, event).toReversed())
    } else if (kinds.has('change')) {
      const row = changeRow(lanes, node, atMs, event)
      if (row !== null) rows.push(row)
    }
  }
  return rows.toReversed().slice(-rowsMax)
}

function messageRows(
  lanes: readonly Lane[],
  node: string,
  atMs: number,
  { kind, space, to, count, bytes }: Messages,
): Row[] {
  const from = laneOf(lanes, node, senderOf(kind, space, to))
  if (from === -1) return []
  const nodes = [...new Set(lanes.map((lane) => lane.node))]
  const receivers = to === null ? nodes.filter((one) => one !== node) : [to]
  return receivers.flatMap((receiver) => {
    const target = laneOf(lanes, receiver, receiverOf(kind, space, node))
    if (target === -1 || target === from) return []
    const text = `${kind}${count > 1 ? ` × ${count}` : ''}`
    const of = space === null ? '' : ` of ${space}`
    const detail = `${node} → ${receiver}: ${count} ${kind}${of}, `
      + `${bytes} bytes`
    return [{ atMs, kind, from, to: target, text, detail, count }]
  })
}

/** The actor that sends such messages. */
function senderOf(kind: string, space: string | null, to: string | null): string {
  switch (kind) {
    case 'wal':
      return `space.${space}.stream.${to}`
    case 'ack':
      return `space.${space}.replica`
    case 'survey':
      return `space.${space}.promotion`
    case 'ping':
      return `detector.${to}`
    case 'assignment':
      return `space.${space}.primary`
    default:
      return 'node'
  }
}

/** The actor that receives such messages of `from`. */
function receiverOf(kind: string, space: string | null, from: string): string {
  switch (kind) {
    case 'wal':
      return `space.${space}.replica`
    case 'ack':
      return `space.${space}.stream.${from}`
    case 'survey':
    case 'assignment':
      return `space.${space}`
    case 'heartbeat':
      return `detector.${from}`
    default:
      return 'node'
  }
}

function changeRow(
  lanes: readonly Lane[],
  node: string,
  atMs: number,
  event: InspectionStreamEvent,
): Row | null {
  if (!('actor' in event) || event.type === 'progress') return null
  if (isWithoutChart(event) && isChange(event)) return null
  const lane = laneOf(lanes, node, event.actor)
  if (lane === -1) return null
  const isOwn = lanes[lane]?.actor !== null
  const what = changeText(event)
  return {
    atMs,
    kind: isChange(event) ? 'change' : 'failure',
    from: lane,
    to: lane,
    text: isOwn ? what : `${event.actor}: ${what}`,
    detail: 'reason' in event && event.reason !== null ? event.reason : what,
    count: 1,
  }
}

/**
 * True for a helper of a chart: where it runs a hosted actor, that one reports its life itself.
 * Earlier releases do not say of an exit whether it had a chart; no child of a chart had one.
 */
function isWithoutChart(event: InspectionStreamEvent): boolean {
  if (event.type !== 'exit') return 'state' in event && event.state === null
  return event.chart === undefined ? event.actor.includes('/') : event.chart === null
}

/** Otherwise the event reports a failure, which is drawn as one. */
function isChange(event: InspectionStreamEvent): boolean {
  return event.type === 'transition' || event.type === 'actor'
    || (event.type === 'exit' && event.kind !== 'failed')
}

function changeText(event: Extract<InspectionStreamEvent, { actor: string }>): string {
  switch (event.type) {
    case 'transition':
      return `${words(event.event)} → ${stateText(event.state)}`
    case 'actor':
      return `begins in ${stateText(event.state)}`
    case 'exit':
      return event.kind === 'failed' ? 'fails' : `ends (${event.kind})`
    case 'kill':
      return `is killed: ${event.reason}`
    case 'restart':
      return `is restarted: ${event.error}`
    case 'escalation':
      return `gives up: ${event.error}`
    case 'deadLetter':
      return `dead letter: ${event.reason}`
    default:
      return event.type
  }
}

/** Index of the actor's lane, else of its node's. -1 if none. */
function laneOf(lanes: readonly Lane[], node: string, actor: string): number {
  const own = lanes.findIndex((lane) => lane.node === node && lane.actor === actor)
  return own >= 0 ? own : lanes.findIndex((lane) => lane.node === node && lane.actor === null)
}
