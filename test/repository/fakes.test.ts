import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SystemClock } from '../../runtime/system/clock.js'
import { SystemRandom } from '../../runtime/system/random.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { VirtualClock } from '../fakes/virtualClock.js'

const test = suite('clock and chance')

const uuidRule = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const draw = (random: SeededRandom) => Array.from({ length: 5 }, () => random.next())

test('the virtual clock steps from deadline to deadline', () => {
  const clock = new VirtualClock()
  const seen: number[] = []
  const loop = (): void => {
    seen.push(clock.monotonicMs())
    clock.setTimeout(loop, 100)
  }
  clock.setTimeout(loop, 100)
  clock.advance(1_000)
  assert.equal(seen, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000])
  assert.is(clock.nextDueMs(), 1_100)
})

test('timers run by due time, then in the order they were set; cleared ones do not', () => {
  const clock = new VirtualClock()
  const random = new SeededRandom(7)
  const seen: [number, number][] = []
  const timers = Array.from({ length: 500 }, (_, index) => {
    const ms = random.integer(40)
    return clock.setTimeout(() => seen.push([ms, index]), ms)
  })
  timers.forEach((timer, index) => index % 3 === 0 && clock.clearTimeout(timer))
  clock.advance(40)
  const sorted = seen.toSorted((one, other) => one[0] - other[0] || one[1] - other[1])
  assert.equal(seen, sorted)
  assert.is(seen.length, 333)
  assert.is(clock.pending, 0)
})

test('the wall clock jumps alone', () => {
  const clock = new VirtualClock(1_000)
  clock.jumpWall(-400)
  clock.advance(50)
  assert.equal([clock.wallMs(), clock.monotonicMs()], [650, 50])
})

test('advanceAsync lets promises run between the timers', async () => {
  const clock = new VirtualClock()
  const seen: number[] = []
  const sleep = (ms: number) => new Promise<void>((resolve) => void clock.setTimeout(resolve, ms))
  void (async () => {
    for (let times = 0; times < 3; times += 1) {
      await sleep(10)
      seen.push(clock.monotonicMs())
    }
  })()
  await clock.advanceAsync(100)
  assert.equal(seen, [10, 20, 30])
})

test('the seeded generator repeats itself, and forks differ', () => {
  assert.equal(draw(new SeededRandom(1)), draw(new SeededRandom(1)))
  assert.not.equal(draw(new SeededRandom(1)), draw(new SeededRandom(2)))
  assert.not.equal(draw(new SeededRandom(1).fork('a')), draw(new SeededRandom(1).fork('b')))
})

for (const random of [new SeededRandom(42), new SystemRandom()]) {
  test(`${random.constructor.name}: [0, 1), spread evenly, uuids of version 4`, () => {
    const buckets = Array.from({ length: 10 }, () => 0)
    for (let times = 0; times < 20_000; times += 1) {
      const value = random.next()
      assert.ok(value >= 0 && value < 1)
      const bucket = Math.floor(value * 10)
      buckets[bucket] = (buckets[bucket] ?? 0) + 1
    }
    assert.ok(buckets.every((times) => times > 1_700 && times < 2_300), String(buckets))
    const uuids = new Set(Array.from({ length: 1_000 }, () => random.uuid()))
    assert.is(uuids.size, 1_000)
    for (const uuid of uuids) assert.match(uuid, uuidRule)
  })
}

test('the system clock takes long delays', async () => {
  const clock = new SystemClock()
  const long = clock.setTimeout(() => assert.unreachable('at once'), 2 ** 40)
  await new Promise<void>((resolve) => void clock.setTimeout(resolve, 5))
  clock.clearTimeout(long)
  assert.ok(clock.monotonicMs() > 0 && clock.wallMs() > 1.6e12)
})

test.run()
