/** A disk that is full while only a checkpoint would let the oldest segment of the journal go. */
import * as assert from 'uvu/assert'
import { contentOf, keptBy } from '../../support/checkpointContent.js'
import { filledUp, isFull, journalOf, leaveFree, sameWrites } from '../../support/fullDisk.js'
import { assertSameTables } from '../../support/sameTables.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'
import type { Scenario } from './scenario.js'
import type { Stage } from './stage.js'

const name = 'n3'

/** n3 has two checkpoints, the older one a little larger, and later entries in all its segments. */
async function pinned(stage: Stage): Promise<void> {
  const { cluster } = stage
  const node = cluster.node(name)
  for (const size of [200, 100]) {
    await sameWrites(cluster, 6, { size, pauseMs: 5 })
    await stage.until('it has applied all', () =>
      stage.at(name).member.store.applied.sequence === stage.end(stage.primary).sequence)
    const { position } = await takeCheckpoint(cluster, node)
    stage.say(`${name} has a checkpoint as of ${position.sequence}`)
  }
  // What both have is given up at once, and is not what this is about.
  await leaveFree(node, 0)
  await stage.until('its journal takes nothing', () => {
    void stage.send()
    return isFull(node)
  })
  node.disk.capacity = Infinity
  await stage.until('it takes writes', () => !isFull(node))
}

const fullDisk: Scenario = {
  name: 'full-disk-that-only-a-checkpoint-frees',
  title: 'The disk of a replica is full, and its oldest segment has entries that only the newer of '
    + 'two checkpoints covers. The power fails right after the older one was given up.',
  lesson: 'The older checkpoint makes room for the next one, once the newer one was verified. What '
    + 'is covered stays what it was, so the journal gives up nothing before two count again; and '
    + 'writes do not get the room before the checkpoint is there that makes more of it.',
  run: async (begin) => {
    const stage = await begin({ segmentBytes: 4096 })
    const { cluster } = stage
    const node = cluster.node(name)
    await pinned(stage)
    await filledUp(cluster, node)
    const { uuid } = stage.at(name).member
    const { checkpoints } = node.actor.context!.ports
    const before = journalOf(node).log(uuid)!
    const { base, covers: { covered } } = before
    stage.say(`the disk of ${name} is full; the journal begins after ${base.sequence}, up to `
      + `${covered.sequence} two checkpoints have all`)
    checkpoints.write = () => {
      stage.powerCut(name)
      return new Promise(() => {})
    }
    await stage.until('it makes room for a checkpoint', () => node.life === null)
    stage.loseStore(name)
    stage.start(name)
    await stage.until('it is back', () => node.life?.actor.spaces.get(stage.space) !== undefined)
    const { damage, covers } = journalOf(node).log(uuid)!
    assert.is(damage, null, `I14: ${damage}`)
    assert.is(covers.kept.length, 1)
    assert.equal(covers.covered, covered)
    for (const kept of covers.kept) await contentOf(node, kept)
    await stage.until('it gives up segments, and takes writes',
      () => journalOf(node).log(uuid)!.base.sequence > base.sequence && !isFull(node), 20_000)
    assert.is(keptBy(node).length, 2, 'I14: something was given up by one checkpoint')
    node.disk.capacity = Infinity
    await stage.until('all are in sync', () => stage.inSync.length === 3, 30_000)
    await cluster.converged()
    assertSameTables(cluster)
  },
}

export const fullDiskScenarios: readonly Scenario[] = [fullDisk]
