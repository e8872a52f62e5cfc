import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { primaryMachine } from '../../machines/primary.js'
import type { PendingChange, PrimaryEvent } from '../../machines/primary.js'
import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import { assertCovered, assertHandled, golden, runTimed, showState, transcript } from './paths.js'
import type { Step } from './paths.js'

const test = suite('machines/primary')

const input = {
  space: 'demo',
  self: 'n1',
  epoch: 4,
  times: defaultTimes,
  inSync: ['n1', 'n2', 'n3'],
  change: null,
}
const subscribed: PrimaryEvent = { type: 'writesSubscribed' }
const lost = (node: string): PrimaryEvent => ({ type: 'memberLost', node,
  reason: `${node} is proven dead` })
const caughtUp = (node: string): PrimaryEvent => ({ type: 'memberCaughtUp', node,
  reason: `${node} has caught up` })
const changed = (...inSync: string[]): PrimaryEvent => ({ type: 'inSyncChanged', inSync })
const lapsed: PrimaryEvent = { type: 'leaseLapsed', reason: 'no valid grant from n2' }
const deposed: PrimaryEvent = { type: 'deposed', reason: 'n2 holds epoch 5' }
const refused: PrimaryEvent = { type: 'compareAndSetRefused',
  reason: 'the record is at epoch 5 of n2' }
const full: PrimaryEvent = { type: 'journalFull', reason: 'ENOSPC' }
const healed: PrimaryEvent = { type: 'journalHealed' }
const slow: PrimaryEvent = { type: 'bufferFull', reason: 'the disk does not keep up' }
const drained: PrimaryEvent = { type: 'bufferDrained' }
const filled: PrimaryEvent = { type: 'lossWindowFilled',
  reason: 'the loss window is as large as it may be' }
const cleared: PrimaryEvent = { type: 'lossWindowCleared',
  reason: 'there is room in the loss window' }
const settings: PrimaryEvent = { type: 'changeRequested',
  reason: 'an operator changes the settings' }
const handover: PrimaryEvent = { type: 'handoverRequested', to: 'n2', reason: 'drain' }
const ready: PrimaryEvent = { type: 'handoverReady' }
const targetLost: PrimaryEvent = { type: 'handoverTargetLost',
  reason: 'n2 died before the handover' }
const hindered: PrimaryEvent = { type: 'handoverHindered', reason: 'maximum bytes exceeded' }
const seen = (change: PendingChange | null): PrimaryEvent => ({ type: 'changeSeen', change,
  reason: 'ordered' })
const leaves = (node: string): PrimaryEvent => ({ type: 'memberLeaves', node,
  reason: `${node} is to leave, and may` })
const handedOver: PrimaryEvent = { type: 'handedOver' }

const run = (...events: PrimaryEvent[]) => {
  const running = runTimed(primaryMachine, input)
  for (const event of events) running.actor.send(event)
  return running
}
/** Without the lease, which is valid wherever it serves, and while answers do not wait. */
const shown = (steps: readonly Step<typeof primaryMachine>[]) =>
  transcript(primaryMachine, input, steps)
    .replaceAll('serving.change.none | ', '').replaceAll('serving.lease.valid | ', '').replaceAll(
      'serving.answers.prompt | ',
      '',
    )
    .replaceAll(' | serving.answers.prompt', '').replaceAll(' | serving.change.none', '')
const stateOf = ({ actor }: ReturnType<typeof run>) => showState(actor.getSnapshot())

test('an epoch: opens, serves, loses a member, takes it in again, lapses', () => {
  const text = shown([
    subscribed,
    lost('n3'),
    lost('n2'),
    changed('n1', 'n2'),
    caughtUp('n3'),
    changed('n1', 'n2', 'n3'),
    lapsed,
  ])
  assert.is(text, golden(`
    opening
      openWrites
    > writesSubscribed
    serving.membership.steady | serving.ingest.open
      acceptWrites
    > memberLost node:n3,reason:n3 is proven dead
    serving.ingest.open | serving.membership.shrinking: n3 is proven dead
      progressed state:changing the in-sync set
      changeInSync inSync:[n1,n2]
    > memberLost node:n2,reason:n2 is proven dead
    serving.ingest.open | serving.membership.shrinking: n3 is proven dead
    > inSyncChanged inSync:[n1,n2]
    serving.ingest.open | serving.membership.steady: n3 is proven dead
    > memberCaughtUp node:n3,reason:n3 has caught up
    serving.ingest.open | serving.membership.expanding: n3 has caught up
      progressed state:changing the in-sync set
      changeInSync inSync:[n1,n2,n3]
    > inSyncChanged inSync:[n1,n2,n3]
    serving.ingest.open | serving.membership.steady: n3 has caught up
    > leaseLapsed reason:no valid grant from n2
    closed: no valid grant from n2
      stepDown`))
})

test('a full journal makes it read-only until it heals', () => {
  const text = shown([subscribed, full, slow, drained, healed])
    .split('\n').slice(2).join('\n')
  assert.is(text, golden(`
    > writesSubscribed
    serving.membership.steady | serving.ingest.open
      acceptWrites
    > journalFull reason:ENOSPC
    serving.membership.steady | serving.ingest.readOnly: ENOSPC
      progressed state:readOnly
      refuseWrites code:READ_ONLY
    > bufferFull reason:the disk does not keep up
    serving.membership.steady | serving.ingest.readOnly: ENOSPC
    > bufferDrained
    serving.membership.steady | serving.ingest.readOnly: ENOSPC
    > journalHealed
    serving.membership.steady | serving.ingest.open: the journal can be written again
      acceptWrites`))
})

test('a disk that does not keep up throttles', () => {
  const text = shown([subscribed, slow, slow, drained, slow, full])
    .split('\n').slice(5).join('\n')
  assert.is(text, golden(`
    > bufferFull reason:the disk does not keep up
    serving.membership.steady | serving.ingest.throttled: the disk does not keep up
      refuseWrites code:OVERLOADED
    > bufferFull reason:the disk does not keep up
    serving.membership.steady | serving.ingest.throttled: the disk does not keep up
    > bufferDrained
    serving.membership.steady | serving.ingest.open: the disk keeps up again
      acceptWrites
    > bufferFull reason:the disk does not keep up
    serving.membership.steady | serving.ingest.throttled: the disk does not keep up
      refuseWrites code:OVERLOADED
    > journalFull reason:ENOSPC
    serving.membership.steady | serving.ingest.readOnly: ENOSPC
      progressed state:readOnly
      refuseWrites code:READ_ONLY`))
})

test('answers wait for room in the loss window', () => {
  const reason = 'the loss window is as large as it may be'
  const text = shown([subscribed, filled, filled, full, cleared])
    .split('\n').slice(5).join('\n')
  assert.is(text, golden(`
    > lossWindowFilled reason:the loss window is as large as it may be
    serving.membership.steady | serving.ingest.open | serving.answers.throttled: ${reason}
      progressed state:throttled
    > lossWindowFilled reason:the loss window is as large as it may be
    serving.membership.steady | serving.ingest.open | serving.answers.throttled: ${reason}
    > journalFull reason:ENOSPC
    serving.membership.steady | serving.answers.throttled | serving.ingest.readOnly: ENOSPC
      progressed state:readOnly
      refuseWrites code:READ_ONLY
    > lossWindowCleared reason:there is room in the loss window
    serving.membership.steady | serving.ingest.readOnly: there is room in the loss window`))
})

test('a handover: writes are held, the target has all, the record names it', () => {
  const text = shown([subscribed, handover, ready, handedOver])
    .split('\n').slice(5).join('\n')
  assert.is(text, golden(`
    > handoverRequested to:n2,reason:drain
    handingOver.draining: drain
      progressed state:handingOver
      pauseWrites
      awaitHandover to:n2
    > handoverReady
    handingOver.transferring: drain
      transfer to:n2
    > handedOver
    closed: handed over
      stepDown`))
  const { output } = run(subscribed, handover, ready, handedOver).actor.getSnapshot()
  assert.equal(output, { reason: 'handed over', handedTo: 'n2' })
})

test('a handover whose target dies before the compare-and-set: it goes on serving', () => {
  const text = shown([subscribed, handover, targetLost])
    .split('\n').slice(5).join('\n')
  assert.is(text, golden(`
    > handoverRequested to:n2,reason:drain
    handingOver.draining: drain
      progressed state:handingOver
      pauseWrites
      awaitHandover to:n2
    > handoverTargetLost reason:n2 died before the handover
    serving.membership.steady | serving.ingest.open: n2 died before the handover
      resumeWrites
      acceptWrites`))
})

test('a handover whose target is too slow', () => {
  const text = shown([
    subscribed,
    handover,
    { after: 'handoverPatience' },
  ]).split('\n').slice(9).join('\n')
  assert.is(text, golden(`
      awaitHandover to:n2
    > after handoverPatience
    serving.membership.steady | serving.ingest.open: the handover target did not catch up in time
      resumeWrites reason:null
      acceptWrites`))
})

test('a journal that fills up while a handover is tried stays read-only after it', () => {
  for (const events of [[full, handover], [handover, full]]) {
    const running = run(subscribed, ...events, targetLost)
    assert.match(stateOf(running), 'serving.ingest.readOnly')
    assert.equal(running.log.at(-1)?.effect, { type: 'refuseWrites', code: 'READ_ONLY',
      reason: 'ENOSPC' })
    running.actor.send(healed)
    assert.match(stateOf(running), 'serving.ingest.open')
  }
  assert.match(stateOf(run(subscribed, full, handover, healed, targetLost)), 'ingest.open')
  assert.match(stateOf(run(full, subscribed)), 'ingest.readOnly', 'while it opens, too')
})

test('from the compare-and-set of a handover on there is no way back to serving', () => {
  const transferring = run(subscribed, handover, ready, targetLost, ready, caughtUp('n3'))
  transferring.clock.advance(60_000)
  assert.is(stateOf(transferring), 'handingOver.transferring')
  transferring.actor.send(refused)
  assert.equal(transferring.actor.getSnapshot().output, { reason: 'the record is at epoch 5 of n2',
    handedTo: null })
})

test('a handover that the arbiter would refuse is given up before it is sent', () => {
  const hinderedRun = run(subscribed, handover, hindered)
  assert.match(stateOf(hinderedRun), 'ingest.open')
  assert.ok(hinderedRun.log.some(({ effect }) => effect.type === 'resumeWrites'))
})

test('no handover while a change of the set is in flight', () => {
  const busy = run(subscribed, lost('n3'), handover)
  assert.match(stateOf(busy), 'membership.shrinking')
  busy.actor.send(changed('n1', 'n2'))
  busy.actor.send(handover)
  assert.is(stateOf(busy), 'handingOver.draining')
})

test('a refused compare-and-set, a lapse, a later epoch end the epoch wherever it is', () => {
  const places: PrimaryEvent[][] = [
    [],
    [subscribed],
    [subscribed, lost('n3')],
    [subscribed, full],
    [subscribed, slow],
    [subscribed, handover],
    [subscribed, handover, ready],
  ]
  for (const events of places) {
    for (const last of [lapsed, deposed, refused]) {
      const ended = run(...events, last)
      assert.is(ended.actor.getSnapshot().value, 'closed')
      const { reason } = last as { reason: string }
      assert.equal(ended.log.at(-1)?.effect, { type: 'stepDown', reason })
      assert.equal(ended.actor.getSnapshot().output, { reason, handedTo: null })
    }
  }
})

test('settings are changed between two changes of the set, and no handover meanwhile', () => {
  const adjusting = run(subscribed, settings, lost('n3'), handover)
  assert.match(stateOf(adjusting), 'membership.adjusting')
  assert.equal(adjusting.log.at(-1)?.effect, { type: 'changeRecord' })
  adjusting.actor.send(changed('n1', 'n2', 'n3'))
  assert.match(stateOf(adjusting), 'membership.steady')
  assert.match(stateOf(run(subscribed, lost('n3'), settings)), 'membership.shrinking')
})

test('a member is replaced: the new one comes in, then the old one leaves', () => {
  const text = shown([
    subscribed,
    seen({ add: 'n4', remove: 'n3' }),
    leaves('n3'),
    caughtUp('n4'),
    changed('n1', 'n2', 'n3', 'n4'),
    seen({ remove: 'n3' }),
    leaves('n2'),
    leaves('n3'),
    changed('n1', 'n2', 'n4'),
    seen(null),
  ]).split('\n').slice(5).join('\n')
  assert.is(text, golden(`
    > changeSeen change:{add:n4,remove:n3},reason:ordered
    serving.membership.steady | serving.ingest.open | serving.change.adding: ordered
      progressed state:adding a member
    > memberLeaves node:n3,reason:n3 is to leave, and may
    serving.membership.steady | serving.ingest.open | serving.change.adding: ordered
    > memberCaughtUp node:n4,reason:n4 has caught up
    serving.ingest.open | serving.change.adding | serving.membership.expanding: n4 has caught up
      progressed state:changing the in-sync set
      changeInSync inSync:[n1,n2,n3,n4]
    > inSyncChanged inSync:[n1,n2,n3,n4]
    serving.ingest.open | serving.change.adding | serving.membership.steady: n4 has caught up
    > changeSeen change:{remove:n3},reason:ordered
    serving.ingest.open | serving.membership.steady | serving.change.removing: ordered
      progressed state:a member is to leave
    > memberLeaves node:n2,reason:n2 is to leave, and may
    serving.ingest.open | serving.membership.steady | serving.change.removing: ordered
    > memberLeaves node:n3,reason:n3 is to leave, and may
    serving.ingest.open | serving.change.removing | serving.membership.removing: n3 is to leave, and may
      progressed state:removing a member
      removeMember node:n3
    > inSyncChanged inSync:[n1,n2,n4]
    serving.ingest.open | serving.change.removing | serving.membership.steady: n3 is to leave, and may
    > changeSeen change:null,reason:ordered
    serving.ingest.open | serving.membership.steady: ordered`))
})

test('a change that is seen while it hands over is shown afterwards', () => {
  const running = run(subscribed, handover, seen({ remove: 'n3' }), targetLost)
  assert.match(stateOf(running), 'serving.change.removing')
})

test('only listed members are lost, only others come in', () => {
  for (const event of [lost('n9'), caughtUp('n2')]) {
    assert.match(stateOf(run(subscribed, event)), 'membership.steady')
  }
})

test('every state is reached', () => {
  assertCovered({
    machine: primaryMachine,
    input: { ...input, inSync: ['n1', 'n2'] },
    events: [
      subscribed,
      lost('n2'),
      caughtUp('n3'),
      changed('n1', 'n2'),
      lapsed,
      full,
      healed,
      slow,
      drained,
      filled,
      cleared,
      settings,
      seen({ add: 'n3' }),
      seen({ remove: 'n2' }),
      leaves('n2'),
      handover,
      ready,
      targetLost,
      hindered,
      handedOver,
    ],
  })
})

test('every event is handled, or ignored for a reason', () => {
  const again = 'judged again at the next heartbeat, while it serves'
  const steps = ['handoverReady', 'handoverTargetLost', 'handoverHindered', 'handedOver']
  assertHandled({
    machine: primaryMachine,
    events: [
      'writesSubscribed',
      'leaseLapsed',
      'deposed',
      'journalFull',
      'journalHealed',
      'bufferFull',
      'bufferDrained',
      'lossWindowFilled',
      'lossWindowCleared',
      'memberLost',
      'memberCaughtUp',
      'memberLeaves',
      'changeRequested',
      'inSyncChanged',
      'changeSeen',
      'compareAndSetRefused',
      'handoverRequested',
      ...steps,
    ],
    ignoreTable: [
      { state: '', events: ['writesSubscribed'], reason: 'sent once, while it opens' },
      ...['opening', 'handingOver', 'serving'].map((state) => ({ state,
        events: ['bufferFull', 'bufferDrained'], reason: again })
      ),
      ...['opening', 'handingOver', 'serving'].map((state) => ({ state,
        events: ['lossWindowFilled', 'lossWindowCleared'], reason: again })
      ),
      ...['opening', 'handingOver', 'serving'].map((state) => ({ state,
        events: ['memberLost', 'memberCaughtUp', 'memberLeaves'], reason: again })
      ),
      ...['opening', 'handingOver', 'serving'].map((state) => ({ state, events: ['changeRequested'],
        reason: 'asked again, while there is time' })
      ),
      { state: '', events: ['inSyncChanged'], reason: 'the outcome of one change in flight' },
      { state: 'opening', events: ['handoverRequested'], reason: 'it does not serve yet: refused' },
      { state: 'handingOver', events: ['handoverRequested'], reason: 'one at a time: refused' },
      { state: '', events: steps, reason: 'of a handover that is not under way (any more)' },
    ],
  })
})

test.run()
