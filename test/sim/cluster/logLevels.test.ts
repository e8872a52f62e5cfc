/** Warnings: what somebody should look at, and nothing that was commanded or is over. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('log levels')

async function serving(): Promise<SimCluster> {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.writes(5, 'committed')
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  return cluster
}

type Line = SimCluster['running'][number]['log'][number]
const warnings = (log: readonly Line[]) => log.filter(({ level }) => level === 'warn')
const takeover = /takes over as primary in epoch 2/

test('a takeover that nobody commanded is a warning at the new primary', async () => {
  const cluster = await serving()
  const first = cluster.primary()!
  first.kill()
  await cluster.until('another one serves', () => cluster.primary() !== null)
  const said = warnings(cluster.primary()!.log).filter(({ message }) => takeover.test(message))
  assert.is(said.length, 1)
  const { ms, ...fields } = said[0]!.fields as { ms: number }
  assert.ok(ms > 0)
  assert.equal(fields, { space: 'teams', epoch: 2, from: first.id, vacancy: 'noResponders' })
})

test('a handover and a clean stop are none, to nobody', async () => {
  const cluster = await serving()
  const from = cluster.primary()!
  const before = new Map(cluster.running.map((node) => [node, node.log.length]))
  from.actor.drain('it is stopped')
  await cluster.until('another one serves',
    () => cluster.primary() !== null && cluster.primary() !== from)
  // Longer than a grant lasts.
  await cluster.run(4000)
  const said = [...before].flatMap(([node, length]) => warnings(node.log.slice(length)))
    .map(({ message }) => message)
  // That fewer members are in sync somebody should see, whatever it comes from.
  assert.equal(said.filter((message) => !message.startsWith('in sync: ')), [])
  const seen = cluster.primary()!.actor.context!.peers.status()[from.id]
  assert.is(seen?.state, 'left', seen?.reason)
})

test.run()
