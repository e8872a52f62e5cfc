/** Ticks of the axes of the plots. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { inBytes, inCounts, inTime } from '../../../runtime/page/model/ticks.js'
import type { Unit } from '../../../runtime/page/model/ticks.js'

const test = suite('page ticks')

/** Height of a plot, and the room that a tick needs, in pixels, as plot.tsx has them. */
const height = 140
const room = 30

/** Values at the ticks of an axis from 0, as uPlot chooses them. */
function ticksOf({ steps }: Unit, top: number): number[] {
  const step = steps.find((one) => height * one / top >= room)
  assert.ok(step !== undefined, `ticks up to ${top}`)
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step)
}

const tops = Array.from({ length: 500 }, (_, index) => 1.15 * 1.05 ** index)
  .filter((top) => top < 1e10)

test('no two ticks of an axis read the same', () => {
  for (const unit of [inCounts, inBytes, inTime]) {
    for (const top of tops) {
      const texts = ticksOf(unit, top).map(unit.text)
      assert.equal([...new Set(texts)], texts, `up to ${top}`)
      assert.ok(texts.length > 1, `up to ${top}`)
    }
  }
})

test('ticks of counts and of bytes are whole', () => {
  for (const unit of [inCounts, inBytes]) {
    for (const top of tops) assert.ok(ticksOf(unit, top).every(Number.isInteger), `up to ${top}`)
  }
  assert.equal(ticksOf(inCounts, 1.15).map(inCounts.text), ['0', '1'])
})

test.run()
