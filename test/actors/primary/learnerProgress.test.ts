import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../../actors/member/member.js'
import type { Reached } from '../../../actors/primary/followerStatus.js'
import { LearnerProgress } from '../../../actors/primary/learnerProgress.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('progress of a learner')

const patienceMs = 10_000

function learning() {
  const clock = new VirtualClock()
  const known = {
    record: {
      assignment: { members: [{ node: 'n1', disk: 'd1' }],
        change: { add: 'n2', since: '1', by: 'ann' } as object | undefined },
    },
    arbiter: 'reachable',
    rejection: null as string | null,
  }
  const peers = { names: () => ['n1', 'n2'], living: () => ['n1', 'n2'] }
  const member = { known, context: { peers, ports: { clock } } } as unknown as Member
  let reached: Reached = { acked: 0, applied: 0, checkpoint: null, bytes: 0, records: 0 }
  const progress = new LearnerProgress(member, { reached: () => reached })
  progress.tick()
  const after = (ms: number, now: Partial<Reached> = {}) => {
    clock.advance(ms)
    reached = { ...reached, ...now }
    progress.tick()
    return progress.isStuckFor(patienceMs)
  }
  return { after, known }
}

test('it is stuck when it has got no further for that long', () => {
  const { after } = learning()
  assert.is(after(patienceMs - 1), false)
  assert.is(after(1), true)
  assert.is(after(1, { acked: 5 }), false)
  assert.is(after(patienceMs - 1), false)
  assert.is(after(1, { applied: 1 }), false)
  assert.is(after(patienceMs), true)
})

test('to get as far as before is no progress', () => {
  const { after } = learning()
  assert.is(after(0, { acked: 5 }), false)
  assert.is(after(patienceMs / 2, { acked: 0 }), false)
  assert.is(after(patienceMs / 2, { acked: 5 }), true, 'another session')
  assert.is(after(0, { acked: 6 }), false)
})

test('an install goes on for hours, and may be begun anew', () => {
  const { after } = learning()
  for (let bytes = 0; bytes < 100; bytes += 1) {
    assert.is(after(patienceMs - 1, { checkpoint: 'a', bytes }), false)
  }
  assert.is(after(patienceMs - 1, { checkpoint: null, bytes: 0 }), false, 'not heard of')
  assert.is(after(1, { checkpoint: 'a', bytes: 99 }), true, 'it is where it was')
  assert.is(after(0, { checkpoint: 'b', bytes: 0 }), true, 'nothing of it is there yet')
  assert.is(after(0, { bytes: 1 }), false)
  assert.is(after(patienceMs - 1, { records: 1 }), false, 'it is loaded')
  assert.is(after(patienceMs), true)
})

test('the time begins anew with another change, and while anything else is wrong', () => {
  const { after, known } = learning()
  assert.is(after(patienceMs), true)
  known.rejection = 'no room'
  assert.is(after(1), false)
  assert.is(after(patienceMs), false)
  known.rejection = null
  assert.is(after(patienceMs), true)
  known.record.assignment.change = { add: 'n2', since: '2', by: 'ann' }
  assert.is(after(1), false)
  assert.is(after(patienceMs), true)
  known.record.assignment.change = { remove: 'n1', since: '2', by: 'ann' }
  assert.is(after(patienceMs), false, 'there is no learner')
})

test.run()
