/** What nodes say, as frames: key frames, the story in order, rates, and nodes that fall silent. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RecordedEvent } from '../../../machines/protocol/events.js'
import type { Envelope } from '../../../runtime/inspect/schema.js'
import type { Frame } from '../../../runtime/page/protocol.js'
import { PastOfNodes } from '../../../runtime/page/server/clusterLink.js'
import { FrameFeed } from '../../../runtime/page/server/frameFeed.js'
import { forksStatusOf } from '../../../runtime/status/forks.js'
import { report as forkReport, salvage } from '../../support/forksKit.js'
import type { FrameOf } from '../../support/page.js'
import { envelope, report, transition } from '../../support/pageKit.js'

const test = suite('page feed')

function kit() {
  let nowMs = 0
  const frames: Frame[] = []
  const feed = new FrameFeed({
    wallMs: () => 1_000_000 + nowMs,
    monotonicMs: () => nowMs,
    emit: (frame) => frames.push(frame),
  })
  const of = <K extends Frame['kind']>(kind: K) =>
    frames.filter((frame) => frame.kind === kind) as FrameOf<K>[]
  return { feed, frames, of, pass: (ms: number) => {
    nowMs += ms
  } }
}

test('envelopes are sent without the configurations of machines', () => {
  const { feed, of } = kit()
  feed.onEnvelope(envelope('n1', 1, ['node']))
  assert.equal(of('inspection')[0]?.envelope.events.map(({ type }) => type), ['actor'])
  feed.onEnvelope(envelope('n1', 2, []))
  assert.is(of('inspection').length, 1, 'nothing is left of it: nothing is sent')
  assert.not.match(JSON.stringify(feed.present()), /definition/)
})

test('a node that is heard in the middle of its stream has to be asked for the present', () => {
  const { feed } = kit()
  assert.is(feed.onEnvelope(transition('n1', 7, 'node', 'draining')), false)
  assert.is(feed.onEnvelope(envelope('n1', 7, ['node'], { part: 1, parts: 1 })), true)
  assert.is(feed.onEnvelope(transition('n1', 8, 'node', 'draining')), true)
  assert.is(feed.onEnvelope(envelope('n2', 1, ['node'])), true, 'from its beginning')
})

test('a present state in parts is whole for who comes between them', () => {
  const { feed } = kit()
  feed.onEnvelope(envelope('n1', 3, ['node'], { part: 1, parts: 2 }))
  feed.onEnvelope(envelope('n1', 3, ['space.demo'], { part: 2, parts: 2 }))
  const [frame] = feed.present() as FrameOf<'inspection'>[]
  assert.equal(frame?.envelope.present, { part: 1, parts: 1 })
  assert.is(frame?.envelope.events.length, 2)
})

test('a node that falls silent is shown empty, once, and comes back with its present', () => {
  const { feed, of, pass } = kit()
  feed.onEnvelope(envelope('n1', 1, ['node']))
  pass(2_000)
  feed.onEnvelope(envelope('n2', 1, ['node']))
  pass(1_500)
  feed.dropSilent(3_000)
  feed.dropSilent(3_000)
  const sent = of('inspection').slice(2)
  assert.equal(sent.map(({ envelope: { node, present, events } }) => [node, present, events]), [[
    'n1',
    { part: 1, parts: 1 },
    [],
  ]])
  assert.equal(feed.present().map((frame) => frame.kind === 'inspection' && frame.envelope.node), [
    'n2',
  ])
  assert.is(feed.onEnvelope(transition('n1', 9, 'node', 'running')), false, 'it is asked for')
})

test('status at each look; null when nobody answers; the latest for who comes later', () => {
  const { feed, of } = kit()
  feed.onReports([report('n1'), report('n2')])
  feed.onReports([])
  const [first, second] = of('status')
  assert.is(first?.status?.spaces[0]?.primary, 'n1')
  assert.is(second?.status, null)
  assert.is((feed.present()[0] as FrameOf<'status'>).status, null)
})

test('rates are sent each second, not at each look', () => {
  const { feed, of, pass } = kit()
  const at = (writes: number, uptimeMs: number) => {
    const member = report('n1', { flow: { writes, acks: [[20, writes]] } })
    return [{ ...member, node: { ...member.node, uptimeMs } }]
  }
  feed.onReports(at(0, 1_000))
  pass(500)
  feed.onReports(at(50, 1_500))
  pass(500)
  feed.onReports(at(100, 2_000))
  assert.equal(of('flow').map(({ writesPerSecond }) => writesPerSecond), [100])
})

const noted = (id: number, atMs: number, message: string): RecordedEvent => ({
  type: 'notice',
  id,
  node: 'n1',
  atMs,
  space: 'demo',
  kind: 'blocked',
  isAlert: true,
  message,
  detail: {},
})

function recorded(number: number, ...events: RecordedEvent[]): Envelope {
  return {
    ...envelope('n1', number, []),
    events: events.map((event) => ({ type: 'recorded', atMs: event.atMs, event })),
  }
}

test('the story waits for a moment, and is sent in the order of the times', () => {
  const { feed, of, pass } = kit()
  feed.onEnvelope(recorded(1, noted(5, 1_000_000, 'later')))
  feed.onEnvelope(recorded(2, noted(4, 999_000, 'earlier')))
  feed.flushLines()
  assert.is(of('story').length, 0)
  pass(250)
  feed.flushLines()
  assert.equal(of('story').map(({ line }) => line.id), ['n1/4', 'n1/5'])
  assert.ok(of('story').every(({ atMs }) => atMs === 1_000_250), 'when it was sent')
  assert.is(of('inspection').length, 0, 'sent by the story alone')
})

test('the past comes once; who comes later gets it with what was sent since', () => {
  const { feed, of } = kit()
  feed.onEnvelope(recorded(1, noted(9, 900_000, 'live')))
  feed.onPast([noted(9, 900_000, 'live'), noted(3, 300_000, 'c'), noted(1, 100_000, 'a')])
  feed.onPast([noted(3, 300_000, 'c'), noted(2, 200_000, 'b')])
  const ids = (frame: FrameOf<'history'> | undefined) => frame?.lines.map(({ id }) => id)
  assert.equal(of('history').map(ids), [['n1/1', 'n1/3'], ['n1/2']])
  feed.onPast([noted(2, 200_000, 'b')])
  assert.is(of('history').length, 2, 'nothing of it was news')
  const present = feed.present().filter(({ kind }) => kind === 'history')
  assert.equal(present.map((frame) => ids(frame as FrameOf<'history'>)), [['n1/1', 'n1/2', 'n1/3',
    'n1/9']])
})

test('what was missed of a node is asked for: at its first word, its next life, and a loss', async () => {
  const asked: string[] = []
  const got: number[] = []
  const answers: (() => void)[] = []
  const past = new PastOfNodes((node) => {
    asked.push(node)
    return new Promise((resolve) => answers.push(() => resolve([noted(asked.length, 1, 'x')])))
  }, { onPast: (events) => got.push(...events.map(({ id }) => id)) })
  const settle = async (): Promise<void> => {
    answers.splice(0).forEach((answer) => answer())
    await new Promise((resolve) => setImmediate(resolve))
  }
  past.ask('n1')
  past.ask('n1')
  past.ask('n1')
  assert.equal(asked, ['n1'], 'one at a time')
  await settle()
  assert.equal(asked, ['n1', 'n1'], 'and once more for all that asked meanwhile')
  await settle()
  past.onEnvelope(envelope('n1', 1, []))
  past.onEnvelope(envelope('n1', 2, []))
  assert.is(asked.length, 2)
  past.onEnvelope({ ...envelope('n1', 1, []), incarnation: 6 })
  assert.is(asked.length, 3, 'another life')
  await settle()
  past.onEnvelope({ ...envelope('n1', 2, []), incarnation: 6, dropped: 4 })
  assert.is(asked.length, 4, 'events were dropped')
  await settle()
  assert.equal(got, [1, 2, 3, 4])
})

test('the connection to NATS: each change once, and as it is for who comes later', () => {
  const { feed, of } = kit()
  feed.onBroker('disconnected', 'connecting')
  feed.onBroker('disconnected', 'connecting')
  feed.onBroker('connected', 'to n')
  assert.equal(of('broker').map(({ state }) => state), ['disconnected', 'connected'])
  assert.equal(feed.present().map((frame) => frame.kind === 'broker' && frame.state), ['connected'])
})

test('forks are sent with the status, and to who comes later', () => {
  const { feed, of } = kit()
  const forks = forksStatusOf({
    openReportCount: 1,
    quarantineCount: 2,
    reports: () => [forkReport({ salvages: [salvage()] })],
  })
  feed.onReports([report('n1', { books: forks }), report('n2')])
  const [sent] = of('status')
  const [space] = sent?.status?.spaces ?? []
  assert.equal(space?.forks, { open: 1, quarantined: 2, waiting: 9 })
  assert.equal(space?.openReports?.map(({ epoch, node, atLeast }) => [epoch, node, atLeast]), [[3,
    'n1', 10]])
  assert.equal(feed.present(), [sent])
})

test.run()
