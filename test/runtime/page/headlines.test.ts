/** Headlines of a space at the moments that matter: of a real recording, and of made ones. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PromotionReport } from '../../../machines/protocol/events.js'
import type { EventLine } from '../../../runtime/inspect/eventLine.js'
import type { InspectionStreamEvent } from '../../../runtime/inspect/schema.js'
import { headlinesOf, lastFailover } from '../../../runtime/page/model/headlines.js'
import type { Facts, Headline } from '../../../runtime/page/model/headlines.js'
import { absenceOf, goneNodes } from '../../../runtime/page/model/presence.js'
import { promotionsOf } from '../../../runtime/page/model/promotions.js'
import { openRecording, Recording } from '../../../runtime/page/model/recording.js'
import { linesOf } from '../../../runtime/page/model/eventLines.js'
import type { ClusterMember, ClusterSpace, ClusterStatus } from '../../../runtime/status/status.js'
import { root } from '../../support/environment.js'
import { PageFrames } from '../../support/pageFrames.js'

const test = suite('page headlines')

const real = openRecording(readFileSync(
  join(root, 'test', 'support', 'recordings', 'successions.ndjson'),
  'utf8',
))

function factsOf({ notable, past, measured }: Recording): Facts {
  return { promotions: promotionsOf(notable), lines: linesOf(notable, past), measured }
}

function shownAt(recording: Recording, atMs: number): Headline[] {
  return headlinesOf(recording.stateAt(atMs), factsOf(recording), atMs)
}

/** When the order was given that hung or killed a node. */
function orderMs(recording: Recording, type: string, nth = 0): number {
  const all = recording.notable.filter((item) =>
    item.kind === 'frame'
    && item.frame.kind === 'order' && item.frame.order.type === type
  )
  return all[nth]!.atMs
}

const withoutTimes = (text: string): string =>
  text.replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, 'T').replaceAll(/[\d.]+ (ms|s|min)\b/g, '#')

test('a primary that hangs: not heard, who may take over and when; then who did, and how it ended',
  () => {
    const pausedMs = orderMs(real, 'pauseNode')
    assert.equal(shownAt(real, pausedMs - 100), [], 'a replica that was killed is no failover')
    const [hung] = shownAt(real, pausedMs + 1_500)
    assert.equal([hung?.state, hung?.title], ['down', 'n1, the primary of demo, is not heard'])
    assert.equal(hung?.lines.map(withoutTimes), [
      'Last heard at T (# ago). It is not heard and does not answer.',
      'As last known, # ago, every write was on a second disk.',
      'No member takes over yet. The lease of n1 has to expire first (# after its last message), '
      + 'unless NATS reports that it is gone.',
      'Writes have waited for #.',
    ])
    assert.equal(goneNodes(real.stateAt(pausedMs + 1_500)), new Set(), 'it may come back')
    const [over] = shownAt(real, pausedMs + 3_000)
    assert.equal([over?.state, over?.title], ['open', 'n2 took over demo from n1'])
    assert.equal(over?.lines.map(withoutTimes), [
      'At T (# ago), in epoch 2: n1 was not heard for the length of a lease.',
      'Writes were interrupted for #.',
      'No write is known to be missing. This is settled when n1 returns.',
    ])
    assert.match(over?.lines[1] ?? '', '2.3 s')
    assert.equal(goneNodes(real.stateAt(pausedMs + 3_000)), new Set(['n1']))
    const [settled] = shownAt(real, pausedMs + 8_000)
    assert.is(settled?.state, 'settled')
    assert.is(settled?.lines[2],
      'Settled: n1 (epoch 1) had no write that the others lack; no write is lost.')
    assert.is(settled?.title, over?.title, 'it is the same story')
  })

test('ten minutes later it is still shown, and long after it is not', () => {
  const { endMs } = real
  const state = real.live
  const at = (afterMs: number) => headlinesOf(state, factsOf(real), endMs + afterMs)
  assert.equal(at(10 * 60_000).map(({ title }) => title), ['n1 took over demo from n2'])
  assert.equal(at(20 * 60_000), [])
  const report = lastFailover('demo', factsOf(real), endMs)
  assert.equal([report?.from, report?.to, report?.epoch], ['n2', 'n1', 3], 'a handover is none')
})

const member = (node: string, role: ClusterMember['role']): ClusterMember => ({
  node,
  role,
  state: 'x',
  epoch: 1,
  inSync: true,
  durableSequence: 7,
  appliedSequence: 7,
  lagBytes: 0,
  lagMs: 0,
  digest: '',
  salvages: 0,
  reason: '',
})

function status(over: Partial<ClusterSpace> = {}): ClusterStatus {
  const space = {
    id: 'demo',
    uuid: '',
    epoch: 1,
    primary: 'n1',
    inSync: ['n1', 'n2'],
    minInSync: 2,
    rf: 2,
    ack: 'durable',
    endSequence: 7,
    commitSequence: 6,
    safeSequence: 5,
    blocked: null,
    lossWindow: { entries: 0, bytes: 0, ms: 0 },
    lastPromotionMs: null,
    maxLoss: null,
    throttled: false,
    members: [member('n1', 'primary'), member('n2', 'replica')],
    ...over,
  } as ClusterSpace
  return { nodes: [], spaces: [space] }
}

const lost = { entries: 1_234, bytes: 3_100, ms: 20 }
const away = { members: [member('n1', 'unknown'), member('n2', 'replica')] }

/** n1 serves until it is killed after a second; n2 is a candidate, as far as `steps` go. */
function killed(steps: readonly InspectionStreamEvent[], then: Partial<ClusterSpace> = away) {
  const script = new PageFrames()
  script.start(0)
  script.present(100, 'n1', [script.actor('space.demo.primary', { serving: 'open' })])
  script.present(100, 'n2', [script.actor('detector.n1', { alive: 'listening' })])
  script.frames.push({ kind: 'status', atMs: 500, status: status({ lossWindow: lost }) })
  script.events(1_000, 'n1', [])
  script.events(1_100, 'n2', [
    script.transition(1_050, 'detector.n1', null, { dead: 'gone' }, 'probeGone', '503'),
    { ...script.actor('space.demo.promotion', { surveying: 'reading' }), atMs: 1_051 },
    script.transition(1_052, 'space.demo.promotion', null, { surveying: 'asking' }, 'recordRead',
      null, { record: { assignment: { epoch: 1, state: 'open', primary: { node: 'n1' } } } }),
    ...steps,
  ])
  script.frames.push({ kind: 'status', atMs: 1_150, status: status(then) })
  return script
}

function recorded(script: PageFrames): Recording {
  const recording = new Recording()
  for (const frame of script.frames) recording.add(frame)
  return recording
}

test('a primary that died: what it had alone as last known, and how far its successor is', () => {
  const recording = recorded(killed([]))
  const [headline] = shownAt(recording, 1_150)
  assert.is(headline?.title, 'n1, the primary of demo, is gone')
  assert.equal(headline?.lines.map(withoutTimes), [
    'Last heard at T (# ago). NATS says that it is no longer connected.',
    'As last known, # ago, not yet on a second disk: 1,234 writes (3.1 kB).',
    'n2 takes over: it asks the in-sync members for their progress.',
    'Writes have waited for #.',
  ])
  assert.is(headline?.lines[3], 'Writes have waited for 150 ms.')
  assert.equal(goneNodes(recording.stateAt(1_150)), new Set(['n1']))
  assert.equal(goneNodes(recording.stateAt(1_040)), new Set())
})

test('a node that is heard after it was given up is there', () => {
  const script = killed([])
  script.events(2_000, 'n1', [])
  const recording = recorded(script)
  assert.is(absenceOf(recording.stateAt(2_000), 'n1'), null)
  assert.equal(shownAt(recording, 2_000), [], 'and serves')
})

test('the word of a peer that is itself not heard counts for nothing', () => {
  const script = killed([])
  script.present(5_000, 'n3', [])
  assert.is(absenceOf(recorded(script).stateAt(5_000), 'n1'), null)
})

const won = (script: PageFrames): InspectionStreamEvent[] => [
  script.transition(1_060, 'space.demo', 'replica', 'promoting', 'vacancyFound',
    'vacancy: noResponders'),
  script.transition(1_070, 'space.demo.promotion', null, 'won', 'opened', 'won', {
    record: { assignment: { epoch: 2 } },
  }),
  script.transition(1_071, 'space.demo.primary', 'opening', { serving: 'open' }, 'x'),
]

const report: PromotionReport = {
  atMs: 1_072,
  space: 'demo',
  epoch: 2,
  from: 'n1',
  to: 'n2',
  vacancy: 'noResponders',
  reason: 'NATS says that n1 is no longer connected',
  ms: 72,
  atRisk: 0,
}

function story(script: PageFrames, line: Partial<EventLine> & { readonly atMs: number }): void {
  const { atMs, ...more } = line
  script.frames.push({
    kind: 'story',
    atMs: atMs + 250,
    line: { at: new Date(atMs).toISOString(), kind: 'epoch', text: '', space: 'demo', ...more },
  })
}

test('between the takeover and its report there is no gap', () => {
  const script = killed(won(new PageFrames()))
  const [fresh] = shownAt(recorded(script), 1_100)
  assert.equal([fresh?.state, fresh?.title], ['open', 'n2 took over demo from n1'])
  assert.equal(fresh?.lines.map(withoutTimes), [
    'At T (# ago), in epoch 2: NATS says that n1 is no longer connected.',
    'Writes are accepted again.',
  ])
})

test('writes at risk, unknown ones, and that nothing was left behind', () => {
  const opened = { alert: 'forkReportOpened', detail: { epoch: 1, formerPrimary: 'n1' } }
  const last = (over: Partial<PromotionReport>, isOpened: boolean): string | undefined => {
    const script = killed(won(new PageFrames()))
    story(script, { atMs: 1_072, promotion: { ...report, ...over } })
    if (isOpened) story(script, { atMs: 1_073, kind: 'fork', ...opened })
    return shownAt(recorded(script), 2_000)[0]?.lines.at(-1)
  }
  assert.is(last({ atRisk: 1 }, true),
    'At least 1 write of n1 is missing here. This is settled when n1 returns.')
  assert.is(last({ atRisk: 5_000 }, true),
    'At least 5,000 writes of n1 are missing here. This is settled when n1 returns.')
  assert.is(last({ atRisk: null }, true), 'It is not known whether n1 had writes that are '
    + 'missing here. This is settled when n1 returns.')
  assert.is(last({}, true), 'No write is known to be missing. This is settled when n1 returns.')
  assert.is(last({}, false), 'No write is missing.')
})

test('a space of which no member can be promoted says so, since when, and what to do', () => {
  const script = killed(
    [new PageFrames().transition(1_100, 'space.demo.promotion', null, 'blocked', 'surveyed')],
    { ...away, blocked: 'blocked: n2 is not in sync; waiting for one of n1' },
  )
  story(script, { atMs: 1_100, kind: 'alert', alert: 'blocked' })
  const [headline] = shownAt(recorded(script), 31_100)
  assert.equal([headline?.state, headline?.title], ['blocked',
    'demo has no primary, and none can be promoted'])
  assert.equal(headline?.lines.map(withoutTimes), [
    'Blocked: n2 is not in sync; waiting for one of n1.',
    'Writes have waited since T (# ago).',
    'Start one of these nodes, or force a promotion: engram promote demo --to NODE --force',
  ])
})

test('the need of a space without a primary is shown: a command, or the arbiter', () => {
  const needs = (state: string, over: object) => {
    const script = killed(
      [new PageFrames().transition(1_100, 'space.demo.promotion', null, state, 'recordRead')],
      { ...away, ...over },
    )
    const [headline] = shownAt(recorded(script), 31_100)
    return [headline?.state, headline?.lines.at(-1)]
  }
  const paused = { since: '2026-03-01T10:00:00Z', by: 'ann' }
  assert.equal(needs('held', { blocked: 'held: paused since … by ann', paused }), ['blocked',
    'Make failover automatic again: engram resume demo'])
  const arbiterReason = 'bucket engram: maximum bytes exceeded'
  assert.equal(needs('blocked', { blocked: `blocked: ${arbiterReason}`, arbiterReason }), [
    'blocked',
    'Fix the problem at the arbiter first.',
  ])
})

test('spaces without a primary come first', () => {
  const both = (over: object) => ({ ...status(over).spaces[0]! })
  const recording = recorded(killed([]))
  const state = {
    ...recording.stateAt(1_150),
    status: {
      nodes: [],
      spaces: [
        { ...both({ primary: 'n2', members: [member('n2', 'primary')] }), id: 'a' },
        both(away),
      ],
    },
  }
  const lines: EventLine[] = [{
    at: new Date(1_000).toISOString(),
    kind: 'epoch',
    text: '',
    space: 'a',
    promotion: { ...report, space: 'a', atMs: 1_000 },
  }]
  const nodes = new Map(state.nodes)
  const n2 = nodes.get('n2')!
  nodes.set('n2', {
    ...n2,
    actors: new Map([...n2.actors, ['space.a.primary', {
      ...n2.actors.get('detector.n1')!,
      actor: 'space.a.primary',
      state: { serving: 'open' },
    }]]),
  })
  const shown = headlinesOf({ ...state, nodes }, { ...factsOf(recording), lines }, 1_150)
  assert.equal(shown.map(({ space, state: of }) => `${space} ${of}`), ['demo down', 'a settled'])
})

test.run()
