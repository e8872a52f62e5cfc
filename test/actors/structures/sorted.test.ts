import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Sorted } from '../../../actors/structures/sorted.js'

interface Named {
  readonly key: number
  readonly name: string
}
const byKey = (a: Named, b: Named): number => a.key - b.key

const test = suite('sorted')

test('like an array that is sorted after each change', () => {
  const change = fc.record({ key: fc.integer({ min: 0, max: 40 }), isPut: fc.boolean() })
  fc.assert(fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
    const sorted = new Sorted<Named>(byKey)
    const twin = new Map<number, Named>()
    changes.forEach(({ key, isPut }, index) => {
      const value = { key, name: `${index}` }
      if (isPut) {
        sorted.put(value)
        twin.set(key, value)
      } else assert.is(sorted.delete(value), twin.delete(key))
    })
    const expected = [...twin.values()].toSorted(byKey)
    assert.equal([...sorted.from(() => false)], expected)
    assert.equal([...sorted.from(({ key }) => key <= 20)], expected.filter(({ key }) => key > 20))
    assert.is(sorted.size, expected.length)
    assert.equal([sorted.first(), sorted.last()], [expected[0], expected.at(-1)])
    for (const value of expected) assert.is(sorted.find({ key: value.key, name: '' }), value)
    assert.is(sorted.find({ key: 41, name: '' }), undefined)
  }))
})

test('many values: each step takes the logarithm of their number', () => {
  let comparisons = 0
  const sorted = new Sorted<number>((a, b) => {
    comparisons += 1
    return a - b
  })
  const count = 20_000
  // 7,919 is prime to it: each number once, in no order.
  const values = Array.from({ length: count }, (_, index) => (index * 7919) % count)
  for (const value of values) sorted.put(value)
  assert.ok(comparisons < count * 20, `${comparisons} comparisons to put them`)
  let asked = 0
  const list = sorted.from((value) => {
    asked += 1
    return value < 12_345
  })
  assert.equal([list.next().value, list.next().value], [12_345, 12_346])
  assert.ok(asked < 20, `${asked} values looked at to begin a list`)
  comparisons = 0
  for (const value of values) assert.ok(sorted.delete(value))
  assert.ok(comparisons < count * 20, `${comparisons} comparisons to delete them`)
  assert.equal([sorted.size, sorted.first(), sorted.last()], [0, undefined, undefined])
})

test.run()
