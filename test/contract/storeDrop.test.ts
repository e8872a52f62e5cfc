/** Dropping a space: it is gone at once, others stay, and its records go in slices. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { open as openLmdb } from 'lmdb'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import { spaceOf } from '../../runtime/store/keys.js'
import { openStore } from '../../runtime/store/store.js'
import { take } from '../support/lists.js'
import { subjects, type StoreContext } from './storeSubjects.js'

const CHILD = 'ENGRAM_STORE_DROP_CHILD'

function entries(count: number): LogEntry[] {
  return Array.from({ length: count }, (_, index) => ({
    sequence: index + 1,
    epoch: 1,
    timestamp: index,
    vectorClock: {},
    writeId: `k${index}`,
    operation: { type: 'StoreNode', node: { id: `n${index}`, content: 'x'.repeat(100) } },
  }))
}

for (const subject of subjects) {
  const test = suite<StoreContext>(`store, drop: ${subject.name}`)
  test.before.each(async (context) => {
    Object.assign(context, await subject.make())
  })
  test.after.each(async (context) => {
    await context.store.close()
    await context.remove()
  })

  test('a dropped space is gone, over a restart, and others stay', async (context) => {
    const { store } = context
    assert.not(store.has('u1'))
    store.space('u1')
    assert.not(store.has('u1'), 'opened, and nothing applied')
    for (const uuid of ['u0', 'u1', 'u2']) await store.space(uuid).apply(entries(50))
    await store.markDamaged('u1', { reason: 'a reason', installs: 0 })
    await store.drop('u1')
    const check = (): void => {
      const { store } = context
      assert.equal(['u0', 'u1', 'u2'].map((uuid) => store.has(uuid)), [true, false, true])
      assert.is(store.markedDamaged('u1'), null)
      for (const uuid of ['u0', 'u2']) assert.is(store.space(uuid).nodeCount, 50)
    }
    check()
    await store.close()
    context.store = await context.reopen()
    check()
  })

  test('what is opened again by that uuid is empty, and may grow', async (context) => {
    const { store } = context
    await store.space('u1').apply(entries(50))
    await store.drop('u1')
    const again = store.space('u1')
    assert.equal([again.applied.sequence, again.nodeCount, again.node('n1')], [0, 0, undefined])
    assert.equal(take(again.nodes(''), 10), [])
    await again.keysRead()
    assert.is(again.key('k1'), undefined)
    await again.apply(entries(3))
    await store.close()
    context.store = await context.reopen()
    assert.equal(take(context.store.space('u1').nodes(''), 10).map(({ id }) => id), ['n0', 'n1',
      'n2'])
  })

  test('a load that is under way is given up with it', async ({ store }) => {
    const space = store.space('u1')
    await space.apply(entries(50))
    const image = space.image(space.applied)!
    const stage = store.stage('u1', image.state)
    await stage.put(image.next())
    await store.drop('u1')
    let code: unknown
    await stage.adopt(1).catch((error: { code?: unknown }) => {
      code = error.code
    })
    assert.is(code, 'STAGE_DISCARDED')
    assert.not(store.has('u1'))
  })

  test('a mark of damage alone is dropped, and so is what was never there', async ({ store }) => {
    await store.markDamaged('u1', { reason: 'a reason', installs: 0 })
    assert.ok(store.has('u1'))
    for (const uuid of ['u1', 'nothing']) {
      await store.drop(uuid)
      assert.not(store.has(uuid))
    }
  })

  if (process.env[CHILD] === undefined) test.run()
}

/** Records in the file, of all spaces. */
async function recordsIn(directory: string): Promise<number> {
  const records = openLmdb<Buffer, Buffer>({
    path: join(directory, 'graph'),
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 1,
    readOnly: true,
  })
  let count = 0
  for (const key of records.getKeys({})) if (spaceOf(key as Buffer) > 0) count += 1
  await records.close()
  return count
}

async function dropAndDie(directory: string): Promise<void> {
  const store = await openStore(directory)
  await store.drop('u1')
  process.kill(process.pid, 'SIGKILL')
}

const crash = suite<{ directory: string }>('store, drop: crash')
crash.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
crash.after.each((context) => rm(context.directory, { recursive: true, force: true }))

crash('killed with the records still there: the next start removes them', async ({ directory }) => {
  const store = await openStore(directory)
  await store.space('u0').apply(entries(10))
  await store.space('u1').apply(entries(5000))
  await store.close()
  const before = await recordsIn(directory)
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
    env: { ...process.env, [CHILD]: directory },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [, signal] = await once(child, 'close') as [number | null, string | null]
  assert.is(signal, 'SIGKILL')
  assert.ok(await recordsIn(directory) > before / 2, 'it died before they were removed')
  const again = await openStore(directory)
  assert.is(again.discarded, null)
  assert.not(again.has('u1'))
  // A new space gets no number that has records.
  await again.space('u2').apply(entries(2))
  assert.equal(take(again.space('u2').nodes(''), 10).map(({ id }) => id), ['n0', 'n1'])
  await again.garbageRemoved()
  await again.close()
  const rest = await recordsIn(directory)
  assert.ok(rest > 12 && rest < 30, `${rest} records are left of ${before}`)
  const last = await openStore(directory)
  assert.equal([last.space('u0').nodeCount, last.space('u2').nodeCount], [10, 2])
  await last.close()
})

const childDirectory = process.env[CHILD]
if (childDirectory === undefined) crash.run()
else await dropAndDie(childDirectory)
