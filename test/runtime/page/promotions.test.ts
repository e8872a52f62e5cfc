/**
 * Promotions as the page shows them: of a real cluster's recording (a replica killed and back, then
 * the primary hung, then its successor killed, then a handover), and of made ones.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PromotionReport } from '../../../machines/protocol/events.js'
import { entriesOf, entryKinds } from '../../../runtime/page/model/entries.js'
import type { Entry } from '../../../runtime/page/model/entries.js'
import { answersUnsaid, surveyText } from '../../../runtime/page/model/promotionStep.js'
import { promotionsOf } from '../../../runtime/page/model/promotions.js'
import type { Promotion } from '../../../runtime/page/model/promotions.js'
import { openRecording, Recording } from '../../../runtime/page/model/recording.js'
import type { Frame, PageCommand } from '../../../runtime/page/protocol.js'
import { root } from '../../support/environment.js'
import { PageFrames } from '../../support/pageFrames.js'

const test = suite('page promotions')

const text = readFileSync(
  join(root, 'test', 'support', 'recordings', 'successions.ndjson'),
  'utf8',
)

/** Without what nodes noted: a recording that has the bare actors. */
function withoutStory(): string {
  return text.split('\n').filter((line) => !/^\{"kind":"(story|history)"/.test(line)).join('\n')
}

function drawn(recording: Recording): { promotions: Promotion[]; entries: Entry[] } {
  const promotions = promotionsOf(recording.notable)
  return { promotions, entries: entriesOf(recording.notable, promotions, recording.past) }
}

/** But a finding, which is sent up to 10 ms after what its node did about it. */
function isInOrder({ steps }: Promotion): boolean {
  return steps.every(({ atMs }, index) => atMs >= (steps[index - 1]?.atMs ?? 0) - 10)
}

const evidence = ({ steps }: Promotion) =>
  steps.filter(({ actor }) => actor.startsWith('detector.'))

test('each promotion has the evidence about the primary that it succeeds, and no other', () => {
  for (const recording of [openRecording(text), openRecording(withoutStory())]) {
    const { promotions } = drawn(recording)
    assert.equal(
      promotions.map((
        { from, winner, epoch, vacancy, isServing },
      ) => [from, winner, epoch, vacancy, isServing]),
      [
        ['n1', 'n2', 2, 'grantExpired', true],
        ['n2', 'n1', 3, 'noResponders', true],
        ['n1', 'n2', 4, promotions[2]?.report ? 'resigned' : null, true],
      ],
    )
    for (const promotion of promotions) {
      assert.ok(evidence(promotion).every(({ actor }) => actor === `detector.${promotion.from}`),
        `${promotion.epoch}`)
      assert.ok(isInOrder(promotion), `${promotion.epoch}`)
    }
    assert.equal(promotions.map((one) => evidence(one).length > 0), [true, true, false])
  }
})

test('they take as long as they took: from the last word of the primary to the next write', () => {
  const { promotions } = drawn(openRecording(text))
  assert.equal(promotions.map(({ beginMs, endMs }) => endMs - beginMs), [2_304, 93, 13])
  for (const { report, beginMs, endMs } of promotions) {
    assert.equal([beginMs, endMs], [report!.atMs - report!.ms, report!.atMs])
  }
  // Without the report of the new primary: from the first doubt, which comes 0.3 s later.
  const bare = drawn(openRecording(withoutStory())).promotions
  assert.equal(bare.map(({ beginMs, endMs }) => Math.round((endMs - beginMs) / 100)), [20, 0, 0])
})

test('the timeline shows causes before effects', () => {
  const { entries } = drawn(openRecording(text))
  const order = ['Command: n1 stands still', 'n1 is gone', 'n2 is the primary of demo, in epoch 2',
    'demo: n1 stopped being primary (epoch 1)', 'demo: settled: n1 (epoch 1)', 'Command: n2 (pid ',
    'n2 is gone', 'n1 is the primary of demo, in epoch 3', 'demo: settled: n2 (epoch 2)',
    'Command to hand over', 'n1 hands demo over to n2', 'n2 is the primary of demo, in epoch 4']
  let from = entries.findIndex(({ text: said }) => said.startsWith('n2 is back'))
  for (const words of order) {
    const at = entries.findIndex((entry, index) => index > from && entry.text.startsWith(words))
    assert.ok(at > from, `${words} after ${entries[from]?.text}`)
    from = at
  }
  assert.match(entries.find(({ text: said }) => said.includes('in epoch 2'))?.text ?? '',
    'n2 is the primary of demo, in epoch 2: n1 was not heard for the length of a lease. Writes '
      + 'were interrupted for 2.3 s; no write is known to be missing')
  assert.is(entries.filter(({ kind, promotion }) => kind === 'promotion' && promotion).length, 3)
})

test('a command is shown once, in the words of its answer', () => {
  const answers: [PageCommand, string][] = [
    [{ type: 'killNode', node: 'n1' }, 'n1 (pid 7) was killed; it stays down until it is started'],
    [{ type: 'write', space: 'demo', id: 'm1', content: '' }, 'written to demo: sequence 5'],
    [{ type: 'handOver', space: 'demo', to: null }, 'n2 is the primary of demo, in epoch 4'],
  ]
  const recording = new Recording()
  for (const [order, message] of answers) {
    recording.add({ kind: 'order', atMs: 1, order, answer: { ok: true, message } })
  }
  assert.equal(drawn(recording).entries.map(({ text: said }) => said), [
    'Command: n1 (pid 7) was killed; it stays down until it is started',
    'Command: m1 written to demo: sequence 5',
    'Command to hand over: n2 is the primary of demo, in epoch 4',
  ])
})

test('each kind of entry has its box in the filter', () => {
  const recording = new Recording()
  const at = new Date(1).toISOString()
  const kinds = ['epoch', 'handover', 'fork', 'inSync', 'alert', 'node', 'actor', 'fault'] as const
  for (const kind of kinds) {
    recording.add({ kind: 'story', atMs: 1, line: { at, kind, text: kind, id: kind } })
  }
  recording.add({ kind: 'order', atMs: 2, order: { type: 'killNode', node: 'n1' },
    answer: { ok: true, message: 'killed' } })
  for (const state of ['connected', 'disconnected'] as const) {
    recording.add({ kind: 'broker', atMs: 3, state, reason: '' })
  }
  recording.add({ kind: 'gap', atMs: 4, frames: 9 })
  assert.equal(drawn(recording).entries.map(({ kind }) => kind).toSorted(),
    entryKinds.filter((kind) => kind !== 'promotion').toSorted())
})

test('a step tells of answers only what its reason does not say', () => {
  const step = { atMs: 1, node: 'n2', actor: 'space.demo.promotion', what: 'surveyed',
    state: 'awaitingVacancy', answers: ['n3 is at (1, 60)', 'n4 is at (1, 9), its log is damaged'] }
  assert.equal(answersUnsaid({ ...step, reason: 'this member is at (1, 60); n3 at (1, 60)' }), [
    'n4 is at (1, 9), its log is damaged',
  ])
  assert.equal(answersUnsaid({ ...step, reason: 'stands by: n3 is at (1, 60)' }).length, 1)
  assert.equal(answersUnsaid({ ...step, reason: null }), step.answers)
  assert.is(surveyText('this member is at (1, 60); n3 at (1, 60)', 'n2'),
    'n2 is at (1, 60); n3 at (1, 60).')
  assert.is(surveyText(null, 'n2'), 'It was the only member that answered.')
})

/** A candidate that reads the record of that epoch, and what comes of it. */
function candidate(
  script: PageFrames,
  node: string,
  atMs: number,
  record: object,
  outcome: 'won' | 'stoodDown',
): void {
  const role = 'space.demo.promotion'
  const shown = { record: { assignment: record } }
  const { epoch } = record as { epoch: number }
  script.events(atMs + 50, node, [
    { ...script.actor(role, { surveying: 'reading' }), atMs },
    script.transition(atMs + 1, role, null, { surveying: 'asking' }, 'recordRead', null, shown),
    outcome === 'won'
      ? script.transition(atMs + 20, role, null, 'won', 'opened', 'won', {
        record: { assignment: { epoch: epoch + 1 } },
      })
      : script.transition(atMs + 30, role, null, 'stoodDown', 'primarySeen', null, shown),
    ...(outcome === 'won'
      ? [
        script.transition(atMs + 21, 'space.demo.primary', 'opening', {
          serving: { ingest: 'open' },
        }, 'writesSubscribed'),
      ]
      : []),
  ])
}

function recorded(script: PageFrames): Promotion[] {
  const lines = script.frames.map((frame) => JSON.stringify(frame)).join('\n')
  return promotionsOf(openRecording(lines).notable)
}

function cluster(): PageFrames {
  const script = new PageFrames()
  script.start(0)
  for (const node of ['n1', 'n2', 'n3']) script.present(10, node, [])
  return script
}

test('a candidate for the next epoch is in the next promotion, however soon', () => {
  const script = cluster()
  candidate(script, 'n2', 1_000, { epoch: 1, state: 'open', primary: { node: 'n1' } }, 'won')
  candidate(script, 'n3', 1_010, { epoch: 1, state: 'open', primary: { node: 'n1' } }, 'stoodDown')
  candidate(script, 'n3', 1_200, { epoch: 2, state: 'open', primary: { node: 'n2' } }, 'won')
  assert.equal(
    recorded(script).map((
      { from, winner, epoch, candidates },
    ) => [from, winner, epoch, candidates.map(({ node, state }) => `${node} ${state}`)]),
    [
      ['n1', 'n2', 2, ['n2 won', 'n3 stoodDown']],
      ['n2', 'n3', 3, ['n3 won']],
    ],
  )
})

test('a claim that came to nothing is part of the promotion that went on with it', () => {
  const script = cluster()
  const role = 'space.demo.promotion'
  const first = { epoch: 1, state: 'open', primary: { node: 'n1' } }
  script.events(1_100, 'n2', [
    { ...script.actor(role, { surveying: 'reading' }), atMs: 1_000 },
    script.transition(1_010, role, null, 'claiming', 'vacancyProven', null, {
      record: { assignment: first },
    }),
  ])
  candidate(script, 'n3', 9_000, { epoch: 2, state: 'claimed', primary: { node: 'n2' } }, 'won')
  const [promotion, ...more] = recorded(script)
  assert.equal(more, [])
  assert.equal([promotion?.from, promotion?.winner, promotion?.epoch, promotion?.beginMs], ['n1',
    'n3', 3, 1_000])
})

test('a doubt that was dispelled, or is about another node, is no evidence', () => {
  const script = cluster()
  const doubt = (atMs: number, witness: string, peer: string, state: string): void => {
    script.events(atMs, witness, [script.transition(atMs, `detector.${peer}`, null, state, 'e')])
  }
  doubt(500, 'n2', 'n1', 'suspect')
  doubt(600, 'n2', 'n1', 'alive')
  doubt(700, 'n3', 'n2', 'suspect')
  doubt(900, 'n2', 'n3', 'suspect')
  doubt(960, 'n2', 'n1', 'suspect')
  doubt(990, 'n2', 'n1', 'dead')
  candidate(script, 'n2', 1_000, { epoch: 1, state: 'open', primary: { node: 'n1' } }, 'won')
  doubt(1_010, 'n3', 'n1', 'suspect')
  doubt(5_000, 'n3', 'n1', 'dead')
  const [promotion] = recorded(script)
  assert.equal(evidence(promotion!).map(({ atMs, node, state }) => `${atMs} ${node} ${state}`), [
    '960 n2 suspect',
    '990 n2 dead',
    '1010 n3 suspect',
  ])
  assert.is(promotion?.beginMs, 960)
})

test('the end of a promotion that began before the recording makes none', () => {
  const script = cluster()
  script.events(100, 'n2', [
    script.transition(90, 'space.demo.promotion', null, 'stoodDown', 'primarySeen',
      'n1 is primary'),
  ])
  assert.equal(recorded(script), [])
})

test('the past is shown once, in order, and without steps', () => {
  const recording = openRecording(text)
  const report: PromotionReport = {
    atMs: recording.beginMs - 60_000,
    space: 'other',
    epoch: 1,
    from: null,
    to: 'n1',
    vacancy: 'none',
    reason: 'there is no primary yet',
    ms: 5,
    atRisk: 0,
  }
  const line = (id: string, atMs: number, promotion?: PromotionReport) => ({
    id,
    at: new Date(atMs).toISOString(),
    kind: 'epoch' as const,
    text: id,
    promotion,
  })
  const { report: latest } = drawn(recording).promotions.at(-1)!
  recording.add({
    kind: 'history',
    atMs: recording.endMs,
    lines: [
      line('promoted/other/1', report.atMs, report),
      line('promoted/demo/4', latest!.atMs, latest!),
    ],
  })
  const { entries } = drawn(recording)
  const past = entries.filter(({ isPast, atMs }) => isPast && atMs === report.atMs)
  assert.equal(past.map(({ kind, promotion }) => [kind, promotion]), [['promotion', null]])
  const ofLatest = entries.filter(({ kind, text: said }) =>
    kind === 'promotion' && said.includes('in epoch 4')
  )
  assert.is(ofLatest.length, 1)
  const times = entries.map(({ atMs }) => atMs)
  assert.equal(times, times.toSorted((a, b) => a - b))
  assert.is(recording.beginMs, openRecording(text).beginMs, 'the slider does not lead there')
  const saved = openRecording(recording.save())
  assert.equal(saved.past, recording.past, 'a saved recording keeps it')
  const bounded = new Recording({ durationMs: 1_000, textLength: Infinity })
  for (const line of recording.save().trim().split('\n')) {
    bounded.add(JSON.parse(line) as Frame, line.length)
  }
  for (let n = 0; n < 400; n += 1) {
    bounded.add({ kind: 'status', atMs: recording.endMs + n * 500, status: null })
  }
  assert.ok(bounded.droppedFrames > 0)
  assert.equal(openRecording(bounded.save()).past, recording.past, 'also one that lost its begin')
})

test.run()
