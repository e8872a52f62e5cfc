/** The page's model of frames: the state at any time, bounds, saving and opening again. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { InspectionStreamEvent } from '../../../runtime/inspect/schema.js'
import { openRecording, Recording } from '../../../runtime/page/model/recording.js'
import { reduce, itemsOf } from '../../../runtime/page/model/reduce.js'
import { emptyState } from '../../../runtime/page/model/state.js'
import type { PageState } from '../../../runtime/page/model/state.js'
import type { Frame } from '../../../runtime/page/protocol.js'
import { PageFrames } from '../../support/pageFrames.js'

const test = suite('page model')

function recorded(frames: readonly Frame[]): Recording {
  const recording = new Recording({ durationMs: Infinity, textLength: Infinity })
  for (const frame of frames) recording.add(frame, JSON.stringify(frame).length)
  return recording
}

/** The state by the plainest way: all items in order of time. */
function replayed(frames: readonly Frame[], atMs: number): PageState {
  const items = frames.flatMap(itemsOf).filter((item) => item.atMs <= atMs)
  return items.toSorted((a, b) => a.atMs - b.atMs)
    .reduce((state, item) => reduce(state, [item]), emptyState)
}

test('a transition shows at its own time, within a frame that came later', () => {
  const script = new PageFrames()
  script.start(0)
  script.present(100, 'n1', [script.actor('space.demo', 'replica')])
  script.events(1_000, 'n1', [
    script.transition(940, 'space.demo', 'replica', 'promoting', 'vacancyFound', 'vacancy: own'),
    script.transition(960, 'space.demo', 'promoting', { primary: 'reigning' }, 'promotionOver'),
  ])
  const recording = recorded(script.frames)
  const stateAt = (atMs: number): unknown =>
    recording.stateAt(atMs).nodes.get('n1')?.actors.get('space.demo')?.state
  assert.is(stateAt(939), 'replica')
  assert.is(stateAt(940), 'promoting')
  assert.is(stateAt(959), 'promoting')
  assert.equal(stateAt(960), { primary: 'reigning' })
  const actor = recording.stateAt(950).nodes.get('n1')?.actors.get('space.demo')
  assert.is(actor?.last?.event, 'vacancyFound')
  assert.is(actor?.last?.reason, 'vacancy: own')
  assert.equal(actor?.enteredMs, { promoting: 940 })
})

test('an event line shows at the time of its event, not when it was sent', () => {
  const frameAt = (at: number): Frame => ({
    kind: 'story',
    atMs: 10_000,
    line: { at: new Date(at).toISOString(), kind: 'epoch', text: 'n2 is primary' },
  })
  const times = [9_800, 10_500, 100].map((at) => itemsOf(frameAt(at))[0]?.atMs)
  assert.equal(times, [9_800, 10_000, 8_000], 'within two seconds, and never later')
})

test('a state that stays active keeps the time of its entry', () => {
  const script = new PageFrames()
  script.present(100, 'n1', [script.actor('p', { serving: { ingest: 'open', lease: 'valid' } })])
  script.events(500, 'n1', [
    script.transition(500, 'p', null, { serving: { ingest: 'throttled', lease: 'valid' } },
      'bufferFilled'),
  ])
  const { enteredMs } = recorded(script.frames).live.nodes.get('n1')?.actors.get('p') ?? {}
  assert.equal(enteredMs, {
    serving: 100,
    'serving.ingest': 100,
    'serving.ingest.throttled': 500,
    'serving.lease': 100,
    'serving.lease.valid': 100,
  })
})

test('an actor that ended is shown with its last state, also when that is sent after its end', () => {
  const script = new PageFrames()
  script.present(100, 'n1', [script.actor('space.demo.promotion', 'claiming')])
  script.events(200, 'n1', [
    { type: 'exit', actor: 'space.demo.promotion', atMs: 150, kind: 'done' },
    script.transition(160, 'space.demo.promotion', 'claiming', 'won', 'opened'),
  ])
  const actor = recorded(script.frames).live.nodes.get('n1')?.actors.get('space.demo.promotion')
  assert.is(actor?.state, 'won')
  assert.equal(actor?.exit, { atMs: 150, kind: 'done' })
})

test('a key frame replaces what was known, over all its parts; an empty one empties', () => {
  const script = new PageFrames()
  script.present(100, 'n1', [script.actor('a', 'x'), script.actor('b', 'x')])
  script.present(200, 'n1', [script.actor('b', 'x')], 1, 2)
  script.present(200, 'n1', [script.actor('c', 'x')], 2, 2)
  const recording = recorded(script.frames)
  assert.equal([...recording.live.nodes.get('n1')?.actors.keys() ?? []], ['b', 'c'])
  // Known since before the key frame.
  assert.is(recording.live.nodes.get('n1')?.actors.get('b')?.enteredMs['x'], 100)
  script.present(300, 'n1', [])
  recording.add(script.frames.at(-1) as Frame)
  assert.is(recording.live.nodes.get('n1')?.actors.size, 0)
})

test('lost envelopes and dropped events are counted; a new stream begins anew', () => {
  const script = new PageFrames()
  script.present(100, 'n1', [])
  script.events(200, 'n1', [], { number: 1 })
  script.events(300, 'n1', [], { number: 4, dropped: 7 })
  const recording = recorded(script.frames)
  assert.is(recording.live.nodes.get('n1')?.lost, 2 + 7)
  script.events(400, 'n1', [], { number: 90, stream: 'other' })
  recording.add(script.frames.at(-1) as Frame)
  assert.is(recording.live.nodes.get('n1')?.lost, 2 + 7)
})

/** Ten minutes of three nodes whose actors change, sent late and out of order. */
function long(): PageFrames {
  const script = new PageFrames()
  script.start(0)
  for (const node of ['n1', 'n2', 'n3']) {
    script.present(10, node, [script.actor('a', 's0'), script.actor('b', 's0')])
  }
  let step = 0
  for (let atMs = 100; atMs < 600_000; atMs += 250) {
    for (const [index, node] of ['n1', 'n2', 'n3'].entries()) {
      step += 1
      const events: InspectionStreamEvent[] = [
        script.transition(atMs - index * 37, 'a', null, `s${step % 7}`, `e${step}`),
        script.transition(atMs - index * 11, 'b', null, `s${step % 5}`, `e${step}`),
      ]
      script.events(atMs, node, events)
    }
  }
  return script
}

test('any moment is the same, reached from a key frame or from the beginning', () => {
  const { frames } = long()
  const recording = recorded(frames)
  for (const atMs of [9, 10, 99, 5_000, 123_456, 300_001, 599_000, 61_004, 599_999, 7]) {
    assert.equal(recording.stateAt(atMs), replayed(frames, atMs), `at ${atMs}`)
  }
  // Forwards and backwards again, with the key frames that were made.
  for (let atMs = 600_000; atMs > 0; atMs -= 33_333) {
    assert.equal(recording.stateAt(atMs), replayed(frames, atMs), `at ${atMs}`)
  }
})

test('the oldest frames go, and what they led to stays', () => {
  const { frames } = long()
  const bounded = new Recording({ durationMs: 60_000, textLength: Infinity })
  for (const frame of frames) bounded.add(frame, 100)
  assert.ok(bounded.droppedFrames > 6_000)
  assert.ok(bounded.endMs - bounded.beginMs <= 70_000, `${bounded.endMs - bounded.beginMs} ms`)
  assert.is(bounded.live.start?.kind, 'start')
  for (const atMs of [550_000, 580_000, 599_000]) {
    assert.equal(bounded.stateAt(atMs), replayed(frames, atMs), `at ${atMs}`)
  }
  const small = new Recording({ durationMs: Infinity, textLength: 100_000 })
  for (const frame of frames) small.add(frame, 100)
  assert.ok(frames.length - small.droppedFrames <= 1_200)
})

test('a recording that lost its beginning is saved with it, and opened again', () => {
  const { frames } = long()
  const bounded = new Recording({ durationMs: 60_000, textLength: Infinity })
  for (const frame of frames) bounded.add(frame, 100)
  const opened = openRecording(bounded.save())
  assert.is(opened.endMs, bounded.endMs)
  for (const atMs of [560_000, 599_000]) {
    const states = (recording: Recording): unknown =>
      [...recording.stateAt(atMs).nodes.values()]
        .map((
          { id, actors },
        ) => [id, [...actors.values()].map(({ actor, state }) => [actor, state])])
    assert.equal(states(opened), states(bounded), `at ${atMs}`)
  }
})

test('a file that is no recording is refused with the reason', () => {
  const script = new PageFrames()
  script.start(0)
  const start = JSON.stringify(script.frames[0])
  assert.throws(() => openRecording('{"some":"json"}'), /line 1 is not a frame/)
  assert.throws(() => openRecording('{"kind":"status","atMs":1,"status":null}'),
    /not a `start` frame/)
  assert.throws(() => openRecording(`${start}\nnot json`), /line 2 is not JSON/)
  assert.throws(() => openRecording(start.replace('"format":1', '"format":9')), /format 9/)
  assert.throws(() => openRecording(''), /not a `start` frame/)
  // Kinds of later releases are passed over.
  assert.is(openRecording(`${start}\n{"kind":"novel","atMs":5}`).endMs, 5)
})

test('steps lead from event to event, both ways', () => {
  const script = new PageFrames()
  script.present(100, 'n1', [script.actor('a', 'x')])
  script.events(500, 'n1', [script.transition(300, 'a', 'x', 'y', 'e'),
    script.transition(400, 'a', 'y', 'z', 'e')])
  const recording = recorded(script.frames)
  assert.is(recording.step(100, 1), 300)
  assert.is(recording.step(300, 1), 400)
  assert.is(recording.step(400, 1), null)
  assert.is(recording.step(400, -1), 300)
  assert.is(recording.step(300, -1), null)
})

test.run()
