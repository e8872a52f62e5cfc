/**
 * The broker and each node in a container of its own, from the image that the Dockerfile describes:
 * killed, paused, unplugged, stopped as a container engine does it. Skipped where no Docker engine
 * answers; `.ci/docker-engine start DIR` gives one.
 */
import * as assert from 'uvu/assert'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import type { Cluster, Parts } from '../support/cluster.js'
import { containerParts, dockerEngine, type ContainerBroker,
  type ContainerNode } from '../support/containers.js'
import { note, scenario, skipped, suite, type Body, type Stage } from '../support/scenario.js'
import { lasting, notYet, waitFor } from '../support/wait.js'

const containers = suite('containers: failover', 220)
const engine = await dockerEngine()
/** The default lease. */
const grantMs = 2000

let parts: Promise<Parts<ContainerBroker, ContainerNode>> | null = null

async function start(stage: Stage): Promise<Cluster<ContainerBroker, ContainerNode>> {
  if (typeof engine === 'string') throw new Error(engine)
  parts ??= containerParts(engine)
  return await stage.clusterOf(await parts)
}

function contained(name: string, body: Body): void {
  if (typeof engine === 'string') skipped(containers, name, `no Docker engine: ${engine}`)
  else scenario(containers, name, body, 60)
}

contained('the container of the primary is killed and started again', async (stage) => {
  const cluster = await start(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster, { attemptTimeoutMs: 500 })
  await writer.taken(300)
  const [tookMs] = await Promise.all(
    [writer.takenAbove(old.epoch), cluster.node(old.node).crash()],
  )
  note(`docker kill to the first positive answer of the new primary: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  await writer.taken(200)
  await cluster.node(old.node).start()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

contained('the container of the primary is paused for 4 s', async (stage) => {
  const cluster = await start(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster, { attemptTimeoutMs: 500 })
  await writer.taken(300)
  const pausedAt = performance.now()
  const [tookMs] = await Promise.all(
    [writer.takenAbove(old.epoch), cluster.node(old.node).pause()],
  )
  note(`docker pause to the first positive answer of the new primary: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  await lasting(4000 - (performance.now() - pausedAt))
  await cluster.node(old.node).resume()
  await writer.taken(200)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

contained('the primary is unplugged from its network, then plugged in again', async (stage) => {
  const cluster = await start(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster, { attemptTimeoutMs: 500 })
  await writer.taken(300)
  const [tookMs] = await Promise.all(
    [writer.takenAbove(old.epoch), cluster.node(old.node).unplug()],
  )
  note(`network gone to the first positive answer of the new primary: ${tookMs.toFixed(0)} ms`)
  // The broker holds the connection still: nothing is proven, the grant has to run out.
  assert.ok(tookMs > grantMs * 0.9, `${tookMs.toFixed(0)} ms: before the grant ran out`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  await writer.taken(200)
  await cluster.node(old.node).plug()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

contained('a replica is unplugged: it loses its place, the epoch goes on', async (stage) => {
  const cluster = await start(stage)
  const primary = await cluster.primary()
  const [victim, other] = cluster.others(primary.node)
  assert.ok(victim && other)
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(200)
  await victim.unplug()
  await cluster.inSync([primary.node, other.id])
  await writer.taken(200)
  await victim.plug()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  assert.equal(await cluster.primary(), primary, 'the epoch is the same all along')
})

contained('docker stop hands over: no client sees an error', async (stage) => {
  const cluster = await start(stage)
  const old = await cluster.primary()
  const node = cluster.node(old.node)
  await waitFor('the health check to say healthy', async () => {
    const health = await node.health()
    return health === 'healthy' || notYet(`it says ${health}`)
  })
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  assert.is(await node.stop(), 0, 'SIGTERM reaches the node, which ends in order')
  await cluster.primary({ above: old.epoch })
  await writer.taken(200)
  await node.start()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  assertNoErrors(history)
  await audit(cluster, history)
})

contained('the container of the broker is killed and started again', async (stage) => {
  const cluster = await start(stage)
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  await cluster.broker.crash()
  await lasting(500)
  await cluster.broker.restart()
  await cluster.primary({ above: old.epoch })
  await writer.taken(200)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

containers.run()
