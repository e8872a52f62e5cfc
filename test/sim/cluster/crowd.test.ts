/** A node that was primary of many spaces dies: those that are left share them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: crowd')

const nodes = ['n1', 'n2', 'n3']
const spaces = Array.from({ length: 120 }, (_, index) => `s${index}`)

async function serving(): Promise<SimCluster> {
  const cluster = await SimCluster.start({ nodes })
  for (const space of spaces) await cluster.createSpace({}, space)
  await cluster.until('all are served', () => ledBy(cluster, null).length === 0)
  // All spaces rest.
  await cluster.run(10_000)
  return cluster
}

/** Spaces whose primary that serves is this node; null: none serves. */
const ledBy = (cluster: SimCluster, id: string | null): string[] =>
  spaces.filter((space) => (cluster.primary(space)?.id ?? null) === id)

const busiest = (cluster: SimCluster): SimNode =>
  cluster.running.toSorted((a, b) => ledBy(cluster, b.id).length - ledBy(cluster, a.id).length)[0]!

test('new spaces are spread over the nodes; so are those of one that dies', async () => {
  const cluster = await serving()
  for (const id of nodes) assert.ok(ledBy(cluster, id).length >= 20, `${id} has too few`)
  const victim = busiest(cluster)
  const left = nodes.filter((id) => id !== victim.id)
  const before = new Map(left.map((id) => [id, ledBy(cluster, id).length]))
  victim.kill()
  const ms = await cluster.until('all are served', () => ledBy(cluster, null).length === 0, 3000)
  assert.ok(ms <= 600, `${ms} ms`)
  for (const id of left) {
    const more = ledBy(cluster, id).length - before.get(id)!
    assert.ok(more >= 10, `${id} took ${more}`)
  }
  for (const space of spaces) await cluster.check(space)
})

test('one of those that are left hangs at that moment: the other takes all', async () => {
  const cluster = await serving()
  const victim = busiest(cluster)
  const [hung, last] = cluster.running.filter((node) => node !== victim)
  victim.kill()
  hung!.freeze()
  await cluster.until('all are served', () => ledBy(cluster, last!.id).length === spaces.length,
    5000)
  hung!.thaw()
  for (const space of spaces) await cluster.check(space)
})

test.run()
