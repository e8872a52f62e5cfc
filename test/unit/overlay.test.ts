import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Overlay, type NodeSlot } from '../../actors/overlay.js'
import { compareUtf8 } from '../../actors/overlayView.js'
import type { KeyRecord, LogEntry, Operation } from '../../machines/memory.js'
import { MemoryStore, type MemorySpaceStore } from '../fakes/memoryStore.js'

const IDS = ['a', 'b', 'ab', '\uff5e', '\u{1F600}']

function entry(sequence: number, operation: LogEntry['operation'], writeId?: string): LogEntry {
  return {
    sequence, epoch: 1, timestamp: 7, vectorClock: {}, writeId: writeId ?? null, operation,
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
  assert.equal([overlay.bytes, overlay.count, overlay.firstSequence, overlay.lastSequence],
    [0, 0, 0, 0])
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
  assert.equal(view.nodes('', 10).map((node) => node.id), ['a'])
  overlay.add([entry(4, storeNode('x')), entry(5, update('x', 0.25))], 10)
  assert.equal(view.nodes('', 10), [
    { id: 'a', content: 'stored', activation: 0.5 }, { id: 'x', activation: 0.25 },
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
    overlay.view(store).nodes(after, limit).map((node) => node.id).join('')
  assert.is(list('', 100), 'abcdfgh')
  assert.is(list('', 3), 'abc')
  assert.is(list('b', 2), 'cd')
  assert.is(list('d', 100), 'fgh')
  assert.is(list('h', 100), '')
  assert.is(list('', 0), '')
  assert.is(overlay.view(store).nodes('c', 1)[0]!.content, 'new')
})

test('many pending nodes: the list is still the first ones', async () => {
  const store = await storeOf(storeNode('5000'))
  const overlay = new Overlay()
  const ids = Array.from({ length: 3000 }, (_, index) => String((index * 7919) % 9000 + 1000))
  overlay.add(ids.map((id, index) => entry(2 + index, storeNode(id))), 1)
  const expected = [...new Set([...ids, '5000'])].toSorted().filter((id) => id > '2000')
  assert.equal(overlay.view(store).nodes('2000', 50).map((node) => node.id), expected.slice(0, 50))
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

// ------------------------------------------------- against a replay from scratch

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
    do: fc.constant('apply' as const), forward: fc.nat({ max: 8 }), late: fc.boolean(),
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
  view: ReturnType<Overlay['view']>, log: readonly LogEntry[],
): Promise<void> {
  const replay = new MemoryStore().space('u')
  await replay.apply(log)
  for (const name of IDS) {
    assert.equal(view.node(name), replay.node(name))
    for (const direction of ['out', 'in', 'both'] as const) {
      assert.equal(view.edges(name, direction), replay.edges(name, direction))
    }
  }
  assert.equal(view.nodes('', 10), replay.nodes('', 10))
  assert.equal(view.nodes('ab', 2), replay.nodes('ab', 2))
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
