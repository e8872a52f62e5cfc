/** kill -9 at each transaction of a load: the space is then the former one or the new one. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SpaceStore } from '../../actors/ports/store.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { GraphFile } from '../../runtime/store/graphFile.js'
import { openStore } from '../../runtime/store/store.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { storeEdge, storeNode } from '../support/forkEntries.js'
import { slicesOf } from '../support/images.js'
import { runsIntoKill } from '../support/killedChild.js'

const CHILD = 'ENGRAM_STORE_LOAD_CHILD'

/** `during`: the writer's thread has it, and may have committed it or not. */
type Moment = 'during' | 'after'

interface Order {
  readonly directory: string
  /** The transaction at which the process ends. */
  readonly at: number
  readonly moment: Moment
}

function entries(count: number, epoch: number): LogEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const sequence = index + 1
    const operation = sequence % 4 === 0
      ? storeEdge(`n${sequence}`, `n${sequence % 90}`, 0.5)
      : storeNode(`n${sequence}`, `content ${epoch} ${sequence}`)
    const shared = { epoch, timestamp: 1000 + sequence, vectorClock: {} }
    return { ...shared, sequence, writeId: `k${epoch}-${sequence}`, operation }
  })
}

async function twinOf(count: number, epoch: number): Promise<SpaceStore> {
  const twin = new MemoryStore().space('twin')
  await twin.apply(entries(count, epoch))
  return twin
}

const former = () => twinOf(1200, 1)
const wanted = () => twinOf(1800, 2)

async function load({ directory, at, moment }: Order): Promise<void> {
  const { write } = GraphFile.prototype
  const store = await openStore(directory)
  let transaction = 0
  GraphFile.prototype.write = async function counted(puts, removes) {
    const isLast = transaction === at
    transaction += 1
    const written = write.call(this, puts, removes)
    if (isLast && moment === 'during') process.kill(process.pid, 'SIGKILL')
    await written
    if (isLast) process.kill(process.pid, 'SIGKILL')
  }
  await loadFrom(await wanted(), store)
  await store.garbageRemoved()
  await store.close()
}

async function loadFrom(
  source: SpaceStore,
  store: Awaited<ReturnType<typeof openStore>>,
): Promise<void> {
  const image = source.image(source.applied)!
  image.close()
  const stage = store.stage('u1', image.state)
  const slices = slicesOf(source)
  // Those of the source have 16 records.
  for (let first = 0; first < slices.length; first += 32) {
    await stage.put(Buffer.concat(slices.slice(first, first + 32)))
  }
  await stage.adopt(1)
}

function contentOf(space: SpaceStore): object {
  const { applied, digest, nodeCount, edgeCount } = space
  const nodes = [...space.nodes('')].map(({ id, content }) => [id, content])
  const keys = [1, 1000].flatMap((sequence) => [1, 2].map((epoch) => `k${epoch}-${sequence}`))
    .map((key) => space.key(key))
  const edges = ['n4', 'n40'].map((id) => [...space.edges(id, 'both')])
  return { applied, digest, nodeCount, edgeCount, nodes, keys, edges }
}

const test = suite<{ directory: string }>('store: crash of a load')
test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-store-'))
})
test.after.each((context) => rm(context.directory, { recursive: true, force: true }))

for (const moment of ['during', 'after'] as const) {
  test(`killed ${moment} each transaction: old or new, and nothing is left of the other`,
    async ({ directory }) => {
      const old = contentOf(await former())
      const source = await wanted()
      const fresh = contentOf(source)
      let olds = 0
      let at = 0
      for (;; at += 1) {
        const path = join(directory, `${moment}-${at}`)
        let store = await openStore(path)
        await store.space('u1').apply(entries(1200, 1))
        await store.close()
        const isKilled = await runsIntoKill(import.meta.url, CHILD, { directory: path, at, moment })
        store = await openStore(path)
        assert.is(store.discarded, null)
        const space = store.space('u1')
        await space.keysRead()
        const isOld = space.installs === 0
        assert.equal(contentOf(space), isOld ? old : fresh)
        assert.ok(slicesOf(space).length > 0, 'each record and all sums are checked')
        if (isOld) olds += 1
        await store.garbageRemoved()
        const file = (store as unknown as { parts: { graph: GraphFile } }).parts.graph
        const numbers = new Set([...file.keys({})].map((key) => key.readUInt32BE(0)))
        assert.is(numbers.size, 2, 'the space, and what the file is known by')
        await loadFrom(source, store)
        await space.keysRead()
        assert.equal(contentOf(space), fresh)
        await store.close()
        if (!isKilled) break
      }
      assert.ok(at > 6 && at < 20 && olds >= 4 && olds < at,
        `${at} transactions, ${olds} times the old state`)
    })
}

const order = process.env[CHILD]
if (order === undefined) test.run()
else await load(JSON.parse(order) as Order)
