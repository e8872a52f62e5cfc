/** Lookups of a space in a simulated cluster by clients whom nobody answers. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NoRespondersError } from '../../../actors/ports/bus.js'
import type { BusConnection } from '../../../actors/ports/bus.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { MemoryBucket } from '../../fakes/memoryArbiter.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: lookup')

type Answer = Readonly<Record<string, unknown>>

async function lookUp(cluster: SimCluster, space: string): Promise<Answer> {
  const { data } = await cluster.wait(
    cluster.client.request(subjects.lookup(space), new Uint8Array(), { timeoutMs: 3000 }),
  )
  return JSON.parse(Buffer.from(data).toString()) as Answer
}

/** A bucket, and the keys that were read of it. */
function countedBucket(): { bucket: MemoryBucket; reads: string[] } {
  const reads: string[] = []
  const bucket = new MemoryBucket()
  const { open } = bucket
  Object.assign(bucket, {
    open: (connection: BusConnection) => {
      const arbiter = open(connection)
      return {
        ...arbiter,
        read: (key: string) => {
          reads.push(key)
          return arbiter.read(key)
        },
      }
    },
  })
  return { bucket, reads }
}

const readsOf = (reads: readonly string[], space: string): number =>
  reads.filter((key) => key === `space.${space}`).length

test('one that is there, and one that is not', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('it has a primary', () => cluster.primary() !== null)
  assert.equal(await lookUp(cluster, 'teams'), { ok: true, space: 'teams' })
  const { message, ...unknown } = await lookUp(cluster, 'nowhere')
  assert.equal(unknown, { ok: false, code: 'UNKNOWN_SPACE', outcome: 'notTaken', retryable: false })
  assert.match(String(message), 'nowhere')
  assert.is((await lookUp(cluster, 'é'))['code'], 'INVALID_OPERATION')
})

test('one whose record cannot be read, or is of a newer version, is there', async () => {
  const cluster = await SimCluster.start()
  await cluster.run(1000)
  cluster.bucket.overwrite('space.odd', Buffer.from('oops'))
  cluster.bucket.overwrite('space.later', Buffer.from('{"version":2}'))
  assert.equal(await lookUp(cluster, 'odd'), { ok: true, space: 'odd' })
  assert.equal(await lookUp(cluster, 'later'), { ok: true, space: 'later' })
})

test('one whose members are all gone is there, and the arbiter is not asked again', async () => {
  const { bucket, reads } = countedBucket()
  const cluster = await SimCluster.start({ bucket })
  await cluster.createSpace({ replicas: 0, minInSync: 1 })
  await cluster.until('it has a primary', () => cluster.primary() !== null)
  const holder = cluster.primary()!
  await cluster.run(3000)
  holder.kill()
  await cluster.run(500)
  const before = readsOf(reads, 'teams')
  for (let i = 0; i < 20; i += 1) {
    assert.equal(await lookUp(cluster, 'teams'), { ok: true, space: 'teams' })
  }
  assert.ok(readsOf(reads, 'teams') - before < 5)
})

test('without the arbiter nobody says that there is none', async () => {
  const cluster = await SimCluster.start()
  await cluster.run(500)
  cluster.bucket.available = false
  const { ok, code, retryable } = await lookUp(cluster, 'nowhere')
  assert.equal([ok, code, retryable], [false, 'INTERNAL', true])
  cluster.bucket.available = true
  assert.is((await lookUp(cluster, 'nowhere'))['code'], 'UNKNOWN_SPACE')
})

test('a flood of questions is a bounded number of reads at the arbiter', async () => {
  const { bucket, reads } = countedBucket()
  const cluster = await SimCluster.start({ nodes: ['n1'], bucket })
  await cluster.run(500)
  const same = await Promise.all(Array.from({ length: 500 }, () => lookUp(cluster, 'same')))
  assert.ok(same.every(({ code }) => code === 'UNKNOWN_SPACE'))
  assert.ok(readsOf(reads, 'same') < 5, `${readsOf(reads, 'same')} reads`)
  const others = await Promise.all(
    Array.from({ length: 500 }, (_, n) => lookUp(cluster, `other-${n}`)),
  )
  const codes = new Map<unknown, number>()
  for (const { code } of others) codes.set(code, (codes.get(code) ?? 0) + 1)
  assert.equal([...codes.keys()].toSorted(), ['OVERLOADED', 'UNKNOWN_SPACE'])
  assert.ok((codes.get('UNKNOWN_SPACE') ?? 0) >= 64)
})

test('without any node NATS itself says so', async () => {
  const cluster = await SimCluster.start({ nodes: ['n1'] })
  cluster.node('n1').kill()
  await cluster.run(200)
  const asked = cluster.client.request(
    subjects.lookup('teams'),
    new Uint8Array(),
    { timeoutMs: 1000 },
  )
  const error = await cluster.wait(asked.then(() => null, (fault: unknown) => fault))
  assert.instance(error, NoRespondersError)
})

test('a bounded number waits for the arbiter, even for one name', async () => {
  const bucket = new MemoryBucket()
  const { open } = bucket
  let answerNow: () => void = () => undefined
  let isHolding = false
  const answering = new Promise<void>((resolve) => {
    answerNow = resolve
  })
  Object.assign(bucket, {
    open: (connection: BusConnection) => {
      const arbiter = open(connection)
      return {
        ...arbiter,
        read: async (key: string) => {
          if (isHolding && key === 'space.nowhere') await answering
          return await arbiter.read(key)
        },
      }
    },
  })
  const cluster = await SimCluster.start({ bucket })
  await cluster.run(1000)
  isHolding = true
  const codes: string[] = []
  for (let asked = 0; asked < 15_000; asked += 1) {
    void cluster.client.request(subjects.lookup('nowhere'), new Uint8Array(), { timeoutMs: 5000 })
      .then(({ data }) =>
        codes.push(String((JSON.parse(Buffer.from(data).toString()) as Answer)['code']))
      )
  }
  await cluster.run(100)
  assert.ok(codes.length > 2000 && codes.every((code) => code === 'OVERLOADED'), `${codes.length}`)
  answerNow()
  await cluster.run(2000)
  assert.is(codes.length, 15_000)
})

test.run()
