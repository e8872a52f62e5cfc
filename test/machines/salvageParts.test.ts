import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { spansBetween } from '../../machines/log/positions.js'
import { contains, lengthOf, missingCount, missingRanges,
  partsOf } from '../../machines/log/salvageParts.js'
import type { SalvageExtent } from '../../machines/log/salvageParts.js'

const test = suite('machines/salvageParts')

const at = (epoch: number, sequence: number) => ({ epoch, sequence })
const spans = [{ epoch: 2, last: 20 }, { epoch: 3, last: 30 }, { epoch: 4, last: 33 }]

test('a salvage that misses nothing has all after the common point', () => {
  const whole = { common: at(2, 10), spans }
  assert.equal(partsOf(whole, 2), { missing: null, kept: { first: 11, last: 20 } })
  assert.equal(partsOf(whole, 3), { missing: null, kept: { first: 21, last: 30 } })
  assert.equal(partsOf(whole, 5), { missing: null, kept: null })
})

test('what lies before its first entry is missing, but for the first entry of an epoch', () => {
  const from = (begins: number): SalvageExtent => ({ common: at(2, 10), spans, begins })
  assert.equal(partsOf(from(25), 2), { missing: { first: 11, last: 20 }, kept: null })
  assert.equal(partsOf(from(25), 3), { missing: { first: 22, last: 24 },
    kept: { first: 25, last: 30 } })
  assert.equal(partsOf(from(25), 4), { missing: null, kept: { first: 31, last: 33 } })
  assert.equal(partsOf(from(34), 4), { missing: { first: 32, last: 33 }, kept: null })
  assert.equal([2, 3, 4, 5].map((epoch) => missingCount(from(34), epoch)), [10, 9, 2, 0])
  const begun: SalvageExtent = { common: at(1, 10), spans, begins: 34 }
  assert.is(missingCount(begun, 2), 9, 'epoch 2 begins after the common point')
  assert.is(missingCount({ ...begun, common: at(0, 10) }, 2), 10, 'not known where it begins')
  assert.is(missingCount({ ...begun, common: at(0, 0) }, 2), 19, 'at the first entry of all')
})

test('entries that another salvage has are not missing', () => {
  const three = [{ epoch: 3, last: 100 }]
  const of = (begins: number, last = 100): SalvageExtent => ({ common: at(3, 10),
    spans: [{ epoch: 3, last }], begins })
  assert.equal(missingRanges([of(60)], [of(60)], 3, 0), [{ first: 11, last: 59 }])
  assert.equal(missingRanges([of(60), of(40)], [of(60), of(40)], 3, 0), [{ first: 11, last: 39 }])
  assert.equal(missingRanges([of(60), of(40, 50)], [of(40, 50)], 3, 0), [{ first: 11, last: 39 }, {
    first: 51,
    last: 59,
  }])
  assert.equal(missingRanges([of(60)], [{ common: at(3, 5), spans: three }], 3, 0), [])
  assert.equal(missingRanges([of(60)], [], 3, 57), [{ first: 58, last: 59 }])
  assert.equal(missingRanges([of(60)], [], 3, 59), [])
  assert.equal(missingRanges([of(60)], [], 4, 0), [])
})

test('property: ranges are what is missed somewhere, kept nowhere, and in order', () => {
  const extent = fc.record({ common: fc.nat(20), begins: fc.nat(50), length: fc.nat(40) })
    .map(({ common, begins, length }): SalvageExtent => ({ common: at(3, common), begins,
      spans: [{ epoch: 3, last: common + 1 + length }] })
    )
  fc.assert(
    fc.property(fc.array(extent, { maxLength: 6 }), fc.array(extent, { maxLength: 4 }), fc.nat(30),
      (missing, taken, above) => {
        const ranges = missingRanges(missing, taken, 3, above)
        const has = (all: SalvageExtent[], which: 'missing' | 'kept', sequence: number) =>
          all.some((one) => contains(partsOf(one, 3)[which], sequence))
        const found: number[] = []
        for (const range of ranges) {
          for (let sequence = range.first; sequence <= range.last; sequence += 1) {
            found.push(sequence)
          }
        }
        const expected: number[] = []
        for (let sequence = above + 1; sequence <= 70; sequence += 1) {
          if (has(missing, 'missing', sequence) && !has(taken, 'kept', sequence)) {
            expected.push(sequence)
          }
        }
        assert.equal(found, expected)
        assert.is(ranges.reduce((sum, range) => sum + lengthOf(range), 0), expected.length)
      }),
  )
})

test('spans of a part of a log', () => {
  assert.equal(spansBetween(spans, 10, 33), spans)
  assert.equal(spansBetween(spans, 20, 25), [{ epoch: 3, last: 25 }])
  assert.equal(spansBetween(spans, 19, 20), [{ epoch: 2, last: 20 }])
  assert.equal(spansBetween(spans, 20, 20), [])
  assert.equal(spansBetween(spans, 25, 20), [])
})

test.run()
