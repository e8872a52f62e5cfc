/** Two builds, compared by pairs. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { comparisonTable, ownGoesFirst, ratioOf } from '../../bench/pairs.js'
import type { Pair } from '../../bench/pairs.js'

const test = suite('pairs')

const pair = (own: number, other: number): Pair => ({ own: { x: own }, other: { x: other } })

test('A B B A: each goes first as often as the other', () => {
  assert.equal([0, 1, 2, 3].map(ownGoesFirst), [true, false, true, false])
})

test('the median of the ratios of pairs, not the ratio of the medians', () => {
  // The machine gets slower by the minute, and this checkout needs half as much in each of them.
  const drifting = [pair(10, 20), pair(50, 100), pair(90, 180)]
  assert.equal(ratioOf(drifting, 'x'), {
    own: 50,
    other: 100,
    median: 0.5,
    low: 0.5,
    high: 0.5,
    lower: 3,
    pairs: 3,
  })
  const mixed = ratioOf([pair(1, 10), pair(20, 10), pair(60, 20)], 'x')
  assert.is(mixed.median, 2)
  assert.is(mixed.lower, 1)
})

test('quartiles lie between the values beside them', () => {
  const { low, high } = ratioOf([1, 2, 3, 4].map((n) => pair(n, 1)), 'x')
  assert.equal([low, high], [1.75, 3.25])
})

test('pairs of which a value is unknown or zero are left out', () => {
  const { pairs, median } = ratioOf([pair(NaN, 1), pair(1, 0), pair(3, 1)], 'x')
  assert.equal([pairs, median], [1, 3])
  assert.is(ratioOf([], 'x').pairs, 0)
})

test('the table: a row for each measure of each scene', () => {
  const text = comparisonTable({
    commit: '1a2b3c4 some change',
    seconds: 2,
    warmSeconds: 20,
    scenes: { idle: [pair(5, 10)], paced: [pair(3000, 2000), pair(3000, 2000)] },
  })
  assert.match(text, '1a2b3c4 some change')
  assert.match(text, '| idle: x | 5.00 | 10.0 | 0.50 | 0.50–0.50 | 1 of 1 |')
  assert.match(text, '| 200/s: x | 3,000 | 2,000 | 1.50 | 1.50–1.50 | 0 of 2 |')
})

test.run()
