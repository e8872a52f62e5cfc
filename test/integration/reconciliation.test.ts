/** A fork that is reconciled, as operators see it: on real processes, with the command line. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { MemoryNode, Operation } from '../../machines/graph/graph.js'
import type { ForkReport, QuarantineItem } from '../../machines/log/forkNotes.js'
import { cli, jsonOf, runCli, showCommand } from '../support/cli.js'
import { positive } from '../support/client.js'
import type { Cluster } from '../support/cluster.js'
import { removeTemporary, temporaryDirectory } from '../support/environment.js'
import { leaveBehind } from '../support/leaveBehind.js'
import { note, scenario, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const reconciliation = suite('integration: reconciliation')

const store = (id: string, over: Partial<MemoryNode>): Operation => ({ type: 'StoreNode',
  node: { id, ...over } })

/** The command's answer, as JSON. */
async function answerOf<T>(cluster: Cluster, ...args: string[]): Promise<T> {
  return jsonOf(await cli([...args, '--json', '--nats', cluster.broker.url])) as T
}

async function reportsOf(cluster: Cluster): Promise<ForkReport[]> {
  const { spaces } = await answerOf<{ spaces: { reports: ForkReport[] }[] }>(cluster, 'forks',
    'demo')
  return [...spaces[0]!.reports]
}

const fateOf = (cluster: Cluster, key: string) =>
  answerOf<FateValue>(cluster, 'fate', 'demo', '--key', key)

async function contentOf(cluster: Cluster, nodeId: string): Promise<unknown> {
  const answer = positive(await cluster.client.read({ type: 'GetNode', nodeId }), nodeId)
  return (answer.value as MemoryNode | null)?.content
}

interface Fork {
  readonly cluster: Cluster
  readonly epoch: number
  bringHome(): Promise<ForkReport>
}

/** The primary alone has `weak` and `strong`; then both are written to its successor, too. */
async function forked(stage: Stage, config?: string): Promise<Fork> {
  const cluster = await stage.cluster(config === undefined ? {} : { config })
  const old = await cluster.primary()
  await cluster.converged()
  const replicas = cluster.others(old.node)
  const answered = await leaveBehind(cluster, cluster.node(old.node), replicas, {
    'key-weak': store('weak', { content: 'of the fork', confidence: 0.2 }),
    'key-strong': store('strong', { content: 'of the fork', confidence: 0.9 }),
    'key-alone': store('alone', { content: 'of the fork' }),
  })
  assert.is(answered.length, 3, 'all are acknowledged')
  await Promise.all(replicas.map((replica) => replica.kill()))
  await Promise.all(replicas.map((replica) => replica.start()))
  await cluster.primary({ above: old.epoch })
  for (const id of ['weak', 'strong']) {
    const live = store(id, { content: 'written meanwhile', confidence: 0.5 })
    positive(await cluster.client.write(live, { ack: 'committed' }), id)
  }
  return {
    cluster,
    epoch: old.epoch,
    async bringHome() {
      await cluster.node(old.node).start()
      const report = await waitFor('the closed report', async () => {
        const [one] = await reportsOf(cluster)
        return one?.outcome ? one : notYet(JSON.stringify(one))
      })
      await cluster.converged()
      return report
    },
  }
}

scenario(reconciliation, 'from the kill to the closed report', async (stage) => {
  const { cluster, epoch, bringHome } = await forked(stage)
  const [open] = await reportsOf(cluster)
  assert.equal([open?.epoch, open?.outcome], [epoch, null])
  assert.is((await fateOf(cluster, 'key-alone')).fate, 'unknown')

  const { outcome, merged, quarantined, lost } = await bringHome()
  assert.equal({ outcome, merged, quarantined, lost }, { outcome: 'reconciled', merged: 2,
    quarantined: 1, lost: 0 })
  assert.is(await contentOf(cluster, 'alone'), 'of the fork')
  assert.is(await contentOf(cluster, 'strong'), 'of the fork')
  assert.is(await contentOf(cluster, 'weak'), 'written meanwhile')
  assert.is((await fateOf(cluster, 'key-alone')).fate, 'safe')
  assert.is((await fateOf(cluster, 'key-weak')).fate, 'quarantined')

  const { items } = await answerOf<{ items: QuarantineItem[] }>(cluster, 'quarantine', 'list',
    'demo')
  assert.is(items.length, 2, 'the weak one of the fork, and the live one that strong displaced')
  const weak = items.find(({ operation }) =>
    operation.type === 'StoreNode' && operation.node.id === 'weak'
  )
  assert.ok(weak)
  await answerOf(cluster, 'quarantine', 'apply', 'demo', weak.id)
  assert.is(await contentOf(cluster, 'weak'), 'of the fork')
  const again = await runCli(['quarantine', 'apply', 'demo', weak.id, '--nats', cluster.broker.url])
  assert.is(again.code, 1, showCommand(again))
  note(`epoch ${epoch}: ${merged} merged, ${quarantined} in quarantine`)
})

scenario(reconciliation, 'a deployment\'s own rule decides, and may make one of both',
  async (stage) => {
    const directory = temporaryDirectory('merge')
    stage.onEnd(() => removeTemporary(directory))
    writeFileSync(join(directory, 'rule.mjs'), `export default (standing, incoming) => {
    const content = standing.operation.node.content + ' and ' + incoming.operation.node.content
    return { type: 'StoreNode', node: { ...incoming.operation.node, content } }
  }\n`)
    writeFileSync(join(directory, 'engram.json'), JSON.stringify({ merge: { demo: './rule.mjs' } }))
    const { cluster, bringHome } = await forked(stage, join(directory, 'engram.json'))
    const { merged, quarantined } = await bringHome()
    assert.equal({ merged, quarantined }, { merged: 3, quarantined: 0 })
    assert.is(await contentOf(cluster, 'weak'), 'written meanwhile and of the fork')
  })

scenario(reconciliation, 'settings of a living space change, and count at once', async (stage) => {
  const cluster = await stage.cluster()
  await cluster.converged()
  const set = (...args: string[]) =>
    answerOf<{ settings: object }>(
      cluster,
      'space',
      'set',
      'demo',
      ...args,
    )
  await set('--reconcile', 'manual', '--max-loss-entries', '50')
  const { epoch } = await cluster.primary()
  await set('--ack', 'committed')
  const answer = positive(await cluster.client.write(store('x', {}), {}), 'x')
  assert.is(answer.ack, 'committed')
  assert.is(answer.epoch, epoch, 'the epoch goes on')
  const wrong = await runCli(
    ['space', 'set', 'demo', '--min-in-sync', '9', '--nats', cluster.broker.url],
  )
  assert.is(wrong.code === 0, false, showCommand(wrong))
  assert.match(wrong.stderr, /minInSync/)
})

reconciliation.run()
