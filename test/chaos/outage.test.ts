/** The count of unavailability: excuses are cut out, and nothing else. */
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nobodyInSync, outageOf } from '../../runtime/chaos/outage.js'

const test = suite('chaos: outage')
const within = { fromMs: 0, toMs: 10_000 }

test('the longest gap, at the edges too', () => {
  assert.equal(outageOf([1000, 2000, 9000], within, []), { worstMs: 7000, atMs: 2000,
    rawWorstMs: 7000 })
  assert.equal(outageOf([9000, 6000], within, []), { worstMs: 6000, atMs: 0, rawWorstMs: 6000 })
  assert.equal(outageOf([], within, []), { worstMs: 10_000, atMs: 0, rawWorstMs: 10_000 })
})

test('an excuse splits a gap; what is left counts in pieces', () => {
  const excuses = [{ fromMs: 2000, toMs: 5000 }]
  assert.equal(outageOf([0, 9000], within, excuses), { worstMs: 4000, atMs: 5000,
    rawWorstMs: 9000 })
  const two = [{ fromMs: 4000, toMs: 6000 }, { fromMs: 2000, toMs: 5000 }]
  assert.equal(outageOf([0, 9000], within, two), { worstMs: 3000, atMs: 6000, rawWorstMs: 9000 })
  assert.is(outageOf([0, 9000], within, [{ fromMs: 0, toMs: 9000 }]).worstMs, 1000)
})

test('excuses never make it worse, and never hide more than they last', () => {
  const time = fc.integer({ min: 0, max: 10_000 })
  const span = fc.tuple(time, time).map(([a, b]) => ({ fromMs: Math.min(a, b),
    toMs: Math.max(a, b) })
  )
  fc.assert(fc.property(fc.array(time), fc.array(span, { maxLength: 5 }), (answers, spans) => {
    const plain = outageOf(answers, within, [])
    const cut = outageOf(answers, within, spans)
    const excused = spans.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0)
    assert.ok(cut.worstMs <= plain.worstMs)
    assert.is(cut.rawWorstMs, plain.rawWorstMs)
    // Each excuse splits at most one stretch in two.
    assert.ok(cut.worstMs * (spans.length + 1) + excused >= plain.worstMs)
  }))
})

test('only while every in-sync member is down is nobody to blame', () => {
  const history = [{ atMs: 0, inSync: ['n1', 'n2'] }, { atMs: 5000, inSync: ['n1'] }]
  const n1 = { node: 'n1', fromMs: 4000, toMs: 6000 }
  const spans = nobodyInSync(history, [n1], 10_000).map(({ fromMs, toMs }) => [fromMs, toMs])
  assert.equal(spans, [[5000, 6000]])
  const both = nobodyInSync(history, [n1, { node: 'n2', fromMs: 3000, toMs: 4500 }], 10_000)
  assert.equal(both.map(({ fromMs, toMs }) => [fromMs, toMs]), [[4000, 4500], [5000, 6000]])
  assert.match(both[0]?.why ?? '', /n1, n2/)
  assert.equal(nobodyInSync([{ atMs: 0, inSync: [] }], [n1], 10_000), [])
})

test.run()
