/** Members that are gone for long are replaced without an operator. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimOptions } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: self-healing')

const replaceAfterMs = 10_000

async function serving(options: SimOptions = {}): Promise<SimCluster> {
  const { settings, ...rest } = options
  return await SimCluster.serving({
    nodes: ['n1', 'n2', 'n3', 'n4', 'n5'],
    writes: 10,
    settings: { replaceAfterMs, ...settings },
    ...rest,
  })
}

const names = (cluster: SimCluster): string[] => cluster.record()!.members.map(({ node }) => node)

const isMember = (cluster: SimCluster, { id }: SimNode): boolean => names(cluster).includes(id)

const replica = (cluster: SimCluster): SimNode =>
  cluster.members().find((node) => node !== cluster.primary())!

const spares = (cluster: SimCluster): SimNode[] =>
  cluster.running.filter((node) => !isMember(cluster, node))

/**
 * Kills a replica, and returns it when a change to replace it is under way; that goes on only when
 * the spares, which live, hear the primary again.
 */
async function goneForLong(cluster: SimCluster): Promise<SimNode> {
  const gone = replica(cluster)
  gone.kill()
  const { id } = cluster.primary()!
  const away = spares(cluster).map((node) => node.id)
  cluster.weather = (from, to) => (from === id && away.includes(to) ? 'lost' : 0.2)
  await cluster.until('a change is under way', () => cluster.record()!.change !== undefined,
    2 * replaceAfterMs)
  return gone
}

test('a member that is gone is replaced by the best spare node, and not before its time', async () => {
  const cluster = await serving()
  const gone = replica(cluster)
  gone.kill()
  await cluster.run(replaceAfterMs / 2)
  assert.ok(isMember(cluster, gone))
  assert.is(cluster.record()!.change, undefined)
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 2 * replaceAfterMs)
  assert.is(names(cluster).length, 3)
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('a primary that is gone is replaced as well', async () => {
  const cluster = await serving()
  const gone = cluster.primary()!
  gone.kill()
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 3 * replaceAfterMs)
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('a member that comes back in time stays, and what was begun for it is taken back', async () => {
  const cluster = await serving()
  const gone = await goneForLong(cluster)
  gone.start()
  await cluster.until('it is taken back', () => cluster.record()!.change === undefined, 20_000)
  assert.ok(isMember(cluster, gone))
  await cluster.run(2 * replaceAfterMs)
  assert.is(cluster.record()!.change, undefined)
})

test('a learner that dies is given up, and another spare node comes', async () => {
  const cluster = await serving()
  const gone = replica(cluster)
  gone.kill()
  const { id } = cluster.primary()!
  cluster.weather = (from, to) =>
    from === id && spares(cluster).some((node) => node.id === to) ? 'lost' : 0.2
  await cluster.until('a change is under way', () => cluster.record()!.change !== undefined,
    2 * replaceAfterMs)
  const first = cluster.record()!.change!.add!
  cluster.node(first).kill()
  cluster.weather = () => 0.2
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 5 * replaceAfterMs)
  assert.not(names(cluster).includes(first))
  await cluster.check()
})

test('a learner that lives and gets no further is given up, and another spare node comes', async () => {
  const cluster = await serving()
  const gone = await goneForLong(cluster)
  const { id } = cluster.primary()!
  const first = cluster.record()!.change!.add!
  cluster.weather = (from, to) => (from === id && to === first ? 'lost' : 0.2)
  await cluster.run(replaceAfterMs / 2)
  assert.is(cluster.record()!.change?.add, first)
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 2 * replaceAfterMs)
  assert.not(names(cluster).includes(first))
  await cluster.check()
})

test('without another spare node it is waited for', async () => {
  const cluster = await serving({ nodes: ['n1', 'n2', 'n3', 'n4'] })
  const gone = await goneForLong(cluster)
  await cluster.run(4 * replaceAfterMs)
  assert.ok(cluster.record()!.change)
  cluster.weather = () => 0.2
  await cluster.until('it is replaced', () => !isMember(cluster, gone))
})

test('an operator\'s change is not taken back', async () => {
  const cluster = await serving()
  const learner = spares(cluster)[0]!
  const { id } = cluster.primary()!
  cluster.weather = (from, to) => (from === id && to === learner.id ? 'lost' : 0.2)
  await cluster.command(id, { type: 'changeMembers', space: 'teams', add: learner.id, by: 'ann' })
  learner.kill()
  await cluster.run(3 * replaceAfterMs)
  assert.is(cluster.record()!.change?.add, learner.id)
})

const nothing: Record<string, (cluster: SimCluster) => Promise<unknown> | void> = {
  'the space is paused': (cluster) =>
    cluster.command('n1', { type: 'pause', space: 'teams', by: 'ann' }),
  'the arbiter is away': (cluster) => {
    cluster.bucket.available = false
  },
  'half of the nodes are missing': (cluster) => {
    for (const node of spares(cluster)) node.kill()
  },
  'no node is spare': async (cluster) => {
    for (const node of spares(cluster)) {
      await cluster.command(node.id, { type: 'drain', by: 'ann' })
    }
  },
}
for (const [what, make] of Object.entries(nothing)) {
  test(`nothing is replaced while ${what}`, async () => {
    const cluster = await serving()
    const gone = replica(cluster)
    await make(cluster)
    gone.kill()
    await cluster.run(3 * replaceAfterMs)
    assert.ok(isMember(cluster, gone))
    assert.is(cluster.record()!.change, undefined)
  })
}

test('with replaceAfterMs 0 nothing is replaced', async () => {
  const cluster = await serving({ settings: { replaceAfterMs: 0 } })
  const gone = replica(cluster)
  gone.kill()
  await cluster.run(60_000)
  assert.ok(isMember(cluster, gone))
})

test('members are placed, and replaced, in zones of their own', async () => {
  const zones = { n1: 'a', n2: 'a', n3: 'b', n4: 'b', n5: 'c' }
  const zoneOf = (node: string) => zones[node as keyof typeof zones]
  const cluster = await serving({ zones })
  const apart = () => new Set(names(cluster).map(zoneOf)).size
  assert.is(apart(), 3)
  const gone = cluster.members().find(({ id }) => id !== 'n5')!
  gone.kill()
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 3 * replaceAfterMs)
  assert.is(apart(), 3)
})

test('a node catches up with two spaces at a time', async () => {
  const cluster = await serving()
  const learner = spares(cluster)[0]!
  const spaces = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  for (const space of spaces) await cluster.createSpace({}, space)
  const holds = (space: string) =>
    cluster.record(space)!.members.some(({ node }) => node === learner.id)
  const added = spaces.filter((space) => !holds(space))
  assert.ok(added.length > 2, `${added.length} spaces to learn`)
  for (const space of added) {
    await cluster.until('it has a primary', () => cluster.primary(space) !== null)
  }
  const orders = added.map((space) =>
    cluster.command(cluster.primary(space)!.id, { type: 'changeMembers', space, add: learner.id })
  )
  assert.ok((await Promise.all(orders)).every((answer) => answer['ok'] === true))
  const learns = (space: string) =>
    cluster.record(space)!.change?.add === learner.id
    && learner.space(space).member.following.isFollowing
  let most = 0
  await cluster.until('it holds all', () => {
    most = Math.max(most, added.filter(learns).length)
    return added.every(holds)
  }, 60_000)
  assert.is(most, 2)
})

test('an evacuated node leaves all spaces, its primaries too; undrained, it stays', async () => {
  const cluster = await serving()
  const node = cluster.primary()!
  await cluster.createSpace({}, 'other')
  const holds = (space: string) =>
    cluster.record(space)!.members.some(({ node: name }) => name === node.id)
  await cluster.command(node.id, { type: 'drain', evacuate: true, by: 'ann' })
  await cluster.until('it is no member', () => !holds('teams') && !holds('other'), 30_000)
  await cluster.writes(5, 'committed')
  await cluster.check()
  const next = replica(cluster)
  await cluster.command(next.id, { type: 'drain', by: 'ann' })
  await cluster.run(3000)
  assert.ok(isMember(cluster, next), 'a drained node is no evacuated one')
})

test('an evacuation is taken back when the node is undrained, and waits for a spare', async () => {
  const cluster = await serving()
  for (const spare of spares(cluster)) {
    await cluster.command(spare.id, { type: 'drain', by: 'ann' })
  }
  const node = replica(cluster)
  await cluster.command(node.id, { type: 'drain', evacuate: true, by: 'ann' })
  await cluster.run(3000)
  assert.is(cluster.record()!.change, undefined)
  const spare = spares(cluster)[0]!
  const { id } = cluster.primary()!
  cluster.weather = (from, to) => (from === id && to === spare.id ? 'lost' : 0.2)
  await cluster.command(spare.id, { type: 'undrain', by: 'ann' })
  await cluster.until('a change is under way', () => cluster.record()!.change !== undefined)
  await cluster.command(node.id, { type: 'undrain', by: 'ann' })
  await cluster.until('it is taken back', () => cluster.record()!.change === undefined)
  assert.ok(isMember(cluster, node))
  const refused = await cluster.command(node.id, { type: 'drain', evacuate: true, stop: true })
  assert.match(String(refused['message']), /evacuate first/)
})

test('a change of which half is done is not taken back', async () => {
  // The member is back, and the learner comes in, at the same heartbeat at one of these moments.
  for (const delayMs of [0, 100, 200, 300]) {
    const cluster = await serving()
    const gone = await goneForLong(cluster)
    gone.start()
    await cluster.run(delayMs)
    cluster.weather = () => 0.2
    await cluster.until('it is over', () => cluster.record()!.change === undefined, 20_000)
    await cluster.run(3000)
    const { members, settings } = cluster.record()!
    assert.equal([members.length, settings.replicas], [3, 2], `${delayMs} ms`)
  }
})

test('spaces without a primary do not hold up the others that a node is to learn', async () => {
  const cluster = await SimCluster.start({ nodes: ['n1', 'n2', 'n3', 'n4'] })
  const alone = new Map<string, string[]>()
  for (let number = 0; number < 40; number += 1) {
    const name = `s${number}`
    await cluster.createSpace({ replicas: 0, minInSync: 1 }, name)
    const { node } = cluster.record(name)!.members[0]!
    alone.set(node, [...alone.get(node) ?? [], name])
  }
  const [stuck, other] = [alone.get('n1')!.slice(0, 2), alone.get('n2')![0]!]
  const add = async (at: string, space: string) => {
    const answer = await cluster.command(at, { type: 'changeMembers', space, add: 'n4' })
    assert.is(answer['ok'], true, JSON.stringify(answer))
  }
  cluster.weather = (from, to) => (from === 'n1' && to === 'n4' ? 'lost' : 0.2)
  for (const space of stuck) await add('n1', space)
  await cluster.run(3000)
  cluster.node('n1').kill()
  await cluster.run(5000)
  await add('n2', other)
  await cluster.until('it is learnt', () => cluster.record(other)!.members.length === 2, 20_000)
})

test('nodes that have left do not count among the missing', async () => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9']
  const cluster = await serving({ nodes })
  for (const node of spares(cluster).slice(0, 5)) {
    await cluster.command(node.id, { type: 'drain', stop: true, by: 'ann' })
    await cluster.run(2000)
  }
  const gone = replica(cluster)
  gone.kill()
  await cluster.until('it is replaced', () => !isMember(cluster, gone), 6 * replaceAfterMs)
})

test.run()
