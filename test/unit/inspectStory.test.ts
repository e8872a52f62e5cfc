import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Announcement, Assignment } from '../../machines/protocol.js'
import type { Envelope, InspectionStreamEvent, StateValue } from '../../runtime/inspect/schema.js'
import { situation } from '../../runtime/inspect/situation.js'
import { InOrder, Story, told } from '../../runtime/inspect/story.js'
import type { Told } from '../../runtime/inspect/story.js'
import { mergeStatus } from '../../runtime/status.js'
import { Responder } from '../support/responder.js'

const test = suite('story')

function storyKit(space?: string) {
  const lines: Told[] = []
  const story = new Story({ tell: (line) => lines.push(line), space })
  const take = (node: string, ...events: InspectionStreamEvent[]) =>
    story.onEnvelope(envelope(node, events))
  return { story, lines, take, texts: () => lines.map(({ text }) => text) }
}

function envelope(
  node: string, events: readonly InspectionStreamEvent[], present: Envelope['present'] = null,
): Envelope {
  return { version: 1, node, incarnation: 1, stream: '1', number: 1, dropped: 0, present, events }
}

function transition(
  actor: string, from: StateValue, state: StateValue, reason: string | null = null,
): InspectionStreamEvent {
  return {
    type: 'transition', actor, from, state, reason, event: 'x', atMs: 1_000, status: 'active',
    summary: {},
  }
}

const assignment: Assignment = {
  version: 1, space: 'demo', uuid: 'u', epoch: 4, state: 'open',
  primary: { node: 'n2', incarnation: 1, connection: 1 },
  members: [], inSync: ['n2', 'n3'], settings: { replicas: 2, ack: 'durable', minInSync: 2 },
  forced: false, nonce: 'x', writer: 'n2',
}

function announcement(change: Partial<Announcement>): Announcement {
  return {
    kind: 'changed', assignment, revision: 8, history: [], reason: 'the reign is open', ...change,
  }
}

test('a candidacy comes before its first step, though that is told first', () => {
  const { take, lines } = storyKit()
  const promoting = transition('space.demo', 'replica', 'promoting', 'vacancy: noResponders')
  const born: InspectionStreamEvent = {
    type: 'actor', actor: 'space.demo.promotion', parent: 'space.demo', chart: 'promotion',
    atMs: 1_000, status: 'active', state: { surveying: 'reading' }, reason: null, summary: {},
  }
  // The role is spawned within the transition of its space, which is over a millisecond later.
  take('n2', born, { ...promoting, atMs: 1_001 } as InspectionStreamEvent)
  take('n2', { ...promoting, atMs: 9_000 } as InspectionStreamEvent)
  const order = new InOrder()
  for (const line of lines) order.add(line, 0)
  assert.equal(order.due(Infinity).map(({ state, at }) => [state, at.slice(17, 23)]),
    [['promoting', '01.000'], ['surveying', '01.000'], ['promoting', '09.000']])
})

test('a failover: the loss, the candidacy, its steps and reasons, the reign', () => {
  const { take, story, lines, texts } = storyKit()
  take('n2',
    transition('detector.n1', { alive: {} }, { dead: 'gone' }, '503: its connection is gone'),
    transition('space.demo', 'replica', 'promoting', 'vacancy: noResponders'),
    transition('space.demo.promotion', 'surveying', 'awaitingVacancy', 'I am at (3, 42)'),
    transition('space.demo.promotion', 'awaitingVacancy', 'claiming', 'noResponders'),
    transition('space.demo.promotion', { claiming: 'asking' }, { claiming: 'settling' }),
    transition('space.demo.promotion', 'confirming', 'won', 'won'))
  story.onAnnouncement(announcement({}), 2_000)
  assert.equal(texts(), [
    'n1 is lost, says n2: 503: its connection is gone',
    'n2 stands for demo: vacancy: noResponders',
    'n2, candidate for demo, waits for proof that the reign is over: I am at (3, 42)',
    'n2, candidate for demo, claims the next epoch: noResponders',
    'n2, candidate for demo, has won',
    'n2 reigns over demo in epoch 4; in sync: n2, n3',
  ])
  assert.equal(lines[0], {
    at: '1970-01-01T00:00:01.000Z', kind: 'node', text: texts()[0], node: 'n2', peer: 'n1',
    state: 'dead', reason: '503: its connection is gone',
  })
  assert.equal(lines.at(-1), {
    at: '1970-01-01T00:00:02.000Z', kind: 'reign', text: texts().at(-1), node: 'n2',
    space: 'demo', epoch: 4, reason: 'the reign is open',
  })
})

test('one death noticed by many is one sentence; so is the return', () => {
  const { take, texts } = storyKit()
  const dead = transition('detector.n1', { alive: {} }, { dead: 'gone' }, 'gone')
  const back = transition('detector.n1', { dead: 'gone' }, { alive: {} }, 'heartbeats arrive')
  take('n2', dead)
  take('n3', dead)
  take('n3', back)
  take('n2', back)
  assert.equal(texts(), [
    'n1 is lost, says n2: gone', 'n1 is back, says n3: heartbeats arrive',
  ])
})

test('who was lost before the story began is back when it is', () => {
  const { story, take, texts } = storyKit()
  story.onEnvelope(envelope('n2', [{
    type: 'actor', actor: 'detector.n1', atMs: 1, parent: null, chart: 'failureDetector',
    status: 'active', state: { dead: 'gone' }, reason: null, summary: {},
  }], { part: 1, parts: 1 }))
  take('n2', transition('detector.n1', { dead: 'gone' }, { alive: {} }, 'heartbeats arrive'))
  assert.equal(texts(), ['n1 is back, says n2: heartbeats arrive'])
})

test('suspicion alone is not told', () => {
  const { take, lines } = storyKit()
  take('n2', transition('detector.n1', { alive: {} }, 'suspect'),
    transition('detector.n1', 'suspect', { alive: {} }))
  assert.equal(lines, [])
})

test('a handover, a fork, a damaged log', () => {
  const { take, story, lines } = storyKit()
  take('n1', transition('space.demo', { primary: 'reigning' }, { primary: 'handingOver' },
    'promote --to n2'))
  story.onAnnouncement(announcement({ kind: 'resigned', reason: 'handed over to n3' }), 1)
  take('n1', transition('space.demo.replica', { joining: 'asking' }, { truncating: 'salvaging' },
    'session 2 of n3, common point (4, 41)'))
  take('n1', transition('space.demo', 'replica', 'damaged', 'a bad record at 512'))
  assert.equal(lines.map(({ kind, text }) => [kind, text]), [
    ['handover', 'n1 begins to hand demo over: promote --to n2'],
    ['handover', 'n2 ends its reign over demo (epoch 4): handed over to n3'],
    ['fork', 'n1 has entries of demo that the primary does not have; they go to a salvage file: '
      + 'session 2 of n3, common point (4, 41)'],
    ['alert', 'n1: its log of demo is damaged: a bad record at 512'],
  ])
})

test('alerts, changes of the in-sync set; what is no alert is passed over', () => {
  const { story, lines } = storyKit()
  const alert = (kind: string, message: string) => story.onAlert('demo',
    Buffer.from(JSON.stringify({ kind, space: 'demo', node: 'n1', message, atMs: 5 })))
  alert('inSyncShrunk', 'in sync: n1 (n2 is dead)')
  alert('inSyncGrown', 'in sync: n1, n2 (n2 has joined)')
  alert('lag', 'n2 is 6 s behind')
  story.onAlert('demo', Buffer.from('{"kind":1}'))
  story.onAlert('demo', Buffer.from('no JSON'))
  assert.equal(lines.map(({ kind, text, alert: name }) => [kind, name, text]), [
    ['inSync', 'inSyncShrunk', 'demo: the in-sync set shrinks; in sync: n1 (n2 is dead)'],
    ['inSync', 'inSyncGrown', 'demo: the in-sync set grows; in sync: n1, n2 (n2 has joined)'],
    ['alert', 'lag', 'ALERT lag: demo, says n1: n2 is 6 s behind'],
  ])
})

test('what becomes of forks is told as that, and not as a call for help', () => {
  const { story, lines } = storyKit()
  const alert = (kind: string, message: string, more: object = {}) => story.onAlert('demo',
    Buffer.from(JSON.stringify({ kind, space: 'demo', node: 'n2', message, atMs: 5, ...more })))
  alert('forkReportOpened', 'epoch 3 of n1, at least 10 entries', { epoch: 3 })
  alert('quarantined', '1 write of epoch 3', { epoch: 'x' })
  alert('forkReportClosed', 'epoch 3 is reconciled')
  alert('constructor', 'no kind of alert')
  assert.equal(lines.map(({ kind, text, epoch }) => [kind, text, epoch]), [
    ['fork', 'demo: a fork report is open: epoch 3 of n1, at least 10 entries', 3],
    ['fork', 'demo: writes go to the quarantine: 1 write of epoch 3', undefined],
    ['fork', 'demo: a fork report is closed: epoch 3 is reconciled', undefined],
    ['alert', 'ALERT constructor: demo, says n2: no kind of alert', undefined],
  ])
})

test('a reign is told once, a resignation with its reason, a stale announcement not', () => {
  const { story, texts } = storyKit()
  const older = announcement({ assignment: { ...assignment, epoch: 3 } })
  story.onAnnouncement(announcement({}), 1)
  story.onAnnouncement(announcement({ reason: 'n3 is back in sync' }), 1)
  story.onAnnouncement(older, 1)
  story.onAnnouncement(announcement({ kind: 'resigned', reason: 'the lease lapsed' }), 1)
  assert.equal(texts(), [
    'n2 reigns over demo in epoch 4; in sync: n2, n3',
    'n2 ends its reign over demo (epoch 4): the lease lapsed',
  ])
})

test('actors killed, restarted, given up; nodes isolated and back', () => {
  const { take, texts } = storyKit()
  const of = { actor: 'space.demo.primary', atMs: 1 }
  take('n1',
    { type: 'kill', ...of, reason: 'chaos' },
    { type: 'restart', ...of, attempt: 1, delayMs: 10.4, error: 'boom' },
    { type: 'escalation', ...of, to: 'space.demo', error: 'boom' },
    transition('node', 'running', 'isolated', 'the server stopped answering pings'),
    transition('node', 'isolated', 'running'))
  assert.equal(texts(), [
    'n1: actor space.demo.primary was killed: chaos',
    'n1: actor space.demo.primary failed and is restarted in 10 ms: boom',
    'n1: actor space.demo.primary gave up; that is for space.demo to handle: boom',
    'n1 has lost NATS: it gives its reigns up and looks for a way back: the server stopped '
      + 'answering pings',
    'n1 is connected to NATS again',
  ])
})

test('one space alone: others are left out, nodes are not', () => {
  const { take, texts } = storyKit('demo')
  take('n2', transition('space.other', 'replica', 'promoting', 'x'),
    transition('space.demo', 'replica', 'promoting', 'x'),
    transition('detector.n1', 'suspect', { dead: 'gone' }, 'x'))
  assert.equal(texts(), ['n2 stands for demo: x', 'n1 is lost, says n2: x'])
})

test('control characters do not reach the terminal', () => {
  const { story, texts } = storyKit()
  story.onAlert('demo', Buffer.from(JSON.stringify(
    { kind: 'lag', node: 'n1', message: 'a\u001b[2Jb\nc', atMs: 1e300 })))
  assert.equal(texts(), ['ALERT lag: demo, says n1: a [2Jb c'])
})

test('lines of several nodes come in the order of time, causes before effects', () => {
  const order = new InOrder(100)
  const line = (atMs: number, kind: Told['kind'], text: string, state = '') =>
    told(atMs, kind, text, { state })
  order.add(line(10, 'reign', '5'), 0)
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

test('the situation: nodes, reigns, spaces without a primary', () => {
  const status = mergeStatus([new Responder(null as never).report()])
  const texts = situation(status, 1).map(({ text }) => text)
  assert.ok(texts.includes('n1 is running'), texts.join('; '))
  assert.ok(texts.some((text) => / reigns over demo in epoch \d+; in sync: /.test(text)),
    texts.join('; '))
  const [space] = status.spaces
  const blocked = { ...status, spaces: [{ ...space!, primary: null, blocked: 'no member' }] }
  assert.ok(situation(blocked, 1).some(({ text }) => text === 'demo has no primary: no member'))
  assert.is(situation(status, 1, 'other').length, status.nodes.length)
})

test.run()
