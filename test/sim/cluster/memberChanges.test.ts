/** Members are added, taken out and replaced, whoever dies meanwhile. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: member changes')

const four = ['n1', 'n2', 'n3', 'n4']

/** Four nodes; three of them hold the space. */
async function serving(settings: object = {}): Promise<SimCluster> {
  return await SimCluster.serving({ nodes: four, writes: 20, ...settings })
}

const members = (cluster: SimCluster): string[] =>
  cluster.record()!.members.map(({ node }) => node).toSorted()

const spare = (cluster: SimCluster): SimNode =>
  cluster.running.find(({ id }) => !members(cluster).includes(id))!

const replica = (cluster: SimCluster): SimNode =>
  cluster.running.find((node) => node !== cluster.primary() && members(cluster).includes(node.id))!

async function order(cluster: SimCluster, command: object, at = 'n1') {
  return await cluster.command(at, { type: 'changeMembers', space: 'teams', by: 'ann', ...command })
}

const settled = (cluster: SimCluster) =>
  cluster.until('no change is under way', () =>
    cluster.record()!.change === undefined && cluster.primary() !== null, 30_000)

test('a node is added: it gets everything, counts from then on, and the settings follow', async () => {
  const cluster = await serving()
  const { id } = spare(cluster)
  const answer = await order(cluster, { add: id })
  assert.is(answer['ok'], true)
  assert.is((answer['change'] as { add: string }).add, id)
  await settled(cluster)
  assert.equal(members(cluster), four)
  assert.equal([...cluster.record()!.inSync].toSorted(), four)
  assert.is(cluster.record()!.settings.replicas, 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  assert.is(cluster.node(id).space().roleState.role, 'replica')
  await cluster.check()
})

test('a replica is replaced; the old one has no role, answers no reads and keeps its log', async () => {
  const cluster = await serving()
  const [added, removed] = [spare(cluster), replica(cluster)]
  await order(cluster, { add: added.id, remove: removed.id })
  await settled(cluster)
  const record = cluster.record()!
  assert.equal(members(cluster), four.filter((id) => id !== removed.id))
  assert.is(record.settings.replicas, 2)
  assert.equal(record.removed!.map(({ node }) => node), [removed.id])
  const { end } = removed.space().member.log
  await cluster.writes(10, 'committed')
  await cluster.run(500)
  assert.equal(removed.space().member.log.end, end)
  assert.not(removed.space().roleState.state.includes('streaming'))
  const query = { type: 'ListNodes', after: '', limit: 1 }
  for (let i = 0; i < 20; i += 1) {
    const read = await cluster.read(query, {}, subjects.readAny('teams'))
    assert.ok(read.ok && read.node !== removed.id, `${removed.id} answers reads`)
  }
  await cluster.check()
})

test('the primary is replaced: it hands over, and the next primary takes it out', async () => {
  const cluster = await serving()
  const [added, removed] = [spare(cluster), cluster.primary()!]
  const { epoch } = cluster.record()!
  await order(cluster, { add: added.id, remove: removed.id }, removed.id)
  await settled(cluster)
  assert.not(members(cluster).includes(removed.id))
  assert.is(cluster.record()!.epoch, epoch + 1)
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('the only member is replaced', async () => {
  const cluster = await SimCluster.start({ nodes: ['n1', 'n2'] })
  await cluster.createSpace({ replicas: 0 })
  await cluster.writes(5, 'committed')
  const [added, removed] = [spare(cluster), cluster.primary()!]
  await order(cluster, { add: added.id, remove: removed.id })
  await settled(cluster)
  assert.equal(members(cluster), [added.id])
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('a dead member is replaced', async () => {
  const cluster = await serving()
  const [added, dead] = [spare(cluster), replica(cluster)]
  dead.kill()
  const at = cluster.primary()!.id
  assert.is((await order(cluster, { add: added.id, remove: dead.id }, at))['ok'], true)
  await settled(cluster)
  assert.not(members(cluster).includes(dead.id))
  assert.is(cluster.record()!.inSync.length, 3)
  // It learns of it when it comes back.
  dead.start()
  await cluster.run(3000)
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('a removed node is added again, with its old log', async () => {
  const cluster = await serving()
  const { id } = replica(cluster)
  await order(cluster, { remove: id, force: true })
  await settled(cluster)
  assert.is(cluster.record()!.settings.replicas, 1)
  await cluster.writes(10, 'committed')
  await order(cluster, { add: id })
  await settled(cluster)
  assert.equal([cluster.record()!.removed, members(cluster).length], [[], 3])
  await cluster.converged()
  await cluster.check()
})

test('a cancelled change leaves the learner without the space', async () => {
  const cluster = await serving()
  const learner = spare(cluster)
  cluster.weather = (from, to) => (from === learner.id || to === learner.id ? 'lost' : 0.2)
  await order(cluster, { add: learner.id }, cluster.primary()!.id)
  await cluster.run(500)
  assert.not(members(cluster).includes(learner.id))
  assert.is((await order(cluster, { cancel: true }, cluster.primary()!.id))['change'], null)
  cluster.weather = () => 0.2
  await cluster.run(5000)
  assert.is(cluster.record()!.inSync.length, 3)
  assert.not(members(cluster).includes(learner.id))
  assert.equal(cluster.record()!.removed!.map(({ node }) => node), [learner.id])
  assert.is((await order(cluster, { cancel: true }, cluster.primary()!.id))['change'], null)
})

test('orders that cannot be carried out are refused, and say why', async () => {
  const cluster = await serving()
  const [{ id: other }, { id: present }] = [spare(cluster), replica(cluster)]
  const refused = async (command: object, why: RegExp) => {
    const answer = await order(cluster, command)
    assert.is(answer['ok'], false)
    assert.match(String(answer['message']), why)
  }
  await refused({}, /name a node to add or to remove/)
  await refused({ add: present }, /is a member of teams already/)
  await refused({ add: 'n9' }, /n9 is not alive/)
  await refused({ add: 'a.b' }, /add: /)
  await refused({ remove: other }, /is no member of teams; its members are/)
  await refused({ remove: present }, /2 members instead of 3.*--yes/)
  await refused({ cancel: true, add: other }, /cancel goes without/)
  cluster.weather = (from, to) => (from === other || to === other ? 'lost' : 0.2)
  await order(cluster, { add: other }, cluster.primary()!.id)
  const second = await order(cluster, { remove: present, force: true }, cluster.primary()!.id)
  assert.match(String(second['message']), new RegExp(`under way \\(add ${other}\\)`))
})

test('a member is taken out only while enough others are in sync', async () => {
  const cluster = await serving()
  const [removed] = [replica(cluster)]
  const third = cluster.running.find((node) =>
    node !== removed && node !== cluster.primary() && members(cluster).includes(node.id)
  )!
  const added = spare(cluster)
  third.kill()
  await cluster.until('it is out of sync', () => cluster.record()!.inSync.length === 2)
  const { id } = cluster.primary()!
  // The primary hears that the learner lives, and the learner hears nothing from the primary.
  cluster.weather = (from, to) => (from === id && to === added.id ? 'lost' : 0.2)
  await order(cluster, { remove: removed.id, add: added.id }, id)
  await cluster.run(3000)
  assert.ok(members(cluster).includes(removed.id), 'the new one comes first')
  cluster.weather = () => 0.2
  await cluster.until('the new one is in', () => members(cluster).includes(added.id), 20_000)
  await settled(cluster)
  assert.not(members(cluster).includes(removed.id))
  assert.equal(cluster.record()!.inSync.length, 2)
  await cluster.check()
})

test('the last member in sync stays, though its removal was forced', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  for (const node of cluster.running) if (node !== primary) node.kill()
  await cluster.until('it is alone', () => cluster.record()!.inSync.length === 1)
  await order(cluster, { remove: primary.id, force: true }, primary.id)
  await cluster.run(5000)
  assert.ok(members(cluster).includes(primary.id))
  await cluster.writes(3, 'durable')
})

for (const step of ['ordered', 'joined', 'added'] as const) {
  test(`the primary dies when the change is ${step}: the next one goes on`, async () => {
    const cluster = await serving()
    const [added, primary] = [spare(cluster), cluster.primary()!]
    const removed = replica(cluster)
    await order(cluster, { add: added.id, remove: removed.id }, primary.id)
    const follows = () =>
      added.life?.actor.spaces.get('teams')?.member.following.isFollowing === true
    if (step === 'joined') await cluster.until('the learner follows', follows)
    if (step === 'added') {
      await cluster.until('it is a member', () => members(cluster).includes(added.id))
    }
    primary.kill()
    await settled(cluster)
    assert.ok(members(cluster).includes(added.id))
    assert.not(members(cluster).includes(removed.id))
    await cluster.writes(5, 'durable')
    primary.start()
    await cluster.converged()
    await cluster.check()
  })
}

test('a learner is no candidate, by force neither', async () => {
  const cluster = await serving()
  const learner = spare(cluster)
  const seen: boolean[] = []
  await order(cluster, { add: learner.id }, cluster.primary()!.id)
  await cluster.until('it holds the space', () => learner.life!.actor.spaces.has('teams'))
  assert.not(members(cluster).includes(learner.id))
  for (const node of cluster.running) if (node !== learner) node.kill()
  await cluster.run(5000)
  seen.push(learner.space().serves)
  const answer = await cluster.command(learner.id, { type: 'promote', space: 'teams',
    to: learner.id, force: true })
  assert.is(answer['ok'], false)
  seen.push(learner.space().serves)
  assert.equal(seen, [false, false])
})

test('a member in sync stays while it is the second copy, though fewer may remain', async () => {
  const cluster = await SimCluster.serving({ writes: 20 })
  const [away, leaving] = cluster.members().filter((node) => node !== cluster.primary()) as [
    SimNode,
    SimNode,
  ]
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  await cluster.writes(5, 'committed')
  await order(cluster, { remove: leaving.id, force: true }, cluster.primary()!.id)
  await cluster.run(2000)
  assert.is(cluster.record()!.inSync.length, 2)
  away.start()
  await settled(cluster)
  assert.not(members(cluster).includes(leaving.id))
  await cluster.check()
})

test.run()
