/** A node is added to a cluster, and spaces move to it under load. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { Move } from '../../machines/protocol/rebalance.js'
import type { ListedNode } from '../../runtime/cli/nodeList.js'
import type { Plan } from '../../runtime/cli/rebalancePlan.js'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { Child } from '../support/child.js'
import { cli, jsonOf } from '../support/cli.js'
import { positive } from '../support/client.js'
import { NodeProcess, space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { cliFile } from '../support/environment.js'
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
async function joined(cluster: Cluster, id: string, zone: string): Promise<void> {
  const data = join(cluster.directory, 'data', id)
  mkdirSync(data, { recursive: true })
  const config = join(cluster.directory, `${id}.json`)
  writeFileSync(config, JSON.stringify(zone === '' ? {} : { zone }))
  const node = new NodeProcess({ id, data, url: cluster.broker.url, settings: [],
    logFile: join(cluster.directory, 'logs', `${id}.log`), config })
  cluster.nodes.set(id, node)
  await node.start()
  await waitFor(`${id} to be heard`, async () => {
    const reports = await cluster.reports()
    for (const other of cluster.others(id)) {
      const state = reports.get(other.id)?.node.peers[id]?.state
      if (state !== 'alive') notYet(`for ${other.id}, ${id} is ${state}`)
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
    await joined(cluster, 'n5', '')
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

scenario(rebalancing, 'Ctrl-C: nothing more is begun, and what was ordered is done',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 3 })
    await run(cluster, 'rebalance', '--wait')
    await joined(cluster, 'n4', 'b')
    const plan = await json<Plan>(cluster, 'rebalance', '--dry-run')
    assert.equal(plan.moves.map((move) => move.type === 'member' && move.add), ['n4'])
    const command = stage.child(new Child({
      label: 'rebalance',
      command: process.execPath,
      args: [cliFile, 'rebalance', '--wait', '--nats', cluster.broker.url],
      logFile: join(cluster.directory, 'rebalance.log'),
    }))
    await command.firstLine((line) => line.includes('ordered: ') || undefined)
    command.signal('SIGINT')
    assert.equal(await command.exited, { code: 1, signal: null }, command.log())
    assert.match(command.log(), `ended before all was moved: ${space}`)
    await run(cluster, 'space', 'members', space, '--wait')
    assert.match(await run(cluster, 'rebalance'), 'Nothing to move: 1 space on n1 n2 n3 n4')
    const order = { type: 'drain', evacuate: true, by: 'ann@ops' }
    positive(await cluster.admin('n4', order), 'drain')
    const { nodes } = await json<{ nodes: ListedNode[] }>(cluster, 'node', 'list')
    assert.equal(nodes.map(({ id, zone, state }) => `${id} ${zone} ${state}`), ['n1 null running',
      'n2 null running', 'n3 null running', 'n4 b evacuating'])
  })

rebalancing.run()
