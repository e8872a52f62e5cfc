/** The page's drawings, as data: promotions, sequence rows, series, graphs of charts. */
import { createRequire } from 'node:module'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { catalogue } from '../../../runtime/charts/catalogue.js'
import { flatten } from '../../../runtime/charts/chart.js'
import { anyId, chartGraph, edgeId, startId } from '../../../runtime/page/model/chartGraph.js'
import type { GraphNode } from '../../../runtime/page/model/chartGraph.js'
import { promotionsOf, words } from '../../../runtime/page/model/promotions.js'
import { Recording } from '../../../runtime/page/model/recording.js'
import { rowsOf } from '../../../runtime/page/model/sequence.js'
import { seriesOf } from '../../../runtime/page/model/series.js'
import { bytesText, lossText, msText } from '../../../runtime/page/model/words.js'
import type { ClusterSpace, ClusterStatus } from '../../../runtime/status/status.js'
import { PageFrames } from '../../support/pageFrames.js'

/** CommonJS, whose types say otherwise. */
const Elk = createRequire(import.meta.url)('elkjs/lib/elk.bundled.js') as new() => {
  layout(graph: GraphNode): Promise<GraphNode>
}

const test = suite('page views')

/** n1 dies; n2 and n3 are candidates, n2 wins. Times as they were measured once. */
function failover(): PageFrames {
  const script = new PageFrames()
  script.start(0)
  for (const node of ['n2', 'n3']) {
    script.present(10, node, [script.actor('space.demo', 'replica'),
      script.actor('detector.n1', { alive: 'listening' })])
  }
  const record = { record: { assignment: { epoch: 2 } } }
  const before = { record: { assignment: { epoch: 1, state: 'open', primary: { node: 'n1' } } } }
  const born = (atMs: number) => ({
    ...script.actor('space.demo.promotion', { surveying: 'reading' }),
    atMs,
  })
  const role = 'space.demo.promotion'
  script.events(1_100, 'n2', [
    script.transition(1_041, 'detector.n1', null, { dead: 'gone' }, 'probeGone', '503'),
    born(1_042),
    script.transition(1_043, 'space.demo', 'replica', 'promoting', 'vacancyFound',
      'vacancy: noResponders'),
    script.transition(1_044, role, null, { surveying: 'asking' }, 'recordRead', null, before),
    script.transition(1_045, role, null, 'awaitingVacancy', 'surveyed',
      'I am at (1, 601); n3 at (1, 601)', { answers: [
        { node: 'n3', position: { epoch: 1, sequence: 601 }, serving: false, whole: true },
      ] }),
    script.transition(1_046, role, null, 'claiming', 'vacancyProven'),
    script.transition(1_049, role, null, { opening: 'appending' }, 'claimed'),
    script.transition(1_055, role, null, 'confirming', 'grantsHeld'),
    script.transition(1_068, role, null, 'won', 'opened', 'won', record),
    script.transition(1_069, 'space.demo.primary', 'opening', { serving: { ingest: 'open' } },
      'writesSubscribed'),
  ])
  script.events(1_120, 'n3', [
    script.transition(1_064, 'detector.n1', null, { dead: 'gone' }, 'probeGone', '503'),
    born(1_065),
    script.transition(1_081, role, null, 'stoodDown', 'primarySeen', 'n2 is primary in epoch 2'),
  ])
  return script
}

function recorded(script: PageFrames): Recording {
  const recording = new Recording()
  for (const frame of script.frames) recording.add(frame)
  return recording
}

test('a promotion is put together from the actors of all candidates', () => {
  const [promotion, ...others] = promotionsOf(recorded(failover()).notable)
  assert.is(others.length, 0)
  assert.is(promotion?.space, 'demo')
  assert.is(promotion?.winner, 'n2')
  assert.is(promotion?.epoch, 2)
  assert.is(promotion?.isServing, true)
  assert.is(promotion?.vacancy, 'noResponders')
  assert.is(promotion?.survey, 'I am at (1, 601); n3 at (1, 601)')
  assert.equal(promotion?.steps.find(({ what }) => what === 'surveyed')?.answers, [
    'n3 is at (1, 601)',
  ])
  assert.is(promotion?.beginMs, 1_041, 'it begins with the suspicion')
  assert.equal(promotion?.candidates.map(({ node, state }) => `${node} ${state}`), ['n2 won',
    'n3 stoodDown'])
  assert.equal(promotion?.steps.filter(({ node }) => node === 'n2').map(({ what }) => what), [
    'probe gone',
    'begins',
    'vacancy found',
    'record read',
    'surveyed',
    'vacancy proven',
    'claimed',
    'grants held',
    'opened',
    'writes subscribed',
  ])
  assert.equal(promotion?.steps.filter(({ node }) => node === 'n3').map(({ what }) => what), [
    'probe gone',
    'begins',
    'primary seen',
  ])
  const times = promotion?.steps.map(({ atMs }) => atMs) ?? []
  assert.equal(times, times.toSorted((a, b) => a - b))
})

test('two promotions of a space are two; one of another space is its own', () => {
  const script = failover()
  script.events(9_000, 'n3', [
    { ...script.actor('space.demo.promotion', 'surveying'), atMs: 8_990 },
    { ...script.actor('space.other.promotion', 'surveying'), atMs: 8_991 },
  ])
  const found = promotionsOf(recorded(script).notable)
  assert.equal(found.map(({ space, winner }) => [space, winner]), [['demo', 'n2'], ['demo', null], [
    'other',
    null,
  ]])
  assert.is(found[0]?.endMs, 1_069, 'when writes were taken again, whatever came of the others')
})

test('event names become words', () => {
  assert.is(words('vacancyProven'), 'vacancy proven')
  assert.is(words('xstate.after.retry.promotion.standingBy'), 'after retry')
  assert.is(words('xstate.done.actor.primary'), 'done primary')
})

test('messages lead from lane to lane, to the actor that takes them where it has a lane', () => {
  const script = new PageFrames()
  script.present(1, 'n1', [])
  script.present(1, 'n2', [])
  script.events(500, 'n1', [
    { type: 'messages', atMs: 500, kind: 'wal', space: 'demo', to: 'n2', count: 20, bytes: 900 },
    { type: 'messages', atMs: 500, kind: 'heartbeat', space: null, to: null, count: 5, bytes: 9 },
    script.transition(450, 'space.demo', 'replica', 'promoting', 'vacancyFound'),
  ])
  const lanes = [{ node: 'n1', actor: null }, { node: 'n2', actor: null }, { node: 'n2',
    actor: 'space.demo.replica' }]
  const items = recorded(script).all
  const rows = rowsOf(items, lanes, new Set(['wal', 'heartbeat', 'change']), 100)
  assert.equal(rows.map(({ kind, from, to, text }) => [kind, from, to, text]), [
    ['change', 0, 0, 'space.demo: vacancy found → promoting'],
    ['wal', 0, 2, 'wal × 20'],
    ['heartbeat', 0, 1, 'heartbeat × 5'],
  ])
  assert.equal(rowsOf(items, lanes, new Set(['wal']), 100).length, 1)
  assert.equal(rowsOf(items, lanes.slice(0, 1), new Set(['wal']), 100), [])
})

test('sequence: only an actor that fails is drawn as a failure', () => {
  const script = new PageFrames()
  const exit = { type: 'exit', actor: 'space.demo.promotion' } as const
  script.events(0, 'n1', [
    { ...exit, atMs: 100, kind: 'done' },
    { ...exit, atMs: 200, kind: 'stopped' },
    { ...exit, atMs: 300, kind: 'failed' },
  ])
  const lanes = [{ node: 'n1', actor: exit.actor }]
  const rows = rowsOf(recorded(script).all, lanes, new Set(['change']), 100)
  assert.equal(rows.map(({ kind, text }) => [kind, text]), [
    ['change', 'ends (done)'],
    ['change', 'ends (stopped)'],
    ['failure', 'fails'],
  ])
})

test('sequence: the life of an actor without a chart is not shown, only its failure', () => {
  const script = new PageFrames()
  const exit = { type: 'exit', kind: 'stopped' } as const
  script.events(0, 'n1', [
    { ...script.actor('space.demo/promotion', 'x'), state: null, chart: null, atMs: 10 },
    { ...script.actor('space.demo.promotion', 'surveying'), atMs: 20 },
    { ...exit, actor: 'space.demo.promotion', chart: 'promotion', kind: 'done', atMs: 30 },
    { ...exit, actor: 'space.demo/promotion', chart: null, atMs: 40 },
    // As earlier releases have it.
    { ...exit, actor: 'space.demo.replica', atMs: 50 },
    { ...exit, actor: 'space.demo/replica', atMs: 60 },
    { ...exit, actor: 'space.demo/primary', chart: null, kind: 'failed', atMs: 70 },
  ])
  const rows = rowsOf(recorded(script).all, [{ node: 'n1', actor: null }], new Set(['change']), 99)
  assert.equal(rows.map(({ text }) => text), [
    'space.demo.promotion: begins in surveying',
    'space.demo.promotion: ends (done)',
    'space.demo.replica: ends (stopped)',
    'space.demo/primary: fails',
  ])
})

function space(primary: string | null): ClusterSpace {
  const member = (node: string, lagMs: number) => ({
    node,
    role: 'replica' as const,
    state: 'streaming',
    epoch: 1,
    inSync: true,
    durableSequence: 7,
    appliedSequence: 7,
    lagBytes: primary === null ? null : 40,
    lagMs: primary === null ? null : lagMs,
    digest: '',
    salvages: 0,
    reason: '',
  })
  return {
    id: 'demo',
    uuid: '',
    epoch: 1,
    primary,
    inSync: ['n1', 'n2'],
    minInSync: 2,
    rf: 2,
    ack: 'durable',
    endSequence: 7,
    commitSequence: 6,
    safeSequence: 5,
    blocked: null,
    lossWindow: { entries: 3, bytes: 1_234, ms: 4 },
    lastPromotionMs: null,
    maxLoss: null,
    throttled: false,
    members: [member('n1', 0), member('n2', 12)],
  }
}

test('series: the primary has no lag, and nobody has without one', () => {
  const script = new PageFrames()
  const status = (primary: string | null): ClusterStatus => ({ nodes: [],
    spaces: [space(primary)] })
  script.frames.push(
    { kind: 'status', atMs: 1_000, status: status('n1') },
    { kind: 'flow', atMs: 1_500, space: 'demo', node: 'n1', writesPerSecond: 90, ackMs: null },
    { kind: 'status', atMs: 2_000, status: status(null) },
    { kind: 'status', atMs: 3_000, status: null },
  )
  const { nodes, status: series, flow } = seriesOf(recorded(script).measured, 'demo', 0, 9_000)
  assert.equal(nodes, ['n1', 'n2'])
  assert.equal(series.times, [1, 2, 3])
  assert.equal(series.lagMs, [[null, null, null], [12, null, null]])
  assert.equal(series.commit, [6, 6, null])
  assert.equal(series.durable, [7, null, null])
  assert.equal(series.lossEntries, [3, 3, null])
  assert.equal([series.lossBytes, series.lossMs], [[1_234, 1_234, null], [4, 4, null]])
  assert.equal([flow.times, flow.writesPerSecond, flow.p50], [[1.5], [90], [null]])
  assert.equal(seriesOf(recorded(script).measured, 'demo', 1_200, 1_800).status.times, [])
})

test('the loss window in plain words', () => {
  const held = { ...space('n1'),
    members: [{ ...space('n1').members[0]!, role: 'primary' as const }] }
  assert.is(lossText(held), 'Not yet on a second disk: 3 writes (1.2 kB, 4 ms old).')
  assert.is(lossText(space('n1')), 'n1 does not answer.', 'of its last word nothing is made up')
  assert.is(lossText({ ...held, rf: 1 }), 'There is no second disk.')
  assert.is(lossText(space(null)), 'demo has no primary at this moment.')
  assert.is(lossText({ ...space(null), blocked: 'no in-sync member is left' }),
    'demo has no primary: no in-sync member is left.')
  const none = { ...held, lossWindow: { entries: 0, bytes: 0, ms: 0 } }
  assert.is(lossText(none), 'Every write is on a second disk.')
  assert.equal([0.4, 9.96, 17, 3_210, 240_000].map(msText), ['0.4 ms', '10 ms', '17 ms', '3.2 s',
    '4 min'])
  assert.equal([0, 999, 1_000, 100_000_000].map(bytesText), ['0 B', '999 B', '1.0 kB', '100 MB'])
})

test('the graph of each chart has all its states, and an edge for each transition', () => {
  const ids = (node: GraphNode): string[] => [node.id, ...(node.children ?? []).flatMap(ids)]
  for (const { chart } of catalogue()) {
    const { graph, edges, states } = chartGraph(chart, (text) => text.length * 7)
    const all = ids(graph)
    assert.is(new Set(all).size, all.length, `${chart.id}: ids are unique`)
    const wanted = flatten(chart.root)
    for (const state of wanted) {
      assert.ok(states.has(state.path), `${chart.id}: ${state.path}`)
      if (state.initial !== null) assert.ok(all.includes(startId(state.path)))
      for (const transition of state.transitions) {
        for (const target of transition.targets) {
          const edge = edges.get(edgeId(state.path, target))
          assert.ok(edge?.transitions.includes(transition),
            `${chart.id}: ${state.path} to ${target}`)
        }
      }
    }
    for (const { sources, targets } of graph.edges ?? []) {
      for (const end of [...sources, ...targets])
        assert.ok(all.includes(end), `${chart.id}: ${end}`)
    }
    assert.ok(wanted.length > 1)
  }
  const { graph } = chartGraph(catalogue()[0]!.chart, () => 10)
  assert.ok(ids(graph).includes(anyId('')), 'what holds in any state is drawn from there')
})

test('elkjs finds a place for each state and a way for each edge of each chart', async () => {
  const elk = new Elk()
  for (const { chart } of catalogue()) {
    const { graph } = chartGraph(chart, (text, small) => text.length * (small ? 6 : 8))
    const laidOut = await elk.layout(graph)
    const check = (node: GraphNode, above: GraphNode | null): void => {
      const { id, x = NaN, y = NaN, width = NaN, height = NaN } = node
      assert.ok([x, y, width, height].every(Number.isFinite), `${chart.id}: ${id} has a place`)
      if (above !== null) {
        const { x: left = 0, y: top = 0, width: wide = 0, height: high = 0 } = above
        assert.ok(x >= left && y >= top && x + width <= left + wide && y + height <= top + high,
          `${chart.id}: ${id} lies within ${above.id}`)
      }
      for (const child of node.children ?? []) check(child, node)
    }
    check(laidOut, null)
    for (const edge of laidOut.edges ?? []) {
      assert.ok((edge.sections ?? []).length > 0, `${chart.id}: ${edge.id} has a way`)
    }
  }
})

test.run()
