import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeEventState, PromotionReport,
  RecordedEvent } from '../../../machines/protocol/events.js'
import type { EventLine } from '../../../runtime/inspect/eventLine.js'
import type { Envelope, InspectionStreamEvent,
  StateValue } from '../../../runtime/inspect/schema.js'
import { summaryText } from '../../../runtime/inspect/summaryText.js'
import { eventLine, EventText, InOrder } from '../../../runtime/inspect/eventText.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import { Responder } from '../../support/responder.js'

const test = suite('event text')

function storyKit(space?: string) {
  const lines: EventLine[] = []
  const story = new EventText({ emit: (line) => lines.push(line), space })
  const take = (node: string, ...events: InspectionStreamEvent[]) =>
    story.onEnvelope(envelope(node, events))
  return { story, lines, take, texts: () => lines.map(({ text }) => text) }
}

function envelope(
  node: string,
  events: readonly InspectionStreamEvent[],
  present: Envelope['present'] = null,
): Envelope {
  return { version: 1, node, incarnation: 1, stream: '1', number: 1, dropped: 0, present, events }
}

function transition(
  actor: string,
  from: StateValue,
  state: StateValue,
  reason: string | null = null,
): InspectionStreamEvent {
  return {
    type: 'transition',
    actor,
    from,
    state,
    reason,
    event: 'x',
    atMs: 1_000,
    status: 'active',
    summary: {},
  }
}

const at = { id: 7, node: 'n2', atMs: 1_000 }

function recorded(event: RecordedEvent): InspectionStreamEvent {
  return { type: 'recorded', atMs: event.atMs, event }
}

const gone = (node: string, atMs: number): RecordedEvent => ({
  type: 'peer',
  id: atMs,
  node,
  atMs,
  peer: 'n1',
  state: 'gone',
  vacancy: 'noResponders',
  life: { incarnation: 9, connection: 1 },
  reason: '503: its connection is gone',
})
const back = (node: string, atMs: number): RecordedEvent =>
  ({ ...gone(node, atMs), state: 'back', vacancy: null, reason: 'heartbeats' }) as RecordedEvent

const promotion: PromotionReport = {
  atMs: 2_000,
  space: 'demo',
  epoch: 4,
  from: 'n1',
  to: 'n2',
  vacancy: 'noResponders',
  reason: 'NATS says that n1 is no longer connected',
  ms: 210,
  atRisk: 0,
}
const promoted = (
  over: Partial<PromotionReport> = {},
  node = 'n2',
  inSync = ['n2', 'n3'],
): RecordedEvent => ({ type: 'promoted', ...at, node, promotion: { ...promotion, ...over },
  inSync })

const notice = (
  kind: string,
  message: string,
  over: object = {},
  isAlert = true,
): RecordedEvent => ({
  type: 'notice',
  ...at,
  space: 'demo',
  kind,
  isAlert,
  message,
  detail: {},
  ...over,
})

test('a candidacy comes before its first step, though that is sent first', () => {
  const { take, lines } = storyKit()
  const promoting = transition('space.demo', 'replica', 'promoting', 'vacancy: noResponders')
  const born: InspectionStreamEvent = {
    type: 'actor',
    actor: 'space.demo.promotion',
    parent: 'space.demo',
    chart: 'promotion',
    atMs: 1_000,
    status: 'active',
    state: { surveying: 'reading' },
    reason: null,
    summary: {},
  }
  // The role is spawned within the transition of its space, which is over a millisecond later.
  take('n2', born, { ...promoting, atMs: 1_001 } as InspectionStreamEvent)
  take('n2', { ...promoting, atMs: 9_000 } as InspectionStreamEvent)
  const order = new InOrder()
  for (const line of lines) order.add(line, 0)
  assert.equal(order.due(Infinity).map(({ state, at }) => [state, at.slice(17, 23)]), [['promoting',
    '01.000'], ['surveying', '01.000'], ['promoting', '09.000']])
})

test('a failover: the loss, the candidacy, its steps and reasons, the new primary', () => {
  const { take, lines, texts } = storyKit()
  take('n2', recorded(gone('n2', 1_000)),
    transition('space.demo', 'replica', 'promoting', 'vacancy: noResponders'),
    transition('space.demo.promotion', 'surveying', 'awaitingVacancy', 'I am at (3, 42)'),
    transition('space.demo.promotion', 'awaitingVacancy', 'claiming', 'noResponders'),
    transition('space.demo.promotion', { claiming: 'asking' }, { claiming: 'settling' }),
    transition('space.demo.promotion', 'confirming', 'won', 'won'), recorded(promoted()))
  assert.equal(texts(), [
    'n1 is gone, reported by n2: NATS says that n1 is no longer connected',
    'n2 starts a promotion for demo: NATS says that the primary is no longer connected',
    'n2, candidate for demo, waits for proof that the former primary has ended: '
    + 'I am at (3, 42)',
    'n2, candidate for demo, claims the next epoch: noResponders',
    'n2, candidate for demo, has won',
    'n2 is the primary of demo, in epoch 4: NATS says that n1 is no longer connected. Writes were '
    + 'interrupted for 210 ms; no write is known to be missing; in sync: n2, n3',
  ])
  assert.equal(lines[0], {
    at: '1970-01-01T00:00:01.000Z',
    kind: 'node',
    text: texts()[0],
    node: 'n2',
    peer: 'n1',
    id: 'gone/n1/9.1',
    state: 'dead',
    reason: '503: its connection is gone',
  })
  assert.equal(lines.at(-1), {
    at: '1970-01-01T00:00:02.000Z',
    kind: 'epoch',
    text: texts().at(-1),
    id: 'promoted/demo/4',
    node: 'n2',
    space: 'demo',
    epoch: 4,
    reason: promotion.reason,
    promotion,
  })
})

test('what a promotion cost: what is missing, what is not known, and who had none before', () => {
  const text = (over: Partial<PromotionReport>): string => {
    const { take, texts } = storyKit()
    take('n2', recorded(promoted(over, 'n2', ['n2'])))
    return texts()[0] ?? ''
  }
  assert.match(text({ atRisk: 1 }), '; at least 1 write of n1 is missing until it returns')
  assert.match(text({ atRisk: 1_234 }),
    '; at least 1,234 writes of n1 are missing until it returns')
  assert.match(text({ atRisk: null }),
    '; it is not known whether n1 had writes that are missing here')
  assert.match(text({ from: 'n2', vacancy: 'own', reason: 'n2 had lost its place as primary' }),
    'n2 is the primary of demo again, in epoch 4: n2 had lost its place as primary. Writes were')
  assert.is(text({ from: null, vacancy: 'none', reason: 'there is no primary yet' }),
    'n2 is the first primary of demo, in epoch 4; in sync: n2')
})

test('an event that several nodes record is one line, again at each return', () => {
  const { take, texts } = storyKit()
  take('n2', recorded(gone('n2', 1_000)))
  take('n3', recorded(gone('n3', 1_090)), recorded(back('n3', 3_000)))
  take('n2', recorded(back('n2', 3_010)), recorded(gone('n2', 9_000)))
  take('n3', recorded(promoted()), recorded(promoted({}, 'n3')))
  assert.equal(texts().map((text) => text.slice(0, 31)), [
    'n1 is gone, reported by n2: NAT',
    'n1 is back, reported by n3',
    'n1 is gone, reported by n2: NAT',
    'n2 is the primary of demo, in e',
  ])
})

test('the past is shown in order of time, and nothing of it twice', () => {
  const { story, take, lines } = storyKit()
  take('n2', recorded(promoted({ epoch: 5, atMs: 8_000 })))
  const past = story.onPast([
    back('n3', 3_000),
    promoted({ epoch: 5, atMs: 8_000 }, 'n3'),
    gone('n3', 1_100),
    gone('n2', 1_000),
    promoted(),
    promoted({}, 'n1'),
  ])
  assert.equal(past.map(({ at: time, id }) => [time.slice(17, 23), id]), [
    ['01.000', 'gone/n1/9.1'],
    ['02.000', 'promoted/demo/4'],
    ['03.000', 'back/n1/9.1'],
  ])
  assert.is(lines.length, 1, 'it is returned, and not emitted')
  take('n3', recorded(promoted({}, 'n3')))
  assert.is(lines.length, 1, 'nor is it emitted when it comes once more')
  const other = new EventText({ emit: () => undefined, space: 'other' })
  assert.equal(other.onPast([gone('n2', 1_000), promoted()]).map(({ id }) => id), ['gone/n1/9.1'])
})

test('suspicion alone is not shown', () => {
  const { take, lines } = storyKit()
  take('n2', transition('detector.n1', { alive: {} }, 'suspect'),
    transition('detector.n1', 'suspect', { alive: {} }))
  assert.equal(lines, [])
})

test('a handover, a step down, a damaged log', () => {
  const { take, lines } = storyKit()
  const of = { ...at, node: 'n1', space: 'demo' }
  take('n1',
    recorded({ type: 'handoverBegun', ...of, epoch: 3, to: 'n2', reason: 'promote --to n2' }),
    recorded(promoted({ vacancy: 'resigned', reason: 'n1 handed over', ms: 12 })),
    recorded({ type: 'steppedDown', ...of, id: 8, epoch: 3, reason: 'the lease lapsed' }),
    recorded({ type: 'steppedDown', ...of, id: 10, epoch: 3, reason: 'handed over to n2' }),
    recorded({ type: 'damaged', ...of, id: 9, reason: 'a bad record at 512' }))
  assert.equal(lines.map(({ kind, text }) => [kind, text]), [
    ['handover', 'n1 hands demo over to n2: promote --to n2'],
    ['epoch', 'n2 is the primary of demo, in epoch 4: n1 handed over. Writes waited for 12 ms; '
      + 'in sync: n2, n3'],
    ['epoch', 'n1 is no longer the primary of demo (epoch 3): the lease lapsed'],
    ['handover', 'n1 is no longer the primary of demo (epoch 3): handed over to n2'],
    ['alert', 'ALERT damaged: the log of demo on n1 cannot be trusted: a bad record at 512'],
  ])
})

test('alerts, and lines like one that call for nobody', () => {
  const { take, lines } = storyKit()
  take('n1', recorded(notice('inSyncShrunk', 'in sync: n1 (n2 is dead)', { id: 1 })),
    recorded(notice('inSyncGrown', 'in sync: n1, n2 (n2 has joined)', { id: 2 })),
    recorded(notice('replicaLag', 'replica n2 is 9.2 s behind (limit 5.0 s)', { id: 3 })),
    recorded(notice('replicaLagCleared', 'replica n2 has caught up', { id: 4 })),
    recorded(notice('paused', 'failover was paused by ann', { id: 5 })),
    recorded(notice('dropped', 'the space was dropped by ann', { id: 6 })),
    recorded(notice('installBegun', 'n3 is installed from n2: its log ends at 1,500, n1 keeps '
      + 'entries from 3,100 on', { id: 8 }, false)), recorded(
      notice('installed', 'n3 has the state as of 5,000 and follows from there', { id: 9 }, false),
    ), recorded(notice('installStalledCleared', 'n3 was installed', { id: 10 })),
    recorded(notice('novel', 'something', { id: 7 }, false)))
  assert.equal(lines.map(({ kind, text, alert: name }) => [kind, name, text]), [
    ['inSync', 'inSyncShrunk', 'demo: fewer members are in sync; in sync: n1 (n2 is dead)'],
    ['inSync', 'inSyncGrown', 'demo: more members are in sync; in sync: n1, n2 (n2 has joined)'],
    ['alert', 'replicaLag', 'ALERT replicaLag: demo: replica n2 is 9.2 s behind (limit 5.0 s) '
      + '(reported by n2)'],
    ['alert', 'replicaLagCleared', 'demo: replica n2 has caught up'],
    ['alert', 'paused', 'demo: failover was paused by ann'],
    ['alert', 'dropped', 'demo: the space was dropped by ann'],
    ['alert', 'installBegun', 'demo: n3 is installed from n2: its log ends at 1,500, n1 keeps '
      + 'entries from 3,100 on'],
    ['alert', 'installed', 'demo: n3 has the state as of 5,000 and follows from there'],
    ['alert', 'installStalledCleared', 'demo: n3 was installed'],
    ['alert', 'novel', 'demo: something'],
  ])
})

test('forks are reported as progress, not as alerts', () => {
  const { take, lines } = storyKit()
  take('n2',
    recorded(notice('forkReportOpened', 'epoch 3 of n1', { id: 1, detail: { epoch: 3 } }, false)),
    recorded(notice('quarantined', '1 write of epoch 3', { id: 2, detail: { epoch: 'x' } })),
    recorded(notice('forkReportClosed', 'epoch 3 is reconciled', { id: 3 })),
    recorded(notice('constructor', 'no kind of alert', { id: 4 })),
    ...(['level', 'reconciled', 'lost', 'dismissed'] as const).map((outcome, index) =>
      recorded(notice('forkReportClosed', 'closed', {
        id: 5 + index,
        detail: {
          epoch: 3,
          formerPrimary: 'n1',
          outcome,
          lost: outcome === 'lost' ? 1_200 : 0,
          reason: 'n1 came back with another disk',
        },
      }))
    ))
  assert.equal(lines.map(({ kind, text, epoch }) => [kind, text, epoch]), [
    ['fork', 'demo: epoch 3 of n1', 3],
    ['fork', 'demo: 1 write of epoch 3', undefined],
    ['fork', 'demo: epoch 3 is reconciled', undefined],
    ['alert', 'ALERT constructor: demo: no kind of alert (reported by n2)', undefined],
    ['fork', 'demo: settled: n1 (epoch 3) had no write that the others lack; no write is lost', 3],
    ['fork', 'demo: settled: the writes that only n1 (epoch 3) had were merged; no write is lost',
      3],
    ['fork', 'demo: settled for n1 (epoch 3): n1 came back with another disk; at least 1,200 '
      + 'writes are lost', 3],
    ['fork', 'demo: an operator closed the report on n1 (epoch 3)', 3],
  ])
})

test('the life of a node, its own and as its peers see it', () => {
  const { take, texts } = storyKit()
  const own = (state: NodeEventState, reason: string, id: number): InspectionStreamEvent =>
    recorded({ type: 'node', ...at, id, state, reason })
  take('n2', own('running', '0.1.0, incarnation 7', 1),
    own('isolated', 'the server stopped answering pings', 2), own('reconnected', 'x', 3),
    own('draining', 'drains: asked to stop', 4), own('stopped', 'drained: closes', 5),
    own('failed', 'a failed fdatasync', 6),
    recorded({ ...gone('n3', 5), state: 'left', vacancy: null } as RecordedEvent))
  assert.equal(texts(), [
    'n2 runs: 0.1.0, incarnation 7',
    'n2 has lost its connection to NATS and is primary of no space until it is back: the server stopped answering '
    + 'pings',
    'n2 is connected to NATS again: x',
    'n2 hands over and stops: asked to stop',
    'n2 has stopped',
    'n2 has failed and ends: a failed fdatasync',
    'n1 has left, reported by n3',
  ])
})

test('actors killed, restarted, given up', () => {
  const { take, texts } = storyKit()
  const of = { actor: 'space.demo.primary', atMs: 1 }
  take('n1', { type: 'kill', ...of, reason: 'chaos' }, { type: 'restart', ...of, attempt: 1,
    delayMs: 10.4, error: 'boom' }, { type: 'escalation', ...of, to: 'space.demo', error: 'boom' })
  assert.equal(texts(), [
    'n1: actor space.demo.primary was killed: chaos',
    'n1: actor space.demo.primary failed and is restarted in 10 ms: boom',
    'n1: actor space.demo.primary gave up, and space.demo handles it: boom',
  ])
})

test('one space alone: others are left out, nodes are not', () => {
  const { take, texts } = storyKit('demo')
  take('n2', transition('space.other', 'replica', 'promoting', 'x'),
    transition('space.demo', 'replica', 'promoting', 'x'),
    recorded(notice('lag', 'x', { space: 'other' })), recorded(gone('n2', 1)))
  assert.equal(texts(), ['n2 starts a promotion for demo: x',
    'n1 is gone, reported by n2: NATS says that n1 is no longer connected'])
})

test('control characters do not reach the terminal', () => {
  const { take, texts } = storyKit()
  take('n2', recorded(notice('lag', 'a\u001b[2Jb\nc', { atMs: 1e300 })))
  assert.equal(texts(), ['ALERT lag: demo: a [2Jb c (reported by n2)'])
})

test('lines of several nodes come in the order of time, causes before effects', () => {
  const order = new InOrder(100)
  const line = (atMs: number, kind: EventLine['kind'], text: string, state = '') =>
    eventLine(atMs, kind, text, { state })
  order.add(line(10, 'epoch', '5'), 0)
  order.add(line(7, 'promotion', '3', 'surveying'), 50)
  order.add(line(7, 'promotion', '2', 'promoting'), 50)
  order.add(line(7, 'node', '1'), 50)
  order.add(line(8, 'promotion', '4', 'claiming'), 50)
  order.add(line(20, 'alert', '6'), 60)
  assert.equal(order.due(99), [])
  assert.equal(order.due(100).map(({ text }) => text), ['1', '2', '3', '4', '5'])
  assert.equal(order.due(120), [])
  assert.equal(order.due(Infinity).map(({ text }) => text), ['6'])
})

test('the situation: nodes, primaries, spaces without one', () => {
  const status = mergeStatus([new Responder(null as never).report()])
  const texts = summaryText(status, 1).map(({ text }) => text)
  assert.ok(texts.includes('n1 is running'), texts.join('; '))
  assert.ok(texts.some((text) => / is the primary of demo, in epoch \d+; in sync: /.test(text)),
    texts.join('; '))
  const [space] = status.spaces
  const blocked = { ...status, spaces: [{ ...space!, primary: null, blocked: 'no member' }] }
  assert.ok(summaryText(blocked, 1).some(({ text }) => text === 'demo has no primary: no member'))
  assert.is(summaryText(status, 1, 'other').length, status.nodes.length)
})

test.run()
