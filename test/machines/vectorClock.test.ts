import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clockOfEpoch, componentsMax, covers, dotOf,
  nodeOf } from '../../machines/log/vectorClock.js'
import type { Dot, VectorClock } from '../../machines/log/vectorClock.js'

const test = suite('machines/vectorClock')

const range = 2 ** 40

/** An entry of a history with forks. */
interface Entry {
  readonly clock: VectorClock
  readonly epoch: number
  readonly node: string
  readonly before: Entry | null
  /** This clock, or one that it grew out of, is full: components may have gone. */
  readonly isFull: boolean
}

function write(before: Entry | null, node: string, epoch: number, count: number): Entry[] {
  const { component, clock } = clockOfEpoch(before?.clock ?? {}, node, epoch)
  const entries: Entry[] = []
  for (let i = 1; i <= count; i += 1) {
    const last: Entry | null = entries.at(-1) ?? before
    const own = { ...clock, [component]: clock[component]! + i }
    const isFull = Object.keys(own).length >= componentsMax
    entries.push({ clock: own, epoch, node, before: last, isFull })
  }
  return entries
}

function dot({ clock, epoch }: Entry): Dot {
  const found = dotOf(clock, epoch)
  assert.ok(found, `no number of epoch ${epoch} in ${JSON.stringify(clock)}`)
  return found
}

/** The entry itself, and all before it in its log. */
function pastOf(entry: Entry): Set<Entry> {
  const past = new Set<Entry>()
  for (let at: Entry | null = entry; at; at = at.before) past.add(at)
  return past
}

const concurrent = (one: Entry, other: Entry): boolean =>
  !covers(one.clock, dot(other)) && !covers(other.clock, dot(one))

test('the worked example', () => {
  const [a, b] = write(null, 'n1', 1, 2)
  const [c] = write(a!, 'n2', 2, 1)
  const [d] = write(c!, 'n1', 3, 1)
  assert.equal([a!.clock, b!.clock], [{ n1: 1 }, { n1: 2 }])
  assert.equal(c!.clock, { n1: 1, n2: range + 1 })
  assert.equal(d!.clock, { n1: 1, n2: range + 1, 'n1@3': 1 })
  assert.ok(concurrent(b!, c!) && concurrent(b!, d!))
  for (const [early, late] of [[a, c], [a, d], [c, d], [a, b]] as const) {
    assert.ok(covers(late!.clock, dot(early!)) && !covers(early!.clock, dot(late!)))
  }
  assert.equal([nodeOf('n1@3'), nodeOf('n1')], ['n1', 'n1'])
})

test('an epoch that its log has lost altogether is not taken for the next one of its node', () => {
  const lost = write(null, 'n1', 1, 5)
  const [kept] = write(null, 'n2', 2, 1)
  const later = write(kept!, 'n1', 3, 9)
  assert.equal(Object.keys(later[0]!.clock).toSorted(), ['n1', 'n2'], 'the bare name again')
  for (const entry of lost) assert.ok(concurrent(entry, later.at(-1)!))
})

test('an epoch may be as long as it likes', () => {
  const { clock } = clockOfEpoch({}, 'n1', 1)
  const late = { n1: clock['n1']! + 30_000_000_000 }
  assert.equal(dotOf(late, 1), { component: 'n1', number: 30_000_000_000 })
  assert.ok(covers(late, { component: 'n1', number: 7 }))
  const again = clockOfEpoch(late, 'n1', 2).clock
  const other = { ...clockOfEpoch(late, 'n1', 3).clock, 'n1@3': 2 ** 50 }
  assert.ok(covers(other, { component: 'n1', number: late.n1 }))
  assert.not.ok(covers(other, { component: 'n1@2', number: again['n1@2']! + 1 }))
})

test('epochs without a range of their own have component names of their own', () => {
  for (const epoch of [8192, 8193, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    const { component, clock } = clockOfEpoch({}, 'n1', epoch)
    assert.is(component, epoch === 8192 ? 'n1' : `n1@${epoch}`)
    const own = { [component]: clock[component]! + 1 }
    assert.ok(Number.isSafeInteger(own[component]! + range - 2))
    assert.equal(dotOf(own, epoch), { component, number: own[component] })
  }
})

test('a node may be called like a property of every object', () => {
  const [a] = write(null, 'constructor', 1, 1)
  const [b] = write(null, 'valueOf', 2, 1)
  assert.ok(concurrent(a!, b!))
})

const nodes = ['n1', 'n2', 'n3', 'n4'] as const

/** Each epoch begins at some entry of an earlier one, and writes some: a history with forks. */
const epochs = (minLength: number, maxLength: number) =>
  fc.array(fc.record({
    node: fc.constantFrom(...nodes),
    /** Counted from the youngest entry back: forks are short, as a rule. */
    back: fc.oneof({ weight: 3, arbitrary: fc.nat(4) }, { weight: 1, arbitrary: fc.nat(1000) }),
    count: fc.integer({ min: 1, max: 4 }),
    skipped: fc.oneof({ weight: 9, arbitrary: fc.nat(2) }, { weight: 1, arbitrary: fc.nat(9000) }),
  }), { minLength, maxLength })

type Plan = (typeof epochs) extends (min: number, max: number) => fc.Arbitrary<infer T> ? T : never

function historyOf(plan: Plan): Entry[] {
  const entries: Entry[] = []
  let epoch = 0
  for (const { node, back, count, skipped } of plan) {
    epoch += 1 + skipped
    // Before the first entry, too: all that was written is a fork then.
    const at = entries.length - 1 - (back % (entries.length + 1))
    entries.push(...write(entries[at] ?? null, node, epoch, count))
  }
  return entries
}

test('no number means two entries; along a log clocks grow', () => {
  fc.assert(fc.property(epochs(0, 40), (plan) => {
    const entries = historyOf(plan)
    const numbers = new Set(entries.map((entry) => {
      const { component, number } = dot(entry)
      assert.is(nodeOf(component), entry.node)
      assert.ok(Object.keys(entry.clock).length <= componentsMax)
      for (const [name, before] of Object.entries(entry.before?.clock ?? {})) {
        assert.ok((entry.clock[name] ?? Infinity) >= before)
      }
      assert.not.ok(entry.before && covers(entry.before.clock, { component, number }))
      return `${component} ${number}`
    }))
    assert.is(numbers.size, entries.length)
  }))
})

test('a clock covers exactly what is in its log, while it has room', () => {
  let forks = 0
  fc.assert(fc.property(epochs(0, componentsMax - 1), (plan) => {
    const entries = historyOf(plan)
    for (const b of entries) {
      const past = pastOf(b)
      for (const a of entries) {
        assert.is(covers(b.clock, dot(a)), past.has(a))
        if (!past.has(a) && !pastOf(a).has(b)) forks += 1
      }
    }
  }), { numRuns: 300 })
  assert.ok(forks > 1000, 'some are concurrent')
})

test('a full clock covers more only of what is older than all that it has', () => {
  let more = 0
  fc.assert(fc.property(epochs(40, 60), (plan) => {
    const entries = historyOf(plan)
    for (const b of entries) {
      const past = pastOf(b)
      const epochs = [...past].map(({ epoch }) => epoch)
      const kept = new Set(epochs.toSorted((x, y) => y - x)
        .filter((epoch, i, all) => epoch !== all[i - 1]).slice(0, componentsMax))
      const oldest = Math.min(...kept)
      for (const a of entries) {
        const isCovered = covers(b.clock, dot(a))
        if (past.has(a)) assert.ok(isCovered, 'what is in the log is covered')
        else if (isCovered) {
          assert.ok(b.isFull && a.epoch < oldest)
          more += 1
        }
      }
    }
  }), { numRuns: 60 })
  assert.ok(more > 0, 'it happens')
})

test.run()
