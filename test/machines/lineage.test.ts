import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { forkPointOf, holds, startsOf } from '../../machines/log/lineage.js'
import type { Starts } from '../../machines/log/lineage.js'
import { extendHistory } from '../../machines/log/positions.js'

const test = suite('machines/lineage')

const at = (epoch: number, sequence: number): Position => ({ epoch, sequence })

test('the worked example: an epoch that was overtaken and lost whole', () => {
  const history = [{ epoch: 3, last: 100 }, { epoch: 5, last: 120 }]
  const fromHistory = startsOf(history)
  const starts: Starts = (epoch) => epoch === 4 ? at(3, 90) : fromHistory(epoch)
  assert.ok(holds(at(5, 120), at(3, 95), starts))
  assert.not(holds(at(4, 99), at(3, 95), starts))
  assert.ok(holds(at(4, 99), at(4, 93), starts))
  assert.not(holds(at(5, 120), at(4, 93), starts))
  assert.equal(forkPointOf(history, at(4, 93), starts), at(3, 90))
  assert.equal(forkPointOf(history, at(3, 95), starts), at(3, 95))
  assert.equal(forkPointOf(history, at(3, 130), starts), at(3, 100))
})

test('a salvage says where its epochs began', () => {
  const spans = [{ epoch: 3, last: 110 }, { epoch: 6, last: 115 }]
  const starts = startsOf(spans, at(3, 100))
  assert.is(starts(3), undefined, 'it began before the common point')
  assert.equal(starts(6), at(3, 110))
})

test('where an epoch began nobody knows, the most that it can share is taken', () => {
  const history = [{ epoch: 3, last: 100 }, { epoch: 5, last: 120 }]
  const unknown: Starts = () => undefined
  assert.equal(forkPointOf(history, at(4, 93), unknown), at(3, 92))
  assert.equal(forkPointOf(history, at(4, 200), unknown), at(3, 100))
  assert.equal(forkPointOf(history, at(2, 1), unknown), at(0, 0))
  assert.equal(forkPointOf(history, at(4, 93), unknown, 'nothing'), at(0, 0), 'or nothing')
  assert.not(holds(at(4, 93), at(3, 1), unknown), 'not known counts as no')
})

test('starts that lead in circles end', () => {
  const circles: Starts = (epoch) => at(epoch + 1, 5)
  assert.not(holds(at(9, 9), at(1, 1), circles))
  assert.equal(forkPointOf([{ epoch: 1, last: 3 }], at(9, 9), circles), at(1, 3))
})

interface Entry extends Position {
  readonly parent: Entry | null
  readonly history: readonly EpochSpan[]
}

/** Epochs that begin at any entry of any log: a tree of entries. */
function treeOf(plan: readonly { after: number; count: number }[]): Entry[] {
  const entries: Entry[] = []
  plan.forEach(({ after, count }, index) => {
    const epoch = index + 1
    let parent = entries.length === 0 ? null : entries[after % entries.length]!
    for (let i = 0; i < count; i += 1) {
      const sequence = (parent?.sequence ?? 0) + 1
      const history = extendHistory(parent?.history ?? [], epoch, sequence)
      const entry: Entry = { epoch, sequence, parent, history }
      entries.push(entry)
      parent = entry
    }
  })
  return entries
}

function pathOf(entry: Entry): Entry[] {
  const path: Entry[] = []
  for (let one: Entry | null = entry; one; one = one.parent) path.push(one)
  return path
}

const plans = fc.array(fc.record({
  after: fc.nat(1000),
  count: fc.integer({ min: 1, max: 4 }),
}), { minLength: 1, maxLength: 9 })

test('positions show which log is an ancestor, and what two logs share', () => {
  fc.assert(fc.property(plans, fc.nat(), fc.nat(), (plan, i, j) => {
    const entries = treeOf(plan)
    const starts: Starts = (epoch) => {
      const first = entries.find((entry) => entry.epoch === epoch)
      return first && (first.parent ?? at(0, 0))
    }
    const one = entries[i % entries.length]!
    const other = entries[j % entries.length]!
    const path = pathOf(one)
    assert.is(holds(one, other, starts), path.includes(other))
    const shared = path.find((entry) => pathOf(other).includes(entry))
    const { epoch, sequence } = shared ?? at(0, 0)
    assert.equal(forkPointOf(other.history, one, starts), { epoch, sequence })
  }), { numRuns: 500 })
})

test.run()
