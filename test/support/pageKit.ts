/** Shared by the tests of the page's server: envelopes and reports of nodes that do not exist. */
import type { Envelope, InspectionStreamEvent } from '../../runtime/inspect/schema.js'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'

type ActorEvent = Extract<InspectionStreamEvent, { type: 'actor' }>

export function actor(id: string, state = 'running'): ActorEvent {
  return {
    type: 'actor',
    actor: id,
    atMs: 1_000,
    parent: null,
    chart: 'node',
    status: 'active',
    state,
    reason: null,
    summary: {},
  }
}

const head = (node: string, number: number) =>
  ({ version: 1, node, incarnation: 5, stream: '5.1', number, dropped: 0 }) as const

/** Actors that are born, in an envelope with that number; the chart of theirs before. */
export function envelope(
  node: string,
  number: number,
  actors: readonly string[],
  present: Envelope['present'] = null,
): Envelope {
  const chart = { type: 'chart', chart: 'node', definition: '{"id":"node"}' } as const
  return { ...head(node, number), present, events: [chart, ...actors.map((id) => actor(id))] }
}

export function transition(
  node: string,
  number: number,
  id: string,
  state: string,
  reason = 'so it was ordered',
): Envelope {
  return {
    ...head(node, number),
    present: null,
    events: [{
      type: 'transition',
      actor: id,
      atMs: 2_000,
      from: 'running',
      event: 'ordered',
      status: 'active',
      state,
      reason,
      summary: {},
    }],
  }
}

/** As far as a merged status needs it. */
export function report(id: string, over: Partial<MemberStatus> = {}): NodeStatusReport {
  const member = {
    space: 'demo',
    uuid: 'u',
    epoch: 3,
    primary: 'n1',
    members: ['n1', 'n2'],
    inSync: ['n1', 'n2'],
    role: id === 'n1' ? 'primary' : 'replica',
    lag: {},
    salvages: 0,
    lossWindow: { entries: 0, bytes: 0, ms: 0 },
    blocked: null,
    flow: null,
    ...over,
  } as unknown as MemberStatus
  const node = { id, state: 'running', pid: 1, uptimeMs: 1_000, incarnation: 5, peers: {} }
  return { format: 1, node, spaces: [member] } as unknown as NodeStatusReport
}
