import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { forkPointOf, holds, isTraced, startsOf } from '../../machines/log/lineage.js'
import type { Starts } from '../../machines/log/lineage.js'
import { relationTo } from '../../machines/forks/merge.js'
import { comparePositions, origin } from '../../machines/log/positions.js'
import { summedUp } from '../../machines/log/retention.js'
import { extendHistory, whole } from '../support/epochHistory.js'

const test = suite('machines/lineage')

const at = (epoch: number, sequence: number): Position => ({ epoch, sequence })

test('the worked example: an epoch that was overtaken and lost whole', () => {
  const history = [{ epoch: 3, last: 100 }, { epoch: 5, last: 120 }]
  const fromHistory = startsOf(history, origin)
  const starts: Starts = (epoch) => epoch === 4 ? at(3, 90) : fromHistory(epoch)
  assert.ok(holds(at(5, 120), at(3, 95), starts))
  assert.not(holds(at(4, 99), at(3, 95), starts))
  assert.ok(holds(at(4, 99), at(4, 93), starts))
  assert.not(holds(at(5, 120), at(4, 93), starts))
  assert.equal(forkPointOf(whole(history), at(4, 93), starts), at(3, 90))
  assert.equal(forkPointOf(whole(history), at(3, 95), starts), at(3, 95))
  assert.equal(forkPointOf(whole(history), at(3, 130), starts), at(3, 100))
})

test('a salvage says where its epochs began', () => {
  const spans = [{ epoch: 3, last: 110 }, { epoch: 6, last: 115 }]
  const starts = startsOf(spans, at(3, 100))
  assert.is(starts(3), undefined, 'it began before the common point')
  assert.equal(starts(6), at(3, 110))
})

test('a salvage without the epoch at its common point does not say where its first one began', () => {
  const spans = [{ epoch: 3, last: 110 }, { epoch: 6, last: 115 }]
  const starts = startsOf(spans, at(0, 100))
  assert.is(starts(3), undefined)
  assert.equal(starts(6), at(3, 110))
  assert.equal(startsOf(spans, origin)(3), origin, 'but the first epoch of all')
})

test('where an epoch began nobody knows, the most that it can share is taken', () => {
  const history = [{ epoch: 3, last: 100 }, { epoch: 5, last: 120 }]
  const unknown: Starts = () => undefined
  assert.equal(forkPointOf(whole(history), at(4, 93), unknown), at(3, 92))
  assert.equal(forkPointOf(whole(history), at(4, 200), unknown), at(3, 100))
  assert.equal(forkPointOf(whole(history), at(2, 1), unknown), at(0, 0))
  assert.equal(forkPointOf(whole(history), at(4, 93), unknown, 'nothing'), at(0, 0), 'or nothing')
  assert.not(holds(at(4, 93), at(3, 1), unknown), 'not known counts as no')
})

test('starts that lead in circles end', () => {
  const circles: Starts = (epoch) => at(epoch + 1, 5)
  assert.not(holds(at(9, 9), at(1, 1), circles))
  assert.equal(forkPointOf(whole([{ epoch: 1, last: 3 }]), at(9, 9), circles), at(1, 3))
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
    assert.equal(forkPointOf(whole(other.history), one, starts), { epoch, sequence })
  }), { numRuns: 500 })
})

test('below a root nothing is claimed that the whole history would deny', () => {
  const seen = { exact: 0, unknown: 0, reached: 0 }
  const limits = fc.nat(30)
  fc.assert(fc.property(plans, fc.nat(), fc.nat(), fc.nat(), limits, (plan, i, j, k, covered) => {
    const entries = treeOf(plan)
    const [write, end, version] = [i, j, k].map((n) => entries[n % entries.length]!)
    const whole = end!.history
    const history = summedUp({ root: origin, history: whole }, covered, 1)
    const { root } = history
    const fromLog = startsOf(history.history, root)
    /** Of forks it is known where they began: they have reports. */
    const starts: Starts = (epoch) => {
      if (whole.some((span) => span.epoch === epoch)) return fromLog(epoch)
      return entries.find((entry) => entry.epoch === epoch)?.parent ?? at(0, 0)
    }
    const [log, path] = [pathOf(end!), pathOf(write!)]
    const truth = path.find((entry) => log.includes(entry)) ?? at(0, 0)
    const least = forkPointOf(history, write!, starts, 'nothing')
    const most = forkPointOf(history, write!, starts)
    assert.ok(most.sequence >= truth.sequence, 'the most')
    if (least.sequence > 0 || truth.sequence >= root.sequence) {
      seen.exact += 1
      assert.equal([least.epoch, least.sequence], [truth.epoch, truth.sequence])
      assert.equal(most, least)
    } else {
      seen.unknown += 1
    }
    const inLog = log.includes(version!)
    const relation = relationTo(write!, least.sequence, starts)(
      // A version of another log was reconciled: its entry in this log is the last one.
      { ...version!, at: inLog ? version!.sequence : end!.sequence, timestamp: 0 },
    )
    const isBefore = path.includes(version!)
    if (relation === 'before' && inLog) assert.ok(isBefore)
    if (relation === 'after') assert.ok(pathOf(version!).includes(write!))
    // What is in this log at or below the root is in every log that has the root.
    const reaches = path.some(({ epoch, sequence }) =>
      comparePositions({ epoch, sequence }, root) === 0
    )
    if (reaches && inLog && version!.sequence <= root.sequence) {
      seen.reached += 1
      assert.is(relation, 'before')
    }
  }), { numRuns: 5000, seed: 1 })
  for (const count of Object.values(seen)) assert.ok(count > 100, JSON.stringify(seen))
})

test('a log is traced down to an epoch as far as it is known where epochs began', () => {
  const starts: Starts = (epoch) => (epoch === 5 ? { epoch: 3, sequence: 9 } : undefined)
  const end = { epoch: 5, sequence: 20 }
  const traced = [6, 5, 4, 3, 2].map((epoch) => isTraced(end, epoch, starts))
  assert.equal(traced, [true, true, true, true, false], 'it is not known where epoch 3 began')
})

test.run()
