/** Work in slices: lanes, their bounds, and how long one turn of the event loop takes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { WorkQueue } from '../../../actors/structures/workQueue.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('work queue')

/** Each step takes a while: time that the loop of a real node would be held up for. */
class BusyClock extends VirtualClock {
  busyMs = 0
  turns = 0

  override monotonicMs(): number {
    return super.monotonicMs() + this.busyMs
  }

  override nextTurn(run: () => void): void {
    super.nextTurn(() => {
      this.turns += 1
      run()
    })
  }
}

function kit() {
  const clock = new BusyClock()
  const state = { isCongested: false }
  const failed: string[] = []
  const queue = new WorkQueue({
    clock,
    sliceMs: 3,
    isCongested: () => state.isCongested,
    onFailed: (error) => void failed.push(String(error)),
  })
  return { clock, queue, state, failed }
}

test('a slice ends when its time is over; nothing is done before the next turn', () => {
  const { clock, queue } = kit()
  const lane = queue.lane({ bytesMax: 0, openMax: 1 })
  const turnOf: number[] = []
  for (let step = 0; step < 10; step += 1) {
    lane.push(() => {
      clock.busyMs += 1
      turnOf.push(clock.turns)
    })
  }
  assert.equal(turnOf, [], 'who pushes goes on first')
  clock.advance(0)
  assert.equal(turnOf, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4])
})

test('a step that throws is reported, and stops no other', async () => {
  const { clock, queue, failed } = kit()
  const lane = queue.lane({ bytesMax: 0, openMax: 1 })
  const done: string[] = []
  lane.push(() => {
    throw new Error('a bug')
  })
  lane.push(() => void done.push('after it'))
  lane.push(() => Promise.reject(new Error('a later bug')))
  lane.push(() => void done.push('after both'))
  await clock.advanceAsync(1)
  assert.equal(failed, ['Error: a bug', 'Error: a later bug'])
  assert.equal(done, ['after it', 'after both'])
})

test('a step that is long can end early, and go on as another one', () => {
  const { clock, queue } = kit()
  const lane = queue.lane({ bytesMax: 0, openMax: 1 })
  const pieces: number[] = []
  let left = 8
  const work = (): void => {
    for (; left > 0; left -= 1) {
      if (queue.isSliceOver) return lane.push(work)
      clock.busyMs += 1
      pieces.push(clock.turns)
    }
  }
  lane.push(work)
  clock.advance(0)
  assert.equal(pieces, [1, 1, 1, 2, 2, 2, 3, 3])
})

test('lanes take turns: one that is full of work does not hold up the others', () => {
  const { clock, queue } = kit()
  const order: string[] = []
  const [reads, status] = ['r', 's'].map(() => queue.lane({ bytesMax: 0, openMax: 1 }))
  for (let step = 0; step < 6; step += 1) reads!.push(() => void order.push(`r${step}`))
  for (let step = 0; step < 2; step += 1) status!.push(() => void order.push(`s${step}`))
  clock.advance(0)
  assert.is(order.join(' '), 'r0 s0 r1 s1 r2 r3 r4 r5')
})

test('a bounded number of bytes is let in, and no more until some have left', () => {
  const { queue } = kit()
  const lane = queue.lane({ bytesMax: 100, openMax: 1 })
  assert.equal([lane.enter(60), lane.enter(41), lane.enter(40), lane.enter(1)], [true, false, true,
    false])
  lane.leave(60)
  assert.equal([lane.enter(61), lane.enter(60)], [false, true])
})

test('while answers have not left, nothing is added to them', async () => {
  const { clock, queue, state } = kit()
  const lane = queue.lane({ bytesMax: 0, openMax: 1 })
  let done = 0
  const step = (): void => {
    done += 1
    state.isCongested = done === 2
  }
  for (let count = 0; count < 4; count += 1) lane.push(step)
  clock.advance(50)
  assert.is(done, 2)
  state.isCongested = false
  clock.advance(10)
  assert.is(done, 4)
})

test('steps that wait for something: a bounded number at a time, and the others go on', async () => {
  const { clock, queue } = kit()
  const lane = queue.lane({ bytesMax: 0, openMax: 2 })
  const other = queue.lane({ bytesMax: 0, openMax: 1 })
  const opened: (() => void)[] = []
  for (let count = 0; count < 3; count += 1) {
    lane.push(() => new Promise<void>((resolve) => opened.push(resolve)))
  }
  let others = 0
  for (let count = 0; count < 5; count += 1) other.push(() => void (others += 1))
  await clock.advanceAsync(10)
  assert.equal([opened.length, others], [2, 5])
  opened[0]!()
  await clock.advanceAsync(10)
  assert.is(opened.length, 3)
})

test.run()
