/** More of a log, kept for those who read it (the setting `retain` of a space). */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { neededBytes } from '../../../machines/log/checkpointDue.js'
import { journalOf, leaveFree, sameWrites } from '../../support/fullDisk.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: retain')

const settings = { checkpointBytes: 4096, retainBytes: 16_384 }
const segmentBytes = 8192
const baseOf = (node: SimNode, space = 'teams'): number => node.space(space).member.log.base
const bases = (cluster: SimCluster): number[] => cluster.running.map((node) => baseOf(node))
const kindsOf = (node: SimNode): string[] =>
  node.log.flatMap(({ fields }) => (fields as { kind?: string }).kind ?? [])
const closedBytes = (node: SimNode): number =>
  journalOf(node).segments().reduce((sum, { bytes }) => sum + bytes, 0)
const retainedOf = (node: SimNode) =>
  node.actor.checkpointing!.retention.retained(node.space().member)

async function serving(retain?: object): Promise<SimCluster> {
  const cluster = await SimCluster.serving({ segmentBytes, settings, writes: 3 })
  if (retain) await set(cluster, retain)
  return cluster
}

async function set(cluster: SimCluster, retain: object): Promise<void> {
  const answer = await cluster.command('n2', { type: 'setSpace', space: 'teams',
    settings: { retain } })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.run(500)
}

test('every member keeps what is young enough, and lets go of it later', async () => {
  const cluster = await serving({ ms: 120_000 })
  await sameWrites(cluster, 40)
  await cluster.run(3000)
  assert.equal(bases(cluster), [0, 0, 0])
  for (const node of cluster.running) {
    assert.equal(retainedOf(node), { keepsOldest: true, isOverruled: false })
  }
  await cluster.run(120_000)
  assert.ok(bases(cluster).every((base) => base > 100), bases(cluster).join())
  assert.equal(kindsOf(cluster.running[0]!).filter((kind) => kind.startsWith('retain')), [])
})

test('or so much of the journal, also where it is set, raised or taken back later', async () => {
  const cluster = await serving()
  await sameWrites(cluster, 30)
  await cluster.run(3000)
  const first = bases(cluster)
  assert.ok(first.every((base) => base > 0), first.join())
  await set(cluster, { bytes: 60_000 })
  await sameWrites(cluster, 60)
  await cluster.run(3000)
  for (const node of cluster.running) {
    const kept = closedBytes(node)
    assert.ok(kept > 60_000 - segmentBytes && kept <= 60_000 + segmentBytes, `${kept}`)
  }
  await set(cluster, { bytes: null })
  await cluster.run(3000)
  for (const node of cluster.running) assert.ok(closedBytes(node) <= 16_384 + segmentBytes)
  await cluster.converged()
})

test('a space that retains nothing is kept with the others, and pins nothing', async () => {
  const cluster = await serving({ ms: 3_600_000 })
  await cluster.createSpace({}, 'other')
  await cluster.writes(3)
  await sameWrites(cluster, 30)
  await cluster.run(3000)
  for (const node of cluster.running) {
    assert.is(baseOf(node), 0)
    assert.is(node.actor.checkpointing!.retention.pinsOf(node.space('other').member.uuid), null)
  }
})

test('a node that starts keeps what it did before', async () => {
  const cluster = await serving({ ms: 3_600_000 })
  await sameWrites(cluster, 40)
  await cluster.run(3000)
  for (const node of cluster.running) {
    node.kill()
    await cluster.run(2000)
    node.start()
    await cluster.until('it follows, or leads', () =>
      node.life !== null && cluster.record()!.inSync.length === 3)
    await cluster.run(5000)
    assert.is(baseOf(node), 0, node.id)
  }
})

test('the disk comes first, and that is told', async () => {
  const cluster = await serving({ ms: 3_600_000 })
  await sameWrites(cluster, 40)
  await cluster.run(3000)
  const node = cluster.running.find((one) => one !== cluster.primary())!
  await leaveFree(node, neededBytes(0) - 20_000)
  await cluster.run(3000)
  assert.ok(baseOf(node) > 0)
  assert.equal(kindsOf(node).filter((kind) => kind.startsWith('retain')), ['retainOverruled'])
  assert.is(retainedOf(node).isOverruled, true)
  for (const other of cluster.running) if (other !== node) assert.is(baseOf(other), 0)
})

test.run()
