/** Answers, reads and flushes that end after what they were begun for is over. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { HostedActor } from '../../../actors/host/actorHost.js'
import type { Arbiter } from '../../../actors/ports/arbiter.js'
import { JournalFullError } from '../../../actors/ports/journal.js'
import type { Journal } from '../../../actors/ports/journal.js'
import type { SpaceStore } from '../../../actors/ports/store.js'
import type { spaceMachine } from '../../../machines/space.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: late results')

/** The part of an AssignmentWatch that is taken over. */
interface Watch {
  read: () => Promise<void>
  readForPromotion: () => Promise<unknown>
}

type Settings = Parameters<typeof SimCluster.start>[0]

const serving = (options: Settings = {}) => SimCluster.serving({ ...options, writes: 5 })

function replicas(cluster: SimCluster): SimNode[] {
  return cluster.running.filter((node) => node !== cluster.primary())
}

function portsOf(node: SimNode): { journal: Journal; store: SpaceStore; records: object } {
  const { ports, records } = node.actor.context!
  return { journal: ports.journal, store: node.space().member.store, records }
}

test('a claim confirmed after its promotion ended starts no epoch', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [a, b] = replicas(cluster) as [SimNode, SimNode]
  const sleep = (ms: number) =>
    new Promise<void>((resolve) => {
      cluster.clock.setTimeout(resolve, ms)
    })
  // The first claim of `a` is slow: `b` is first. The read with which it then settles is slow too.
  const records = portsOf(a).records as { arbiter: Arbiter }
  const { arbiter } = records
  let isFirst = true
  let isSlow = false
  records.arbiter = Object.assign(Object.create(arbiter) as Arbiter, {
    compareAndSet: async (key: string, value: Uint8Array, revision: number) => {
      if (key === 'space.teams' && isFirst) {
        isFirst = false
        while (cluster.record()!.primary!.node !== b.id) await sleep(5)
        isSlow = true
      }
      return arbiter.compareAndSet(key, value, revision)
    },
    read: async (key: string) => {
      const found = await arbiter.read(key)
      if (key === 'space.teams' && isSlow) {
        isSlow = false
        await sleep(700)
      }
      return found
    },
  })
  primary.kill()
  await cluster.until('b is the first', () => cluster.record()!.primary!.node === b.id, 9000)
  await cluster.run(20)
  cluster.client.request(`engram.v1.admin.${a.id}`, Buffer.from(JSON.stringify({
    type: 'promote',
    space: 'teams',
    to: a.id,
    force: true,
  })), { timeoutMs: 12_000 }).catch(() => undefined)
  await cluster.until('a is primary by force', () => cluster.primary() === a)
  const { epoch } = cluster.record()!
  await cluster.run(3000)
  assert.is(cluster.record()!.epoch, epoch, 'the epoch goes on')
  assert.is(cluster.primary(), a)
  await cluster.writes(3, 'durable')
})

test('a flush that fails after the role has changed takes back what was built on it', async () => {
  const cluster = await serving()
  const [replica] = replicas(cluster) as [SimNode]
  const { journal } = portsOf(replica)
  const write = journal.write.bind(journal)
  let fail: (() => void) | null = null
  journal.write = async (records) => {
    if (!fail && records.some(({ type }) => type === 'frame')) {
      await new Promise<void>((resolve) => {
        fail = resolve
      })
      throw new JournalFullError('no space left')
    }
    return write(records)
  }
  void cluster.send({ 'Engram-Ack': 'durable' })
  await cluster.until('the flush hangs', () => fail !== null)
  // A vacancy that proves to be none: it asks the others, and would join again.
  const { actor } = replica.space() as unknown as { actor: HostedActor<typeof spaceMachine> }
  actor.send({ type: 'vacancyFound', reason: 'a guess' })
  await cluster.run(1500)
  void cluster.send({ 'Engram-Ack': 'durable' })
  await cluster.run(20)
  fail!()
  await cluster.run(500)
  assert.ok(replica.life, `it ended with ${replica.exitCode}`)
  await cluster.writes(3, 'durable')
  await cluster.until('it has all', () =>
    replica.space().member.following.isFollowing
    && replica.space().member.log.end.sequence
      === cluster.primary()!.space().member.log.end.sequence, 9000)
  await cluster.check()
})

test('one read of the journal that fails is tried again: the log is not damaged', async () => {
  const cluster = await serving({ settings: { tailBytesMax: 2000 } })
  const primary = cluster.primary()!
  const [replica] = replicas(cluster) as [SimNode]
  replica.kill()
  await cluster.until('it is left out', () => cluster.record()!.inSync.length === 2)
  for (let i = 0; i < 30; i += 1) await cluster.writes(5, 'committed')
  const { journal } = portsOf(primary)
  const read = journal.read.bind(journal)
  let reads = 0
  journal.read = async (...args) => {
    reads += 1
    if (reads === 1) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' })
    return read(...args)
  }
  replica.start()
  await cluster.until('it is back in sync', () => cluster.record()!.inSync.length === 3, 9000)
  assert.ok(reads > 1)
  assert.is(cluster.primary(), primary)
  assert.is(primary.space().member.damage, null)
})

test('a record read over an earlier connection says nothing about the present', async () => {
  const cluster = await serving()
  const [replica, third] = replicas(cluster) as [SimNode, SimNode]
  const { arbiter } = replica.actor.context!.records as unknown as {
    arbiter: { read: (key: string) => Promise<unknown> }
  }
  const read = arbiter.read.bind(arbiter)
  let isHeld = false
  arbiter.read = async (key) => {
    const found = await read(key)
    if (!isHeld) {
      isHeld = true
      await new Promise<void>((resolve) => {
        cluster.clock.setTimeout(resolve, 40)
      })
    }
    return found
  }
  third.kill()
  await cluster.until('a record is on its way', () => isHeld, 9000)
  cluster.broker.kill(replica.life!.connection!, 'cut')
  cluster.bucket.available = false
  for (let ms = 0; ms < 200; ms += 5) {
    await cluster.run(5)
    const { isVerified } = replica.space() as unknown as { isVerified: boolean }
    assert.not.ok(isVerified, 'nothing was read since')
  }
})

test('epochs are skipped when the record was lost, though the arbiter went away since', async () => {
  const cluster = await serving()
  const former = cluster.bucket.snapshot()
  const primary = cluster.primary()!
  const [to] = replicas(cluster) as [SimNode]
  cluster.client.request(`engram.v1.admin.${primary.id}`, Buffer.from(JSON.stringify({
    type: 'promote',
    space: 'teams',
    to: to.id,
  })), { timeoutMs: 12_000 }).catch(() => undefined)
  await cluster.until('handed over', () => cluster.primary() === to)
  await cluster.run(300)
  const { epoch } = cluster.record()!
  for (const node of cluster.running) {
    const { records } = node.space() as unknown as { records: Watch }
    const read = records.readForPromotion.bind(records)
    records.readForPromotion = async () => {
      const found = await read()
      // Every other read finds nobody.
      records.read = async () => {
        node.space().member.known.unreachable()
      }
      void records.read()
      return found
    }
  }
  cluster.bucket.restore(former)
  await cluster.until('one is primary again', () =>
    cluster.primary() !== null
    && cluster.record()!.epoch > epoch, 12_000)
  assert.ok(cluster.record()!.epoch > epoch + 1,
    `epoch ${cluster.record()!.epoch} follows ${epoch}: another may have drawn it meanwhile`)
})

test.run()
