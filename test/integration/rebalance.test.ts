/** A node is added to a cluster, and spaces move to it under load. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Move } from '../../machines/protocol/rebalance.js'
import type { ListedNode } from '../../runtime/cli/nodeList.js'
import type { Plan } from '../../runtime/cli/rebalancePlan.js'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { cli, jsonOf } from '../support/cli.js'
import { NodeProcess, space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const rebalancing = suite('integration: rebalance', 240)

/** By their names, n5 becomes a member of all of these, and primary of all but the first. */
const more = ['s2', 's11', 's14', 's16']

async function run(cluster: Cluster, ...args: string[]): Promise<string> {
  const { stdout } = await cli([...args, '--nats', cluster.broker.url], { seconds: 90 })
  return stdout
}

async function json<T>(cluster: Cluster, ...args: string[]): Promise<T> {
  const command = [...args, '--json', '--nats', cluster.broker.url]
  return jsonOf(await cli(command, { seconds: 90 })) as T
}

/** Starts one node more, and waits until all others hear it. */
async function join5(cluster: Cluster): Promise<void> {
  const data = join(cluster.directory, 'data', 'n5')
  mkdirSync(data, { recursive: true })
  const node = new NodeProcess({ id: 'n5', data, url: cluster.broker.url, settings: [],
    logFile: join(cluster.directory, 'logs', 'n5.log'), config: undefined })
  cluster.nodes.set('n5', node)
  await node.start()
  await waitFor('n5 to be heard', async () => {
    const reports = await cluster.reports()
    for (const { id } of cluster.others('n5')) {
      const state = reports.get(id)?.node.peers['n5']?.state
      if (state !== 'alive') notYet(`for ${id}, n5 is ${state}`)
    }
    return true
  })
}

interface Place {
  readonly members: readonly string[]
  readonly primary: string | null
}

/** Where the spaces are. */
async function places(cluster: Cluster): Promise<Map<string, Place>> {
  const { spaces } = await json<ClusterStatus>(cluster, 'status')
  return new Map(spaces.map(({ id, primary, members }) => {
    const names = members.filter(({ role }) => role !== 'removed').map(({ node }) => node)
    return [id, { members: names.toSorted(), primary }]
  }))
}

/** Where they are after the moves; without a move of it, the primary may be any member. */
function after(before: ReadonlyMap<string, Place>, moves: readonly Move[]): Map<string, Place> {
  const result = new Map(before)
  for (const move of moves) {
    const { members, primary } = result.get(move.space)!
    result.set(move.space, move.type === 'primary'
      ? { members, primary: move.to }
      : { members: [...members.filter((node) => node !== move.remove), move.add].toSorted(),
        primary })
  }
  return result
}

scenario(rebalancing, 'a fifth node comes: what --dry-run shows is done, under load',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 4 })
    for (const name of more) await run(cluster, 'space', 'create', name, '--replicas', '2')
    await waitFor('all spaces to have a primary', async () => {
      const { leftOut } = await json<Plan>(cluster, 'rebalance', '--dry-run')
      return leftOut.length === 0 || notYet(JSON.stringify(leftOut))
    })
    await run(cluster, 'rebalance', '--wait')
    assert.match(await run(cluster, 'rebalance'), 'Nothing to move: 5 spaces on n1 n2 n3 n4')

    const writer = await stage.writer(cluster, { level: 'committed', attemptTimeoutMs: 8000 })
    await writer.taken(100)
    await join5(cluster)
    const before = await places(cluster)
    const plan = await json<Plan>(cluster, 'rebalance', '--dry-run')
    assert.ok(plan.moves.some((move) => move.type === 'member' && move.add === 'n5'))
    assert.ok(plan.moves.some((move) => move.type === 'primary' && move.to === 'n5'))
    note(`${plan.moves.length} moves: ${JSON.stringify(plan.moves)}`)
    assert.equal(await places(cluster), before, 'nothing was moved')

    const lines = await json<{ done?: string[]; failed?: string[] }[]>(cluster, 'rebalance',
      '--wait')
    assert.equal(lines[0], plan)
    const moved = [...new Set(plan.moves.map((move) => move.space))].toSorted()
    assert.equal([lines.at(-1)?.done?.toSorted(), lines.at(-1)?.failed], [moved, []])
    assert.equal(await places(cluster), after(before, plan.moves))
    assert.match(await run(cluster, 'rebalance'), 'Nothing to move: 5 spaces on n1 n2 n3 n4 n5')

    const { nodes } = await json<{ nodes: ListedNode[] }>(cluster, 'node', 'list')
    assert.equal(nodes.map(({ id, state }) => `${id} ${state}`), ['n1', 'n2', 'n3', 'n4', 'n5'].map(
      (id) => `${id} running`,
    ))
    assert.is(nodes.reduce((sum, one) => sum + one.spaces, 0), 15)
    assert.is(nodes.reduce((sum, one) => sum + one.primaries, 0), 5)
    await writer.taken(100)
    const history = await writer.stop()
    assertNoErrors(history)
    assertAllTaken(history)
    const final = await audit(cluster, history)
    assert.equal([...final.logs.keys()].toSorted(), (await places(cluster)).get(space)!.members)

    await cluster.node('n5').kill()
    const away = await run(cluster, 'node', 'list')
    assert.match(away, /^n5 +- +away/m)
    const rest = await json<Plan>(cluster, 'rebalance', '--dry-run')
    assert.equal(rest.moves, [], 'a member that is away may be back')
    assert.ok(rest.leftOut.every(({ reason }) =>
      reason === 'its member n5 is away'
      || reason === 'it has no primary that answers'
    ))
  })

rebalancing.run()
