/** Timestamps of entries while wall clocks jump. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LogClock } from '../../../actors/log/logClock.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('log clock')

const hourMs = 3_600_000

function kit() {
  const clock = new VirtualClock(1_700_000_000_000)
  const log = new LogClock(clock, clock.wallMs(), clock.monotonicMs())
  /** The advance of the next entry's timestamp over the true time. */
  const ahead = (trueMs: number) => log.next() - trueMs
  return { clock, log, ahead }
}

test('while nothing jumps, timestamps are the wall clock\'s, however many come at once', () => {
  const { clock, log } = kit()
  for (let i = 0; i < 1000; i += 1) {
    if (i % 10 === 0) clock.advance(0.3)
    assert.is(log.next(), Math.floor(clock.wallMs()))
  }
  clock.advance(5 * hourMs)
  assert.is(log.next(), clock.wallMs(), 'after a long pause, too')
})

test('a clock that is set forward is followed at double speed, also by 1,000 writes a second', () => {
  const { clock, ahead } = kit()
  clock.advance(10 * hourMs)
  ahead(0)
  let trueMs = clock.wallMs()
  clock.jumpWall(25 * hourMs)
  for (let i = 0; i < 60_000; i += 1) {
    clock.advance(1)
    trueMs += 1
    const by = ahead(trueMs)
    assert.ok(by >= 0 && by <= i + 1, `${by} ms ahead after ${i + 1} ms: no credit of before`)
  }
  assert.is(ahead(trueMs), 60_000)
})

test('a small step is made up for within the time that it was large', () => {
  const { clock, log } = kit()
  log.next()
  clock.jumpWall(5000)
  clock.advance(4999)
  assert.ok(log.next() < clock.wallMs())
  clock.advance(2)
  assert.is(log.next(), clock.wallMs())
})

test('a clock that is set back holds timestamps where they are, until it is there again', () => {
  const { clock, log } = kit()
  clock.advance(1000)
  const last = log.next()
  clock.jumpWall(-hourMs)
  clock.advance(1000)
  assert.is(log.next(), last)
  clock.advance(hourMs - 1001)
  assert.is(log.next(), last)
  clock.advance(2)
  assert.is(log.next(), last + 1)
})

test('forward for ten minutes and back: ten minutes ahead, and level ten minutes later', () => {
  const { clock, log } = kit()
  clock.jumpWall(25 * hourMs)
  clock.advance(600_000)
  log.next()
  clock.jumpWall(-25 * hourMs)
  assert.is(log.next() - clock.wallMs(), 600_000)
  clock.advance(600_000)
  assert.is(log.next(), clock.wallMs())
})

test.run()
