/** The epoch in which a member is primary: what it has while it lasts, and what remains of it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { OwnEpoch } from '../../../actors/member/ownEpoch.js'
import type { StartedEpoch } from '../../../actors/member/startedEpoch.js'
import { Lease } from '../../../actors/membership/lease.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const grants = { grantLeftMs: () => 2000, grantStretch: () => 1 }
const test = suite('own epoch')

const started: StartedEpoch = {
  sequence: 8,
  timestamp: 70,
  atMs: 0,
  start: { epoch: 1, sequence: 7 },
  forks: [],
  component: 'n1',
  clock: {},
}

function held(): { lease: Lease; lapses: string[] } {
  const lapses: string[] = []
  const lease = new Lease('n1', new VirtualClock(), grants, (reason) => lapses.push(reason))
  lease.begin(['n1', 'n2'])
  return { lease, lapses }
}

test('start and lease belong to the epoch: a step down ends all three at once', () => {
  const own = new OwnEpoch()
  const { lease, lapses } = held()
  own.begin(2)
  assert.equal([own.epoch, own.started, own.lease, own.endedEpoch], [2, null, null, 0])
  own.noteStarted(started)
  own.hold(lease)
  // Opened with the record of its claim.
  own.begin(2)
  assert.equal([own.epoch, own.started?.sequence, own.lease === lease], [2, 8, true])
  own.stepDown('the bus is lost')
  assert.equal([own.epoch, own.started, own.lease, own.endedEpoch], [0, null, null, 2])
  own.stepDown('once more')
  assert.equal(lapses, ['the bus is lost'])
})

test('whoever hears of the lapse sees no epoch any more', () => {
  const own = new OwnEpoch()
  const seen: number[] = []
  const lease = new Lease('n1', new VirtualClock(), grants, () => seen.push(own.epoch))
  lease.begin(['n2'])
  own.begin(3)
  own.hold(lease)
  own.stepDown('over')
  assert.equal(seen, [0])
})

test('an epoch that is over never begins again', () => {
  const own = new OwnEpoch()
  own.begin(5)
  own.stepDown('over')
  assert.throws(() => own.begin(5), /epoch 5 was ended before/)
  assert.throws(() => own.begin(4), /epoch 4 was ended before/)
  own.begin(6)
  assert.equal([own.epoch, own.started, own.lease], [6, null, null], 'with nothing of the former')
})

test('without an epoch there is no start and no lease to note', () => {
  const own = new OwnEpoch()
  assert.throws(() => own.noteStarted(started), /no epoch of this member has begun/)
  assert.throws(() => own.hold(held().lease), /no epoch of this member has begun/)
})

test.run()
