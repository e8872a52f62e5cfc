/** The merge rule below examples/, at work on a fork. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { audit } from '../support/audit.js'
import { positive } from '../support/client.js'
import { root } from '../support/environment.js'
import { History } from '../support/history.js'
import { leaveBehind } from '../support/leaveBehind.js'
import { scenario, suite } from '../support/scenario.js'

const test = suite('integration: a merge rule')

const forked = (id: string, content: string) => ({
  [id]: { type: 'StoreNode' as const, node: { id, content } },
})

scenario(test, 'the longer content wins, whichever was written later', async (stage) => {
  const cluster = await stage.cluster({ config: join(root, 'examples/merge-rule/engram.json') })
  const old = await cluster.primary()
  const replicas = cluster.others(old.node)
  await cluster.converged()
  await leaveBehind(cluster, cluster.node(old.node), replicas, {
    ...forked('long', 'the longer one'),
    ...forked('short', 'short'),
  })
  await Promise.all(replicas.map((replica) => replica.kill()))
  await Promise.all(replicas.map((replica) => replica.start()))
  await cluster.primary({ above: old.epoch })
  for (const id of ['long', 'short']) {
    const node = { id, content: 'in between' }
    positive(await cluster.client.write({ type: 'StoreNode', node }, { ack: 'committed' }), id)
  }
  await cluster.node(old.node).start()
  await audit(cluster, new History())
  const content = async (nodeId: string) =>
    (positive(await cluster.client.read(
      { type: 'GetNode', nodeId },
    ), nodeId).value as { content?: string } | null)?.content
  assert.equal([await content('long'), await content('short')], ['the longer one', 'in between'])
})

test.run()
