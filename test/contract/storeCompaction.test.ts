/** Compaction at an opening: bytes are given back, and whatever happens the store stays whole. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import { type CompactionFiles, compactionFiles,
  type CompactionOptions } from '../../runtime/store/compaction.js'
import { nonceKey, openRecords } from '../../runtime/store/opening.js'
import { type OpenedStore, openStore } from '../../runtime/store/store.js'
import { take } from '../support/lists.js'

const CHILD = 'ENGRAM_STORE_COMPACTION_CHILD'
const KILL = 'ENGRAM_STORE_COMPACTION_KILL'

const small = { freeBytesMin: 100_000 }
/** A file with the bytes of u1 has more, one without them less. */
const MIDDLE_BYTES = 300_000

function entries(first: number, count: number): LogEntry[] {
  return Array.from({ length: count }, (_, index) => ({
    sequence: first + index,
    epoch: 1,
    timestamp: index,
    vectorClock: {},
    writeId: `k${first + index}`,
    operation: { type: 'StoreNode', node: { id: `n${first + index}`, content: 'x'.repeat(1_000) } },
  }))
}

/** A store with little left of much: u0 has 10 nodes, u1 had 600. */
async function prepare(directory: string): Promise<void> {
  const store = await openStore(directory)
  await store.space('u0').apply(entries(1, 10))
  await store.space('u1').apply(entries(1, 600))
  await store.drop('u1')
  await store.garbageRemoved()
  assert.ok(store.freeBytes > MIDDLE_BYTES, `${store.freeBytes} bytes are free`)
  await store.close()
}

const sizeOf = async (directory: string): Promise<number> =>
  (await stat(join(directory, 'graph', 'data.mdb'))).size

function assertWhole(store: OpenedStore): void {
  assert.is(store.discarded, null)
  assert.equal([store.has('u0'), store.has('u1')], [true, false])
  const space = store.space('u0')
  assert.equal([space.applied.sequence, space.nodeCount], [10, 10])
  assert.equal(take(space.nodes(''), 20).map(({ id }) => id).toSorted(),
    entries(1, 10).map(({ sequence }) => `n${sequence}`).toSorted())
}

/** Writes, and opens again as usual. */
async function assertGoesOn(directory: string, store: OpenedStore): Promise<void> {
  await store.space('u0').apply(entries(11, 5))
  await store.close()
  assert.not(existsSync(join(directory, 'compacted')))
  const marker = JSON.parse(await readFile(join(directory, 'marker.json'), 'utf8')) as object
  assert.equal([Reflect.get(marker, 'clean'), 'compacted' in marker], [true, false])
  const again = await openStore(directory)
  assert.is(again.discarded, null)
  assert.is(again.space('u0').nodeCount, 15)
  await again.close()
}

interface Said {
  readonly info: string[]
  readonly warn: string[]
}

async function open(
  directory: string,
  compaction: CompactionOptions = small,
): Promise<{ store: OpenedStore; said: Said }> {
  const said: Said = { info: [], warn: [] }
  const logger = {
    debug: () => undefined,
    info: (_: object, text: string) => void said.info.push(text),
    warn: (_: object, text: string) => void said.warn.push(text),
    error: () => undefined,
  }
  return { store: await openStore(directory, { logger, compaction }), said }
}

/** Calls `before` and `after` each of the calls, with its number. */
function watched(
  before: (call: number, name: string) => void,
  after: (call: number, name: string) => void = () => undefined,
): CompactionFiles {
  let calls = 0
  return new Proxy(compactionFiles, {
    get: (files, name) => async (...parts: unknown[]) => {
      const call = calls
      calls += 1
      before(call, String(name))
      const inner = Reflect.get(files, name) as (...given: unknown[]) => Promise<unknown>
      const result = await inner(...parts)
      after(call, String(name))
      return result
    },
  })
}

/** The calls of a compaction, in order. */
const calls = ['exists', 'freeBytes', 'makeDirectory', 'sync', 'mark', 'rename', 'mark', 'remove']
const renamed = calls.indexOf('rename')

const test = suite<{ directory: string }>('store: compaction')
test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
  await prepare(context.directory)
})
test.after.each((context) => rm(context.directory, { recursive: true, force: true }))

test('free pages are given back, and the log says how many', async ({ directory }) => {
  const before = await sizeOf(directory)
  const made: string[] = []
  let nowMs = 0
  const files = watched((_, name) => {
    made.push(name)
    nowMs += 100
  })
  const { store, said } = await open(directory, { ...small, files, nowMs: () => nowMs })
  const after = await sizeOf(directory)
  assert.ok(before > MIDDLE_BYTES && after < before / 4, `${before} → ${after}`)
  assert.equal(made, calls)
  assert.is(said.warn.length, 0)
  assert.is(said.info.length, 2)
  assert.match(said.info[0]!, /^compacting the store: .* of its .* are free$/)
  assert.match(said.info[1]!, /^the store is compacted: .* were given back in 600 ms$/)
  assertWhole(store)
  assert.is(store.freeBytes, 0)
  await assertGoesOn(directory, store)
  assert.is(store.freeBytes, 0, 'a closed one may be asked')
})

test('nothing is done for less than half of the file, or few bytes', async ({ directory }) => {
  const first = await open(directory, {})
  assert.is(await sizeOf(directory) > MIDDLE_BYTES, true, 'it is less than 1 GiB')
  await first.store.space('u2').apply(entries(1, 400))
  await first.store.close()
  const { store, said } = await open(directory)
  assert.ok(store.freeBytes > small.freeBytesMin, `${store.freeBytes} bytes are free`)
  assert.equal(said, { info: [], warn: [] })
  await store.close()
})

test('without room for the copy it is left out, and said', async ({ directory }) => {
  const files = { ...compactionFiles, freeBytes: async () => 2 ** 26 }
  const { store, said } = await open(directory, { ...small, files })
  assert.match(said.warn.join(), /^the store is not compacted, .* free: the disk has no room/)
  assert.ok(await sizeOf(directory) > MIDDLE_BYTES)
  assertWhole(store)
  await assertGoesOn(directory, store)
})

test('one that was cut off is not tried again at once', async ({ directory }) => {
  await mkdir(join(directory, 'compacted'))
  await writeFile(join(directory, 'compacted', 'data.mdb'), 'part of a copy')
  const { store, said } = await open(directory)
  assert.match(said.warn.join(), /cut off/)
  assert.not(existsSync(join(directory, 'compacted')))
  assert.ok(await sizeOf(directory) > MIDDLE_BYTES)
  assertWhole(store)
  await store.close()
  const next = await open(directory)
  assert.ok(await sizeOf(directory) < MIDDLE_BYTES)
  assertWhole(next.store)
  await next.store.close()
})

for (const [call, name] of calls.entries()) {
  if (name === 'exists') continue
  test(`a fault of call ${call}, ${name}: the store is as it was`, async ({ directory }) => {
    const files = watched((made) => {
      if (made === call) throw Object.assign(new Error('a fault'), { code: 'EIO' })
    })
    const { store, said } = await open(directory, { ...small, files })
    if (name !== 'remove') assert.match(said.warn.join(), /not compacted, .*: a fault$/)
    assert.is(await sizeOf(directory) < MIDDLE_BYTES, call > renamed)
    assertWhole(store)
    await store.close()
    const next = await open(directory)
    assertWhole(next.store)
    await assertGoesOn(directory, next.store)
  })
}

for (const [what, change, reason] of [
  ['a copy that was cut short', (copy: string) => truncate(copy, 20_000), /of no use: it has/],
  ['a copy of another state', async (copy: string) => {
    const records = openRecords(join(copy, '..'))
    await records.put(nonceKey, Buffer.from('another'))
    await records.close()
  }, /nonce another, and not/],
] as const) {
  test(`${what} does not take the place of the file`, async ({ directory }) => {
    const files = { ...compactionFiles, sync: change }
    const { store, said } = await open(directory, { ...small, files })
    assert.match(said.warn.join(), reason)
    assert.ok(await sizeOf(directory) > MIDDLE_BYTES)
    assertWhole(store)
    await assertGoesOn(directory, store)
  })
}

test('a store that is discarded begins with a small file', async ({ directory }) => {
  const path = join(directory, 'marker.json')
  const marker = JSON.parse(await readFile(path, 'utf8')) as object
  await writeFile(path, JSON.stringify({ ...marker, clean: false, boot: 'another' }))
  await mkdir(join(directory, 'compacted'))
  const { store } = await open(directory)
  assert.match(store.discarded ?? '', /the machine went down/)
  assert.ok(await sizeOf(directory) < 50_000, `${await sizeOf(directory)} bytes`)
  assert.not(existsSync(join(directory, 'compacted')))
  await store.close()
})

/** Where a process is killed: before or after a call, or while LMDB copies. */
const kills = [
  ...calls.map((_, call) => `after ${call}`),
  `before ${calls.indexOf('sync')}`,
  'copying',
]

for (const kill of kills) {
  const isRenamed = kill.startsWith('after') && Number(kill.split(' ')[1]) >= renamed
  test(`killed ${kill}: one or the other file counts`, async ({ directory }) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...process.env, [CHILD]: directory, [KILL]: kill },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [, signal] = await once(child, 'close') as [number | null, string | null]
    assert.is(signal, 'SIGKILL')
    assert.is(await sizeOf(directory) < MIDDLE_BYTES, isRenamed)
    const { store } = await open(directory)
    assert.is(await sizeOf(directory) < MIDDLE_BYTES, isRenamed || kill === 'after 0'
      || kill === 'after 1')
    assertWhole(store)
    await store.close()
    const next = await open(directory)
    assert.ok(await sizeOf(directory) < MIDDLE_BYTES, 'it is done at last')
    assertWhole(next.store)
    await assertGoesOn(directory, next.store)
  })
}

async function compactAndDie(directory: string, kill: string): Promise<void> {
  const die = (): void => void process.kill(process.pid, 'SIGKILL')
  const files = watched(
    (call) => {
      if (kill === `before ${call}`) die()
    },
    (call, name) => {
      if (kill === `after ${call}`) die()
      // In the midst of it, or at its begin: LMDB copies on a thread of its own.
      if (kill === 'copying' && name === 'makeDirectory') setImmediate(die)
    },
  )
  await openStore(directory, { compaction: { ...small, files } })
}

const childDirectory = process.env[CHILD]
if (childDirectory === undefined) test.run()
else await compactAndDie(childDirectory, process.env[KILL]!)
