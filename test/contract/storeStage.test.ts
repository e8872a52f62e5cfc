/** The Store port: a state that is loaded beside the present one, and takes its place. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceState, SpaceStore, Stage, Store } from '../../actors/ports/store.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { GraphFile } from '../../runtime/store/graphFile.js'
import type { OpenedStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { draftsArbitrary, ids, logOf, placesOf, storeEdge,
  storeNode } from '../support/forkEntries.js'
import { recordsOf, slicesOf } from '../support/images.js'
import { storeSuite, subjects, type StoreContext } from './storeSubjects.js'

const retention = { ms: 40, count: 25 }

/** Plain entries; each third one continues the request of the one before. */
function writes(first: number, count: number, epoch = 1): LogEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const sequence = first + index
    const operation = sequence % 3 === 0
      ? storeEdge(`n${sequence % 50}`, `n${sequence % 70}`, 0.5)
      : storeNode(`n${(sequence * 31) % 400}`, `content ${sequence}`)
    const writeId = `k${Math.ceil(sequence / 3)}`
    return { sequence, epoch, timestamp: 1000 + sequence, vectorClock: {}, writeId, operation }
  })
}

async function spaceOf(entries: readonly LogEntry[]): Promise<SpaceStore> {
  const space = new MemoryStore().space('source')
  for (let at = 0; at < entries.length; at += 100) await space.apply(entries.slice(at, at + 100))
  return space
}

function stateOf(space: SpaceStore): SpaceState {
  const image = space.image(space.applied)!
  image.close()
  return image.state
}

/** A stage with all records of the space. */
async function loaded(store: Store, uuid: string, from: SpaceStore): Promise<Stage> {
  const stage = store.stage(uuid, stateOf(from))
  for (const slice of slicesOf(from)) await stage.put(slice)
  return stage
}

async function load(store: Store, uuid: string, from: SpaceStore, installs = 1): Promise<void> {
  await (await loaded(store, uuid, from)).adopt(installs)
  await store.space(uuid).keysRead()
}

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return ''
  } catch (error) {
    return (error as { code: string }).code
  }
}

async function message(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => '', (error: unknown) => (error as Error).message)
}

/** Everything that can be asked of a space, and its records. */
function assertSame(space: SpaceStore, other: SpaceStore, entries: readonly LogEntry[]): void {
  assert.equal(space.applied, other.applied)
  assert.is(space.digest, other.digest)
  assert.equal(
    [space.nodeCount, space.edgeCount, space.ignoredCount],
    [other.nodeCount, other.edgeCount, other.ignoredCount],
  )
  assert.equal([...space.nodes('')], [...other.nodes('')])
  for (const id of [...ids, 'n1', 'n30']) {
    assert.equal(space.nodeState(id), other.nodeState(id))
    assert.equal([...space.edges(id, 'both')], [...other.edges(id, 'both')])
    assert.equal([...space.edges(id, 'in')], [...other.edges(id, 'in')])
  }
  assert.equal(space.reports(), other.reports())
  assert.is(space.openReportCount, other.openReportCount)
  assert.is(space.quarantineCount, other.quarantineCount)
  assert.equal([...space.quarantine('')], [...other.quarantine('')])
  for (const { epoch, sequence } of placesOf(entries)) {
    assert.equal(space.origin(epoch, sequence), other.origin(epoch, sequence))
  }
  for (const { writeId } of entries) {
    if (writeId !== null) assert.equal(space.key(writeId), other.key(writeId), writeId)
  }
}

for (const subject of subjects) {
  const test = storeSuite(`store: stage: ${subject.name}`, subject)

  test('a load makes an empty space what its source is, over a restart', async (context) => {
    const entries = writes(1, 2000)
    const source = await spaceOf(entries)
    await load(context.store, 'u1', source, 3)
    assert.is(context.space.installs, 3)
    assertSame(context.space, source, entries)
    await context.store.close()
    context.store = await context.reopen()
    const again = context.store.space('u1')
    await again.keysRead()
    assert.is(again.installs, 3)
    assertSame(again, source, entries)
    const more = writes(2001, 300)
    await Promise.all([again.apply(more), source.apply(more)])
    assertSame(again, source, [...entries, ...more])
    assert.is(again.installs, 3, 'what is applied keeps it')
  })

  test('the present state is read and written until the other takes its place', async (context) => {
    const { store, space } = context
    const mine = writes(1, 900)
    await space.apply(mine)
    const twin = await spaceOf(mine)
    const entries = writes(1, 1700, 2)
    const source = await spaceOf(entries)
    const stage = await loaded(store, 'u1', source)
    assert.is(stage.records, recordsOf(slicesOf(source)).length)
    assertSame(space, twin, mine)
    const more = writes(901, 50)
    await Promise.all([space.apply(more), twin.apply(more)])
    assertSame(space, twin, more)
    const image = space.image(space.applied)!
    const before = Buffer.concat(slicesOf(space))
    const last = space.apply(writes(951, 10))
    await stage.adopt(1)
    await last
    await space.keysRead()
    assertSame(space, source, [...entries, ...mine])
    const slices: Buffer[] = []
    for (let slice = image.next(); slice.length > 0; slice = image.next()) {
      slices.push(Buffer.from(slice))
    }
    image.close()
    assert.ok(Buffer.concat(slices).equals(before), 'an image of the former state stays as it was')
    assert.match(await message(space.apply(writes(961, 1))), /bug/)
    const next = writes(1701, 40, 2)
    await Promise.all([space.apply(next), source.apply(next)])
    assertSame(space, source, [...entries, ...next])
    stage.discard()
    assertSame(space, source, next)
  })

  test('records that are not the state are refused, and change nothing', async (context) => {
    const { store, space } = context
    const mine = writes(1, 200)
    await space.apply(mine)
    const twin = await spaceOf(mine)
    const source = await spaceOf(writes(1, 1500, 2))
    const slices = slicesOf(source)
    const flipped = Buffer.from(slices[0]!)
    flipped[60]! ^= 1
    const stage = store.stage('u1', stateOf(source))
    assert.is(await code(stage.put(flipped)), 'RECORDS_DAMAGED')
    assert.is(await code(stage.put(slices[0]!.subarray(0, -1))), 'RECORDS_DAMAGED')
    await stage.put(slices[0]!)
    assert.is(await code(stage.put(slices[0]!)), 'RECORDS_DAMAGED', 'out of order')
    assert.match(await message(stage.put(Buffer.concat(slices.slice(1)))), /bug/)
    assert.is(await code(stage.adopt(1)), 'RECORDS_DAMAGED', 'not all of them')
    for (const slice of slices.slice(1)) await stage.put(slice)
    assertSame(space, twin, mine)
    const other = store.stage('u1', { ...stateOf(source), digest: '0000000000000007' })
    for (const slice of slices) await other.put(slice)
    assert.is(await code(other.adopt(1)), 'RECORDS_DAMAGED')
    assert.is(await code(stage.adopt(1)), 'STAGE_DISCARDED', 'by the one after it')
    other.discard()
    assert.is(await code(other.put(slices[0]!)), 'STAGE_DISCARDED')
    assertSame(space, twin, mine)
    await load(store, 'u1', source)
    assertSame(space, source, mine)
    const stale = await loaded(store, 'u1', source)
    await store.close()
    assert.is(await code(stale.adopt(1)), 'STAGE_DISCARDED')
  })

  test('property: a load is a replay, in all tables, and goes on as one', async (context) => {
    let number = 0
    await fc.assert(
      fc.asyncProperty(draftsArbitrary(120), fc.nat({ max: 120 }), fc.integer({ min: 1, max: 40 }),
        async (drafts, cut, batch) => {
          number += 1
          const entries = logOf(drafts).map((entry) => ({ ...entry,
            writeId: entry.sequence % 5 === 0 ? null : `k${Math.floor(entry.sequence / 2) % 30}` })
          )
          const [some, rest] = [entries.slice(0, cut), entries.slice(cut)]
          const replayed = context.store.space(`replayed-${number}`)
          for (let at = 0; at < some.length; at += batch) {
            await replayed.apply(some.slice(at, at + batch), retention)
          }
          const space = context.store.space(`loaded-${number}`)
          await space.apply(writes(1, 10, 9))
          await load(context.store, `loaded-${number}`, replayed)
          assert.equal(recordsOf(slicesOf(space)), recordsOf(slicesOf(replayed)))
          const twin = new MemoryStore()
          await load(twin, 'u1', replayed)
          const all = [...entries, ...writes(1, 10)]
          assertSame(space, replayed, all)
          assertSame(space, twin.space('u1'), all)
          for (let at = 0; at < rest.length; at += batch) {
            await space.apply(rest.slice(at, at + batch), retention)
            await replayed.apply(rest.slice(at, at + batch), retention)
          }
          assertSame(space, replayed, all)
          assert.equal(recordsOf(slicesOf(space)), recordsOf(slicesOf(replayed)))
        }),
      { numRuns: 50 },
    )
  })

  test.run()
}

const lmdb = suite<StoreContext & { store: OpenedStore }>('store: stage: what is left in the file')
lmdb.before.each(async (context) => {
  Object.assign(context, await subjects.find(({ name }) => name === 'lmdb')!.make())
})
lmdb.after.each(async (context) => {
  await context.store.close()
  await context.remove()
})

/** Numbers of spaces that have records, and how many. */
function recordsByNumber(file: GraphFile): Map<number, number> {
  const found = new Map<number, number>()
  for (const key of file.keys({})) {
    const number = key.readUInt32BE(0)
    if (number > 0) found.set(number, (found.get(number) ?? 0) + 1)
  }
  return found
}

const fileOf = (store: Store): GraphFile =>
  (store as unknown as { parts: { graph: GraphFile } }).parts.graph

lmdb('given up, ended by a restart, or replaced: removed, and no number is used again',
  async (context) => {
    const source = await spaceOf(writes(1, 3000))
    const count = recordsOf(slicesOf(source)).length
    const given = await loaded(context.store, 'u1', source)
    given.discard()
    await loaded(context.store, 'u2', source)
    await context.store.close()
    context.store = await context.reopen() as OpenedStore
    const space = context.store.space('u3')
    await space.apply(writes(1, 3))
    await context.store.garbageRemoved()
    const left = recordsByNumber(fileOf(context.store))
    assert.is(left.size, 1, 'only what was applied is there')
    assert.equal([...space.nodes('')].length, 2)
    await load(context.store, 'u3', source)
    await context.store.garbageRemoved()
    assert.equal([...recordsByNumber(fileOf(context.store)).values()].length, 1)
    const [records = 0] = recordsByNumber(fileOf(context.store)).values()
    assert.is(records, count + 1 + space.edgeCount, 'with a header, and edges by target')
    assertSame(space, source, writes(1, 3000))
  })

lmdb('a transaction that fails: the state is old, and the same call succeeds later',
  async (context) => {
    const mine = writes(1, 300)
    const space = context.store.space('u1')
    await space.apply(mine)
    const twin = await spaceOf(mine)
    const entries = writes(1, 1500, 2)
    const source = await spaceOf(entries)
    const stage = context.store.stage('u1', stateOf(source))
    const file = fileOf(context.store)
    const { write } = GraphFile.prototype
    let isFull = false
    file.write = async (puts, removes) => {
      isFull = !isFull
      if (isFull) throw Object.assign(new Error('disk full'), { code: 'ENOSPC' })
      await write.call(file, puts, removes)
    }
    for (const slice of slicesOf(source)) {
      assert.is(await code(stage.put(slice)), 'STORE_WRITE')
      assertSame(space, twin, mine)
      await stage.put(slice)
    }
    assert.is(await code(stage.adopt(1)), 'STORE_WRITE')
    assertSame(space, twin, mine)
    await stage.adopt(1)
    await space.keysRead()
    assertSame(space, source, [...mine, ...entries])
  })

lmdb('keys are read anew while those of the former state are still being read', async (context) => {
  const mine = writes(1, 6000)
  for (let at = 0; at < mine.length; at += 500) {
    await context.store.space('u1').apply(mine.slice(at, at + 500))
  }
  await context.store.close()
  context.store = await context.reopen() as OpenedStore
  const space = context.store.space('u1')
  const entries = writes(1, 900, 2)
  const source = await spaceOf(entries)
  const stage = context.store.stage('u1', stateOf(source))
  const read = space.keysRead()
  for (const slice of slicesOf(source)) await stage.put(slice)
  await stage.adopt(1)
  await read
  await space.keysRead()
  assert.ok(space.areKeysRead)
  assertSame(space, source, [...mine, ...entries])
})

lmdb.run()
