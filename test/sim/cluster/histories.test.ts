/** Histories of logs that go through many epochs: they are summed up with checkpoints. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import type { ActorSettings } from '../../../actors/ports/defaultSettings.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: histories')
const { coveredSpansMax } = defaultSettings
const committed = { 'Engram-Ack': 'committed' }
const old = { id: 'x', content: 'old', confidence: 0.9 }

const logOf = (node: SimNode) => node.space().member.log
const journalOf = (node: SimNode) => {
  const { uuid, context: { ports: { journal } } } = node.space().member
  return journal.log(uuid)!
}

/** Each of them is primary in turn. */
async function handOver(cluster: SimCluster, times: number, writes = 0): Promise<void> {
  for (let n = 0; n < times; n += 1) {
    const from = cluster.primary()!
    const to = cluster.running.find((node) => node !== from)!.id
    const answer = await cluster.command(from.id, { type: 'promote', space: 'teams', to })
    assert.is(answer['ok'], true, JSON.stringify(answer))
    await cluster.until('it serves', () => cluster.primary()?.id === to)
    if (writes > 0) await cluster.writes(writes, 'committed')
    await cluster.until('all are in sync', () => cluster.record()!.inSync.length === 3)
  }
}

test('epochs beyond those that a history keeps are summed up, and a start finds it so', async () => {
  const settings = { checkpointBytes: 4096, retainBytes: 0, coveredSpansMax: 4 }
  const cluster = await SimCluster.serving({ segmentBytes: 8192, settings, writes: 3 })
  for (let round = 0; round < 8; round += 1) {
    await handOver(cluster, 6, 4)
    await cluster.run(3000)
  }
  await cluster.converged()
  for (const node of cluster.running) {
    const { root, history } = logOf(node)
    const { covered } = journalOf(node).covers
    assert.ok(root.sequence > 0 && root.sequence < covered.sequence, `${root.sequence}`)
    assert.is(history.filter(({ last }) => last <= covered.sequence).length, 4)
    assert.ok(history.length < 48, `${history.length}`)
    assert.equal(journalOf(node).root, root)
  }
  for (const node of cluster.running) {
    const { root } = logOf(node)
    const spans = logOf(node).history.slice(0, 3)
    node.kill()
    node.start()
    await cluster.until('it is back', () =>
      cluster.record()!.inSync.length === 3 && node.life?.actor.spaces.get('teams') !== undefined)
    assert.equal(logOf(node).root, root)
    assert.equal(logOf(node).history.slice(0, 3), spans)
  }
  await cluster.until('it serves', () => cluster.primary() !== null)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('a history stays short even if hardly anything is written', async () => {
  const cluster = await SimCluster.serving({ writes: 3 })
  for (let part = 0; part < 4; part += 1) {
    await handOver(cluster, coveredSpansMax)
    await cluster.run(3000)
  }
  for (const node of cluster.running) {
    const { root, history } = logOf(node)
    assert.ok(root.sequence > 0)
    assert.ok(history.length <= 3 * coveredSpansMax, `${history.length}`)
  }
  await cluster.check()
})

/** Stores nodes by one request; the primary has to answer as asked. Returns the answer. */
async function write(
  cluster: SimCluster,
  headers: Record<string, string>,
  ...nodes: object[]
): Promise<WriteAnswer> {
  const operations = nodes.map((node) => ({ type: 'StoreNode', node }))
  const request = cluster.client.request(subjects.write('teams'),
    Buffer.from(JSON.stringify({ operations })), { timeoutMs: 8000, headers })
  const text = Buffer.from((await cluster.wait(request)).data).toString()
  assert.match(text, /"ok":true/)
  return JSON.parse(text) as WriteAnswer
}

/**
 * A member has a committed request of whose commit it has not heard, when it is killed: it stores
 * `nodes`. The others replace x, and give up entries far beyond, in epochs that are handed over.
 * `meanwhile` gets the answer to that request; then the member comes back.
 */
async function cameBack(
  settings: Partial<ActorSettings> = {},
  nodes: readonly object[] = [old],
  headers: Record<string, string> = {},
  meanwhile?: (cluster: SimCluster, answer: WriteAnswer) => Promise<void>,
): Promise<SimCluster> {
  const cluster = await SimCluster.serving({ segmentBytes: 8192, writes: 3,
    space: { keys: { count: 1 } },
    settings: { checkpointBytes: 4096, retainBytes: 0, ...settings } })
  const away = cluster.running.find((node) => node !== cluster.primary())!
  await cluster.run(2000)
  const answer = await write(cluster, { ...committed, ...headers }, ...nodes)
  const { end, commitSequence } = logOf(away)
  assert.ok(commitSequence < end.sequence, 'it has the write, and does not know of its commit')
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  for (let round = 0; round < 5; round += 1) {
    const from = cluster.primary()!
    const to = cluster.running.find((node) => node !== from)!.id
    await cluster.command(from.id, { type: 'promote', space: 'teams', to })
    await cluster.until('it serves', () => cluster.primary()?.id === to)
    await cluster.until('both are in sync', () => cluster.record()!.inSync.length === 2)
    if (round === 0) await write(cluster, committed, { id: 'x', content: 'new', confidence: 0.5 })
    for (let n = 0; n < 60; n += 1) {
      await write(cluster, { 'Nats-Msg-Id': `${round}-${n}` }, { id: `same${n % 5}`,
        content: 'x'.repeat(100) + String(n) })
    }
    await cluster.run(3000)
  }
  assert.ok(logOf(cluster.primary()!).base > end.sequence)
  await meanwhile?.(cluster, answer)
  away.start()
  await cluster.until('it is back', () => cluster.record()!.inSync.includes(away.id), 60_000)
  await cluster.run(5000)
  assert.is(away.space().member.store.installs, 1)
  await cluster.converged()
  return cluster
}

async function contentOfX(cluster: SimCluster): Promise<unknown> {
  const read = await cluster.read({ type: 'GetNode', nodeId: 'x' })
  assert.ok(read.ok)
  return (read.value as { content: string }).content
}

test('what was committed before a member was away is no fork when it comes back', async () => {
  const cluster = await cameBack()
  const { store, salvages } = cluster.primary()!.space().member
  assert.equal(store.reports(), [])
  assert.equal([store.quarantineCount, salvages.count], [0, 0])
  for (const node of cluster.running) assert.equal(node.disk.paths('/data/salvage'), [])
  assert.is(await contentOfX(cluster), 'new')
})

test('a write that came before the present value does not replace it below the root', async () => {
  const cluster = await cameBack({ coveredSpansMax: 1 })
  const { root } = logOf(cluster.primary()!)
  assert.ok(root.epoch > 1 && root.sequence > 0)
  assert.is(cluster.primary()!.space().member.store.quarantineCount, 1)
  assert.is(await contentOfX(cluster), 'new')
})

test('below the root, it does not replace what came before it and was applied again', async () => {
  const older = { id: 'x', content: 'older', confidence: 0.8 }
  const applyAgain = async (cluster: SimCluster, { epoch, sequence }: WriteAnswer) => {
    const origin = { epoch, sequence: sequence - 1 }
    const again = await write(cluster, {
      'Nats-Msg-Id': 'again',
      'Engram-Origin': `${origin.epoch}/${origin.sequence}`,
    }, older)
    assert.is(again.quarantined, 1)
    const { store } = cluster.primary()!.space().member
    await cluster.until('it is applied', () => store.quarantineCount === 1)
    const applied = await cluster.command(cluster.primary()!.id, { type: 'applyQuarantined',
      space: 'teams', id: `${origin.epoch}-${origin.sequence}` })
    assert.is(applied['ok'], true, JSON.stringify(applied))
    assert.is(await contentOfX(cluster), 'older')
  }
  const cluster = await cameBack({ coveredSpansMax: 1 }, [older, old], {}, applyAgain)
  assert.is(await contentOfX(cluster), 'older', 'I7: the other took effect once, long ago')
  assert.is(cluster.primary()!.space().member.store.quarantineCount, 1)
})

test('a write that still stands is known below the root', async () => {
  const cluster = await cameBack({ coveredSpansMax: 1 }, [{ id: 'y', content: 'kept' }, old])
  const { store, log } = cluster.primary()!.space().member
  const { stored } = store.nodeState('y')
  assert.ok(stored && stored.epoch < log.root.epoch)
  assert.is(stored.at, stored.sequence, 'I7: it took effect once')
  assert.is(store.quarantineCount, 1)
  const [report] = store.reports()
  assert.equal([report?.outcome, report?.merged, report?.lost], ['reconciled', 0, 0])
})

test('with a write that stands, the whole request is known', async () => {
  const cluster = await cameBack({ coveredSpansMax: 1 }, [{ id: 'y', content: 'kept' }, old], {
    'Nats-Msg-Id': 'forgotten',
  })
  const { store } = cluster.primary()!.space().member
  assert.is(store.key('forgotten'), undefined)
  assert.is(store.quarantineCount, 0)
})

test.run()
