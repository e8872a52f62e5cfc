/** Nodes that lose their connection and come back as a new one, in one process. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: reconnects')

async function serving(seed: number): Promise<SimCluster> {
  const cluster = await SimCluster.start({ seed })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  return cluster
}

test('a replica comes back while the arbiter is away: the epoch goes on', async () => {
  const cluster = await serving(1)
  const primary = cluster.primary()!
  const replica = cluster.running.find((node) => node !== primary)!
  cluster.bucket.available = false
  cluster.broker.kill(replica.life!.connection!, 'its server ended')
  await cluster.run(5000)
  assert.is(cluster.primary(), primary, 'its grants were renewed in time')
  await cluster.writes(3, 'committed')
  cluster.bucket.available = true
  await cluster.writes(3, 'committed')
  assert.is(cluster.record()!.epoch, 1)
  await cluster.check()
})

for (const seed of [1, 2, 3, 4]) {
  test(`after an outage the others are asked before one is left out, seed ${seed}`, async () => {
    const cluster = await serving(seed)
    const inSync: (readonly string[])[] = []
    cluster.broker.stop()
    await cluster.run(4000)
    cluster.broker.start()
    cluster.client = await cluster.broker.bus().connect()
    await cluster.until('somebody is primary', () => {
      const record = cluster.record()!
      if (record.epoch > 1) inSync.push(record.inSync)
      return cluster.primary() !== null
    })
    assert.is(inSync[0]?.length, 3, `the claim lists ${inSync[0]?.join()}, and all three live`)
    await cluster.writes(3, 'committed')
    await cluster.check()
  })
}

test.run()
