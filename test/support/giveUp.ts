/** Gives up entries of a member of a simulated cluster, as its node does once checkpoints cover them. */
import type { KeptCheckpoint } from '../../actors/ports/journal.js'
import { segmentPins } from '../../machines/log/retention.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { keptAt } from './journalCoverage.js'
import type { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'
import { takeCheckpoint } from './takeCheckpoint.js'

const frames = createFrameCodec()

/** Says in the journal that two checkpoints hold the whole log, which is committed. */
async function cover(cluster: SimCluster, node: SimNode, space = 'teams'): Promise<void> {
  const { log, uuid, context: { ports: { journal }, commits } } = node.space(space).member
  const { root, history, end, base, covers: before } = journal.log(uuid)!
  const kept: KeptCheckpoint[] = [1, 2].map((file) => keptAt(file, end))
  const work = async (): Promise<void> => {
    const last = end.sequence > base.sequence
      ? (await log.framesFrom(end.sequence, 1)).at(-1)!
      : null
    await commits.submit({ type: 'checkpoint', uuid, covers: {
      installs: before.installs,
      kept,
      covered: end,
      history: { root, history: history.map((span) => ({ ...span })) },
      clock: last ? frames.clockAfter(last) : before.clock,
      timestamp: last ? frames.entries(last).at(-1)!.timestamp : before.timestamp,
    } })
  }
  await cluster.wait(work())
}

/** Covers those spaces, and removes all closed segments. */
export async function giveUp(
  cluster: SimCluster,
  node: SimNode,
  spaces: readonly string[] = ['teams'],
): Promise<void> {
  for (const space of spaces) await cover(cluster, node, space)
  const { journal } = node.space(spaces[0]!).member.context.ports
  const work = async (): Promise<void> => {
    for (const { segment } of journal.segments()) await journal.remove(segment)
  }
  await cluster.wait(work())
}

/**
 * Takes checkpoints of all that the member has applied until two count, and removes what they
 * cover. Returns the last sequence that is given up.
 */
export async function giveUpCovered(
  cluster: SimCluster,
  node: SimNode,
  space = 'teams',
): Promise<number> {
  for (let taken = 0; taken < 2; taken += 1) await takeCheckpoint(cluster, node, space)
  const { log, context: { ports: { journal } } } = node.space(space).member
  const work = async (): Promise<void> => {
    for (const { segment } of journal.segments()) {
      if (segmentPins(journal.useOf(segment), (of) => journal.log(of)).length > 0) return
      await journal.remove(segment)
    }
  }
  await cluster.wait(work())
  return log.base
}
