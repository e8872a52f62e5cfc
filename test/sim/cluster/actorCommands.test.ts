/** `listActors` and `killActor`: every actor of a space comes back, and nothing is lost. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('commands to actors')

const serving = () => SimCluster.serving({ writes: 3 })

async function actorsOf(cluster: SimCluster, node: string): Promise<string[]> {
  const answer = await cluster.command(node, { type: 'listActors' })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  return answer['actors'] as string[]
}

test('each actor that is killed is replaced, and the writes stay', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!.id
  const replica = cluster.running.find((node) => node.id !== primary)!.id
  const victims: [node: string, actor: string][] = [
    [replica, 'space.teams.replica'],
    [replica, `detector.${primary}`],
    [replica, 'space.teams'],
    [primary, `space.teams.stream.${replica}`],
    [primary, `space.teams.lag.${replica}`],
    [primary, 'space.teams.primary'],
  ]
  for (const [node, actor] of victims) {
    const before = await actorsOf(cluster, node)
    assert.ok(before.includes(actor), `${actor} runs on ${node}: ${before.join(' ')}`)
    const answer = await cluster.command(node, { type: 'killActor', actor })
    assert.is(answer['ok'], true, JSON.stringify(answer))
    await cluster.until(`a primary after ${actor}`, () => cluster.primary() !== null)
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    await cluster.writes(2, 'committed')
  }
  for (const { id } of cluster.running) {
    const roles = (await actorsOf(cluster, id)).filter((actor) =>
      actor === 'space.teams.primary' || actor === 'space.teams.replica'
    )
    assert.is(roles.length, 1, `${id} has one role: ${roles.join(' ')}`)
  }
  await cluster.check()
})

test('an actor that does not run cannot be killed', async () => {
  const cluster = await serving()
  for (const actor of ['space.teams.nothing', undefined, 7]) {
    const answer = await cluster.command('n1', { type: 'killActor', actor })
    assert.equal([answer['ok'], answer['code']], [false, 'INVALID_OPERATION'])
  }
})

test('a node that was not started for chaos refuses', async () => {
  const cluster = await serving()
  const id = 'n1'
  const node = cluster.nodes.get(id)!
  node.allowsChaos = false
  node.kill()
  node.start()
  await cluster.until('it runs again', () => node.actor.state === 'running')
  for (const command of [{ type: 'listActors' }, { type: 'killActor', actor: 'node' }]) {
    const answer = await cluster.command(id, command)
    assert.equal([answer['ok'], answer['code']], [false, 'CHAOS_NOT_ALLOWED'])
  }
})

test.run()
