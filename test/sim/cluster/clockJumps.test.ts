/** Wall clocks that jump, of one node or of all, under a simulated cluster. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: clock jumps')

const hourMs = 3_600_000

const serving = (settings: object = {}) => SimCluster.serving({ space: settings, writes: 3 })

const alertsOf = (node: SimNode, kind: string) =>
  node.log.filter(({ fields }) => (fields as { kind?: string }).kind === kind)

test('all clocks jump by a day and an hour: keys of a minute ago are known', async () => {
  for (const back of [false, true]) {
    const cluster = await serving()
    const first = await cluster.wait(cluster.send({ 'Nats-Msg-Id': 'key-a' }))
    assert.ok(first?.ok)
    await cluster.run(60_000)
    cluster.clock.jumpWall(25 * hourMs)
    await cluster.run(3000)
    await cluster.until('one is primary', () => cluster.primary() !== null)
    await cluster.writes(30, 'committed')
    if (back) {
      cluster.clock.jumpWall(-25 * hourMs)
      await cluster.run(3000)
      await cluster.writes(30, 'committed')
    }
    await cluster.converged()
    for (const node of cluster.running) {
      assert.ok(node.space().member.store.key('key-a'), `${node.id} knows it`)
    }
    const again = await cluster.wait(cluster.send({ 'Nats-Msg-Id': 'key-a' }))
    assert.is(again?.ok && again.duplicate, true)
  }
})

test('a key is forgotten when its time is over, also in a space that was idle', async () => {
  const cluster = await serving({ keys: { ms: 5000 } })
  await cluster.wait(cluster.send({ 'Nats-Msg-Id': 'key-a' }))
  await cluster.run(6000)
  await cluster.writes(3, 'committed')
  await cluster.converged()
  for (const node of cluster.running) assert.not(node.space().member.store.key('key-a'))
})

test('a clock that goes back keeps nobody waiting', async () => {
  const cluster = await serving({ maxLoss: { entries: 1 }, whenUnderReplicated: 'wait' })
  const primary = cluster.primary()!
  // Nothing becomes safe, and the lease holds: no frame is taken, heartbeats go on.
  for (const node of cluster.running) {
    if (node !== primary) node.space().onWal = () => undefined
  }
  const pending = [cluster.send(), cluster.send(), cluster.send()]
  await cluster.run(300)
  cluster.clock.jumpWall(-hourMs)
  const begunMs = cluster.clock.monotonicMs()
  const answers = await cluster.wait(Promise.all(pending), 9000)
  assert.ok(answers.some((answer) => !answer?.ok && answer?.code === 'ACK_TIMEOUT'),
    JSON.stringify(answers))
  assert.ok(cluster.clock.monotonicMs() - begunMs < 6000)
})

test('a primary whose clock is off says so, and when it is right again', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  primary.life!.clock.jumpWall(-60_000)
  await cluster.run(3000)
  assert.is(cluster.primary()?.id, primary.id)
  const [alert] = alertsOf(primary, 'clock')
  assert.match(alert?.message ?? '', /clock of n\d is 60\.0 s behind those of its peers/)
  const { peers } = primary.actor.context!
  assert.ok(peers.ownClock.offsetMs! > 59_000)
  for (const node of cluster.running) {
    if (node === primary) continue
    assert.is(node.actor.context!.peers.ownClock.fault, null, 'one agrees with it: it is not off')
  }
  await cluster.run(10_000)
  assert.is(alertsOf(primary, 'clock').length, 1, 'once')
  primary.life!.clock.jumpWall(60_000)
  await cluster.run(500)
  assert.is(alertsOf(primary, 'clockCleared').length, 1)
})

test('a node that becomes primary with a wrong clock says so', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const to = cluster.running.find((node) => node !== primary)!
  to.life!.clock.jumpWall(-60_000)
  await cluster.run(1000)
  assert.is(alertsOf(to, 'clock').length, 0, 'no entry gets its time')
  await cluster.command('n1', { type: 'promote', space: 'teams', to: to.id })
  await cluster.run(500)
  assert.is(alertsOf(to, 'clock').length, 1)
})

test('a node that stood still, and hears old heartbeats, accuses nobody', async () => {
  const cluster = await serving()
  const [node] = cluster.running.filter((each) => each !== cluster.primary()) as [SimNode]
  node.freeze()
  await cluster.run(20_000)
  node.thaw()
  await cluster.run(3000)
  for (const each of cluster.running) {
    assert.equal(each.log.filter(({ message }) => message.includes('clock of')), [])
  }
})

test.run()
