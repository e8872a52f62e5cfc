/** Waiters for a sequence: released in order, or refused when their time is over. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SequenceWaiters } from '../../../actors/log/sequenceWaiters.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('sequence waiters')

function kit() {
  const clock = new VirtualClock()
  const waiters = new SequenceWaiters(clock)
  const calls: string[] = []
  const add = (name: string, sequence: number, waitMs: number): void =>
    waiters.add(sequence, waitMs, (isReached) =>
      void calls.push(`${name} ${isReached ? 'reached' : 'late'} ${clock.monotonicMs()}`))
  return { clock, waiters, calls, add }
}

test('each is released once: when its sequence is reached, or when its time is over', () => {
  const { clock, waiters, calls, add } = kit()
  add('a', 5, 100)
  add('b', 3, 300)
  add('c', 4, 200)
  add('d', 9, 50)
  waiters.reach(2)
  clock.advance(40)
  waiters.reach(4)
  assert.equal(calls, ['b reached 40', 'c reached 40'])
  clock.advance(1000)
  assert.equal(calls.slice(2), ['d late 50', 'a late 100'])
  waiters.reach(100)
  assert.equal([calls.length, waiters.size, clock.pending], [4, 0, 0])
})

test('at the end all are released, and later ones at once', () => {
  const { clock, waiters, calls, add } = kit()
  add('a', 5, 1000)
  add('b', 3, 2000)
  waiters.reach(3)
  waiters.stop()
  add('c', 4, 1000)
  assert.equal(calls, ['b reached 0', 'a late 0', 'c late 0'])
  clock.advance(5000)
  assert.equal([calls.length, waiters.size, clock.pending], [3, 0, 0])
})

test('ten thousand wait on one timer, and some are released in each turn', () => {
  const { clock, waiters, calls, add } = kit()
  const count = 10_000
  for (let index = 0; index < count; index += 1) add('x', 1_000_000, 1000)
  assert.is(clock.pending, 1)
  clock.advance(999)
  assert.is(calls.length, 0)
  let turns = 0
  const nextTurn = clock.nextTurn.bind(clock)
  clock.nextTurn = (run) => {
    turns += 1
    nextTurn(run)
  }
  clock.advance(1)
  assert.equal([calls.length, waiters.size, clock.pending], [count, 0, 0])
  assert.ok(turns >= 30, `${turns} turns of the event loop`)
  for (let index = 0; index < count; index += 1) add('y', 7, 1000)
  waiters.reach(7)
  assert.ok(calls.length < count + 1000, 'not all in one go')
  clock.advance(0)
  assert.is(calls.length, 2 * count)
})

test('one that begins to wait while others are released has its turn, too', () => {
  const { clock, waiters, calls, add } = kit()
  waiters.add(3, 100, () => add('after', 3, 100))
  waiters.reach(3)
  clock.advance(0)
  assert.equal(calls, ['after reached 0'])
})

test.run()
