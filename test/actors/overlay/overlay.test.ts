import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Overlay } from '../../../actors/overlay/overlay.js'
import type { NodeSlot } from '../../../actors/overlay/slots.js'
import { placeOfEdge } from '../../../machines/graph/edgePlace.js'
import type { Operation } from '../../../machines/graph/graph.js'
import { compareUtf8 } from '../../../machines/graph/utf8.js'
import type { KeyRecord, LogEntry } from '../../../machines/log/entries.js'
import { MemoryStore, type MemorySpaceStore } from '../../fakes/memoryStore.js'
import { draftsArbitrary, firstEpoch, from, ids, logOf, opening, placesOf, epochStart,
  storeNode as stored, storeEdge as linked, update as activated,
  type Draft } from '../../support/forkEntries.js'
import { take } from '../../support/lists.js'

const IDS = ['a', 'b', 'ab', '\uff5e', '\u{1F600}']

function entry(sequence: number, operation: LogEntry['operation'], writeId?: string): LogEntry {
  return {
    sequence,
    epoch: 1,
    timestamp: 7,
    vectorClock: {},
    writeId: writeId ?? null,
    operation,
  }
}
function storeNode(id: string, content?: string): Operation {
  return { type: 'StoreNode', node: content === undefined ? { id } : { id, content } }
}
function update(nodeId: string, activation: number): Operation {
  return { type: 'UpdateActivation', nodeId, activation }
}
function storeEdge(source: string, target: string, kind: string, weight: number): Operation {
  return { type: 'StoreEdge', edge: { source, target, kind, weight } }
}
async function storeOf(...operations: Operation[]): Promise<MemorySpaceStore> {
  const store = new MemoryStore().space('u')
  await store.apply(operations.map((operation, index) => entry(index + 1, operation)))
  return store
}

const test = suite('overlay')

test('is empty at first', () => {
  const overlay = new Overlay()
  assert.equal([overlay.bytes, overlay.count, overlay.firstSequence, overlay.lastSequence], [0, 0,
    0, 0])
  assert.equal(overlay.entries(1, 10), [])
  overlay.dropAbove(0)
  overlay.applied(0)
})

test('an activation is folded over the store, and only where there is a node', async () => {
  const store = await storeOf(storeNode('a', 'stored'))
  const overlay = new Overlay()
  const view = overlay.view(store)
  overlay.add([entry(2, update('a', 0.5)), entry(3, update('x', 0.5))], 10)
  assert.equal(view.node('a'), { id: 'a', content: 'stored', activation: 0.5 })
  assert.is(view.node('x'), undefined)
  assert.equal(take(view.nodes(''), 10).map((node) => node.id), ['a'])
  overlay.add([entry(4, storeNode('x')), entry(5, update('x', 0.25))], 10)
  assert.equal(take(view.nodes(''), 10), [
    { id: 'a', content: 'stored', activation: 0.5 },
    { id: 'x', activation: 0.25 },
  ])
  overlay.dropAbove(4)
  assert.equal(view.node('x'), { id: 'x' })
  overlay.dropAbove(1)
  assert.equal(view.node('a'), { id: 'a', content: 'stored' })
  assert.is(overlay.bytes, 0)
})

test('bytes of an addition count until its last entry is gone', () => {
  const overlay = new Overlay()
  overlay.add([entry(1, storeNode('a')), entry(2, storeNode('b'))], 100)
  overlay.add([entry(3, storeNode('c'))], 10)
  overlay.applied(1)
  assert.is(overlay.bytes, 110)
  overlay.dropAbove(2)
  assert.is(overlay.bytes, 100)
  assert.equal([overlay.firstSequence, overlay.lastSequence, overlay.count], [2, 2, 1])
  overlay.applied(2)
  assert.is(overlay.bytes, 0)
})

test('an addition cut in its middle by a drop goes with what is left of it', () => {
  const overlay = new Overlay()
  overlay.add([1, 2, 3].map((sequence) => entry(sequence, storeNode('a'))), 30)
  overlay.applied(1)
  overlay.dropAbove(1)
  assert.equal([overlay.bytes, overlay.count], [0, 0])
  overlay.add([entry(2, storeNode('b')), entry(3, storeNode('b'))], 20)
  overlay.dropAbove(2)
  overlay.add([entry(3, storeNode('c'))], 5)
  assert.is(overlay.bytes, 25)
  overlay.applied(2)
  assert.is(overlay.bytes, 5)
})

test('a gap, an overlap and a drop of what is applied are bugs', () => {
  const overlay = new Overlay()
  overlay.add([entry(5, storeNode('a'))], 1)
  assert.throws(() => overlay.add([entry(7, storeNode('a'))], 1), /bug/)
  assert.throws(() => overlay.add([entry(5, storeNode('a'))], 1), /bug/)
  overlay.applied(5)
  assert.throws(() => overlay.add([entry(5, storeNode('a'))], 1), /bug/)
  assert.throws(() => overlay.dropAbove(4), /bug/)
})

test('a key shows until the last entry of its request is applied', () => {
  const overlay = new Overlay()
  const operation = storeNode('a')
  overlay.add([entry(1, operation, 'k'), entry(2, operation, 'k')], 1)
  overlay.add([entry(3, operation, 'k'), entry(4, operation, 'l')], 1)
  assert.equal(overlay.key('k'), { epoch: 1, sequence: 3, count: 3, timestamp: 7 })
  overlay.applied(2)
  assert.equal(overlay.key('k'), { epoch: 1, sequence: 3, count: 3, timestamp: 7 })
  overlay.dropAbove(3)
  assert.is(overlay.key('l'), undefined)
  overlay.applied(3)
  assert.is(overlay.key('k'), undefined)
})

test('a list takes the first of store and overlay together', async () => {
  const store = await storeOf(...['b', 'd', 'f', 'h'].map((id) => storeNode(id)))
  const overlay = new Overlay()
  const added = ['g', 'c', 'a', 'd']
  overlay.add(added.map((id, index) => entry(5 + index, storeNode(id, 'new'))), 1)
  const list = (after: string, limit: number): string =>
    take(overlay.view(store).nodes(after), limit).map((node) => node.id).join('')
  assert.is(list('', 100), 'abcdfgh')
  assert.is(list('', 3), 'abc')
  assert.is(list('b', 2), 'cd')
  assert.is(list('d', 100), 'fgh')
  assert.is(list('h', 100), '')
  assert.is(list('', 0), '')
  assert.is(take(overlay.view(store).nodes('c'), 1)[0]!.content, 'new')
})

test('many pending nodes: the list is still the first ones', async () => {
  const store = await storeOf(storeNode('5000'))
  const overlay = new Overlay()
  const ids = Array.from({ length: 3000 }, (_, index) => String((index * 7919) % 9000 + 1000))
  overlay.add(ids.map((id, index) => entry(2 + index, storeNode(id))), 1)
  const expected = [...new Set([...ids, '5000'])].toSorted().filter((id) => id > '2000')
  const listed = take(overlay.view(store).nodes('2000'), 50).map((node) => node.id)
  assert.equal(listed, expected.slice(0, 50))
})

test('adding and forgetting go on for long without growing', () => {
  const overlay = new Overlay()
  for (let sequence = 1; sequence <= 20_000; sequence += 1) {
    overlay.add([entry(sequence, storeNode(`n${sequence % 50}`), `k${sequence}`)], 1)
    if (sequence > 100) overlay.applied(sequence - 100)
  }
  assert.equal([overlay.count, overlay.bytes, overlay.nodes.size], [100, 100, 50])
  assert.is(overlay.entries(19_950, 1000).length, 51)
  assert.is(overlay.entries(1, 1000).length, 100)
})

test('strings are ordered as their UTF-8 bytes', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
    const bytes = Buffer.compare(Buffer.from(a), Buffer.from(b))
    assert.is(Math.sign(compareUtf8(a, b)), bytes)
  }))
  assert.ok(compareUtf8('\uff5e', '\u{1F600}') < 0)
})

const keeps = { keepsActivation: true }
const value = { displaces: 'value' } as const

/** The first `applied` entries are in the store, the others pending. */
async function viewOf(applied: number, ...drafts: Draft[]) {
  const log = logOf(drafts)
  const store = new MemoryStore().space('u')
  const overlay = new Overlay()
  await store.apply(log.slice(0, applied))
  overlay.add(log.slice(applied), 1)
  return { log, store, overlay, view: overlay.view(store) }
}

test('an activation is kept with who set it, pending or in the store', async () => {
  const drafts = [
    { operation: stored('a', 'one', 0.5) },
    { operation: activated('a', 0.25) },
    from(3, 41, stored('a', 'two', 1), keeps),
    from(3, 42, stored('a', 'three'), keeps),
  ]
  for (const applied of [0, 1, 2, 3, 4]) {
    const { view } = await viewOf(applied, ...drafts)
    assert.equal(view.nodeState('a'), {
      node: { id: 'a', content: 'three', activation: 0.25 },
      stored: { epoch: 3, sequence: 42, timestamp: 142, at: 4 },
      activated: { epoch: firstEpoch, sequence: 2, timestamp: 1002, at: 2 },
    }, `${applied} in the store`)
    assert.equal(view.node('a'), view.nodeState('a').node)
    assert.equal(take(view.nodes(''), 1), [view.nodeState('a').node])
  }
})

test('an activation that had no effect is not kept, even once the store has both', async () => {
  const { log, store, view } = await viewOf(0, { operation: activated('a', 0.25) },
    from(3, 41, stored('a', 'two'), keeps))
  const state = {
    node: { id: 'a', content: 'two' },
    stored: { epoch: 3, sequence: 41, timestamp: 141, at: 2 },
    activated: undefined,
  }
  for (const entry of log) {
    assert.equal(view.nodeState('a'), state)
    await store.apply([entry])
    assert.equal(view.nodeState('a'), state)
  }
})

test('a write that lost shows the present value, and a stated origin', async () => {
  const { view } = await viewOf(1, { operation: linked('a', 'b', 1) },
    from(3, 41, linked('a', 'b', 0), { outcome: 'superseded', by: { epoch: 3, sequence: 42 } }),
    from(3, 42, stored('b'), { outcome: 'quarantined', by: { epoch: 5, sequence: 1 } }))
  assert.is([...view.edges('a', 'out')][0]!.weight, 1)
  assert.is(view.edgeState('a', 'b', 'k')!.version.sequence, 1)
  assert.is(view.node('b'), undefined)
  assert.is(view.origin(3, 41)!.outcome, 'superseded')
  assert.is(view.origin(3, 42)!.outcome, 'quarantined')
  assert.is(view.origin(3, 43), undefined)
})

test('an origin noted twice: dropping or applying one leaves the other', async () => {
  const { overlay, view, store, log } = await viewOf(1, epochStart(opening(3)),
    from(3, 41, stored('a'), { outcome: 'quarantined', by: { epoch: 5, sequence: 1 } }),
    from(3, 41, stored('a'), { via: 'quarantine' }))
  assert.is(view.origin(3, 41)!.outcome, 'merged')
  overlay.dropAbove(2)
  assert.is(view.origin(3, 41)!.outcome, 'quarantined')
  overlay.add(log.slice(2), 1)
  await store.apply(log.slice(1, 2))
  overlay.applied(2)
  assert.is(view.origin(3, 41)!.outcome, 'merged')
  overlay.dropAbove(2)
  assert.is(view.origin(3, 41)!.outcome, 'quarantined')
})

test('a write that is displaced by a pending one, in the store or pending', async () => {
  const drafts = [
    from(3, 41, stored('a', 'one')),
    from(3, 42, linked('a', 'b', 1)),
    from(3, 43, activated('a', 1)),
    from(4, 7, linked('a', 'b', 0), value),
    from(4, 8, activated('a', 0), { displaces: 'activation' }),
    from(4, 9, stored('a', 'two'), value),
  ]
  const outcomes = ({ view }: Awaited<ReturnType<typeof viewOf>>) =>
    [41, 42, 43].map((sequence) => view.origin(3, sequence)!)
  const expected = [['quarantined', 9, 6], ['quarantined', 7, 4], ['quarantined', 8, 5]]
  for (const applied of [0, 1, 2, 3, 4, 5, 6]) {
    for (const isAskedBefore of [true, false]) {
      const made = await viewOf(applied, ...drafts)
      const check = (): void =>
        assert.equal(
          outcomes(made).map(({ outcome, by, now }) => [outcome, by!.sequence, now.sequence]),
          expected,
        )
      if (isAskedBefore) check()
      await made.store.apply(made.log.slice(applied))
      check()
      made.overlay.applied(6)
      check()
    }
  }
})

test('displaced, applied again, sent twice: the order of the log counts', async () => {
  const { view, overlay } = await viewOf(0, from(3, 41, stored('a', 'one')),
    from(4, 7, stored('a', 'two'), value),
    from(3, 41, stored('a', 'one'), { via: 'quarantine', ...value }),
    from(3, 41, stored('a', 'one'), value))
  assert.equal([view.origin(3, 41)!.outcome, view.origin(3, 41)!.now.sequence], ['merged', 3])
  assert.is(view.origin(4, 7)!.outcome, 'quarantined')
  overlay.dropAbove(2)
  assert.is(view.origin(3, 41)!.outcome, 'quarantined')
  assert.is(view.origin(4, 7)!.outcome, 'merged')
})

type Move =
  | { readonly do: 'add'; readonly drafts: readonly Draft[]; readonly isRead: boolean }
  | { readonly do: 'drop'; readonly back: number; readonly isRead: boolean }
  | {
    readonly do: 'apply'
    readonly forward: number
    readonly split: number
    readonly isRead: boolean
  }

/** True: everything is read afterwards, since what is looked up once may be looked up late. */
const isRead = fc.boolean()
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(draftsArbitrary(8), isRead)
    .map(([drafts, read]) => ({ do: 'add' as const, drafts, isRead: read })) },
  { weight: 1, arbitrary: fc.tuple(fc.nat({ max: 6 }), isRead)
    .map(([back, read]) => ({ do: 'drop' as const, back, isRead: read })) },
  { weight: 2, arbitrary: fc.tuple(fc.nat({ max: 8 }), fc.nat({ max: 8 }), isRead)
    .map(([forward, split, read]) => ({ do: 'apply' as const, forward, split, isRead: read })) },
)

test('property: versions and origins read as a replay of the whole log does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 15, size: 'max' }), async (moves) => {
      const store = new MemoryStore().space('u')
      const overlay = new Overlay()
      const view = overlay.view(store)
      let log: LogEntry[] = []
      for (const next of moves) {
        if (next.do === 'add') {
          const { epoch, sequence } = log.at(-1) ?? { epoch: firstEpoch, sequence: 0 }
          const entries = logOf(next.drafts, { epoch, sequence })
          log.push(...entries)
          overlay.add(entries, 1)
        } else if (next.do === 'drop') {
          const last = Math.max(store.applied.sequence, log.length - next.back)
          log = log.slice(0, last)
          overlay.dropAbove(last)
        } else {
          const upTo = Math.min(log.length, store.applied.sequence + next.forward)
          // The store may be ahead of the overlay by one transaction or several.
          const part = Math.min(upTo, store.applied.sequence + next.split)
          for (const end of [part, upTo]) {
            await store.apply(log.slice(store.applied.sequence, end))
            if (next.isRead || end === upTo) await assertStatesAsReplay(view, log)
          }
          overlay.applied(upTo)
        }
        if (next.isRead) await assertStatesAsReplay(view, log)
      }
      await assertStatesAsReplay(view, log)
    }),
    { numRuns: 200 },
  )
})

async function assertStatesAsReplay(
  view: ReturnType<Overlay['view']>,
  log: readonly LogEntry[],
): Promise<void> {
  const replay = new MemoryStore().space('u')
  await replay.apply(log)
  for (const name of ids) {
    assert.equal(view.nodeState(name), replay.nodeState(name))
    assert.equal(view.node(name), replay.node(name))
    for (const target of ids) {
      assert.equal(view.edgeState(name, target, 'k'), replay.edgeState(name, target, 'k'))
    }
  }
  assert.equal(take(view.nodes(''), 10), take(replay.nodes(''), 10))
  for (const { epoch, sequence } of placesOf(log)) {
    assert.equal(view.origin(epoch, sequence), replay.origin(epoch, sequence))
  }
}

type Step =
  | { readonly do: 'add'; readonly operations: readonly Operation[]; readonly keyed: boolean }
  | { readonly do: 'drop'; readonly back: number }
  | { readonly do: 'apply'; readonly forward: number; readonly late: boolean }

const id = fc.constantFrom(...IDS)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(id, fc.string()).map(([name, content]) => storeNode(name, content)),
  fc.tuple(id, fc.constantFrom(0, 0.5, 1)).map(([name, value]) => update(name, value)),
  fc.tuple(id, id, fc.constantFrom('k', 'bk'), fc.constantFrom(0, 1))
    .map(([source, target, kind, weight]) => storeEdge(source, target, kind, weight)),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('add' as const),
    operations: fc.array(operation, { minLength: 1, maxLength: 6 }),
    keyed: fc.boolean(),
  }),
  fc.record({ do: fc.constant('drop' as const), back: fc.nat({ max: 8 }) }),
  fc.record({
    do: fc.constant('apply' as const),
    forward: fc.nat({ max: 8 }),
    late: fc.boolean(),
  }),
)

test('property: store and overlay read as a replay of the whole log does', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    const store = new MemoryStore().space('u')
    const overlay = new Overlay()
    const view = overlay.view(store)
    let log: LogEntry[] = []
    let keys = 0
    for (const { ...next } of steps) {
      if (next.do === 'add') {
        keys += 1
        const key = next.keyed ? `k${keys}` : undefined
        const first = log.length + 1
        const entries = next.operations.map((one, index) => entry(first + index, one, key))
        log.push(...entries)
        overlay.add(entries, 1)
      } else if (next.do === 'drop') {
        const last = Math.max(store.applied.sequence, log.length - next.back)
        log = log.slice(0, last)
        overlay.dropAbove(last)
      } else {
        const upTo = Math.min(log.length, store.applied.sequence + next.forward)
        await store.apply(log.slice(store.applied.sequence, upTo))
        // Between the store's commit and `applied` both have the entries: reads are the same.
        if (next.late) await assertReadsAsReplay(view, log)
        overlay.applied(upTo)
      }
      await assertReadsAsReplay(view, log)
      assertPending(overlay, log, store.applied.sequence)
    }
  }), { numRuns: 150 })
})

async function assertReadsAsReplay(
  view: ReturnType<Overlay['view']>,
  log: readonly LogEntry[],
): Promise<void> {
  const replay = new MemoryStore().space('u')
  await replay.apply(log)
  for (const name of IDS) {
    assert.equal(view.node(name), replay.node(name))
    for (const direction of ['out', 'in', 'both'] as const) {
      const edges = [...replay.edges(name, direction)]
      assert.equal([...view.edges(name, direction)], edges)
      edges.forEach((edge, index) => {
        const after = placeOfEdge(edge, name, direction)
        assert.equal([...view.edges(name, direction, after)], edges.slice(index + 1))
      })
    }
  }
  assert.equal(take(view.nodes(''), 10), take(replay.nodes(''), 10))
  assert.equal(take(view.nodes('ab'), 2), take(replay.nodes('ab'), 2))
}

function assertPending(overlay: Overlay, log: readonly LogEntry[], applied: number): void {
  const pending = log.slice(applied)
  assert.is(overlay.count, pending.length)
  assert.is(overlay.firstSequence, pending[0]?.sequence ?? 0)
  assert.is(overlay.lastSequence, pending.at(-1)?.sequence ?? 0)
  assert.equal(overlay.entries(applied + 2, 3), pending.slice(1, 4))
  assert.is(overlay.bytes === 0, pending.length === 0)
  // The chains hold the pending operations on nodes, each once, and nothing that was forgotten.
  let chained = 0
  for (const newest of overlay.nodes.values()) {
    let slot: NodeSlot | undefined = newest
    for (; slot !== undefined; slot = slot.older) chained += 1
  }
  const onNodes = pending.filter(({ operation: { type } }) => type !== 'StoreEdge')
  assert.is(chained, onNodes.length)
  const records = new Map<string, KeyRecord>()
  for (const { writeId, epoch, sequence, timestamp } of log) {
    if (writeId === null) continue
    const count = (records.get(writeId)?.count ?? 0) + 1
    records.set(writeId, { epoch, sequence, count, timestamp })
  }
  for (const [key, record] of records) {
    assert.equal(overlay.key(key), record.sequence > applied ? record : undefined)
  }
}

test.run()
