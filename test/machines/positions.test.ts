import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { commonPoint, comparePositions, endOf, epochAt, epochsMax, historyFault, origin,
  showPosition, spansAfter } from '../../machines/log/positions.js'
import { controlCodec } from '../../runtime/codec/controlCodec.js'
import { extendHistory, historyOf, naiveCommonPoint, truncateHistory, twoLogs,
  whole } from '../support/epochHistory.js'

const test = suite('machines/positions')

/** Without a root it is always known. */
function commonPointOf(a: readonly EpochSpan[], b: readonly EpochSpan[]): Position {
  const found = commonPoint(whole(a), whole(b))
  assert.ok(!('below' in found))
  return found
}

test('epoch first, then sequence', () => {
  assert.ok(comparePositions({ epoch: 3, sequence: 1 }, { epoch: 2, sequence: 9 }) > 0)
  assert.ok(comparePositions({ epoch: 3, sequence: 1 }, { epoch: 3, sequence: 2 }) < 0)
  assert.is(comparePositions(origin, origin), 0)
  assert.is(showPosition({ epoch: 3, sequence: 1042 }), '(3, 1042)')
})

const spans = (rows: [number, number][]) => rows.map(([epoch, last]) => ({ epoch, last }))

test('the common point, by example', () => {
  type Row = readonly [string, [number, number][], [number, number][], string]
  const table: readonly Row[] = [
    ['both empty', [], [], '(0, 0)'],
    ['an empty disk', [[1, 5]], [], '(0, 0)'],
    ['behind', [[1, 9]], [[1, 5]], '(1, 5)'],
    ['equal', [[1, 5], [2, 9]], [[1, 5], [2, 9]], '(2, 9)'],
    ['a fork of the old epoch', [[1, 5], [2, 9]], [[1, 7]], '(1, 5)'],
    ['the fork is longer than my log', [[1, 5], [2, 6]], [[1, 20]], '(1, 5)'],
    ['an epoch that I never heard of', [[1, 5], [4, 9]], [[1, 3], [2, 8]], '(1, 3)'],
    ['two epochs apart, equal ends', [[1, 4], [3, 6]], [[1, 2], [2, 6]], '(1, 2)'],
    ['nothing in common', [[2, 5]], [[1, 5]], '(0, 0)'],
  ]
  for (const [name, mine, theirs, expected] of table) {
    assert.is(showPosition(commonPointOf(spans(mine), spans(theirs))), expected, name)
  }
})

test('the common point is what comparing entry by entry finds', () => {
  fc.assert(fc.property(twoLogs, ([a, b]) => {
    const found = commonPointOf(historyOf(a), historyOf(b))
    assert.equal(found, naiveCommonPoint(a, b))
    assert.equal(a.slice(0, found.sequence), b.slice(0, found.sequence), 'equal up to there')
    assert.equal(commonPointOf(historyOf(b), historyOf(a)), found, 'whoever asks')
  }), { numRuns: 1000 })
})

test('after the fork is truncated, the log is a prefix of the other', () => {
  fc.assert(fc.property(twoLogs, ([primary, member]) => {
    const { sequence } = commonPointOf(historyOf(primary), historyOf(member))
    const rest = truncateHistory(historyOf(member), sequence)
    assert.equal(rest, truncateHistory(historyOf(primary), sequence))
    assert.equal(commonPointOf(historyOf(primary), rest), endOf(rest),
      'joining again finds no fork')
  }))
})

test('a history gives the epoch of each entry', () => {
  fc.assert(fc.property(twoLogs, ([log]) => {
    const history = historyOf(log)
    assert.equal(endOf(history), { epoch: log.at(-1) ?? 0, sequence: log.length })
    log.forEach((epoch, i) => assert.is(epochAt(history, i + 1), epoch))
    for (const outside of [-1, 0, log.length + 1]) assert.is(epochAt(history, outside), 0)
  }))
})

test('to truncate and to extend a history is to truncate and to extend the log', () => {
  fc.assert(fc.property(twoLogs, fc.nat(60), fc.integer({ min: 1, max: 5 }), ([log], at, more) => {
    const history = historyOf(log)
    const before = JSON.stringify(history)
    assert.equal(truncateHistory(history, at), historyOf(log.slice(0, at)))
    for (const epoch of [0, ...log]) {
      const later = historyOf(log.slice(0, at)).filter((span) => span.epoch > epoch)
      assert.equal(spansAfter(history, epoch, at, 100), later)
      assert.equal(spansAfter(history, epoch, at, 2), later.slice(0, 2))
    }
    const epoch = 1000
    const appended = Array.from({ length: more }, () => epoch)
    const extended = extendHistory(history, epoch, log.length + more)
    assert.equal(extended, historyOf([...log, ...appended]))
    assert.equal(extendHistory(extended, epoch, log.length + more + 2),
      historyOf([...log, ...appended, epoch, epoch]), 'the same epoch goes on')
    assert.equal(truncateHistory(extended, log.length), history, 'and back')
    assert.is(JSON.stringify(history), before, 'the given history stays as it is')
  }))
})

test('a log of more epochs than a message can name says so, and what to do', () => {
  const spans = Array.from({ length: epochsMax }, (_, at) => ({ epoch: at + 1, last: at + 1 }))
  assert.is(historyFault(spans), null)
  const request = { kind: 'join', space: 'demo', uuid: 'u', node: 'n2', disk: 'd', incarnation: 1,
    connection: 1, epoch: epochsMax + 2, number: 1 } as const
  const codec = controlCodec()
  const decoded = codec.ackMessage(codec.encode({ ...request, history: spans }))
  assert.ok(decoded.ok, 'as many as a message can name')
  const more = extendHistory(spans, epochsMax + 1, epochsMax + 1)
  assert.match(historyFault(more)!, /its log has 8193 epochs, .* Copy its content/)
  assert.not.ok(codec.ackMessage(codec.encode({ ...request, history: more })).ok)
})

test.run()
