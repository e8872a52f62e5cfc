import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import { reconciliationMachine, unusableMs } from '../../machines/reconciliation.js'
import type { ReconciliationEvent } from '../../machines/reconciliation.js'
import { assertCovered, assertHandled, golden, runTimed, showState, transcript } from './paths.js'

const test = suite('machines/reconciliation')

const input = { space: 'demo', self: 'n1', times: defaultTimes }
const joined = (primary: string, epoch: number): ReconciliationEvent => ({ type: 'primaryJoined',
  primary, epoch })
const left: ReconciliationEvent = { type: 'primaryLeft', reason: 'no epoch is followed' }
const offered = (number: number, salvage: string | null,
  isAutomatic = true): ReconciliationEvent => ({ type: 'offered', number, salvage, isAutomatic })
const taken = (
  number: number,
  sent: number,
  sequence: number,
  isLast = false,
): ReconciliationEvent => ({ type: 'sliceTaken', number, sent, sequence, isLast, pauseMs: 20 })
const failed = (number: number): ReconciliationEvent & { type: 'requestFailed' } => ({
  type: 'requestFailed',
  number,
  pauseMs: 50,
  reason: 'live writes come first',
})
const committed: ReconciliationEvent = { type: 'committed' }
const released: ReconciliationEvent = { type: 'released' }
const ordered: ReconciliationEvent = { type: 'ordered' }
const unusable: ReconciliationEvent = { type: 'salvageUnusable', reason: 'a is damaged' }

const run = (...events: (ReconciliationEvent | number)[]) => {
  const running = runTimed(reconciliationMachine, input)
  for (const event of events) {
    if (typeof event === 'number') running.clock.advance(event)
    else running.actor.send(event)
  }
  return running
}
const stateOf = ({ actor }: ReturnType<typeof run>) => showState(actor.getSnapshot())

test('a salvage is reconciled: offered, taken slice by slice, committed, released', () => {
  const text = transcript(reconciliationMachine, input, [
    joined('n2', 4),
    offered(1, 'a'),
    taken(2, 128, 250),
    { after: 'pause' },
    taken(3, 130, 260, true),
    committed,
    released,
    offered(4, null),
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      progressed state:waiting
    > primaryJoined primary:n2,epoch:4
    offering.asking: n2 is primary in epoch 4
      progressed state:offering
      offer primary:n2,epoch:4,number:1
    > offered number:1,salvage:a,isAutomatic:true
    merging.sending: uploads a
      progressed state:merging
      sendSlice primary:n2,epoch:4,number:2,salvage:a,sent:0
    > sliceTaken number:2,sent:128,sequence:250,isLast:false,pauseMs:20
    merging.pausing: 128 writes of a are taken
    > after pause
    merging.sending: 128 writes of a are taken
      sendSlice primary:n2,epoch:4,number:3,salvage:a,sent:128
    > sliceTaken number:3,sent:130,sequence:260,isLast:true,pauseMs:20
    settling: a is taken; its last entry, 260, is not yet committed
      awaitCommit epoch:4,sequence:260
      progressed state:settling
    > committed
    releasing: entry 260 is committed: a can be removed
      release salvage:a
      progressed state:releasing
    > released
    offering.asking: a was removed
      progressed state:offering
      offer primary:n2,epoch:4,number:4
    > offered number:4,salvage:null,isAutomatic:true
    level: no salvage is left
      progressed state:level`))
})

test('whatever ends the epoch, all begins again with the next one; late answers count nothing', () => {
  const places: (ReconciliationEvent | number)[][] = [
    [],
    [offered(1, 'a', false)],
    [offered(1, 'a')],
    [offered(1, 'a'), taken(2, 128, 250)],
    [offered(1, 'a'), taken(2, 130, 250, true)],
    [offered(1, 'a'), taken(2, 130, 250, true), committed],
  ]
  for (const place of places) {
    const running = run(joined('n2', 4), ...place, left)
    assert.is(stateOf(running), 'waiting')
    running.actor.send(joined('n3', 5))
    assert.is(stateOf(running), 'offering.asking')
    const { requests } = running.actor.getSnapshot().context
    running.actor.send(offered(requests - 1, null))
    running.actor.send(taken(requests, 5, 5, true))
    assert.is(stateOf(running), 'offering.asking')
    running.actor.send(joined('n3', 5))
    assert.is(running.actor.getSnapshot().context.requests, requests, 'notified of the same epoch')
  }
})

test('a commit that is reported in another epoch releases nothing', () => {
  const running = run(joined('n2', 4), offered(1, 'a'), taken(2, 130, 250, true), joined('n3', 5))
  running.actor.send(committed)
  assert.is(stateOf(running), 'offering.asking')
})

test('busy, or no answer: asked again', () => {
  const busy = run(joined('n2', 4), failed(1))
  assert.is(stateOf(busy), 'offering.pausing')
  busy.clock.advance(50)
  busy.actor.send(offered(2, 'a'))
  busy.actor.send(failed(3))
  assert.is(stateOf(busy), 'merging.pausing')
  busy.clock.advance(50)
  const { context } = busy.actor.getSnapshot()
  assert.equal([context.requests, context.sent], [4, 0], 'the same slice')
  busy.clock.advance(defaultTimes.standByMs * 10)
  assert.is(busy.actor.getSnapshot().context.requests, 5, 'no answer at all')
})

test('a slice of what the epoch does not know: offered again', () => {
  const running = run(joined('n2', 4), offered(1, 'a'), { ...failed(2), isRefused: true })
  assert.is(stateOf(running), 'offering.pausing')
  running.clock.advance(50)
  assert.is(stateOf(running), 'offering.asking')
})

test('by command only: it is held until one comes, or the settings change', () => {
  const held = run(joined('n2', 4), offered(1, 'a', false))
  assert.is(stateOf(held), 'held')
  held.clock.advance(defaultTimes.inSyncLagMs)
  assert.is(stateOf(held), 'offering.asking')
  held.actor.send(offered(2, 'a', false))
  held.actor.send(ordered)
  assert.is(stateOf(held), 'merging.sending')
  assert.is(stateOf(run(ordered, joined('n2', 4), offered(1, 'a', false))), 'merging.sending')
})

test('a file that cannot be read waits for somebody to look at it, and is tried again', () => {
  const running = run(joined('n2', 4), unusable)
  assert.is(stateOf(running), 'unusable')
  running.actor.send(ordered)
  assert.is(stateOf(running), 'offering.asking')
  running.actor.send(unusable)
  running.clock.advance(unusableMs - 1)
  assert.is(stateOf(running), 'unusable')
  running.clock.advance(1)
  assert.is(stateOf(running), 'offering.asking')
})

test('one that fails in the middle leaves the others their turn', () => {
  const running = run(joined('n2', 4), offered(1, 'a'), unusable)
  assert.is(stateOf(running), 'offering.asking')
  running.actor.send(offered(3, 'b'))
  assert.is(stateOf(running), 'merging.sending')
})

test('every state is reached', () => {
  assertCovered({
    machine: reconciliationMachine,
    input,
    events: [
      joined('n2', 4),
      left,
      ordered,
      offered(1, 'a'),
      offered(1, 'a', false),
      offered(1, null),
      offered(2, 'a'),
      failed(1),
      failed(2),
      taken(2, 5, 9),
      taken(2, 5, 9, true),
      committed,
      released,
      unusable,
    ],
    stopWhen: ({ context }) => context.requests > 2,
  })
})

test('every event is handled, or ignored for a reason', () => {
  const late = 'of a step that is over: its answer comes late'
  assertHandled({
    machine: reconciliationMachine,
    events: [
      'primaryJoined',
      'primaryLeft',
      'ordered',
      'offered',
      'sliceTaken',
      'requestFailed',
      'committed',
      'released',
      'salvageUnusable',
    ],
    ignoreTable: [
      {
        state: '',
        reason: late,
        events: [
          'offered',
          'sliceTaken',
          'requestFailed',
          'committed',
          'released',
          'salvageUnusable',
        ],
      },
    ],
  })
})

test.run()
