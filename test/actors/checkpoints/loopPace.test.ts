import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LoopPace } from '../../../actors/checkpoints/loopPace.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('pace of long work')

/** Time that passes for that many slices, each of which takes `workMs`; rests take `busyMs` more. */
async function taken(
  slices: number,
  workMs: number,
  { bytes = 1, duty = 0.1, bytesPerSecond = 1e9, checkMs = 0, diskMs = 0, busyMs = 0 } = {},
): Promise<number> {
  const clock = new VirtualClock()
  const { setTimeout, nextTurn } = clock
  clock.setTimeout = (run, ms) => setTimeout.call(clock, run, ms + busyMs)
  clock.nextTurn = (run) =>
    busyMs === 0 ? nextTurn.call(clock, run) : void setTimeout.call(clock, run, busyMs)
  const pace = new LoopPace({ clock, duty: () => duty, bytesPerSecond,
    check: async () => clock.advance(checkMs) })
  const begun = clock.monotonicMs()
  let done = false
  const work = (async () => {
    for (let n = 0; n < slices; n += 1) {
      pace.begin()
      clock.advance(workMs)
      pace.end()
      clock.advance(diskMs)
      await pace.rest(bytes)
    }
    done = true
  })()
  while (!done) await clock.advanceAsync(1)
  await work
  return clock.monotonicMs() - begun
}

test('a slice is followed by a rest that leaves its share of the loop', async () => {
  const ms = await taken(100, 1)
  assert.ok(ms > 900 && ms < 1150, `${ms} ms for 100 ms of work at 10 %`)
  const late = await taken(100, 1, { duty: 0.3 })
  assert.ok(late > 300 && late < 450, `${late} ms at 30 %`)
})

test('short slices add up, and a long one does not make the rest long', async () => {
  const short = await taken(1000, 0.05)
  assert.ok(short > 400 && short < 650, `${short} ms for 50 ms of work`)
  const slow = await taken(10, 100)
  assert.ok(slow > 1100 && slow < 1300, `${slow} ms for 1,000 ms, rests of 20`)
})

test('on a busy loop, too: some slices in one turn, of 3 ms at most', async () => {
  const ms = await taken(100, 1, { busyMs: 12 })
  assert.ok(ms > 950 && ms < 1250, `${ms} ms for 100 ms of work at 10 %`)
  const hurried = await taken(100, 1, { duty: 0.8, busyMs: 12 })
  assert.ok(hurried > 480 && hurried < 550, `${hurried} ms: 3 slices and 12 ms, again and again`)
  const slow = await taken(100, 2, { duty: 0.8, busyMs: 12 })
  assert.ok(slow > 1350 && slow < 1500, `${slow} ms: two slices would be more than 3 ms`)
})

test('bytes have a limit of their own', async () => {
  const ms = await taken(100, 0.1, { bytes: 100_000, bytesPerSecond: 10_000_000 })
  assert.ok(ms > 950 && ms < 1100, `${ms} ms for 10 MB at 10 MB/s`)
})

test('waits for the disk are no work of the loop', async () => {
  const written = await taken(100, 1, { diskMs: 2 })
  assert.ok(written > 1100 && written < 1350, `${written} ms, with 200 ms of writes`)
  const ms = await taken(100, 1, { checkMs: 2 })
  assert.ok(ms > 1100 && ms < 1350, `${ms} ms for 100 ms of work at 10 %, and 200 ms of waits`)
})

test('the check ends the work', async () => {
  const clock = new VirtualClock()
  const pace = new LoopPace({ clock, duty: () => 0.1, bytesPerSecond: 1,
    check: () => Promise.reject(new Error('enough')) })
  pace.begin()
  pace.end()
  try {
    await pace.rest(1)
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'enough')
  }
})

test.run()
