/** What a change of the members waits for, as its primary says it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: what a change of the members waits for')

const nodes = ['n1', 'n2', 'n3', 'n4']

const names = (cluster: SimCluster): string[] => cluster.record()!.members.map(({ node }) => node)

const waitsFor = (cluster: SimCluster): string | null =>
  cluster.primary()!.space().primaryRole!.changeWaitsFor

async function order(cluster: SimCluster, command: object): Promise<void> {
  const at = cluster.primary()!.id
  const answer = await cluster.command(at, { type: 'changeMembers', space: 'teams', ...command })
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

test('the learner: away, and gone', async () => {
  const cluster = await SimCluster.serving({ nodes, writes: 20 })
  assert.is(waitsFor(cluster), null)
  const learner = cluster.running.find(({ id }) => !names(cluster).includes(id))!
  cluster.weather = (from, to) => (from === learner.id || to === learner.id ? 'lost' : 0.2)
  await order(cluster, { add: learner.id })
  await cluster.run(100)
  assert.is(waitsFor(cluster), `${learner.id} has not joined yet`)
  learner.kill()
  cluster.weather = () => 0.2
  await cluster.until('its death is proven',
    () => waitsFor(cluster) === `${learner.id} is proven dead`, 10_000)
  learner.start()
  await cluster.until('it is done', () => waitsFor(cluster) === null, 30_000)
  assert.ok(names(cluster).includes(learner.id))
  await cluster.check()
})

test('the learner: not heard for long', async () => {
  const cluster = await SimCluster.serving({ nodes, writes: 20 })
  const learner = cluster.running.find(({ id }) => !names(cluster).includes(id))!
  cluster.weather = (from, to) => (from === learner.id || to === learner.id ? 'lost' : 0.2)
  await order(cluster, { add: learner.id })
  await cluster.run(3000)
  assert.is(waitsFor(cluster), `${learner.id} is not heard`)
  cluster.weather = () => 0.2
  await cluster.until('it is done', () => waitsFor(cluster) === null, 30_000)
  await cluster.check()
})

test('the removal: too few others in sync', async () => {
  const cluster = await SimCluster.serving({ nodes, writes: 20 })
  const primary = cluster.primary()!
  for (const node of cluster.running) if (node !== primary) node.kill()
  await cluster.until('it is alone', () => cluster.record()!.inSync.length === 1)
  await order(cluster, { remove: primary.id, force: true })
  assert.is(waitsFor(cluster), `${primary.id} is taken out once 2 other members are in sync `
    + '(0 now)')
})

test('the removal of the primary: it hands over, if somebody may take over', async () => {
  const cluster = await SimCluster.serving({ nodes, writes: 20 })
  const primary = cluster.primary()!
  const others = cluster.running.filter((node) => node !== primary)
  for (const { id } of others) await cluster.command(id, { type: 'drain', by: 'ann' })
  const none = `${primary.id} is the primary, and no other member in sync can take over now`
  await cluster.until('all heard that they are drained',
    () => cluster.primary()!.space().primaryRole!.successor() === null, 5000)
  await order(cluster, { remove: primary.id, force: true })
  assert.is(waitsFor(cluster), none)
  await cluster.run(3000)
  assert.is(waitsFor(cluster), none)
  for (const { id } of others) await cluster.command(id, { type: 'undrain', by: 'ann' })
  await cluster.until('it is out', () => !names(cluster).includes(primary.id), 40_000)
  await cluster.check()
})

test('the arbiter, which refuses to write', async () => {
  const cluster = await SimCluster.serving({ nodes, writes: 20 })
  const leaving = cluster.running.find((node) =>
    node !== cluster.primary() && names(cluster).includes(node.id)
  )!
  const learner = cluster.running.find(({ id }) => !names(cluster).includes(id))!
  cluster.weather = (from, to) => (from === learner.id || to === learner.id ? 'lost' : 0.2)
  await order(cluster, { add: learner.id, remove: leaving.id })
  cluster.bucket.rejects = 'no space left (JetStream error 10023)'
  cluster.weather = () => 0.2
  await cluster.until('it says so', () => waitsFor(cluster)?.includes('refuses') === true, 10_000)
  assert.match(waitsFor(cluster)!, /^the arbiter refuses the change: .*no space left/)
  await cluster.writes(3, 'durable')
  cluster.bucket.rejects = null
  await cluster.until('it is done', () => waitsFor(cluster) === null, 30_000)
  assert.not(names(cluster).includes(leaving.id))
  await cluster.check()
})

test.run()
