/** Idempotency keys in the store: the LMDB store agrees with its twin, whatever the batches. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceStore } from '../../actors/ports/store.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { GroupCursor, GroupWriter, GROUP_BYTES_MAX } from '../../runtime/store/keyGroup.js'
import { KeyIndex } from '../../runtime/store/keyIndex.js'
import { KeyReading } from '../../runtime/store/keyReading.js'
import { openStore, type OpenedStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'

const test = suite<{ directory: string; store: OpenedStore }>('store: keys')
test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
  context.store = await openStore(context.directory)
})
test.after.each(async (context) => {
  await context.store.close()
  await rm(context.directory, { recursive: true, force: true })
})

interface Step {
  readonly key: string | null
  readonly gapMs: number
}

function logOf(steps: readonly Step[]): LogEntry[] {
  let timestamp = 5000
  return steps.map(({ key, gapMs }, index) => {
    if (key === null || key !== steps[index - 1]?.key) timestamp += gapMs
    return {
      sequence: index + 1,
      epoch: 1 + Math.floor(index / 50),
      timestamp,
      vectorClock: {},
      writeId: key,
      operation: { type: 'UpdateActivation', nodeId: 'x', activation: 0 },
    }
  })
}

const long = 'k'.repeat(256)
const keyArbitrary = fc.constantFrom('a', 'b', 'ab', 'é', `${long}1`.slice(1), long, 'c', 'd', null)
const stepsArbitrary = fc.array(fc.record({
  key: keyArbitrary,
  gapMs: fc.constantFrom(0, 1, 300, 1001, 2 ** 33),
}), { maxLength: 150 })
const cutsArbitrary = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 })

/** `reopenAt`: the store is opened anew before this batch. */
async function agree(
  context: { directory: string; store: OpenedStore },
  uuid: string,
  entries: readonly LogEntry[],
  cuts: readonly number[],
  reopenAt: number,
  retention: { ms: number; count: number },
  check: (space: SpaceStore, twin: SpaceStore) => void,
): Promise<void> {
  const twin = new MemoryStore().space('twin')
  for (let at = 0, cut = 0; at < entries.length; cut += 1) {
    if (cut === reopenAt) {
      await context.store.close()
      context.store = await openStore(context.directory)
      await context.store.space(uuid).keysRead()
    }
    const space = context.store.space(uuid)
    const batch = entries.slice(at, at + cuts[cut % cuts.length]!)
    at += batch.length
    // Keys of a batch itself stay until the next one.
    for (const part of [batch.slice(0, -1), batch.slice(-1)]) {
      if (part.length === 0) continue
      await space.apply(part, retention)
      await twin.apply(part, retention)
    }
    check(space, twin)
  }
}

test('property: known and forgotten by time, with keys that come again', async (context) => {
  let number = 0
  await fc.assert(
    fc.asyncProperty(stepsArbitrary, cutsArbitrary, fc.nat(10), async (steps, cuts, reopenAt) => {
      number += 1
      const entries = logOf([...steps, { key: null, gapMs: 0 }])
      await agree(context, `time-${number}`, entries, cuts, reopenAt, { ms: 1000, count: Infinity },
        (space, twin) => {
          for (const key of ['a', 'b', 'ab', 'é', long, `${long}1`.slice(1), 'c', 'd', 'no']) {
            const known = twin.key(key)
            // Keys of the last batch may be older than the retention already.
            if (known !== undefined) assert.equal(space.key(key), known, key)
          }
        })
      const space = context.store.space(`time-${number}`)
      const last = entries.at(-1)!
      const next = { ...last, sequence: last.sequence + 1 }
      await space.apply([next], { ms: 1000, count: Infinity })
      const twin = new MemoryStore().space('twin')
      await twin.apply(entries, { ms: 1000, count: Infinity })
      for (const key of ['a', 'b', 'ab', 'é', long, 'c', 'd']) {
        assert.equal(space.key(key), twin.key(key), key)
      }
    }),
    { numRuns: 60 },
  )
})

test('property: exactly the latest are known by count, whatever the batches', async (context) => {
  let number = 0
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 300 }), cutsArbitrary, fc.nat(10),
      fc.integer({ min: 0, max: 100 }), async (length, cuts, reopenAt, count) => {
      number += 1
      const entries = logOf(Array.from({ length }, (_, at) => ({ key: `k${at}`, gapMs: 1 })))
      const retention = { ms: Infinity, count }
      const { sequence } = entries.at(-1)!
      entries.push(...logOf(Array.from({ length: length + 8 }, () => ({ key: null, gapMs: 0 })))
        .slice(sequence))
      await agree(context, `count-${number}`, entries, cuts, reopenAt, retention, () => undefined)
      const space = context.store.space(`count-${number}`)
      const known = entries.filter(({ writeId }) => writeId !== null && space.key(writeId))
      assert.equal(known.map((entry) => entry.sequence),
        entries.slice(0, length).slice(Math.max(0, length - count)).map((e) => e.sequence))
    }),
    { numRuns: 40 },
  )
})

test('a few of many old keys are forgotten with each batch, and none is found late', async (context) => {
  const space = context.store.space('u1')
  const entries = logOf(Array.from({ length: 3000 }, (_, at) => ({ key: `k${at}`, gapMs: 1 })))
  await space.apply(entries)
  for (let at = 0; at < 60; at += 1) {
    const last = entries.at(-1)!
    entries.push({ ...last, sequence: last.sequence + 1, writeId: null })
    await space.apply(entries.slice(-1), { ms: Infinity, count: 10 })
    const known = Math.max(10, 3000 - 66 * (at + 1))
    assert.is(space.key(`k${2999 - known}`), undefined)
    assert.is(space.key(`k${3000 - known}`)!.sequence, 3001 - known)
  }
})

test('after a restart, keys are found, whenever batches come while they are read', async (context) => {
  const entries = logOf(Array.from({ length: 9000 }, (_, at) => ({ key: `key-${at}`, gapMs: 0 })))
  await context.store.space('u1').apply(entries.slice(0, 6000))
  for (const isFirst of [true, false]) {
    await context.store.close()
    context.store = await openStore(context.directory)
    const space = context.store.space('u1')
    const from = space.applied.sequence
    assert.is(space.areKeysRead, false)
    assert.throws(() => space.key('key-0'), /before all of them are read/)
    if (isFirst) await space.keysRead()
    for (let at = from; at < from + 1500; at += 100) {
      await space.apply(entries.slice(at, at + 100))
    }
    await space.keysRead()
    for (let at = 0; at < from + 1500; at += 7) assert.is(space.key(`key-${at}`)!.sequence, at + 1)
    assert.is(space.key(`key-${from + 1500}`), undefined)
  }
})

test('keys are read one slice in a turn, of one space after the other', async () => {
  const reading = new KeyReading()
  const order: string[] = []
  const piece = (name: string, pieces: number) => {
    let left = pieces
    return reading.read(() => {
      order.push(name)
      const endMs = performance.now() + 3
      while (performance.now() < endMs);
      left -= 1
      return left > 0
    })
  }
  const ticks = setInterval(() => order.push('.'), 0)
  await Promise.all([piece('a', 3), piece('b', 2)])
  clearInterval(ticks)
  assert.equal(order.filter((step) => step !== '.'), ['a', 'a', 'a', 'b', 'b'])
  const between = order.slice(order.indexOf('a'), order.lastIndexOf('b'))
  assert.ok(between.includes('.'), 'the loop turned')
})

test('a failed read is reported to its caller, and the next one is read', async () => {
  const reading = new KeyReading()
  const broken = reading.read(() => {
    throw new Error('broken')
  })
  const next = reading.read(() => false)
  assert.is(await broken.catch((error: Error) => error.message), 'broken')
  await next
})

test('groups are as full as they can be, whatever the batches', () => {
  const run = (sequence: number) => ({
    key: `key-${sequence}`,
    record: { epoch: 1, sequence, count: 1, timestamp: 7 },
  })
  const whole = new GroupWriter(undefined)
  for (let sequence = 1; sequence <= 500; sequence += 1) whole.add(run(sequence))
  const lastOfWhole = whole.finish()
  let last = undefined
  const stored = new Map<number, Buffer>()
  for (let sequence = 1; sequence <= 500; sequence += 1) {
    const writer = new GroupWriter(last)
    writer.add(run(sequence))
    last = writer.finish()
    for (const { first, bytes } of writer.groups) stored.set(first, bytes)
  }
  assert.equal(last, lastOfWhole)
  assert.equal([...stored], whole.groups.map(({ first, bytes }) => [first, bytes]))
  const sequences: number[] = []
  for (const { first, bytes } of whole.groups) {
    assert.ok(bytes.length <= GROUP_BYTES_MAX)
    const cursor = new GroupCursor(first, bytes)
    while (cursor.next()) sequences.push(cursor.sequence)
  }
  assert.equal(sequences, Array.from({ length: 500 }, (_, at) => at + 1))
})

test('the index gives every group of a hash, the latest first, and drops what is old', () => {
  const index = new KeyIndex()
  for (let at = 1; at <= 3000; at += 1) index.add(at % 100, at, at)
  const expected = Array.from({ length: 30 }, (_, at) => 2907 - 100 * at)
  assert.equal(index.candidates(7), expected)
  index.forgetBelow(1500)
  const left = index.candidates(7)
  assert.equal(left, expected.slice(0, left.length))
  assert.ok(left.includes(1507) && !left.includes(107))
  assert.equal(index.candidates(101), [])
})

test.run()
