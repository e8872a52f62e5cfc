import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ClockWatch } from '../../machines/protocol/clockWatch.js'

const test = suite('machines/clockWatch')

/** Peers whose clocks are ahead of mine by so much; `lateMs`: on its way, of both. */
function watch(aheadMs: readonly (number | null)[], lateMs = 1) {
  const clocks = new ClockWatch()
  const nowMs = 1_700_000_000_000
  aheadMs.forEach((ms, index) => {
    const sentAt = ms === null ? undefined : nowMs - lateMs + ms
    clocks.heard(`n${index + 2}`, sentAt, nowMs, lateMs * 2)
  })
  const offset = () => clocks.offsetMs(aheadMs.map((_, index) => `n${index + 2}`))
  return { clocks, offset, nowMs }
}

test('as far as is sure: what is late on its way accuses nobody', () => {
  assert.is(watch([0, 0]).offset(), 0)
  assert.is(watch([0], 60_000).offset(), 0)
  assert.is(watch([8000], 1).offset(), 7999)
  assert.is(watch([8000], 3000).offset(), 5000)
  assert.is(watch([-8000], 3000).offset(), -5000)
  assert.is(watch([]).offset(), null)
  assert.is(watch([null, null]).offset(), null, 'older nodes')
})

test('the odd one out is off, and not who has one that agrees', () => {
  assert.ok(watch([9000, 9500]).offset()! > 8000)
  assert.ok(Math.abs(watch([9000, 1]).offset()!) < 10)
  assert.ok(Math.abs(watch([9000, -9000, 2, 1]).offset()!) < 10)
  assert.ok(watch([9000, 9000, 9000, 1]).offset()! > 8000)
  assert.ok(watch([9000, null]).offset()! > 8000)
})

test('raised above five seconds, cleared below half of that', () => {
  const { clocks } = watch([])
  assert.equal([4999, 5001, 4000, 2501, 2499, 4999, -5001, null].map((ms) => clocks.judge(ms)), [
    false,
    true,
    true,
    true,
    false,
    false,
    true,
    false,
  ])
})

test('a peer that has gone is left out', () => {
  const { clocks, offset } = watch([9000, 9000])
  assert.is(clocks.offsetMs([]), null)
  clocks.forget('n2')
  clocks.forget('n3')
  assert.is(offset(), null)
})

test.run()
