/** Takes a checkpoint of a space on one member of a simulated cluster, whether it is due or not. */
import { notesOf } from '../../actors/checkpoints/sectionNotes.js'
import type { AlignedImage } from '../../actors/log/applier.js'
import type { StoredSection } from '../../actors/ports/checkpoints.js'
import type { SimCluster } from './simCluster.js'
import type { SimNode } from './simNode.js'

const atOnce = { begin: () => {}, end: () => {}, rest: () => Promise.resolve() }

export async function takeCheckpoint(
  cluster: SimCluster,
  node: SimNode,
  space = 'teams',
): Promise<StoredSection> {
  const { member } = node.space(space)
  const { commits, ports: { journal, checkpoints } } = member.context
  const { uuid } = member
  const work = async (): Promise<StoredSection> => {
    const aligned = await new Promise<AlignedImage>((taken) => member.applier.takeImage(taken))
    const notes = await notesOf(member, aligned)
    const [section] = await checkpoints.write([{ notes, image: aligned.image }], atOnce)
    const before = journal.log(uuid)!.covers
    const { file, id, position } = section!
    const older = before.kept.at(-1)
    const former = older && checkpoints.find(uuid, older)
    const covers = former
      ? await coveredBy(former)
      : { covered: before.covered, history: before.history, clock: before.clock,
        timestamp: before.timestamp }
    const kept = [...(older ? [older] : []), { file, id, position }]
    await commits.submit({ type: 'checkpoint', uuid,
      covers: { ...covers, installs: before.installs, kept } })
    return section!
  }
  const coveredBy = async (section: StoredSection) => {
    const reader = await checkpoints.open(section)
    const { history, clock, timestamp } = reader.manifest
    await reader.close()
    return { covered: section.position, history, clock, timestamp }
  }
  return await cluster.wait(work())
}
