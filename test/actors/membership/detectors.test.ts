/** What failure detectors are given of heartbeats, and what nodes that are well say to each other. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('detectors')

interface Delivery {
  readonly atMs: number
  readonly from: string
  readonly to: string
  readonly kind: string
}

/** An idle cluster of three, and what is delivered between its nodes. */
async function started(): Promise<{ cluster: SimCluster; deliveries: Delivery[] }> {
  const deliveries: Delivery[] = []
  const cluster = SimCluster.create({ observer: {
    delivered: (from, to, subject) => {
      const kind = subject.split('.')[2] ?? subject
      if (from !== to) deliveries.push({ atMs: cluster.clock.monotonicMs(), from, to, kind })
    },
  } })
  await cluster.boot()
  await cluster.createSpace()
  await cluster.run(2000)
  deliveries.length = 0
  return { cluster, deliveries }
}

const isNear = (count: number, expected: number) => Math.abs(count - expected) <= expected / 10

test('an idle second: heartbeats and checks of the primary, and nobody answers these', async () => {
  const { cluster, deliveries } = await started()
  await cluster.run(1000)
  const count = (kind: string) => deliveries.filter((one) => one.kind === kind).length
  assert.ok(isNear(count('heartbeat'), 60), `${count('heartbeat')} heartbeats`)
  assert.ok(isNear(count('ping'), 20), `${count('ping')} checks`)
  // Acks are repeated every two seconds.
  const rest = deliveries.length - count('heartbeat') - count('ping') - count('ack')
  assert.is(rest, 0, 'nothing else is said')
})

test('heartbeats answer each other: a node is woken for all of them at once', async () => {
  const { cluster, deliveries } = await started()
  await cluster.run(1000)
  for (const node of cluster.nodes.keys()) {
    const heard = deliveries.filter(({ to, kind }) => to === node && kind === 'heartbeat')
    const gaps = heard.slice(1).map(({ atMs }, index) => atMs - heard[index]!.atMs)
    assert.ok(gaps.every((gap) => gap <= 1 || gap >= 90), `${node}: ${gaps.join(' ')}`)
  }
})

test('a chart that was restarted knows the peer again with its next heartbeat', async () => {
  const { cluster, deliveries } = await started()
  const primary = cluster.primary()!.id
  const [replica] = cluster.running.filter(({ id }) => id !== primary)
  const { ports, peers } = replica!.actor.context!
  const heard = peers.heardLife(primary)
  assert.ok(ports.host.kill(`detector.${primary}`))
  await cluster.run(250)
  assert.equal(peers.heardLife(primary), heard)
  deliveries.length = 0
  await cluster.run(1000)
  const checks = deliveries.filter(({ from, kind }) => from === replica!.id && kind === 'ping')
  assert.ok(isNear(checks.length, 10), `${checks.length} checks`)
})

test('a primary whose process dies is proven dead at the next own heartbeat', async () => {
  const { cluster } = await started()
  const primary = cluster.primary()!
  const replicas = cluster.running.filter(({ id }) => id !== primary.id)
  primary.kill()
  await cluster.run(110)
  for (const { actor } of replicas) {
    assert.is(actor.context!.peers.goneReason(primary.id), `${primary.id} is proven dead`)
  }
})

test('one that starts again at once is answered by its new life, before it sends heartbeats', async () => {
  const { cluster } = await started()
  const primary = cluster.primary()!
  const [replica] = cluster.running.filter(({ id }) => id !== primary.id)
  const { peers } = replica!.actor.context!
  const before = peers.heardLife(primary.id)!
  primary.kill()
  primary.start()
  await cluster.until('its former life is over',
    () => peers.heardLife(primary.id)!.incarnation > before.incarnation, 250)
})

test.run()
