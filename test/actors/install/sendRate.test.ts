import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SendRate } from '../../../actors/install/sendRate.js'
import { VirtualClock } from '../../fakes/virtualClock.js'

const test = suite('actors/install/sendRate')
const MiB = 1024 * 1024

function rated(installBytesPerSecond: number) {
  const clock = new VirtualClock()
  const state = { loopDelayMs: 0, bufferedBytes: 0 }
  const rate = new SendRate({ ports: { clock }, settings: { installBytesPerSecond }, peers: state,
    wire: state })
  const seconds = (count: number) => {
    for (let tick = 0; tick < count * 10; tick += 1) {
      clock.advance(100)
      rate.tick()
    }
  }
  return { clock, state, rate, seconds }
}

test('at a given rate each piece waits for those before it', () => {
  const { clock, rate } = rated(1000)
  assert.equal([rate.take(500), rate.take(500), rate.take(100)], [0, 500, 1000])
  clock.advance(2000)
  assert.is(rate.take(500), 0, 'time that was not used is not made up for')
})

test('without one it is halved while the node is late, and comes back by tenths', () => {
  const { state, rate, seconds } = rated(0)
  assert.is(rate.now, 32 * MiB)
  state.loopDelayMs = 6
  seconds(2)
  assert.is(rate.now, 8 * MiB)
  seconds(5)
  assert.is(rate.now, 4 * MiB)
  state.loopDelayMs = 0
  seconds(1)
  assert.is(Math.round(rate.now / MiB * 10), 44)
  seconds(60)
  assert.is(rate.now, 32 * MiB)
  state.bufferedBytes = MiB + 1
  seconds(1)
  assert.is(rate.now, 16 * MiB)
})

test.run()
