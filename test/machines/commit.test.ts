import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { advanceCommit, certainlyInSync, commitSequence, LogMarks, safeSequence,
  unionOf } from '../../machines/log/commit.js'

const test = suite('machines/commit')

test('the commit sequence is the least of the union', () => {
  type Row = readonly [string, number, [string, number | undefined][], string[], number]
  const table: readonly Row[] = [
    ['alone', 9, [], ['n1'], 9],
    ['behind', 9, [['n2', 7]], ['n1', 'n2'], 7],
    ['own disk is last', 3, [['n2', 7]], ['n1', 'n2'], 3],
    ['out of sync does not count', 9, [['n2', 7], ['n3', 1]], ['n1', 'n2'], 7],
    ['no ack of this session', 9, [['n2', 7], ['n3', undefined]], ['n1', 'n2', 'n3'], 0],
    ['never heard of', 9, [['n2', 7]], ['n1', 'n2', 'n3'], 0],
  ]
  for (const [name, own, acks, union, expected] of table) {
    assert.is(commitSequence(own, new Map(acks), union, 'n1'), expected, name)
  }
})

test('sets while a change is in flight', () => {
  assert.equal([...unionOf(['n1', 'n2'], null)], ['n1', 'n2'])
  assert.equal([...unionOf(['n1', 'n2'], ['n1', 'n3'])], ['n1', 'n2', 'n3'])
  assert.equal([...certainlyInSync(['n1', 'n2'], null)], ['n1', 'n2'])
  assert.equal([...certainlyInSync(['n1', 'n2'], ['n1'])], ['n1'], 'may have shrunk already')
  assert.equal([...certainlyInSync(['n1'], ['n1', 'n2'])], ['n1'], 'may not have grown yet')
})

test('the safe sequence does not move while fewer than min(2, RF) are in sync', () => {
  const table = [
    // previous, commit, in sync, RF, safe
    [5, 9, 2, 3, 9],
    [5, 9, 1, 3, 5],
    [5, 9, 3, 3, 9],
    [5, 9, 1, 1, 9],
    [5, 9, 1, 2, 5],
    [9, 5, 2, 3, 9],
  ] as const
  for (const [previous, commit, inSync, rf, expected] of table) {
    assert.is(safeSequence(previous, commit, inSync, rf), expected)
  }
})

test('how old, and how far a number of bytes reaches', () => {
  const marks = new LogMarks(10)
  marks.appended(12, 200, 1000)
  marks.appended(13, 50, 1500)
  marks.appended(17, 400, 1600)
  const ages = [10, 11, 12, 13, 16, 17].map((sequence) => marks.age(sequence, 2000))
  assert.equal(ages, [1000, 1000, 500, 400, 400, 0])
  const table = [
    [10, 0, 10],
    [10, 99, 10],
    [10, 100, 11],
    [10, 200, 12],
    [10, 249, 12],
    [10, 250, 13],
    [10, 350, 14],
    [10, 650, 17],
    [10, 9000, 17],
    [11, 150, 13],
    [17, 5, 17],
  ] as const
  for (const [from, bytes, to] of table) {
    assert.is(marks.reach(from, bytes), to, `${bytes} bytes from ${from}`)
  }
})

test('property: a number of bytes reaches exactly as far as the window says', () => {
  const batch = fc.record({ count: fc.integer({ min: 1, max: 5 }),
    size: fc.integer({ max: 90, min: 1 }) })
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 12 }), fc.nat(60), fc.nat(3000),
      (batches, from, bytes) => {
        const marks = new LogMarks(0, 6)
        let end = 0
        for (const { count, size } of batches) marks.appended(end += count, count * size, end)
        const to = marks.reach(from, bytes)
        const sizeTo = (sequence: number) =>
          marks.above(from, 0).bytes - marks.above(sequence, 0).bytes
        assert.ok(to <= Math.max(end, from) && to >= Math.min(from, end))
        if (from >= end) return
        assert.ok(sizeTo(to) <= bytes + batches.length, `${sizeTo(to)} of ${bytes}`)
        if (to < end) assert.ok(sizeTo(to + 1) + batches.length >= bytes)
      }),
  )
})

const nodes = ['n1', 'n2', 'n3', 'n4']
const anyUnion = fc.subarray(nodes.slice(1)).map((rest) => ['n1', ...rest])
const anyAcks = fc.dictionary(fc.constantFrom(...nodes.slice(1)), fc.nat(100))

test('a committed entry is durable on every member of the union', () => {
  fc.assert(fc.property(fc.nat(100), anyAcks, anyUnion, (own, acks, union) => {
    const commit = commitSequence(own, new Map(Object.entries(acks)), union, 'n1')
    assert.ok(commit <= own)
    for (const node of union.slice(1)) assert.ok(commit <= (acks[node] ?? 0))
    assert.ok([own, 0, ...Object.values(acks)].includes(commit), 'and it is one of them')
  }))
})

test('a larger union never commits more', () => {
  fc.assert(fc.property(fc.nat(100), anyAcks, anyUnion, anyUnion, (own, acks, a, b) => {
    const map = new Map(Object.entries(acks))
    assert.ok(commitSequence(own, map, unionOf(a, b), 'n1')
      <= Math.min(commitSequence(own, map, a, 'n1'), commitSequence(own, map, b, 'n1')))
  }))
})

test('commit and safe never shrink, and safe <= commit', () => {
  const step = fc.tuple(fc.nat(100), anyAcks, anyUnion, fc.option(anyUnion))
  fc.assert(fc.property(fc.array(step), fc.integer({ min: 1, max: 4 }), (steps, rf) => {
    let commit = 0
    let safe = 0
    for (const [own, acks, inSync, pending] of steps) {
      const union = unionOf(inSync, pending)
      const computed = commitSequence(own, new Map(Object.entries(acks)), union, 'n1')
      const next = advanceCommit(commit, computed)
      const nextSafe = safeSequence(safe, next, certainlyInSync(inSync, pending).size, rf)
      assert.ok(next >= commit && nextSafe >= safe && nextSafe <= next)
      commit = next
      safe = nextSafe
    }
  }))
})

test('marks give entries, bytes and age above a sequence', () => {
  const marks = new LogMarks(10)
  marks.appended(12, 200, 1000)
  marks.appended(13, 50, 1100)
  assert.equal(marks.above(13, 1500), { entries: 0, bytes: 0, ms: 0 })
  assert.equal(marks.above(12, 1500), { entries: 1, bytes: 50, ms: 400 })
  assert.equal(marks.above(11, 1500), { entries: 2, bytes: 150, ms: 500 })
  assert.equal(marks.above(10, 1500), { entries: 3, bytes: 250, ms: 500 })
  marks.truncated(11)
  assert.equal(marks.above(10, 1500), { entries: 1, bytes: 100, ms: 500 })
  marks.appended(12, 10, 1400)
  marks.forget(11)
  assert.equal(marks.above(11, 1500), { entries: 1, bytes: 10, ms: 100 })
  assert.throws(() => marks.appended(12, 1, 1), /12 after 12/)
})

test('marks are bounded: neighbours merge, sums stay, ages are never under', () => {
  fc.assert(fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 60 }), (sizes) => {
    const exact = new LogMarks(0)
    const small = new LogMarks(0, 4)
    sizes.forEach((bytes, i) => {
      exact.appended(i + 1, bytes, i)
      small.appended(i + 1, bytes, i)
    })
    assert.is(small.above(0, 99).bytes, exact.above(0, 99).bytes)
    for (let s = 0; s <= sizes.length; s++) {
      assert.is(small.above(s, 99).entries, exact.above(s, 99).entries)
      assert.ok(small.above(s, 99).ms >= exact.above(s, 99).ms)
    }
  }))
})

test.run()
