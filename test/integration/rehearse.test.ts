/** What `engram rehearse` tells is what happens: to a process that is killed, and to a stopped one. */
import * as assert from 'uvu/assert'
import type { RehearsalReport } from '../../runtime/client/index.js'
import { cli, jsonOf, runCli } from '../support/cli.js'
import { space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const rehearsing = suite('integration: rehearse', 120)

async function rehearsed(cluster: Cluster, ...args: string[]): Promise<RehearsalReport> {
  const command = ['rehearse', ...args, '--json', '--nats', cluster.broker.url]
  return jsonOf(await cli(command)) as RehearsalReport
}

async function allInSync(cluster: Cluster): Promise<void> {
  await waitFor('all to be in sync', async () => {
    const { inSync } = await cluster.report((await cluster.primary()).node)
      .then(({ spaces: [member] }) => member!)
    return inSync.length === 3 || notYet(inSync.join())
  })
}

/** The new primary, and the evidence that it acted on. */
async function successor(cluster: Cluster, former: string): Promise<[string, string]> {
  const { node } = await waitFor('another primary', async () => {
    const found = await cluster.primary()
    return found.node === former ? notYet(`${former} still is`) : found
  })
  const history = jsonOf(await cli(['history', space, '--json', '--nats', cluster.broker.url]))
  const { promotions } = history as { promotions: { to: string; vacancy: string }[] }
  const last = promotions.findLast(({ to }) => to === node)
  return [node, last!.vacancy]
}

scenario(rehearsing, 'a process that is gone, one that hangs, and a pause', async (stage) => {
  const cluster = await stage.cluster({ nodes: 3 })
  const writer = await stage.writer(cluster, { level: 'durable', attemptTimeoutMs: 8000 })
  await writer.taken(100)
  await allInSync(cluster)
  await writer.stop()

  const first = (await cluster.primary()).node
  const { rehearsals: [one], unknown } = await rehearsed(cluster, space)
  assert.equal([unknown, one!.node, one!.isPrimary], [[], first, true])
  assert.equal([one!.gone.outcome, one!.gone.certainty, one!.gone.missing], ['promotion', 'proof',
    0])
  assert.equal([one!.hangs.certainty, one!.hangs.winner], ['grant', one!.gone.winner])
  const replica = one!.gone.inSync.find((node) => node !== one!.gone.winner)!
  const { rehearsals: [other] } = await rehearsed(cluster, '--node', replica)
  assert.equal([other!.isPrimary, other!.gone.outcome, other!.gone.winner], [false, 'stays', first])
  const shown = await cli(['rehearse', space, '--nats', cluster.broker.url])
  note(shown.stdout)
  assert.match(shown.stdout, `${one!.gone.winner} is primary in about 0.`)
  await cluster.node(first).kill()
  assert.equal(await successor(cluster, first), [one!.gone.winner, 'noResponders'])

  await cluster.node(first).start()
  await allInSync(cluster)
  const second = (await cluster.primary()).node
  const { rehearsals: [two] } = await rehearsed(cluster, space)
  assert.equal([two!.node, two!.hangs.certainty], [second, 'grant'])
  cluster.node(second).pause()
  assert.equal(await successor(cluster, second), [two!.hangs.winner, 'grantExpired'])
  cluster.node(second).resume()

  await allInSync(cluster)
  await cli(['pause', space, '--nats', cluster.broker.url])
  const { rehearsals: [three] } = await rehearsed(cluster, space)
  assert.equal([three!.gone.outcome, three!.gone.certainty], ['blocked', 'never'])
  assert.match(three!.gone.reason, /held: paused since/)
  const { stderr, code } = await runCli(['rehearse', 'nope', '--nats', cluster.broker.url])
  assert.is(code, 1)
  assert.match(stderr, 'UNKNOWN_SPACE')
})

rehearsing.run()
