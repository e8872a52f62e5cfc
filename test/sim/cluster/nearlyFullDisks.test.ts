/** Disks on which a later checkpoint may find no room: it is taken while it fits. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { neededBytes } from '../../../machines/log/checkpointDue.js'
import { contentOf, keptBy } from '../../support/checkpointContent.js'
import { isFull, journalOf, leaveFree, sameWrites, usedBytes } from '../../support/fullDisk.js'
import { assertSameTables } from '../../support/sameTables.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'

const test = suite('cluster: nearly full disks')

/** What a checkpoint is expected to need at least: those of these tests are smaller. */
const needed = neededBytes(0)
const baseOf = (node: SimNode): number => node.space().member.log.base
const kindsOf = (node: SimNode): string[] =>
  node.log.flatMap(({ fields }) => (fields as { kind?: string }).kind ?? [])
const taken = (node: SimNode): number =>
  node.log.filter(({ message }) => message.startsWith('a checkpoint holds')).length

/** No checkpoint is due by what is written, and no segment should go: all that goes is for room. */
async function serving(): Promise<{ cluster: SimCluster; node: SimNode }> {
  const settings = { checkpointBytes: 1e9, retainBytes: 1e9 }
  const cluster = await SimCluster.serving({ segmentBytes: 8192, settings, writes: 3 })
  const node = cluster.running.find((one) => one !== cluster.primary())!
  await sameWrites(cluster, 6)
  for (let times = 0; times < 2; times += 1) await takeCheckpoint(cluster, node)
  await sameWrites(cluster, 8)
  return { cluster, node }
}

async function goesOn(cluster: SimCluster, node: SimNode): Promise<void> {
  node.disk.capacity = Infinity
  await sameWrites(cluster, 2)
  await cluster.converged()
  assertSameTables(cluster)
  for (const kept of keptBy(node)) await contentOf(node, kept)
}

test('with room for the next one, all is kept and none is taken', async () => {
  const { cluster, node } = await serving()
  await leaveFree(node, needed + 10e6)
  await sameWrites(cluster, 10)
  await cluster.run(3000)
  assert.equal([baseOf(node), taken(node)], [0, 0])
  await goesOn(cluster, node)
})

test('without it, what two have goes, and no more than makes room', async () => {
  const { cluster, node } = await serving()
  const before = journalOf(node).segments().length
  const { newBytes } = journalOf(node).log(node.space().member.uuid)!
  await leaveFree(node, needed + 2 * newBytes - 4000)
  await cluster.run(1500)
  assert.is(journalOf(node).segments().length, before - 1)
  assert.ok(baseOf(node) > 0)
  assert.is(taken(node), 0)
  await goesOn(cluster, node)
})

test('then one is taken while it fits, and another one: writes never stop', async () => {
  const { cluster, node } = await serving()
  const [, newer] = keptBy(node)
  await leaveFree(node, needed + 40_000)
  for (let round = 0; keptBy(node)[0]!.file <= newer!.file; round += 1) {
    assert.ok(round < 60, 'none is taken')
    await sameWrites(cluster, 1)
  }
  assert.ok(baseOf(node) > 0)
  assert.not.ok(node.log.some(({ message }) => message === 'the journal cannot be written'))
  assert.equal(kindsOf(node).filter((kind) => kind.startsWith('checkpoint')), [])
  await goesOn(cluster, node)
})

test('the second one follows at once: then all of it may go', async () => {
  const { cluster, node } = await serving()
  const [, newer] = keptBy(node)
  await leaveFree(node, needed + 9000)
  await cluster.until('one is taken', () => keptBy(node)[1]!.file > newer!.file, 5000)
  await cluster.until('and another one', () => keptBy(node)[0]!.file > newer!.file, 2500)
  await cluster.run(10_000)
  assert.is(taken(node), 2, 'a pair, and no more')
  await goesOn(cluster, node)
})

test('one that does not fit is not tried: the disk is full some day, as ever', async () => {
  const { cluster, node } = await serving()
  const kept = keptBy(node)
  await leaveFree(node, needed - 100_000)
  await sameWrites(cluster, 6)
  await cluster.run(70_000)
  assert.equal(keptBy(node), kept)
  assert.equal(kindsOf(node).filter((kind) => kind.startsWith('checkpoint')), [])
  await goesOn(cluster, node)
})

test('a disk that stays nearly full levels off, and is not written to without end', async () => {
  const { cluster, node } = await serving()
  await leaveFree(node, needed + 20_000)
  const begun = { used: await usedBytes(node), taken: taken(node),
    flushed: node.actor.context!.commits.flushedBytes }
  for (let round = 0; round < 40; round += 1) {
    await sameWrites(cluster, 2)
    await cluster.run(1000)
    assert.is(isFull(node), false, `full in round ${round}`)
  }
  assert.ok(await usedBytes(node) < begun.used + 20_000)
  const checkpointBytes = node.actor.context!.ports.checkpoints.files()[0]!.bytes
  const written = node.actor.context!.commits.flushedBytes - begun.flushed
  const most = 2 * written / checkpointBytes + 4
  const count = taken(node) - begun.taken
  assert.ok(count > 4 && count <= most, `${count} checkpoints, at most ${most}`)
  await cluster.run(120_000)
  assert.ok(taken(node) - begun.taken <= count + 2, 'none without writes')
  await goesOn(cluster, node)
})

test.run()
