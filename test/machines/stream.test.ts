import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { streamMachine } from '../../machines/stream.js'
import type { StreamEvent } from '../../machines/stream.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/stream')

const input = { space: 'demo', peer: 'n2', stalledMax: 3 }
const joined = (session: number, common: number, end: number): StreamEvent => ({
  type: 'memberJoined',
  session,
  common,
  end,
})
const snapshotNeeded = (session: number): StreamEvent => ({ type: 'snapshotNeeded', session,
  minimum: 499, reason: 'the journal begins at 500' })
const reported: StreamEvent = { type: 'installReported', source: 'n3', doneBytes: 10,
  totalBytes: 90 }
const measured = (acked: number, sent: number, end: number, windowFull = false): StreamEvent => ({
  type: 'measured',
  acked,
  sent,
  end,
  windowFull,
})
const nacked = (sequence: number): StreamEvent => ({ type: 'nacked', sequence,
  reason: `gap after ${sequence}` })
const peerDied: StreamEvent = { type: 'peerDied', reason: 'n2 is proven dead' }

test('a member joins, catches up, and streams', () => {
  const text = transcript(streamMachine, input, [
    joined(1, 40, 90),
    measured(0, 60, 90),
    measured(60, 90, 90),
    measured(90, 90, 90),
    measured(90, 95, 95),
    measured(95, 95, 95),
  ])
  assert.is(text, golden(`
    joining
    > memberJoined session:1,common:40,end:90
    catchingUp: session 1 continues after 40
      startShipping session:1,after:40
      progressed state:catchingUp
    > measured acked:0,sent:60,end:90,windowFull:false
    catchingUp: session 1 continues after 40
    > measured acked:60,sent:90,end:90,windowFull:false
    catchingUp: session 1 continues after 40
    > measured acked:90,sent:90,end:90,windowFull:false
    streaming: has everything up to 90
      progressed state:streaming
    > measured acked:90,sent:95,end:95,windowFull:false
    streaming: has everything up to 90
    > measured acked:95,sent:95,end:95,windowFull:false
    streaming: has everything up to 90`))
})

test('past the window it falls behind, and catches up from the journal', () => {
  const text = transcript(streamMachine, input, [
    joined(1, 0, 10),
    measured(10, 10, 10),
    measured(10, 50, 80, true),
    measured(50, 80, 80),
    measured(80, 80, 80),
  ])
  assert.is(text, golden(`
    joining
    > memberJoined session:1,common:0,end:10
    catchingUp: session 1 continues after 0
      startShipping session:1,after:0
      progressed state:catchingUp
    > measured acked:10,sent:10,end:10,windowFull:false
    streaming: has everything up to 10
      progressed state:streaming
    > measured acked:10,sent:50,end:80,windowFull:true
    catchingUp: the window is full: it falls behind
      progressed state:catchingUp
    > measured acked:50,sent:80,end:80,windowFull:false
    catchingUp: the window is full: it falls behind
    > measured acked:80,sent:80,end:80,windowFull:false
    streaming: has everything up to 80
      progressed state:streaming`))
})

test('no ack in time: go back to what was acknowledged', () => {
  const text = transcript(streamMachine, input, [
    joined(1, 0, 10),
    measured(10, 10, 10),
    measured(10, 30, 30),
    measured(10, 30, 30),
    measured(10, 30, 30),
    measured(10, 30, 30),
    measured(20, 30, 30),
    measured(30, 30, 30),
  ])
  assert.is(text, golden(`
    joining
    > memberJoined session:1,common:0,end:10
    catchingUp: session 1 continues after 0
      startShipping session:1,after:0
      progressed state:catchingUp
    > measured acked:10,sent:10,end:10,windowFull:false
    streaming: has everything up to 10
      progressed state:streaming
    > measured acked:10,sent:30,end:30,windowFull:false
    streaming: has everything up to 10
    > measured acked:10,sent:30,end:30,windowFull:false
    streaming: has everything up to 10
    > measured acked:10,sent:30,end:30,windowFull:false
    catchingUp: no ack in time
      rewind to:10
      progressed state:catchingUp
    > measured acked:10,sent:30,end:30,windowFull:false
    catchingUp: no ack in time
    > measured acked:20,sent:30,end:30,windowFull:false
    catchingUp: no ack in time
    > measured acked:30,sent:30,end:30,windowFull:false
    streaming: has everything up to 30
      progressed state:streaming`))
})

test('a gap is reported: go back there at once', () => {
  const text = transcript(streamMachine, input, [
    joined(1, 0, 10),
    measured(10, 10, 10),
    nacked(12),
    nacked(12),
    measured(20, 20, 20),
  ])
  assert.is(text, golden(`
    joining
    > memberJoined session:1,common:0,end:10
    catchingUp: session 1 continues after 0
      startShipping session:1,after:0
      progressed state:catchingUp
    > measured acked:10,sent:10,end:10,windowFull:false
    streaming: has everything up to 10
      progressed state:streaming
    > nacked sequence:12,reason:gap after 12
    catchingUp: gap after 12
      rewind to:12
      progressed state:catchingUp
    > nacked sequence:12,reason:gap after 12
    catchingUp: gap after 12
      rewind to:12
    > measured acked:20,sent:20,end:20,windowFull:false
    streaming: has everything up to 20
      progressed state:streaming`))
})

test('a dead member has to join again', () => {
  const text = transcript(streamMachine, input, [
    joined(1, 0, 10),
    peerDied,
    measured(10, 10, 10),
    joined(2, 10, 20),
    measured(20, 20, 20),
  ])
  assert.is(text, golden(`
    joining
    > memberJoined session:1,common:0,end:10
    catchingUp: session 1 continues after 0
      startShipping session:1,after:0
      progressed state:catchingUp
    > peerDied reason:n2 is proven dead
    unreachable: n2 is proven dead
      stopShipping
      progressed state:unreachable
    > measured acked:10,sent:10,end:10,windowFull:false
    unreachable: n2 is proven dead
    > memberJoined session:2,common:10,end:20
    catchingUp: session 2 continues after 10
      startShipping session:2,after:10
      progressed state:catchingUp
    > measured acked:20,sent:20,end:20,windowFull:false
    streaming: has everything up to 20
      progressed state:streaming`))
})

test('entries gone from the journal take a snapshot', () => {
  const text = transcript(streamMachine, input, [
    snapshotNeeded(1),
    reported,
    { after: 'reportPatience' },
    reported,
    joined(2, 700, 720),
  ])
  assert.is(text, golden(`
    joining
    > snapshotNeeded session:1,minimum:499,reason:the journal begins at 500
    snapshotting.reporting: the journal begins at 500
      stopShipping
      progressed state:snapshotting
    > installReported source:n3,doneBytes:10,totalBytes:90
    snapshotting.reporting: the journal begins at 500
    > after reportPatience
    snapshotting.silent: the journal begins at 500
      releasePin
    > installReported source:n3,doneBytes:10,totalBytes:90
    snapshotting.reporting: the journal begins at 500
    > memberJoined session:2,common:700,end:720
    catchingUp: session 2 continues after 700
      startShipping session:2,after:700
      progressed state:catchingUp`))
})

test('a session without an ack yet is not rewound, and never below its common point', () => {
  // The member truncates a long fork before its first ack: nothing is sent, nothing is missing.
  const run = runTimed(streamMachine, input)
  run.actor.send(joined(1, 40, 90))
  for (let i = 0; i < 10; i++) run.actor.send(measured(0, 40, 90))
  assert.equal(run.take(), ['0 startShipping', '0 progressed'])
  // Frames were sent and no ack came: again from the common point, not from the first entry.
  for (let i = 0; i < 3; i++) run.actor.send(measured(0, 90, 90))
  const { effect } = run.log.at(-1) ?? { effect: null }
  assert.equal(effect, { type: 'rewind', to: 40, reason: 'no ack in time' })
})

test('progress of an earlier session does not count in a new one', () => {
  const run = runTimed(streamMachine, input)
  for (const event of [joined(1, 0, 50), measured(50, 50, 50), joined(2, 20, 50)]) {
    run.actor.send(event)
  }
  const { acked, sent, stalled } = run.actor.getSnapshot().context
  assert.equal({ acked, sent, stalled }, { acked: 0, sent: 20, stalled: 0 })
  assert.is(run.actor.getSnapshot().value, 'catchingUp')
})

test('every state is reached', () => {
  assertCovered({
    machine: streamMachine,
    input,
    events: [
      joined(1, 0, 10),
      measured(10, 10, 10),
      measured(10, 20, 20),
      measured(10, 20, 20, true),
      nacked(5),
      peerDied,
      snapshotNeeded(0),
      reported,
    ],
    stopWhen: (snapshot) => snapshot.context.rewinds > 1,
  })
})

test('every event is handled, or ignored for a reason', () => {
  const noSession = 'there is no session: nothing to measure or to rewind'
  assertHandled({
    machine: streamMachine,
    events: ['memberJoined', 'snapshotNeeded', 'measured', 'nacked', 'peerDied', 'installReported'],
    ignoreTable: [
      ...['joining', 'snapshotting', 'unreachable'].map((state) => ({ state,
        events: ['measured', 'nacked'], reason: noSession })
      ),
      ...['joining', 'catchingUp', 'streaming', 'unreachable'].map((state) => ({ state,
        events: ['installReported'], reason: 'late: the install is over' })
      ),
    ],
  })
})

test.run()
