/**
 * Three clustered nats-servers, the arbiter's bucket with three replicas, nodes on different
 * servers: the topology of compose.yaml. DESIGN sections 5 and 12.
 */
import * as assert from 'uvu/assert'
import { assertAllTaken, audit } from '../support/books.js'
import { BrokerCluster } from '../support/brokerCluster.js'
import { NodeProcess, type Cluster, type Parts } from '../support/cluster.js'
import { note, scenario, suite, type Stage } from '../support/scenario.js'

const clustered = suite('integration: clustered NATS', 420)

const parts: Parts<BrokerCluster, NodeProcess> = {
  broker: (directory) => BrokerCluster.start(directory),
  node: (place) => new NodeProcess(place),
}

type Clustered = Cluster<BrokerCluster, NodeProcess>

/** Node n<i> is on the server that `servers` names i-th, and on no other. */
function onServers(stage: Stage, ...servers: number[]): Promise<Clustered> {
  return stage.clusterOf(parts, {
    settings: ['arbiterReplicas=3'],
    urlOf: (id, urls) => Promise.resolve(
      urls.split(',')[(servers[Number(id.slice(1)) - 1] ?? 1) - 1] ?? urls),
  })
}

scenario(clustered, 'nobody proves a death from another server: the grant runs out', async (stage) => {
  const cluster = await onServers(stage, 1, 2, 3)
  const old = await cluster.reign()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  await cluster.node(old.node).kill()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`kill -9 without a witness to the first positive answer: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs >= 1900, `${tookMs.toFixed(0)} ms: taken over before the grant ran out`)
  await cluster.node(old.node).start()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
}, 120)

clustered.run()
