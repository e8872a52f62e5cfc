import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import fc from 'fast-check'
import { clockOfReign } from '../../machines/vectorClock.js'
import type { VectorClock } from '../../machines/vectorClock.js'

const test = suite('machines/vectorClock')

test('the worked example', () => {
  const ofN2 = clockOfReign({ n1: 1 }, 'n2', 2)
  assert.equal(ofN2, { n1: 1, n2: 268_435_456 }, 'before its first entry')
  assert.equal(clockOfReign({ ...ofN2, n2: ofN2['n2']! + 1 }, 'n1', 3),
    { n1: 536_870_912, n2: 268_435_457 })
  assert.equal(clockOfReign({}, 'n1', 1), {})
})

/** Each reign begins at some entry of an earlier one, and writes some: a history with forks. */
const reigns = fc.array(fc.record({
  node: fc.constantFrom('n1', 'n2', 'n3'), after: fc.nat(1000),
  count: fc.integer({ min: 1, max: 6 }), skipped: fc.nat(3),
}), { maxLength: 12 })

test('no number stands for two entries; along a log clocks grow', () => {
  fc.assert(fc.property(reigns, (plan) => {
    const clocks: VectorClock[] = []
    const numbers = new Set<string>()
    let epoch = 0
    for (const { node, after, count, skipped } of plan) {
      epoch += 1 + skipped
      let before = clocks[after % (clocks.length + 1)] ?? {}
      let clock = clockOfReign(before, node, epoch)
      for (let i = 0; i < count; i += 1) {
        clock = { ...clock, [node]: (clock[node] ?? 0) + 1 }
        for (const [name, number] of Object.entries(before)) assert.ok(clock[name]! >= number)
        assert.ok(clock[node]! > (before[node] ?? 0))
        numbers.add(`${node} ${clock[node]}`)
        clocks.push(clock)
        before = clock
      }
    }
    assert.is(numbers.size, clocks.length)
  }))
})

test.run()
