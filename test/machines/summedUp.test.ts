/** Histories with a root: nothing is said of a log that its whole history would deny. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EpochHistory, EpochSpan } from '../../machines/base/ids.js'
import { GrowingHistory } from '../../machines/log/growingHistory.js'
import { assertHistoryWellFormed } from '../../machines/log/invariants.js'
import { commonPoint, emptyHistory, endOf, epochAt, hasEntry, origin,
  showPosition } from '../../machines/log/positions.js'
import { summedUp } from '../../machines/log/retention.js'
import { extendHistory, historyOf, naiveCommonPoint, truncateHistory, twoLogs,
  whole } from '../support/epochHistory.js'

const test = suite('machines/summedUp')

const summing = fc.record({ covered: fc.nat(60), spansMax: fc.integer({ min: 1, max: 3 }) })
type Summing = { readonly covered: number; readonly spansMax: number }
/** Summed up once or twice, as checkpoints are taken. */
const summings = fc.array(summing, { minLength: 1, maxLength: 2 })

function summed(history: EpochHistory, all: readonly Summing[]): EpochHistory {
  return all.reduce((before, { covered, spansMax }) => summedUp(before, covered, spansMax), history)
}

test('the oldest spans that are covered become part of the root, and no others', () => {
  const history = [{ epoch: 1, last: 5 }, { epoch: 3, last: 9 }, { epoch: 4, last: 20 }]
  const show = ({ root, history: spans }: EpochHistory) =>
    `${showPosition(root)}: ${spans.map(({ epoch, last }) => `${epoch} to ${last}`).join(', ')}`
  const table: readonly [string, covered: number, spansMax: number, string][] = [
    ['all but one', 20, 1, '(4, 20): 4 to 20'],
    ['all but two', 20, 2, '(3, 9): 3 to 9, 4 to 20'],
    ['the last one is covered in part', 19, 1, '(3, 9): 3 to 9, 4 to 20'],
    ['there is room for all', 20, 4, '(0, 0): 1 to 5, 3 to 9, 4 to 20'],
    ['nothing is covered', 0, 1, '(0, 0): 1 to 5, 3 to 9, 4 to 20'],
  ]
  for (const [name, covered, spansMax, expected] of table) {
    assert.is(show(summedUp(whole(history), covered, spansMax)), expected, name)
  }
  const once = summedUp(whole(history), 20, 2)
  assert.equal(summedUp(once, 5, 1), once, 'the root does not fall')
  assert.equal(summedUp(emptyHistory, 20, 1), emptyHistory)
})

test('spans that are not covered are never summed up', () => {
  const spans = Array.from({ length: 5000 }, (_, at) => ({ epoch: at + 1, last: 2 * (at + 1) }))
  const rest = summedUp(whole(spans), 8000, 256)
  assert.is(rest.history.filter(({ last }) => last <= 8000).length, 256)
  assert.is(rest.history.length, 256 + 1000)
  assert.equal(rest.root, { epoch: 3745, sequence: 7490 })
  assert.equal(rest.history[0], { epoch: 3745, last: 7490 })
  assert.equal(summedUp(whole(spans), 0, 256), whole(spans))
})

test('a root hides epochs below it, and nothing above', () => {
  fc.assert(fc.property(twoLogs, summings, ([log], all) => {
    const full = historyOf(log)
    const rest = summed(whole(full), all)
    assertHistoryWellFormed(rest)
    assert.equal(endOf(rest.history), endOf(full))
    assert.ok(rest.root.sequence <= Math.max(...all.map(({ covered }) => covered)))
    log.forEach((epoch, index) => {
      const sequence = index + 1
      if (sequence >= rest.root.sequence) assert.is(epochAt(rest.history, sequence), epoch)
      const isKnown = sequence >= rest.root.sequence || epoch === rest.root.epoch
      assert.is(hasEntry(rest, { epoch, sequence }), isKnown)
    })
    assert.ok(hasEntry(rest, origin))
    assert.not(hasEntry(rest, { epoch: 0, sequence: log.length + 1 }))
  }), { numRuns: 1000 })
})

test('what others have of a log is not claimed for it', () => {
  fc.assert(fc.property(twoLogs, summings, ([log, other], all) => {
    const rest = summed(whole(historyOf(log)), all)
    other.forEach((epoch, index) => {
      const isThere = hasEntry(rest, { epoch, sequence: index + 1 })
      if (isThere) assert.equal(log[index], epoch)
    })
  }), { numRuns: 1000 })
})

test('the common point is that of the whole histories, or lies below the higher root', () => {
  const seen = { known: 0, unknown: 0, belowRoot: 0 }
  fc.assert(fc.property(twoLogs, summings, summings, ([a, b], first, second) => {
    const mine = summed(whole(historyOf(a)), first)
    const theirs = summed(whole(historyOf(b)), second)
    const truth = naiveCommonPoint(a, b)
    const found = commonPoint(mine, theirs)
    assert.equal(commonPoint(theirs, mine), found, 'whoever asks')
    const higher = Math.max(mine.root.sequence, theirs.root.sequence)
    if ('below' in found) {
      seen.unknown += 1
      assert.is(found.below, higher)
      assert.ok(truth.sequence < higher, 'at or above the root it is known')
      return
    }
    seen.known += 1
    if (found.sequence > 0 && found.sequence < higher) seen.belowRoot += 1
    assert.equal(found, truth)
  }), { numRuns: 5000, seed: 1 })
  for (const count of Object.values(seen)) assert.ok(count > 10, JSON.stringify(seen))
})

test('the common point with roots, by example', () => {
  type Row = readonly [string, EpochHistory, EpochHistory, string]
  const of = (root: [number, number], ...spans: [number, number][]): EpochHistory => ({
    root: { epoch: root[0], sequence: root[1] },
    history: spans.map(([epoch, last]) => ({ epoch, last })),
  })
  const primary = of([3, 30], [3, 30], [5, 50])
  const table: readonly Row[] = [
    ['has the root', primary, of([0, 0], [1, 9], [3, 40]), '(3, 30)'],
    ['a lower root', primary, of([2, 20], [2, 20], [3, 30], [5, 44]), '(5, 44)'],
    ['a higher root', primary, of([5, 40], [5, 50]), '(5, 50)'],
    ['ends in the epoch of the root', primary, of([0, 0], [1, 9], [3, 25]), '(3, 25)'],
    ['left the epoch of the root', primary, of([0, 0], [3, 25], [4, 60]), '(3, 25)'],
    ['another epoch at the root', primary, of([0, 0], [1, 9], [4, 60]), 'below 30'],
    ['ends below, in a lower epoch', primary, of([0, 0], [1, 9]), 'below 30'],
    ['another root at the same place', primary, of([4, 30], [4, 60]), 'below 30'],
    ['an empty disk', primary, emptyHistory, '(0, 0)'],
    ['both empty', emptyHistory, emptyHistory, '(0, 0)'],
  ]
  for (const [name, mine, theirs, expected] of table) {
    const found = commonPoint(mine, theirs)
    const shown = 'below' in found ? `below ${found.below}` : showPosition(found)
    assert.is(shown, expected, name)
  }
})

test('a history that grows in place is what copies would be', () => {
  type Step = { readonly extend: number } | { readonly truncate: number }
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ extend: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ truncate: fc.nat(12) }),
  )
  fc.assert(fc.property(twoLogs, summings, fc.array(step), ([log], all, steps) => {
    const begun = summed(whole(historyOf(log)), all)
    const growing = new GrowingHistory(begun)
    let model = begun.history
    for (const one of steps) {
      const end = endOf(model)
      if ('extend' in one) {
        const epoch = Math.max(end.epoch, 1) + (one.extend % 2)
        growing.extend(epoch, end.sequence + one.extend)
        model = extendHistory(model, epoch, end.sequence + one.extend)
      } else if (end.sequence - one.truncate >= begun.root.sequence) {
        growing.truncate(end.sequence - one.truncate)
        model = truncateHistory(model, end.sequence - one.truncate)
      }
      assert.equal(growing.history, model)
      assertHistoryWellFormed(growing)
    }
    assert.equal(begun, summed(whole(historyOf(log)), all), 'the given one stays as it is')
    const below = begun.root.sequence - 1
    if (below >= 0) assert.throws(() => growing.truncate(below), /below the root/)
  }), { numRuns: 500 })
})

/** A list that counts the spans that are read from it. */
function counted(spans: readonly EpochSpan[]): { list: readonly EpochSpan[]; reads: () => number } {
  let reads = 0
  const list = new Proxy(spans, {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) reads += 1
      return Reflect.get(target, key) as unknown
    },
  })
  return { list, reads: () => reads }
}

test('a join after 100,000 promotions reads some dozen spans', () => {
  const spans = Array.from({ length: 100_000 }, (_, at) => ({ epoch: at + 1, last: at + 1 }))
  const fork = [...spans.slice(0, 99_990), { epoch: 100_001, last: 100_005 }]
  const [mine, theirs] = [counted(spans), counted(fork)]
  assert.equal(commonPoint(whole(mine.list), whole(theirs.list)), { epoch: 99_990,
    sequence: 99_990 })
  assert.ok(mine.reads() + theirs.reads() < 500, `${mine.reads()} and ${theirs.reads()}`)
})

test.run()
