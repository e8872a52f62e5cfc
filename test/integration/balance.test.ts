/** Primaries that go back by themselves, numbers of replicas, and nodes that are forgotten. */
import * as assert from 'uvu/assert'
import { preferredPrimary } from '../../machines/protocol/spacePlacement.js'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { cli, jsonOf, runCli, showCommand } from '../support/cli.js'
import { space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import { Hopeless, notYet, waitFor } from '../support/wait.js'

const balance = suite('integration: balance', 240)

/** Long enough for any write that a handover or a failover holds back. */
const patient = { attemptTimeoutMs: 8000 } as const

const at = (cluster: Cluster,
  ...args: string[]): string[] => [...args, '--nats', cluster.broker.url]

async function status(cluster: Cluster): Promise<ClusterStatus> {
  return jsonOf(await cli(at(cluster, 'status', '--json'))) as ClusterStatus
}

async function primaryIs(cluster: Cluster, node: string, seconds: number): Promise<void> {
  await waitFor(`${node} to be primary`, async () => {
    const { node: now } = await cluster.primary()
    return now === node || notYet(`${now} is primary`)
  }, { seconds })
}

scenario(balance, 'after a failover the primary goes back by itself, under load, without an error',
  async (stage) => {
    const cluster = await stage.cluster({
      settings: ['autoBalance=primaries', 'balanceAfterMs=3s'],
    })
    const preferred = preferredPrimary(space, [...cluster.nodes.keys()])!
    await primaryIs(cluster, preferred, 15)
    await cluster.node(preferred).kill()
    const next = await cluster.primary()
    assert.is.not(next.node, preferred)
    await cluster.node(preferred).start()
    await cluster.inSync(3)
    // Begun after the failover: what it sees is the handover.
    const durable = await stage.writer(cluster, patient)
    const committed = await stage.writer(cluster, { ...patient, level: 'committed' })
    await durable.taken(50)
    await primaryIs(cluster, preferred, 15)
    for (const writer of [durable, committed]) await writer.taken(100)
    for (const history of [await durable.stop(), await committed.stop()]) {
      note(`longest time without an answer: ${history.longestGapMs().toFixed(0)} ms`)
      assertNoErrors(history)
      assertAllTaken(history)
      const final = await audit(cluster, history)
      assert.is(final.salvaged.length, 0, 'a planned handover makes no fork')
    }
    const { stdout } = await cli(at(cluster, 'events', space, '--last', '50'))
    assert.match(stdout,
      new RegExp(`hands ${space} over to ${preferred}: ${preferred} is its preferred primary`))

    const [other] = cluster.others(preferred)
    await cli(at(cluster, 'promote', space, '--to', other!.id))
    await primaryIs(cluster, other!.id, 10)
    const endMs = performance.now() + 8000
    await waitFor('time to pass', async () => {
      const { node } = await cluster.primary()
      if (node !== other!.id)
        throw new Hopeless(`${node} is primary, and an operator chose another`)
      return performance.now() > endMs
    })
  })

scenario(balance, 'replicas are raised and lowered under load', async (stage) => {
  const cluster = await stage.cluster({ nodes: 4 })
  const writer = await stage.writer(cluster, { ...patient, level: 'committed' })
  await writer.taken(100)
  const set = (...args: string[]) => runCli(at(cluster, 'space', 'set', space, ...args))
  const raised = await set('--replicas', '3', '--min-in-sync', '3')
  assert.is(raised.code, 0, showCommand(raised))
  assert.match(raised.stdout, `space ${space}: 3 replicas; members: n1 n2 n3 n4`)
  assert.match(raised.stdout, 'minInSync 3')
  const { node } = await cluster.primary()
  const refused = await set('--replicas', '1')
  assert.is(refused.code, 2, showCommand(refused))
  assert.match(refused.stderr, '2 members instead of 4; nothing was changed')
  const lowered = await set('--replicas', '1', '--yes', '--json')
  assert.is(lowered.code, 0, showCommand(lowered))
  const last = (jsonOf(lowered) as { members?: string[]; end?: true }[]).at(-1)!
  assert.equal([last.members!.length, last.members!.includes(node), last.end], [2, true, true])
  assert.is((await cluster.primary()).node, node, 'it was not handed over')
  const found = (await status(cluster)).spaces[0]!
  assert.equal([found.rf, found.minInSync], [2, 2])
  const tooMany = await set('--replicas', '4')
  assert.is(tooMany.code, 1, showCommand(tooMany))
  assert.match(tooMany.stderr, '5 members are wanted')
  await writer.taken(100)
  const back = await set('--replicas', '2')
  assert.is(back.code, 0, showCommand(back))
  const history = await writer.stop()
  assertNoErrors(history)
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(balance, 'a node that is gone for good is forgotten, and heard when it comes back',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 4 })
    const names = async (): Promise<string[]> => (await status(cluster)).nodes.map(({ id }) => id)
    const forget = (id: string) => runCli(at(cluster, 'node', 'forget', id))
    const members = (await status(cluster)).spaces[0]!.members.map(({ node }) => node)
    const [spare] = cluster.others(...members)
    const alive = await forget(spare!.id)
    assert.is(alive.code, 1, showCommand(alive))
    assert.match(alive.stderr, `engram drain ${spare!.id} --evacuate --stop`)
    const replica = members.find((node) => node !== spare!.id)!
    await cluster.node(replica).kill()
    await waitFor('it to count as gone', async () => {
      const { stderr } = await forget(replica)
      return /is a member of 1 space/.test(stderr) || notYet(stderr)
    }, { seconds: 10 })
    await cli(
      at(cluster, 'space', 'members', space, '--replace', `${replica}=${spare!.id}`, '--wait'),
      { seconds: 40 },
    )
    assert.ok((await names()).includes(replica))
    // Each node waits until its own last grant has run out.
    const forgotten = await waitFor('it to be forgotten', async () => {
      const result = await forget(replica)
      return result.code === 0 ? result : notYet(showCommand(result))
    }, { seconds: 10, everyMs: 300 })
    assert.match(forgotten.stdout, / is forgotten by n\d/)
    assert.not((await names()).includes(replica))
    await cluster.node(replica).start()
    await waitFor('it to be heard', async () => (await names()).includes(replica) || notYet('no'))
  })

balance.run()
