/** kill -9 in the midst of applying: the store is then exactly at some position, and goes on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogEntry } from '../../machines/log/entries.js'
import { openStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { take } from '../support/lists.js'

const CHILD = 'ENGRAM_STORE_CRASH_CHILD'

/** The same log in every process: entry n is a function of n. */
function entryAt(sequence: number): LogEntry {
  const id = `n${(sequence * 7919) % 5000}`
  const shared = { sequence, epoch: 1, timestamp: sequence, vectorClock: {} }
  const writeId = `k${Math.floor(sequence / 3)}`
  if (sequence % 5 === 0) {
    const edge = { source: id, target: `n${sequence % 500}`, kind: 'k', weight: 0.5 }
    return { ...shared, writeId, operation: { type: 'StoreEdge', edge } }
  }
  if (sequence % 5 === 1) {
    const operation = { type: 'UpdateActivation', nodeId: id, activation: 1 } as const
    return { ...shared, writeId, operation }
  }
  const node = { id, content: `content ${sequence} `.repeat(8) }
  return { ...shared, writeId, operation: { type: 'StoreNode', node } }
}

function entriesFrom(first: number, count: number): LogEntry[] {
  return Array.from({ length: count }, (_, index) => entryAt(first + index))
}

async function applyForever(directory: string): Promise<never> {
  const space = (await openStore(directory)).space('u1')
  for (;;) {
    await space.apply(entriesFrom(space.applied.sequence + 1, 137))
    process.stdout.write(`${space.applied.sequence}\n`)
  }
}

const test = suite<{ directory: string }>('store: crash of the process')
test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
test.after.each((context) => rm(context.directory, { recursive: true, force: true }))

test('killed four times: at a position whose graph it holds, not below what it said', async (context) => {
  const twin = new MemoryStore().space('twin')
  for (let round = 0; round < 4; round += 1) {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url)], {
      env: { ...process.env, [CHILD]: context.directory },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    let batches = 0
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString()
      batches += 1
      // By what it has done, not by time; each round at another point.
      if (batches === 5 + round * 3) child.kill('SIGKILL')
    })
    await once(child, 'close')
    const reported = Number(said.trimEnd().split('\n').at(-1))
    const store = await openStore(context.directory)
    const space = store.space('u1')
    const { sequence } = space.applied
    assert.is(store.discarded, null)
    assert.ok(sequence >= reported, `${sequence} of ${reported}`)
    await twin.apply(entriesFrom(twin.applied.sequence + 1, sequence - twin.applied.sequence))
    assert.is(space.digest, twin.digest)
    await space.keysRead()
    assert.equal([space.nodeCount, space.edgeCount, space.ignoredCount], [twin.nodeCount,
      twin.edgeCount, twin.ignoredCount])
    assert.equal(space.key(entryAt(sequence).writeId!), twin.key(entryAt(sequence).writeId!))
    assert.equal(take(space.nodes('n4'), 50), take(twin.nodes('n4'), 50))
    await store.close()
  }
})

const childDirectory = process.env[CHILD]
if (childDirectory === undefined) test.run()
else await applyForever(childDirectory)
