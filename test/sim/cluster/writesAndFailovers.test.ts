/** A cluster in one process: the way of a write, and the end of epochs. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: writes and failovers')

test('a space is created, written to at every level, and read', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  for (const level of ['memory', 'durable', 'committed']) {
    const [answer] = await cluster.writes(1, level)
    assert.is(answer!.ack, level)
    assert.is(answer!.epoch, 1)
  }
  await cluster.writes(50)
  await cluster.check()
})

test('a killed primary is followed by another within half a second', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.writes(10, 'committed')
  const first = cluster.primary()!
  first.kill()
  const tookMs = await cluster.until('another is primary', () => cluster.primary() !== null)
  assert.ok(tookMs < 500, `${tookMs} ms`)
  await cluster.writes(10)
  first.start()
  await cluster.check()
  await cluster.until('three in sync', () => cluster.record()!.inSync.length === 3)
})

test.run()
