/** One suite for the Store port, run on the LMDB store and on its twin in memory. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceStore } from '../../actors/ports/store.js'
import { placeOfEdge } from '../../machines/graph/edgePlace.js'
import type { MemoryNode, Operation } from '../../machines/graph/graph.js'
import type { EpochStart, LogEntry } from '../../machines/log/entries.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'
import { STORE_VERSION } from '../../runtime/store/marker.js'
import { openStore, type OpenedStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { take } from '../support/lists.js'
import { storeSuite, subjects } from './storeSubjects.js'

function entry(
  sequence: number,
  operation: Operation | EpochStart,
  writeId: string | null = null,
  epoch = 1,
): LogEntry {
  return { sequence, epoch, timestamp: 1000 + sequence, vectorClock: {}, writeId, operation }
}
function storeNode(node: MemoryNode): Operation {
  return { type: 'StoreNode', node }
}
function storeEdge(source: string, target: string, kind: string, weight?: number): Operation {
  const ends = { source, target, kind }
  return { type: 'StoreEdge', edge: weight === undefined ? ends : { ...ends, weight } }
}
function update(nodeId: string, activation: number): Operation {
  return { type: 'UpdateActivation', nodeId, activation }
}
function log(operations: readonly (Operation | EpochStart)[], first = 1): LogEntry[] {
  return operations.map((operation, index) => entry(first + index, operation))
}
function seen(revision: number): AssignmentAt & { bucket: string } {
  return {
    bucket: 'b1',
    revision,
    assignment: {
      version: 1,
      space: 'demo',
      uuid: 'u1',
      epoch: 3,
      state: 'open',
      primary: { node: 'n1', incarnation: 1, connection: 1 },
      members: [],
      inSync: ['n1'],
      settings: { replicas: 2, ack: 'durable', minInSync: 2 },
      forced: false,
      nonce: 'x',
      writer: 'n1',
    },
  }
}
const epochStart: EpochStart = {
  type: 'EpochStart',
  space: 's',
  node: 'n1',
  incarnation: 1,
  connection: 1,
}

async function rejects(promise: Promise<unknown>, pattern: RegExp): Promise<void> {
  let message = 'nothing was thrown'
  await promise.catch((error: unknown) => {
    message = (error as Error).message
  })
  assert.match(message, pattern)
}

for (const subject of subjects) {
  const test = storeSuite(`store: ${subject.name}`, subject)

  test('starts empty', ({ space }) => {
    assert.equal(space.applied, { epoch: 0, sequence: 0 })
    assert.equal(space.digest, '0000000000000000')
    assert.equal([space.nodeCount, space.edgeCount, space.ignoredCount], [0, 0, 0])
    assert.is(space.node('a'), undefined)
    assert.is(space.key('k'), undefined)
    assert.equal(take(space.nodes(''), 10), [])
    assert.equal([...space.edges('a', 'both')], [])
  })

  test('a node comes back as it was stored, and storing again replaces it', async ({ space }) => {
    const full = {
      id: 'ünï',
      content: '',
      activation: 0,
      confidence: 1,
      embedding: [0.1, -1e300, 3],
      metadata: { b: [1, { z: null, a: true }], 10: 'x', 9: 'y' },
    }
    await space.apply(log([storeNode(full), storeNode({ id: 'bare' })]))
    assert.equal(space.node('ünï'), full)
    assert.equal(space.node('bare'), { id: 'bare' })
    await space.apply(log([storeNode({ id: 'ünï', embedding: [] })], 3))
    assert.equal(space.node('ünï'), { id: 'ünï', embedding: [] })
    assert.is(space.nodeCount, 2)
    assert.equal(space.applied, { epoch: 1, sequence: 3 })
  })

  test('an activation changes a node, in one batch or over two', async ({ space }) => {
    const node = storeNode({ id: 'a', content: 'c' })
    await space.apply(log([update('a', 0.1), node, update('a', 0.2)]))
    assert.equal(space.node('a'), { id: 'a', content: 'c', activation: 0.2 })
    assert.is(space.ignoredCount, 1)
    await space.apply(log([update('a', 0.3), update('b', 0.9), update('b', 0.9)], 4))
    assert.equal(space.node('a'), { id: 'a', content: 'c', activation: 0.3 })
    assert.is(space.ignoredCount, 3)
    assert.is(space.nodeCount, 1)
    await space.apply(log([storeNode({ id: 'a', content: 'c', activation: 0.3 })], 7))
  })

  test('edges are found from both ends, and only from theirs', async ({ space }) => {
    await space.apply(log([
      storeEdge('a', 'b', 'k', 0.5),
      storeEdge('ab', 'b', 'k'),
      storeEdge('a', 'b', 'j'),
      storeEdge('a', 'a', 'loop'),
      storeEdge('b', 'a', 'k'),
      storeEdge('a\0', 'b', 'k'),
      storeEdge('a', 'b', 'k', 0.7),
      storeEdge('a', 'b\0', 'k'),
    ]))
    assert.is(space.edgeCount, 7)
    assert.equal([...space.edges('a', 'out')], [
      { source: 'a', target: 'a', kind: 'loop' },
      { source: 'a', target: 'b', kind: 'j' },
      { source: 'a', target: 'b', kind: 'k', weight: 0.7 },
      { source: 'a', target: 'b\0', kind: 'k' },
    ])
    assert.equal([...space.edges('a', 'in')], [
      { source: 'a', target: 'a', kind: 'loop' },
      { source: 'b', target: 'a', kind: 'k' },
    ])
    assert.is([...space.edges('a', 'both')].length, 5)
    assert.equal([...space.edges('b', 'in')].map((edge) => edge.source), ['a', 'a', 'a\0', 'ab'])
    assert.equal([...space.edges('a\0', 'out')], [{ source: 'a\0', target: 'b', kind: 'k' }])
  })

  test('edges go on after any place, loops among the outgoing only', async ({ space }) => {
    await space.apply(log([
      storeEdge('m', 'a', 'k'),
      storeEdge('m', 'm', 'x'),
      storeEdge('m', 'm', 'y'),
      storeEdge('m', 'z', 'k'),
      storeEdge('a', 'm', 'k'),
      storeEdge('m\0', 'm', 'k'),
      storeEdge('z', 'm', 'j'),
      storeEdge('z', 'm', 'k'),
      storeEdge('l', 'mm', 'k'),
    ]))
    for (const direction of ['out', 'in', 'both'] as const) {
      const all = [...space.edges('m', direction)]
      assert.is(all.length, { out: 4, in: 6, both: 8 }[direction])
      all.forEach((edge, index) => {
        const after = placeOfEdge(edge, 'm', direction)
        assert.equal([...space.edges('m', direction, after)], all.slice(index + 1),
          `${direction} after ${JSON.stringify(after)}`)
      })
      const nowhere = { side: 'in', other: 'zz', kind: 'k' } as const
      assert.equal([...space.edges('m', direction, nowhere)], [])
      // A place where no edge is, any more.
      const between = { side: 'out', other: 'm', kind: 'xx' } as const
      if (direction !== 'in') {
        assert.equal([...space.edges('m', direction, between)], all.slice(2))
      }
    }
  })

  test('the longest ids are taken', async ({ space }) => {
    const zeros = '\0'.repeat(256)
    const long = 'é'.repeat(128)
    await space.apply(log([
      storeNode({ id: zeros }),
      storeNode({ id: long }),
      storeEdge(zeros, zeros, zeros),
      storeEdge(long, zeros, long),
    ]))
    assert.equal(space.node(zeros), { id: zeros })
    assert.is([...space.edges(zeros, 'in')].length, 2)
  })

  test('nodes are listed in the order of their bytes', async ({ space }) => {
    const ids = ['b', 'a', 'ab', 'a\0', '\u{1F600}', '\uff5e', 'é', 'z']
    await space.apply(log(ids.map((id) => storeNode({ id }))))
    const sorted = ['a', 'a\0', 'ab', 'b', 'z', 'é', '\uff5e', '\u{1F600}']
    assert.equal(take(space.nodes(''), 100).map((node) => node.id), sorted)
    assert.equal(take(space.nodes(''), 3).map((node) => node.id), sorted.slice(0, 3))
    assert.equal(take(space.nodes('a'), 2).map((node) => node.id), ['a\0', 'ab'])
    assert.equal(take(space.nodes('c'), 1).map((node) => node.id), ['z'])
    assert.equal(take(space.nodes(''), 0), [])
  })

  test('entries must continue the applied position', async ({ space }) => {
    await space.apply(log([epochStart, storeNode({ id: 'a' })]))
    for (const sequence of [1, 2, 4]) {
      await rejects(space.apply([entry(sequence, storeNode({ id: 'x' }))]), /bug/)
    }
    await rejects(space.apply([entry(3, storeNode({ id: 'x' }), null, 0)]), /bug/)
    await rejects(space.apply([entry(3, epochStart, null, 2), entry(5, epochStart, null, 2)]),
      /bug/)
    assert.equal(space.applied, { epoch: 1, sequence: 2 })
    assert.is(space.node('x'), undefined)
    await space.apply([])
    await space.apply([entry(3, epochStart, null, 7)])
    assert.equal(space.applied, { epoch: 7, sequence: 3 })
  })

  test('a key identifies its request, split over two calls or not', async ({ space }) => {
    const node = storeNode({ id: 'a' })
    await space.apply([
      entry(1, node, 'one'),
      entry(2, node),
      entry(3, node, 'two'),
      entry(4, node, 'two'),
    ])
    assert.equal(space.key('one'), { epoch: 1, sequence: 1, count: 1, timestamp: 1001 })
    assert.equal(space.key('two'), { epoch: 1, sequence: 4, count: 2, timestamp: 1004 })
    await space.apply([entry(5, node, 'two'), entry(6, node, 'three')])
    assert.equal(space.key('two'), { epoch: 1, sequence: 5, count: 3, timestamp: 1005 })
    assert.is(space.key('tw'), undefined)
  })

  test('spaces do not see each other', async ({ store, space }) => {
    const other = store.space('u2')
    assert.is(store.space('u1'), space)
    await Promise.all([
      space.apply([entry(1, storeNode({ id: 'a' }), 'k')]),
      other.apply(log([storeNode({ id: 'b' }), storeEdge('b', 'b', 'k')])),
    ])
    assert.is(other.node('a'), undefined)
    assert.is(other.key('k'), undefined)
    assert.equal(take(space.nodes(''), 10).map((node) => node.id), ['a'])
    assert.is(space.edgeCount, 0)
    assert.is.not(space.digest, other.digest)
  })

  test('calls made at once are carried out in order', async ({ space }) => {
    const calls = Array.from({ length: 20 }, (_, index) =>
      space.apply([entry(index + 1, storeNode({ id: 'a', activation: index / 20 }))]))
    await Promise.all(calls)
    assert.equal(space.node('a'), { id: 'a', activation: 0.95 })
    assert.is(space.applied.sequence, 20)
  })

  test('a restart keeps everything', async (context) => {
    const { store, space } = context
    const second = store.space('u2')
    await space.apply([
      entry(1, storeNode({ id: 'a', content: 'c' }), 'k'),
      entry(2, storeEdge('a', 'b', 'k', 0)),
      entry(3, { type: 'UpdateActivation', nodeId: 'x', activation: 1 }),
    ])
    await second.apply(log([storeNode({ id: 'z' })]))
    const { digest } = space
    await store.close()
    context.store = await context.reopen()
    const again = context.store.space('u1')
    assert.equal(again.applied, { epoch: 1, sequence: 3 })
    assert.is(again.digest, digest)
    assert.equal([again.nodeCount, again.edgeCount, again.ignoredCount], [1, 1, 1])
    assert.equal(again.node('a'), { id: 'a', content: 'c' })
    await again.keysRead()
    assert.ok(again.areKeysRead)
    assert.equal(again.key('k'), { epoch: 1, sequence: 1, count: 1, timestamp: 1001 })
    assert.is(context.store.space('u2').nodeCount, 1)
    assert.is(context.store.space('u3').nodeCount, 0)
    // Exactly once: what is applied already is refused, what follows is taken.
    await rejects(again.apply([entry(3, storeNode({ id: 'a' }))]), /bug/)
    await again.apply([entry(4, storeNode({ id: 'b' }))])
    assert.is(again.nodeCount, 2)
  })

  test('assignments are remembered over a restart', async (context) => {
    assert.is(context.store.remembered().size, 0)
    await context.store.remember('demo', seen(4))
    const { store } = context
    await Promise.all([store.remember('demo', seen(5)), store.remember('d', seen(1))])
    await store.close()
    context.store = await context.reopen()
    assert.equal([...context.store.remembered().keys()].toSorted(), ['d', 'demo'])
    assert.equal(context.store.remembered().get('demo'), seen(5))
  })

  test('keys are forgotten by the timestamps of entries, and by count', async (context) => {
    const node = storeNode({ id: 'a' })
    const at = (sequence: number, key: string | null, timestamp: number) => ({
      ...entry(sequence, node, key),
      timestamp,
    })
    const known = () =>
      ['a', 'b', 'c', 'd', 'e'].filter((key) => context.store.space('u1').key(key)).join('')
    const day = { ms: 1000, count: 3 }
    await context.space.apply([at(1, 'a', 5000), at(2, 'b', 5500), at(3, 'b', 5500)], day)
    assert.is(known(), 'ab')
    await context.space.apply([at(4, 'b', 5500), at(5, null, 6000)], day)
    assert.is(known(), 'ab', 'as old as the retention is not older')
    await context.space.apply([at(6, null, 6001)], day)
    assert.is(known(), 'b')
    assert.equal(context.space.key('b'), { epoch: 1, sequence: 4, count: 3, timestamp: 5500 })
    await context.space.apply([at(7, 'c', 6001), at(8, 'd', 6001)], day)
    assert.is(known(), 'bcd')
    await context.store.close()
    context.store = await context.reopen()
    context.space = context.store.space('u1')
    await context.space.apply([at(9, 'e', 6001)], day)
    assert.is(known(), 'cde')
    await context.space.apply([at(10, 'c', 6400)], day)
    await context.space.apply([at(11, null, 7100)], day)
    assert.is(known(), 'c', 'taken again, it counts from then')
  })

  test('a condemned log stays condemned over a restart', async (context) => {
    assert.is(context.store.markedDamaged('u1'), null)
    const first = { reason: 'a frame is missing', installs: 1 }
    await context.store.markDamaged('u1', first)
    await context.store.markDamaged('u1', { reason: 'another reason', installs: 1 })
    await context.store.close()
    context.store = await context.reopen()
    assert.equal(context.store.markedDamaged('u1'), first)
    const later = { reason: 'of the log that took its place', installs: 2 }
    await context.store.markDamaged('u1', later)
    assert.equal(context.store.markedDamaged('u1'), later)
    await context.store.unmarkDamaged('u1')
    await context.store.unmarkDamaged('u2')
    assert.is(context.store.markedDamaged('u1'), null)
    assert.is(context.store.markedDamaged('u2'), null)
    assert.is(context.store.remembered().size, 0)
  })

  test('property: agrees with a replay, whatever batches and key order', async (context) => {
    let number = 0
    await fc.assert(
      fc.asyncProperty(fc.array(operationArbitrary, { maxLength: 40 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), async (operations, cuts) => {
        number += 1
        const space = context.store.space(`property-${number}`)
        const twin = new MemoryStore().space('twin')
        const entries = log(operations)
        for (let at = 0, cut = 0; at < entries.length; cut += 1) {
          const size = cuts[cut % cuts.length]!
          await space.apply(entries.slice(at, at + size))
          at += size
        }
        await twin.apply(log(operations.map(shuffled)))
        assertSame(space, twin)
      }),
      { numRuns: 60 },
    )
  })

  test.run()
}

const idArbitrary = fc.constantFrom('a', 'b', 'ab', 'a\0', 'é', '\u{1F600}')
const unitArbitrary = fc.constantFrom(0, -0, 0.5, 1)
const operationArbitrary: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    id: idArbitrary,
    content: fc.string(),
    activation: unitArbitrary,
    confidence: unitArbitrary,
    embedding: fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 3 }),
    metadata: fc.dictionary(fc.string().filter((key) => key !== '__proto__'),
      fc.jsonValue({ maxDepth: 2 }).filter((value) =>
        !JSON.stringify(value).includes('"__proto__"')
      ), { maxKeys: 4, noNullPrototype: true }),
  }, { requiredKeys: ['id'] }).map((node) => storeNode(node as MemoryNode)),
  fc.tuple(idArbitrary, unitArbitrary).map(([id, activation]) => update(id, activation)),
  fc.tuple(idArbitrary, idArbitrary, idArbitrary, fc.option(unitArbitrary, { nil: undefined }))
    .map(([source, target, kind, weight]) => storeEdge(source, target, kind, weight)),
)

/** Equal, but with the keys of every object in the opposite order, as another client writes. */
function shuffled(operation: Operation): Operation {
  const turn = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(turn)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).toReversed()
      .map(([key, inner]) => [key, turn(inner)]))
  }
  return turn(operation) as Operation
}

function assertSame(space: SpaceStore, twin: SpaceStore): void {
  assert.is(space.digest, twin.digest)
  assert.equal(space.applied, twin.applied)
  assert.equal([space.nodeCount, space.edgeCount, space.ignoredCount], [twin.nodeCount,
    twin.edgeCount, twin.ignoredCount])
  assert.is(JSON.stringify(take(space.nodes(''), 100).map(sortedKeys)),
    JSON.stringify(take(twin.nodes(''), 100).map(sortedKeys)))
  for (const id of ['a', 'b', 'ab', 'a\0', 'é', '\u{1F600}']) {
    assert.is(JSON.stringify([...space.edges(id, 'both')].map(sortedKeys)),
      JSON.stringify([...twin.edges(id, 'both')].map(sortedKeys)))
  }
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sortedKeys(inner)]))
}

const files = suite<{ directory: string }>('store: what its file is worth')
files.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
files.after.each((context) => rm(context.directory, { recursive: true, force: true }))

/** A store with one node, closed; then its marker says what the test wants. */
async function storeWithMarker(directory: string, marker: object | string): Promise<OpenedStore> {
  const store = await openStore(directory)
  await store.space('u1').apply([entry(1, storeNode({ id: 'a' }))])
  await store.remember('demo', { bucket: 'b' } as AssignmentAt & { bucket: string })
  await store.markDamaged('u1', { reason: 'a reason', installs: 0 })
  await store.close()
  const text = typeof marker === 'string' ? marker : JSON.stringify(marker)
  await writeFile(join(directory, 'marker.json'), text)
  return openStore(directory)
}

files('an unclean end in this boot is trusted: the page cache is whole', async (context) => {
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  const marker = { version: STORE_VERSION, boot, clean: false }
  const store = await storeWithMarker(context.directory, marker)
  assert.is(store.discarded, null)
  assert.is(store.space('u1').nodeCount, 1)
  await store.close()
})

for (const [name, marker, reason] of [
  ['a clean end, of an earlier format', { version: 2, boot: null, clean: true }, /format 2/],
  ['an unclean end, of another boot', { version: STORE_VERSION, boot: 'other', clean: false },
    /machine/],
  ['an unclean end, without a boot', { version: STORE_VERSION, boot: null, clean: false },
    /machine/],
  ['a torn marker', '{"version":1,"cl', /machine/],
] as const) {
  files(`${name}: the graphs are thrown away`, async (context) => {
    const store = await storeWithMarker(context.directory, marker)
    assert.match(store.discarded ?? '', reason)
    assert.equal(store.space('u1').applied, { epoch: 0, sequence: 0 })
    assert.is(store.remembered().size, 1, 'what was remembered is synced by itself')
    assert.is(store.markedDamaged('u1')?.reason, 'a reason', 'and so is what was condemned')
    await store.space('u1').apply([entry(1, storeNode({ id: 'b' }))])
    await store.close()
    const again = await openStore(context.directory)
    assert.is(again.discarded, null)
    assert.is(again.space('u1').nodeCount, 1)
    await again.close()
  })
}

files('a later format is refused, and left as it is', async (context) => {
  await rejects(storeWithMarker(context.directory, { version: 9, clean: true }), /format 9/)
  assert.match(await readFile(join(context.directory, 'marker.json'), 'utf8'), /"version":9/)
})

files.run()
