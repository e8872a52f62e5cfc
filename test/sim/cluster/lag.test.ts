/** Lag of replicas: of one that is away nothing is made up, and the alert is raised meanwhile. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: lag')

interface Alert {
  readonly atMs: number
  readonly kind: string
  readonly message: string
  readonly [field: string]: unknown
}

async function watched(): Promise<{ cluster: SimCluster; alerts: Alert[] }> {
  const alerts: Alert[] = []
  const cluster: SimCluster = await SimCluster.start({
    observer: {
      published: (_node, subject, data) => {
        if (!subject.startsWith('engram.v1.alert.')) return
        alerts.push(JSON.parse(Buffer.from(data).toString('utf8')) as Alert)
      },
    },
  })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  return { cluster, alerts }
}

function replicaOf(cluster: SimCluster): SimNode {
  return cluster.running.find((node) => node !== cluster.primary())!
}

function lagOf(cluster: SimCluster, node: SimNode) {
  return cluster.primary()!.space().primaryRole!.followers.status()[node.id]!
}

/** Writes for so long, and lets the world go on meanwhile. */
async function busy(cluster: SimCluster, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    await cluster.writes(1, 'durable')
    await cluster.run(500)
  }
}

const lagAlerts = (alerts: readonly Alert[]): string[] =>
  alerts.filter(({ kind }) => kind.startsWith('replicaLag')).map(({ kind }) => kind)

test('the lag of a replica that is away is not known; what it once acknowledged is', async () => {
  const { cluster } = await watched()
  const away = replicaOf(cluster)
  const { sequence } = away.space().member.log.end
  // It reports what it has applied with its next keep-alive at the latest.
  await cluster.run(2_500)
  assert.is(lagOf(cluster, away).lagMs, 0)
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  await busy(cluster, 1_000)
  assert.equal(lagOf(cluster, away), {
    lagBytes: null,
    lagMs: null,
    durableSequence: sequence,
    appliedSequence: sequence,
    state: 'unreachable',
  })
})

test('nothing is known of a replica that never joined this primary', async () => {
  const { cluster } = await watched()
  const old = cluster.primary()!
  old.kill()
  await cluster.until('another primary', () => cluster.primary() !== null)
  const { lagBytes, lagMs, durableSequence, appliedSequence } = lagOf(cluster, old)
  assert.equal([lagBytes, lagMs, durableSequence, appliedSequence], [null, null, null, null])
})

test('the alert is raised while a replica is away, and not when it returns', async () => {
  const { cluster, alerts } = await watched()
  const away = replicaOf(cluster)
  away.kill()
  await busy(cluster, 7_000)
  assert.equal(lagAlerts(alerts), ['replicaLag'])
  const raised = alerts.find(({ kind }) => kind === 'replicaLag')!
  assert.match(raised.message,
    new RegExp(`^replica ${away.id} is away and [56]\\.\\d s behind \\(limit 5\\.0 s\\)$`))
  assert.ok(Number(raised['lagMs']) < 6_200, 'measured once a second at least')
  assert.equal([raised['replica'], raised['by'], raised['node']], [away.id, 'time',
    cluster.primary()!.id])
  assert.ok(Number.isInteger(raised['lagMs']) && Number.isInteger(raised['lagBytes']))
  away.start()
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(away.id))
  await busy(cluster, 1_000)
  assert.equal(lagAlerts(alerts), ['replicaLag', 'replicaLagCleared'])
})

test('a replica that is away while nothing is written lacks nothing: no alert', async () => {
  const { cluster, alerts } = await watched()
  const away = replicaOf(cluster)
  away.kill()
  await cluster.run(9_000)
  away.start()
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(away.id))
  assert.equal(lagAlerts(alerts), [])
})

test.run()
