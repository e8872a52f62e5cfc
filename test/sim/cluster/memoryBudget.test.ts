/** Nodes whose memory budget is used up: no new writes there, and all else goes on. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: memory budget')

const serving = (seed = 1) => SimCluster.serving({ seed, writes: 5 })

/** Something takes all of the node's budget; to be given back by `set(0)`. */
function fill(node: SimNode): { set(bytes: number): void } {
  const { budget } = node.actor.context!
  const account = budget.account('held')
  account.set(budget.bytesMax)
  return account
}

const read = async (cluster: SimCluster): Promise<Record<string, unknown>> => {
  const answer = await cluster.wait(cluster.client.request(
    subjects.read('teams'),
    Buffer.from('{"type":"ListNodes"}'),
    { timeoutMs: 2000 },
  ))
  return JSON.parse(Buffer.from(answer.data).toString()) as Record<string, unknown>
}

test('a primary at its budget refuses writes, and reads, heartbeats and its lease go on', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const rest = fill(primary)
  const refused = await cluster.wait(cluster.send({ 'Engram-Ack': 'durable' }))
  assert.equal(refused?.ok === false && [refused.code, refused.retryable], ['OVERLOADED', true])
  for (let round = 0; round < 5; round += 1) {
    await cluster.run(1000)
    assert.is((await read(cluster)).ok, true)
  }
  assert.is(cluster.primary(), primary)
  assert.is(cluster.record()!.epoch, 1)
  assert.is(cluster.record()!.inSync.length, 3)
  rest.set(0)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('replicas at their budget follow, if slowly, and stay in sync', async () => {
  const cluster = await serving()
  const rests = cluster.running.filter((node) => node !== cluster.primary()).map(fill)
  for (let round = 0; round < 10; round += 1) await cluster.writes(5, 'committed')
  assert.is(cluster.record()!.inSync.length, 3)
  for (const rest of rests) rest.set(0)
  await cluster.check()
})

test('members at their budget take an epoch over, and refuse writes until there is room', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const rests = cluster.running.filter((node) => node !== old).map(fill)
  old.kill()
  const tookMs = await cluster.until('another is primary', () => cluster.primary() !== null, 5000)
  assert.ok(tookMs < 2000, `${tookMs} ms`)
  const refused = await cluster.wait(cluster.send({ 'Engram-Ack': 'durable' }))
  assert.is(refused?.ok === false && refused.code, 'OVERLOADED')
  assert.is((await read(cluster)).ok, true)
  for (const rest of rests) rest.set(0)
  await cluster.writes(3, 'durable')
  old.start()
  await cluster.check()
})

test('a stream whose primary is at its budget goes on, a frame at a time', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [replica] = cluster.running.filter((node) => node !== primary)
  replica!.kill()
  await cluster.writes(20, 'durable')
  const rest = fill(primary)
  replica!.start()
  await cluster.until('it has caught up', () => cluster.record()!.inSync.length === 3, 20_000)
  rest.set(0)
  await cluster.check()
})

test('a space that was busy leaves nothing in memory once all have it', async () => {
  const cluster = await serving()
  await cluster.writes(50, 'committed')
  await cluster.converged()
  await cluster.run(2000)
  for (const node of cluster.running) {
    const { tails, windows, overlay, writes, received, marks } = node.actor.context!.budget.uses()
    assert.equal({ tails, windows, overlay, writes, received, marks }, { tails: 0, windows: 0,
      overlay: 0, writes: 0, received: 0, marks: 0 }, node.id)
  }
  await cluster.check()
})

test('a damaged member keeps nothing in memory', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const replicas = cluster.running.filter((node) => node !== primary)
  for (const replica of replicas) replica.kill()
  await cluster.writes(20, 'durable')
  const { budget } = primary.actor.context!
  assert.ok(budget.uses().overlay > 0 && budget.uses().tails > 0, 'they are not committed')
  primary.space().member.damaged('a bad record')
  await cluster.run(1000)
  const { tails, windows, overlay, writes, marks } = budget.uses()
  assert.equal([tails, windows, overlay, writes, marks], [0, 0, 0, 0, 0])
})

test('for a replica that is away nothing is kept in memory but what its lag is measured by', async () => {
  const cluster = await serving()
  const [away] = cluster.running.filter((node) => node !== cluster.primary())
  away!.kill()
  await cluster.until('it is out', () => cluster.record()!.inSync.length === 2)
  await cluster.writes(50, 'committed')
  await cluster.run(2000)
  assert.is(cluster.primary()!.actor.context!.budget.uses().tails, 0)
  away!.start()
  await cluster.until('it is back', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
})

for (const which of ['first', 'second'] as const) {
  test(`keys that are still being read: ${which} candidate of two`, async () => {
    const cluster = await serving()
    const old = cluster.primary()!
    const [first, second] = cluster.running.filter((node) => node !== old)
    const reading = which === 'first' ? first! : second!
    const { store } = reading.space().member
    let isRead = false
    Object.defineProperty(store, 'areKeysRead', { get: () => isRead })
    old.kill()
    await cluster.until('another is primary', () => cluster.primary() !== null, 5000)
    assert.is.not(cluster.primary(), reading)
    isRead = true
    await cluster.writes(2, 'durable')
    old.start()
    await cluster.check()
  })
}

test.run()
