/** Data of nodes that were taken out of a space: kept for a while, forks uploaded, then removed. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: removed nodes')

const keepMs = 20_000

async function serving(): Promise<SimCluster> {
  return await SimCluster.serving({ nodes: ['n1', 'n2', 'n3', 'n4'], writes: 20,
    settings: { removedKeepMs: keepMs } })
}

const isMember = (cluster: SimCluster, { id }: SimNode): boolean =>
  cluster.record()!.members.some(({ node }) => node === id)

const replica = (cluster: SimCluster): SimNode =>
  cluster.members().find((node) => node !== cluster.primary())!

async function order(cluster: SimCluster, command: object): Promise<void> {
  const at = cluster.primary()!.id
  const answer = await cluster.command(at, { type: 'changeMembers', space: 'teams', ...command })
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

const settled = (cluster: SimCluster) =>
  cluster.until('no change is under way', () =>
    cluster.record()!.change === undefined && cluster.primary() !== null, 30_000)

const uuidOf = (cluster: SimCluster): string => cluster.record()!.uuid

/** What is left of the space on the node. */
function left(cluster: SimCluster, node: SimNode): string[] {
  const { journal, store } = node.actor.context!.ports
  return [
    ...(journal.log(uuidOf(cluster)) ? ['log'] : []),
    ...(store.has(uuidOf(cluster)) ? ['store'] : []),
  ]
}

const holds = (node: SimNode): boolean => node.life?.actor.spaces.has('teams') === true

/** Replaces a replica by the spare node; returns the replica. */
async function replaced(cluster: SimCluster): Promise<SimNode> {
  const removed = replica(cluster)
  const spare = cluster.running.find((node) => !isMember(cluster, node))!
  await order(cluster, { add: spare.id, remove: removed.id })
  await settled(cluster)
  return removed
}

test('data is kept for removedKeepMs, over a restart too, and then removed', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  await cluster.run(keepMs / 2)
  assert.equal(left(cluster, removed), ['log', 'store'])
  removed.kill()
  await cluster.run(500)
  removed.start()
  const why = () => removed.life?.actor.spaces.get('teams')?.departure.reason ?? ''
  await cluster.until('it holds what it has', () => why() === 'kept for removedKeepMs')
  await cluster.until('it is gone', () => !holds(removed), keepMs)
  await cluster.run(3000)
  assert.equal(left(cluster, removed), [])
  await cluster.writes(5, 'committed')
  await cluster.check()
})

test('a node is added again before its time is over: nothing is removed', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  await cluster.run(keepMs / 2)
  await order(cluster, { add: removed.id })
  await settled(cluster)
  await cluster.run(2 * keepMs)
  assert.ok(isMember(cluster, removed))
  await cluster.writes(5, 'committed')
  await cluster.converged()
  await cluster.check()
})

test('a node is added again while the arbiter does not say whether its data may go', async () => {
  let deaf = ''
  const cluster = await SimCluster.serving({
    nodes: ['n1', 'n2', 'n3', 'n4'],
    writes: 20,
    settings: { removedKeepMs: keepMs },
    arbiterDelayMs: (node) => (node === deaf ? null : 0.2),
  })
  const removed = await replaced(cluster)
  await cluster.run(keepMs / 2)
  deaf = removed.id
  await cluster.until('its space has ended', () => !holds(removed), keepMs)
  for (let passedMs = 0; passedMs < 3000; passedMs += 50) {
    await cluster.run(50)
    assert.not(holds(removed), 'it holds what it is about to remove')
  }
  await order(cluster, { add: removed.id })
  await cluster.run(3000)
  deaf = ''
  await settled(cluster)
  await cluster.writes(5, 'committed')
  await cluster.run(3000)
  assert.is(removed.counts.get('spacesDropped') ?? 0, 0, 'its data is removed')
  assert.ok(cluster.record()!.inSync.includes(removed.id))
  await cluster.check()
})

test('a node whose data was removed is added again, and begins anew', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  await cluster.until('it is gone', () => !holds(removed), 2 * keepMs)
  await cluster.run(1000)
  await order(cluster, { add: removed.id })
  await settled(cluster)
  assert.ok(isMember(cluster, removed))
  await cluster.writes(5, 'committed')
  await cluster.converged()
  removed.kill()
  removed.start()
  await cluster.writes(5, 'committed')
  await cluster.converged()
  await cluster.check()
})

test('what only it has is uploaded first', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const others = cluster.members().filter((node) => node !== old)
  const spare = cluster.running.find((node) => !isMember(cluster, node))!
  // Nobody hears what it logs last.
  cluster.weather = (from, to) => {
    const isCut = from === old.id && others.some(({ id }) => id === to)
    return isCut ? 'lost' : 0.2
  }
  await Promise.all([cluster.write(), cluster.write(), cluster.write()])
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null, 20_000)
  await order(cluster, { add: spare.id, remove: old.id })
  await settled(cluster)
  old.start()
  await cluster.until('it is gone', () => holds(old), 10_000)
  await cluster.until('its data is gone', () => !holds(old), 3 * keepMs)
  await cluster.run(3000)
  assert.equal(left(cluster, old), [])
  // No fork is left open, and nothing acknowledged is lost.
  const { store } = cluster.primary()!.space().member
  assert.is(store.openReportCount, 0)
  await cluster.check()
})

test('without a primary all is kept', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  removed.kill()
  await cluster.run(100)
  for (const node of cluster.members()) node.kill()
  removed.start()
  await cluster.run(3 * keepMs)
  assert.equal(left(cluster, removed), ['log', 'store'])
  for (const node of cluster.nodes.values()) if (node.life === null) node.start()
  await cluster.until('it is gone', () => !holds(removed), 3 * keepMs)
  await cluster.check()
})

test('all is kept while there is no primary, though it was told before that all is there', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  await cluster.run(keepMs / 2)
  for (const node of cluster.members()) node.kill()
  await cluster.run(2 * keepMs)
  assert.equal(left(cluster, removed), ['log', 'store'])
  for (const node of cluster.nodes.values()) if (node.life === null) node.start()
  await cluster.until('it is gone', () => !holds(removed), 3 * keepMs)
  await cluster.check()
})

test('a record that does not name it says nothing', async () => {
  const cluster = await serving()
  const removed = await replaced(cluster)
  const { value } = cluster.bucket.snapshot().get('space.teams')!
  const { removed: _, ...rest } = JSON.parse(Buffer.from(value).toString()) as object & {
    removed: object
  }
  cluster.bucket.overwrite('space.teams', Buffer.from(JSON.stringify(rest)))
  await cluster.run(4 * keepMs)
  assert.equal(left(cluster, removed), ['log', 'store'])
})

for (const step of ['leaves', 'recorded', 'removed'] as const) {
  test(`it dies when it ${step}: the next start goes on`, async () => {
    const cluster = await serving()
    const removed = await replaced(cluster)
    const { journal } = removed.actor.context!.ports
    const uuid = uuidOf(cluster)
    await cluster.until('its time has come', () =>
      ({
        leaves: () => !holds(removed),
        recorded: () => journal.dropped().includes(uuid),
        removed: () => !removed.actor.context!.ports.store.has(uuid),
      })[step](), 2 * keepMs)
    removed.powerCut()
    await cluster.run(100)
    removed.start()
    await cluster.run(2 * keepMs)
    assert.equal(left(cluster, removed), [])
    // And comes back as an empty one.
    await order(cluster, { add: removed.id })
    await settled(cluster)
    await cluster.writes(3, 'committed')
    await cluster.converged()
    await cluster.check()
  })
}

/** n2 is away when the last writes become safe, and n3, which has them, is replaced by n4. */
async function withStaleMember(cluster: SimCluster) {
  const primary = cluster.primary()!
  const [stale, removed] = cluster.members().filter((node) => node !== primary) as [
    SimNode,
    SimNode,
  ]
  const added = cluster.running.find((node) => !isMember(cluster, node))!
  stale.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(stale.id))
  await cluster.writes(5, 'committed')
  await order(cluster, { add: added.id, remove: removed.id })
  await settled(cluster)
  return { primary, stale, removed, added }
}

test('what was confirmed in one epoch does not go in a later one, whose primary has less', async () => {
  let deaf = ''
  const cluster = await SimCluster.serving({
    nodes: ['n1', 'n2', 'n3', 'n4'],
    writes: 20,
    settings: { removedKeepMs: keepMs, replaceAfterMs: 0 },
    arbiterDelayMs: (node) => (node === deaf ? null : 0.2),
  })
  const { primary, stale, removed, added } = await withStaleMember(cluster)
  await cluster.run(keepMs / 2)
  deaf = removed.id
  await cluster.until('its space has ended', () => !holds(removed), keepMs)
  primary.kill()
  added.kill()
  stale.start()
  await cluster.run(5000)
  await cluster.command(stale.id, { type: 'promote', space: 'teams', to: stale.id, force: true })
  await cluster.until('it is primary', () => cluster.primary() === stale, 20_000)
  deaf = ''
  await cluster.run(3 * keepMs)
  const { store } = stale.space().member
  assert.equal(cluster.acknowledged.flatMap(({ ids }) => ids).filter((id) => !store.node(id)), [])
})

test('while the primary is alone in sync nothing goes: it may be the other copy', async () => {
  const cluster = await serving()
  const { primary, removed, added } = await withStaleMember(cluster)
  added.kill()
  await cluster.run(3 * keepMs)
  assert.equal(cluster.record()!.inSync, [primary.id])
  assert.equal(left(cluster, removed), ['log', 'store'])
  assert.match(removed.space().departure.reason ?? '', /too few members in sync/)
  added.start()
  await cluster.until('it goes', () => !holds(removed), 3 * keepMs)
})

test.run()
