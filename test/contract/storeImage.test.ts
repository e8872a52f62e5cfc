/** The Store port: consistent states of a space, read while it is written. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { open } from 'lmdb'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceStore } from '../../actors/ports/store.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { encodeHeader, decodeHeader } from '../../runtime/store/header.js'
import { prefixEnd, Table, tableKey, textKey } from '../../runtime/store/keys.js'
import { openStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { draftsArbitrary, firstEpoch, from, logOf, storeEdge, storeNode, update,
  type Draft } from '../support/forkEntries.js'
import { drain, recordsOf, slicesOf } from '../support/images.js'
import { storeSuite, subjects } from './storeSubjects.js'

const plain = (operation: Draft['operation']): Draft => ({ operation })

/** A write at that sequence: a node of thousands, an edge, or an activation; each has a key. */
function writeAt(sequence: number): LogEntry {
  const id = `n${(sequence * 7919) % 3000}`
  const operation = sequence % 5 === 0
    ? storeEdge(id, `n${sequence % 300}`, 0.5)
    : sequence % 5 === 1
    ? update(id, (sequence % 7) / 7)
    : storeNode(id, `content ${sequence} `.repeat(8))
  const shared = { epoch: 1, timestamp: 1000 + sequence, vectorClock: {} }
  return { ...shared, sequence, writeId: `k${sequence}`, operation }
}

function writes(first: number, count: number): LogEntry[] {
  return Array.from({ length: count }, (_, index) => writeAt(first + index))
}

async function write(space: SpaceStore, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 250) {
    await space.apply(writes(space.applied.sequence + 1, Math.min(250, left)))
  }
}

function thrownBy(run: () => unknown): { code?: string; message: string } {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  return { message: 'nothing was thrown' }
}

for (const subject of subjects) {
  const test = storeSuite(`store: image: ${subject.name}`, subject)

  test('an empty space has an empty image, and none of another position', async ({ space }) => {
    assert.is(space.image({ epoch: 0, sequence: 1 }), null)
    assert.equal(slicesOf(space), [])
    await write(space, 3)
    assert.is(space.image({ epoch: 0, sequence: 0 }), null)
    assert.is(space.image({ epoch: 2, sequence: 3 }), null)
    assert.is(space.image({ epoch: 1, sequence: 2 }), null)
    assert.is(space.installs, 0)
  })

  test('an image under 10,000 writes is the state at its begin', async ({ space }) => {
    await write(space, 4000)
    const before = slicesOf(space)
    const { applied, digest } = space
    const image = space.image(applied)!
    assert.equal(image.state.position, applied)
    const slices: Buffer[] = []
    for (let written = 0; written < 10_000; written += 250) {
      const slice = Buffer.from(image.next())
      if (slice.length > 0) slices.push(slice)
      await write(space, 250)
    }
    slices.push(...drain(image))
    assert.is(image.next().length, 0, 'and at the end nothing comes any more')
    image.close()
    assert.is(image.state.digest, digest)
    assert.ok(slices.length > 4, `${slices.length} slices`)
    assert.ok(Buffer.concat(slices).equals(Buffer.concat(before)))
    assert.not(Buffer.concat(slicesOf(space)).equals(Buffer.concat(before)))
  })

  test('while an image is open each write makes the file larger', async ({ space }) => {
    await write(space, 4000)
    const image = space.image(space.applied)!
    assert.is(image.grownBytes, 0)
    await write(space, 10_000)
    assert.ok(image.grownBytes > 10_000_000, `${image.grownBytes} bytes`)
    image.close()
    assert.is(image.grownBytes, 0)
  })

  test('an image has the records of the state, by table and key', async ({ space }) => {
    await space.apply(logOf([
      plain(storeNode('b', 'x'.repeat(200_000))),
      plain(storeNode('a\0', 'one')),
      plain(storeNode('é'.repeat(250))),
      plain(storeEdge('b', 'a\0', 1)),
      plain(storeEdge('a\0', 'b', 1)),
      from(3, 41, storeNode('q', 'y'.repeat(400_000)), {
        outcome: 'quarantined',
        by: { epoch: firstEpoch, sequence: 1 },
      }),
    ]))
    const slices = slicesOf(space)
    const records = recordsOf(slices)
    assert.equal(records.map(({ table }) => table), [
      Table.node,
      Table.node,
      Table.node,
      Table.edgeBySource,
      Table.edgeBySource,
      Table.quarantine,
      Table.origin,
    ])
    assert.equal(records.slice(0, 3).map(({ key }) => Buffer.from(key, 'hex').toString()), ['a\0',
      'b', 'é'.repeat(250)])
    const sorted = records.toSorted((a, b) => a.table - b.table || (a.key < b.key ? -1 : 1))
    assert.equal(records, sorted)
    for (const slice of slices) {
      const { length } = recordsOf([slice])
      assert.ok(length <= 512 && (length === 1 || slice.length <= 128 * 1024))
    }
  })

  test('a closed image cannot be read, and a closed store has closed its images', async (context) => {
    const { space } = context
    await write(space, 2000)
    const { applied } = space
    const one = space.image(applied)!
    const other = space.image(applied)!
    one.next()
    one.close()
    one.close()
    assert.is(thrownBy(() => one.next()).code, 'IMAGE_CLOSED')
    assert.ok(other.next().length > 0)
    await context.store.close()
    assert.is(thrownBy(() => other.next()).code, 'IMAGE_CLOSED')
    other.close()
    context.store = await context.reopen()
    const again = context.store.space('u1')
    assert.ok(slicesOf(again).length > 0)
  })

  test('property: images of equal logs have equal records', async (context) => {
    let number = 0
    await fc.assert(
      fc.asyncProperty(draftsArbitrary(150), fc.integer({ min: 1, max: 40 }),
        async (drafts, cut) => {
          number += 1
          const entries = logOf(drafts)
          const space = context.store.space(`property-${number}`)
          for (let at = 0; at < entries.length; at += cut) {
            await space.apply(entries.slice(at, at + cut))
          }
          const twin = new MemoryStore().space('twin')
          await twin.apply(entries)
          // What is forgotten of origins is removed sooner or later; the twin does it at once.
          const records = recordsOf(slicesOf(space)).filter(isLiving(space))
          assert.equal(records, recordsOf(slicesOf(twin)))
        }),
      { numRuns: 60 },
    )
  })

  test.run()
}

/** Without origins of forgotten reports, and the marks of these. */
function isLiving(space: SpaceStore) {
  const forgotten = new Set(recordsOf(slicesOf(space))
    .filter(({ table }) => table === Table.forgotten).map(({ key }) => key))
  return ({ table, key }: { table: number; key: string }): boolean =>
    table !== Table.forgotten && !(table === Table.origin && forgotten.has(key.slice(0, 32)))
}

const rot = suite<{ directory: string }>('store: an image finds what rots')
rot.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
rot.after.each((context) => rm(context.directory, { recursive: true, force: true }))

type Records = ReturnType<typeof open<Buffer, Buffer>>

const first = (records: Records, table: number): { key: Buffer; value: Buffer } => {
  const start = tableKey(1, table as typeof Table.node)
  for (const found of records.getRange({ start, end: prefixEnd(start), limit: 1 })) {
    return { key: Buffer.from(found.key), value: Buffer.from(found.value) }
  }
  throw new Error('the table is empty')
}
const flipped = (table: number, at: number) => async (records: Records): Promise<void> => {
  const { key, value } = first(records, table)
  value[at < 0 ? value.length + at : at]! ^= 1
  await records.put(key, value)
}
const header = tableKey(1, Table.header)

for (const [name, damage, words] of [
  ['a flipped bit in a node', flipped(Table.node, 40), /wrong hash/],
  ['a flipped bit in the hash of an edge', flipped(Table.edgeBySource, 3), /wrong hash/],
  ['a node under the key of another one', async (records: Records) => {
    const { key, value } = first(records, Table.node)
    await records.remove(key)
    await records.put(textKey(1, Table.node, 'm'), value)
  }, /key of another one/],
  ['an edge under the key of another one', async (records: Records) => {
    const { key, value } = first(records, Table.edgeBySource)
    await records.remove(key)
    key[key.length - 3]! ^= 1
    await records.put(key, value)
  }, /key of another one/],
  ['a node that is missing', async (records: Records) => {
    await records.remove(first(records, Table.node).key)
  }, /nodes, and its header says/],
  ['a group of keys that is cut off', async (records: Records) => {
    const { key, value } = first(records, Table.keyGroup)
    await records.put(key, value.subarray(0, value.length - 1))
  }, /wrong length/],
  ['a group of keys that is missing', async (records: Records) => {
    await records.remove(first(records, Table.keyGroup).key)
  }, /idempotency keys, and its header says/],
  ['another digest', async (records: Records) => {
    const said = decodeHeader(records.get(header)!)
    await records.put(header, encodeHeader({ ...said, digest: 7n }))
  }, /sum of the hashes/],
] as const) {
  rot(name, async ({ directory }) => {
    let store = await openStore(directory)
    await write(store.space('u1'), 1000)
    await store.close()
    const records: Records = open({ path: join(directory, 'graph'), encoding: 'binary',
      keyEncoding: 'binary', maxDbs: 1, mapSize: 2 ** 30 })
    await damage(records)
    await records.close()
    const reasons: string[] = []
    store = await openStore(directory, { onDamage: (reason) => reasons.push(reason) })
    assert.is(store.discarded, null)
    const thrown = thrownBy(() => slicesOf(store.space('u1')))
    assert.is(thrown.code, 'STORE_DAMAGED')
    assert.match(thrown.message, words)
    assert.match(reasons.join(), words)
    await store.close()
    store = await openStore(directory)
    assert.match(store.discarded ?? '', words, 'and it is built anew at the next start')
    await store.close()
  })
}

rot.run()
