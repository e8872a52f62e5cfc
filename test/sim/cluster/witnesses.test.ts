/** Nodes on several NATS servers: who is a witness of what. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: witnesses')

test('a witness is asked once per heartbeat interval, not as fast as it answers', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  const primary = cluster.primary()!
  const away = [...cluster.nodes.values()].find((node) => node !== primary)!
  // The next connection is one to another server.
  Object.assign(cluster.broker, { serverId: 'B' })
  let asked = 0
  const tap = await cluster.broker.bus().connect()
  cluster.owners.set(tap, { name: 'tap', clock: null })
  tap.subscribe('engram.v1.pingreq.*', () => {
    asked += 1
    if (asked > 1000) throw new Error('a witness is asked without a pause')
  })
  cluster.broker.kill(away.life!.connection!, 'it moves')
  await cluster.run(2000)
  assert.ok(asked > 5 && asked < 45, `${asked} questions in two seconds`)
})

test.run()
