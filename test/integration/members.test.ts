/** Members of a space change under load: added, taken out, replaced, whoever dies meanwhile. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { MembersListing } from '../../runtime/cli/membersText.js'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { Child } from '../support/child.js'
import { cli, jsonOf, runCli, showCommand } from '../support/cli.js'
import { positive } from '../support/client.js'
import { space } from '../support/cluster.js'
import type { Cluster, NodeProcess } from '../support/cluster.js'
import { cliFile } from '../support/environment.js'
import { note, scenario, suite } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const members = suite('integration: members', 420)

/** Long enough for any write that waits for a change of the in-sync set, or for a handover. */
const patient = { level: 'committed', attemptTimeoutMs: 8000 } as const

const commandOf = (cluster: Cluster,
  ...args: string[]): string[] => ['space', 'members', space, ...args, '--nats', cluster.broker.url]

async function listing(cluster: Cluster): Promise<MembersListing> {
  return jsonOf(await cli(commandOf(cluster, '--json'))) as MembersListing
}

async function names(cluster: Cluster): Promise<string[]> {
  return (await listing(cluster)).members.map(({ node }) => node).toSorted()
}

/** The node that is no member. */
async function spareOf(cluster: Cluster): Promise<NodeProcess> {
  const [spare] = cluster.others(...await names(cluster))
  assert.ok(spare)
  return spare
}

/** A member that is not primary. */
async function replicaOf(cluster: Cluster): Promise<NodeProcess> {
  const { members: all } = await listing(cluster)
  return cluster.node(all.find(({ role }) => role === 'replica')!.node)
}

/** Orders the change, and returns the steps of it, without their times. */
async function change(cluster: Cluster, ...order: string[]): Promise<string[]> {
  const startedAt = performance.now()
  const { stdout } = await cli(commandOf(cluster, ...order, '--wait'), { seconds: 40 })
  note(`${order.join(' ')}: ${(performance.now() - startedAt).toFixed(0)} ms`)
  return stdout.trim().split('\n').map((line) => line.replace(/^[\d:.]+ {2}/, ''))
}

/**
 * Stops the node, and orders to add it before it counts as gone: it hears of the order only when it
 * goes on, or is started again.
 */
async function orderUnheard(cluster: Cluster, learner: NodeProcess, more: object = {}) {
  const { node } = await cluster.primary()
  learner.pause()
  const order = { type: 'changeMembers', space, add: learner.id, by: 'ann@ops', ...more }
  positive(await cluster.admin(node, order), 'changeMembers')
}

async function readiness(cluster: Cluster, id: string): Promise<Response> {
  const { node: { http } } = await cluster.report(id)
  return await fetch(`${http}/readyz`)
}

scenario(members, 'a member dies for good under load and is replaced', async (stage) => {
  const cluster = await stage.cluster({ nodes: 4 })
  const writer = await stage.writer(cluster, patient)
  await writer.taken(200)
  const [added, dead] = [await spareOf(cluster), await replicaOf(cluster)]
  await dead.kill()
  await writer.taken(100)
  const steps = await change(cluster, '--replace', `${dead.id}=${added.id}`)
  assert.is(steps[0], `${space}: ordered: replace ${dead.id} by ${added.id}`)
  assert.match(steps.at(-1)!, /^done; members: n\d n\d n\d; in sync: /)
  const after = await names(cluster)
  assert.equal(after, cluster.others(dead.id).map(({ id }) => id))
  await writer.taken(100)
  const { stdout } = await cli(['status', '--nats', cluster.broker.url])
  assert.not.match(stdout, 'MEMBERS:')

  // It comes back, and has no part in the space.
  await dead.start()
  const back = await waitFor('it to show as removed', async () => {
    const { removed } = await listing(cluster)
    return removed.find(({ hasData }) => hasData) ?? notYet(JSON.stringify(removed))
  })
  assert.is(back.node, dead.id)
  await waitFor('it to be ready', async () => {
    const answer = await readiness(cluster, dead.id)
    return answer.status === 200 || notYet(await answer.text())
  })
  const history = await writer.stop()
  assertNoErrors(history)
  assertAllTaken(history)
  const final = await audit(cluster, history)
  assert.equal([...final.logs.keys()].toSorted(), after)
  const shown = (await cli(['events', space, '--last', '200', '--nats', cluster.broker.url])).stdout
  assert.match(shown, new RegExp(`orders: replace ${dead.id} by ${added.id}`))
  assert.match(shown, new RegExp(`${added.id} is a member now`))
  assert.match(shown, new RegExp(`${dead.id} is no member any more`))
})

scenario(members, 'the primary is replaced, then a node is added, and one taken out',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 4 })
    const writer = await stage.writer(cluster, patient)
    await writer.taken(200)
    const [old, spare] = [await cluster.primary(), await spareOf(cluster)]
    await change(cluster, '--replace', `${old.node}=${spare.id}`)
    const next = await cluster.primary({ above: old.epoch, notBy: old.node })
    await writer.taken(100)
    assert.not((await names(cluster)).includes(old.node))

    // It had the space before: it comes back with its old log.
    await change(cluster, '--add', old.node)
    assert.equal((await names(cluster)).length, 4)
    assert.is((await cluster.member(next.node)).rf, 4)
    await writer.taken(100)

    const leaving = await replicaOf(cluster)
    const asked = await runCli(commandOf(cluster, '--remove', leaving.id))
    assert.is(asked.code, 2, showCommand(asked))
    assert.match(asked.stderr, /has 3 members instead of 4; nothing was changed\n.*--yes/)
    assert.is((await names(cluster)).length, 4)
    await change(cluster, '--remove', leaving.id, '--yes')
    assert.equal(await names(cluster), cluster.others(leaving.id).map(({ id }) => id))
    await writer.taken(100)
    const history = await writer.stop()
    assertNoErrors(history)
    assertAllTaken(history)
    await audit(cluster, history)
    assert.is((await cluster.member(leaving.id)).role, 'removed')
  })

scenario(members, 'kill -9 of the learner, then of the primary: the change goes on',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 5 })
    const writer = await stage.writer(cluster, { level: 'committed' })
    await writer.taken(200)
    const learner = await spareOf(cluster)
    const [old, leaving] = [await cluster.primary(), await replicaOf(cluster)]
    await orderUnheard(cluster, learner, { remove: leaving.id })
    await learner.kill()
    const waiting = await waitFor('the change to wait for the learner', async () => {
      const { change: shown, members: all } = await listing(cluster)
      assert.is(all.at(-1)?.role, 'learner')
      return shown?.waitsFor?.includes('dead') ? shown : notYet(String(shown?.waitsFor))
    })
    assert.equal([waiting.add, waiting.remove], [learner.id, leaving.id])
    const second = await runCli(commandOf(cluster, '--remove', leaving.id, '--yes'))
    assert.is(second.code, 1, showCommand(second))
    assert.match(second.stderr, /a change of the members is under way.*\n.*--cancel/)
    const { stdout } = await cli(['status', '--nats', cluster.broker.url])
    assert.match(stdout.replaceAll(/\s+/g, ' '),
      `MEMBERS: replace ${leaving.id} by ${learner.id}, ordered by `)

    await cluster.node(old.node).kill()
    await cluster.primary({ above: old.epoch })
    await writer.taken(100)
    assert.is((await listing(cluster)).change?.since, waiting.since, 'the next epoch has it')
    const wait = cli(commandOf(cluster, '--wait', '--json'), { seconds: 40 })
    await learner.start()
    await cluster.node(old.node).start()
    const steps = jsonOf(await wait) as { text: string; done?: boolean }[]
    assert.match(steps.at(-1)!.text, /^done; /)
    const after = await names(cluster)
    assert.ok(after.includes(learner.id) && !after.includes(leaving.id), after.join())
    await writer.taken(100)
    const history = await writer.stop()
    assertAllTaken(history)
    await audit(cluster, history)
  })

scenario(members, 'cancelled, and who waits hears so; added; taken out, and its data goes',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 4, settings: ['removedKeepMs=0'] })
    const before = await names(cluster)
    const learner = await spareOf(cluster)
    await orderUnheard(cluster, learner)
    const waiting = stage.child(new Child({
      label: '--wait',
      command: process.execPath,
      args: [cliFile, ...commandOf(cluster, '--wait', '--json')],
      logFile: join(cluster.directory, 'wait.log'),
    }))
    await waiting.firstLine((line) => line || undefined)
    const cancelled = await cli(commandOf(cluster, '--cancel'))
    assert.match(cancelled.stdout, 'no change of the members is under way now')
    assert.is((await waiting.exited).code, 1, waiting.log())
    assert.match(waiting.log(), /"code":"CHANGE_CANCELLED".*engram events demo/)
    learner.resume()
    assert.equal(await names(cluster), before)
    const again = await change(cluster, '--add', learner.id)
    assert.match(again.at(-1)!, /^done; members: n1 n2 n3 n4;/)
    await cluster.converged(4)

    await change(cluster, '--remove', learner.id, '--yes')
    await waitFor('its data to go', async () => {
      const { removed } = await listing(cluster)
      const [one] = removed.filter(({ node }) => node === learner.id)
      return one?.hasData === false || notYet(JSON.stringify(one))
    })
    await change(cluster, '--add', learner.id)
    await cluster.converged(4)
  })

scenario(members, 'a member that is gone is replaced without an operator; a node is evacuated',
  async (stage) => {
    const cluster = await stage.cluster({ nodes: 5, settings: ['replaceAfterMs=3000'] })
    const writer = await stage.writer(cluster, patient)
    await writer.taken(200)
    const dead = await replicaOf(cluster)
    await dead.kill()
    await waitFor('it to be replaced', async () => {
      const now = await listing(cluster)
      const isDone = now.change === null && !now.members.some(({ node }) => node === dead.id)
      return isDone || notYet(JSON.stringify(now.change))
    }, { seconds: 40 })
    await writer.taken(100)
    const shown = (await cli(['events', space, '--last', '200', '--nats', cluster.broker.url]))
      .stdout
    assert.match(shown, new RegExp(`${dead.id} has been gone for 3.0 s: n\\d takes its place`))

    // The primary has one spare node left to be replaced by.
    const { node } = await cluster.primary()
    const { stdout, stderr } = await cli(['drain', node, '--evacuate', '--stop', '--nats',
      cluster.broker.url], { seconds: 60 })
    assert.match(stderr, new RegExp(`${node} is a member of 1 space: ${space}\n`
      + `(.*\n)*${node} is a member of no space`))
    assert.match(stdout, `${node} is drained, and stops`)
    assert.not((await names(cluster)).includes(node))
    await writer.taken(100)
    const history = await writer.stop()
    assertNoErrors(history)
    assertAllTaken(history)
    await audit(cluster, history)
  })

members.run()
