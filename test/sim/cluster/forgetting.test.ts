/** A node that is gone for good is forgotten by the others. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { placeSpace } from '../../../machines/protocol/spacePlacement.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimOptions } from '../../support/simCluster.js'

const test = suite('cluster: forgetting a node')

const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
const members = placeSpace('teams', nodes, 3)
const [spare = '', other = ''] = nodes.filter((node) => !members.includes(node))

const serving = async (options: SimOptions = {}): Promise<SimCluster> =>
  await SimCluster.serving({ nodes, writes: 5, ...options })

const forget = (cluster: SimCluster, node: string, at = members[0]!, more: object = {}) =>
  cluster.command(at, { type: 'forgetNode', node, by: 'ann', ...more })

/** Long enough for the promises of a node to have run out. */
async function gone(cluster: SimCluster, node: string): Promise<void> {
  cluster.node(node).kill()
  await cluster.run(3000)
}

const known = (cluster: SimCluster, node: string): string[] =>
  cluster.running.filter(({ id, actor }) =>
    id !== node && [...actor.context!.peers.names()].includes(node)
  ).map(({ id }) => id)

test('all nodes forget one that is gone, and hear it again when it comes back', async () => {
  const cluster = await serving()
  await gone(cluster, spare)
  const rest = nodes.filter((node) => node !== spare)
  assert.equal(known(cluster, spare), rest)
  const answer = await forget(cluster, spare)
  assert.equal([answer['ok'], answer['forgottenBy'], answer['missed']], [true, rest, []])
  assert.equal(known(cluster, spare), [])
  const { peers } = cluster.node(rest[0]!).actor.context!
  assert.equal([peers.status()[spare], peers.goneReason(spare)], [undefined, null])
  assert.match(String((await forget(cluster, spare))['message']), `no node knows ${spare}`)

  cluster.node(spare).start()
  await cluster.until('it is heard', () => known(cluster, spare).length === rest.length)
  const id = cluster.primary()!.id
  const added = await cluster.command(id, { type: 'changeMembers', space: 'teams', add: spare })
  assert.is(added['ok'], true)
  await cluster.until('it is a member', () => cluster.record()!.members.length === 4)
  await gone(cluster, spare)
  assert.is(cluster.node(rest[0]!).actor.context!.peers.isLiving(spare), false)
  await cluster.writes(5, 'committed')
})

test('nodes that are forgotten do not count when half of them are missing', async () => {
  const all = [...nodes, 'n6']
  const cluster = await serving({ nodes: all, settings: { replaceAfterMs: 5000 } })
  const names = () => cluster.record()!.members.map(({ node }) => node)
  const spares = all.filter((node) => !names().includes(node))
  const dead = names().find((node) => node !== cluster.primary()!.id)!
  for (const node of [spares[0]!, spares[1]!, dead]) await gone(cluster, node)
  await cluster.run(20_000)
  assert.ok(names().includes(dead), 'three of six live')
  const answer = await forget(cluster, spares[0]!, cluster.primary()!.id)
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.until('it is replaced', () => !names().includes(dead), 20_000)
})

const refusals: Record<string, {
  readonly make: (cluster: SimCluster) => Promise<unknown> | void
  readonly node?: string
  readonly reason: string
  readonly message: RegExp
}> = {
  'it lives': { make: () => undefined, reason: 'alive', message: /is alive/ },
  'another node hears it': {
    make: async (cluster) => {
      const [first = ''] = members
      cluster.weather = (from, to) => (from === spare && to === first ? 'lost' : 0.2)
      await cluster.run(3000)
    },
    reason: 'alive',
    message: /is alive/,
  },
  'it is a member': {
    make: (cluster) => gone(cluster, members[2]!),
    node: members[2]!,
    reason: 'holder',
    message: /is a member of 1 space: teams/,
  },
  'it is a learner': {
    make: async (cluster) => {
      const id = cluster.primary()!.id
      cluster.weather = (from, to) => (from === id && to === spare ? 'lost' : 0.2)
      await cluster.command(id, { type: 'changeMembers', space: 'teams', add: spare })
      await gone(cluster, spare)
    },
    reason: 'holder',
    message: /is a member of 1 space: teams/,
  },
}
for (const [why, { make, node = spare, reason, message }] of Object.entries(refusals)) {
  test(`a node is not forgotten while ${why}`, async () => {
    const cluster = await serving()
    await make(cluster)
    const before = known(cluster, node).length
    const answer = await forget(cluster, node)
    assert.equal([answer['ok'], answer['reason']], [false, reason], JSON.stringify(answer))
    assert.match(String(answer['message']), message)
    assert.ok(before === 0 || known(cluster, node).includes(members[0]!))
  })
}

test('no promise is forgotten: each node waits until its last grant has run out', async () => {
  const cluster = await serving()
  const [first = ''] = members
  const { peers } = cluster.node(first).actor.context!
  cluster.node(spare).kill()
  await cluster.until('it counts as gone', () => !peers.isLiving(spare))
  assert.not(peers.isGrantExpired(spare))
  const answer = await forget(cluster, spare, first)
  assert.equal([answer['ok'], answer['reason']], [false, 'alive'])
  assert.match(String(answer['message']), /heard n\d a moment ago/)
})

test('nodes that do not answer are named', async () => {
  const cluster = await serving()
  await gone(cluster, spare)
  cluster.node(other).freeze()
  const answer = await forget(cluster, spare)
  assert.equal((answer['missed'] as { node: string }[]).map(({ node }) => node), [other])
  cluster.node(other).thaw()
  assert.equal(known(cluster, spare), [other])
})

test('a name that is none, and this node itself, are refused', async () => {
  const cluster = await serving()
  const [first = ''] = members
  for (const name of ['', 'a.b', 7, first]) {
    const answer = await cluster.command(first, { type: 'forgetNode', node: name })
    assert.is(answer['ok'], false, String(name))
  }
})

test.run()
