/** The arbiter's bucket is lost: epochs go on, and the record is written again. */
import * as assert from 'uvu/assert'
import type { Assignment } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { assertAllTaken, audit } from '../support/audit.js'
import { space, type Cluster } from '../support/cluster.js'
import { note, scenario, suite, type Stage } from '../support/scenario.js'
import { lasting, notYet, waitFor } from '../support/wait.js'

const arbiter = suite('integration: arbiter')

const bucketStream = 'KV_engram'

async function deleteBucket(cluster: Cluster): Promise<void> {
  const manager = await cluster.nc.jetstreamManager()
  await manager.streams.delete(bucketStream)
}

/** The arbiter's record of the space, read as any NATS client would. */
async function record(cluster: Cluster): Promise<Assignment> {
  const manager = await cluster.nc.jetstreamManager()
  const message = await manager.streams.getMessage(
    bucketStream,
    { last_by_subj: `$KV.engram.space.${space}` },
  )
  return JSON.parse(message.string()) as Assignment
}

function collectAlerts(cluster: Cluster): string[] {
  const alerts: string[] = []
  cluster.nc.subscribe(subjects.alert(space), {
    callback: (_error, message) => {
      alerts.push(message.string())
    },
  })
  return alerts
}

function written(cluster: Cluster): Promise<Assignment> {
  return waitFor(`an open record of ${space} in the new bucket`, async () => {
    const found = await record(cluster)
    return found.state === 'open' ? found : notYet(`state ${found.state}`)
  })
}

/**
 * nats-server 2.9.10 sometimes panics when a stream is deleted under load. For the cluster that is
 * one more broker outage, which it has to get over.
 */
function keepBroker(stage: Stage, cluster: Cluster): void {
  let isStarting = false
  const timer = setInterval(() => {
    if (isStarting || !cluster.broker.hasEnded) return
    isStarting = true
    note('nats-server ended by itself: started again')
    void cluster.broker.start().finally(() => {
      isStarting = false
    })
  }, 100)
  stage.onEnd(() => clearInterval(timer))
}

scenario(arbiter, 'the bucket is deleted under load, later failover works', async (stage) => {
  const cluster = await stage.cluster()
  keepBroker(stage, cluster)
  const alerts = collectAlerts(cluster)
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  const before = await record(cluster)
  assert.is(before.primary?.node, (await cluster.primary()).node)
  await deleteBucket(cluster)
  const after = await written(cluster)
  assert.is(after.uuid, before.uuid, 'it is the same space')
  assert.ok(after.epoch >= before.epoch, `epoch ${after.epoch} after ${before.epoch}`)
  await waitFor('an alert that the bucket was lost',
    () =>
      alerts.some((alert) => /lost|arbiter|bucket/i.test(alert))
      || notYet(`alerts: ${alerts.join(' ') || 'none'}`))
  await writer.taken(200)
  note(`${writer.history.summary()}; epoch ${before.epoch} before, ${after.epoch} after`)

  const primary = await cluster.primary()
  await cluster.inSync(3)
  await cluster.node(primary.node).kill()
  const tookMs = await writer.takenAbove(primary.epoch)
  note(`failover after the loss: ${tookMs.toFixed(0)} ms`)
  await cluster.node(primary.node).start()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(arbiter, 'the bucket is deleted again and again', async (stage) => {
  const cluster = await stage.cluster()
  keepBroker(stage, cluster)
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(100)
  const until = performance.now() + 5000
  let deletions = 0
  while (performance.now() < until) {
    await deleteBucket(cluster).then(() => {
      deletions += 1
    }, () => undefined)
    await lasting(250)
  }
  assert.ok(deletions > 1, `the bucket was made again: ${deletions} deletions`)
  await written(cluster)
  await writer.taken(200)
  await cluster.inSync(3)
  const history = await writer.stop()
  note(`${deletions} deletions: ${history.summary()}`)
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(arbiter, 'the bucket goes and the primary dies at once', async (stage) => {
  const cluster = await stage.cluster()
  keepBroker(stage, cluster)
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(200)
  const old = await cluster.primary()
  await Promise.all([deleteBucket(cluster), cluster.node(old.node).kill()])
  const tookMs = await writer.takenAbove(old.epoch, 30)
  note(`bucket and primary gone to the first positive answer: ${tookMs.toFixed(0)} ms`)
  await cluster.node(old.node).start()
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

arbiter.run()
