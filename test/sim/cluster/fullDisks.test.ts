/** Disks that are full while only a checkpoint would let the oldest segment go. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { keptBy } from '../../support/checkpointContent.js'
import { assertSameTables } from '../../support/sameTables.js'
import { SimCluster } from '../../support/simCluster.js'
import { bytesOn, filledUp, isFull, journalOf, pinned, sameWrites } from '../../support/fullDisk.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: full disks')

const baseOf = (node: SimNode): number => node.space().member.log.base
const alertsOf = (node: SimNode): string[] =>
  node.log.flatMap(({ fields }) => (fields as { kind?: string }).kind ?? [])
    .filter((kind) => kind.startsWith('checkpoint'))

test('the journal takes nothing, and its oldest segment needs a checkpoint: it goes on', async () => {
  const { cluster, node } = await pinned()
  const [older, newer] = keptBy(node)
  await filledUp(cluster, node)
  const before = baseOf(node)
  await cluster.until('it takes writes', () => !isFull(node), 70_000)
  assert.ok(baseOf(node) > before, 'segments were given up')
  const kept = keptBy(node)
  assert.is(kept.length, 2)
  assert.ok(kept[0]!.position.sequence >= newer!.position.sequence)
  assert.ok(alertsOf(node).includes('checkpointGivenUp'))
  assert.not.ok(node.disk.paths('/data/checkpoints')
    .some((path) => path.includes(`${older!.file}.checkpoint`)))
  node.disk.capacity = Infinity
  await sameWrites(cluster, 1)
  await cluster.converged()
  assertSameTables(cluster)
})

test.run()
