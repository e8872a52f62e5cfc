import type {
  Assignment, EndedReign, Life, Member, NodeId, Position, Reigning, SpaceSettings,
} from './protocol.js'

/** Who writes a record, and the mark by which the writer recognises its own writing. */
export interface Signature {
  readonly writer: NodeId
  readonly nonce: string
}

/**
 * A claim of `epoch`: exactly one candidate wins it, by compare-and-set. `claimant.disk` is listed
 * from then on: an operator may force a member that came back with another one.
 */
export function claimed(
  record: Assignment, epoch: number, claimant: Reigning & Member, inSync: readonly NodeId[],
  forced: boolean, ended: readonly EndedReign[], signature: Signature,
): Assignment {
  const { disk, ...primary } = claimant
  const members = record.members.map((member) =>
    (member.node === primary.node ? { ...member, disk } : member))
  const { start: _, ...rest } = record
  return {
    ...rest, epoch, state: 'claimed', primary, members, inSync, forced, ended, ...signature,
  }
}

/** Of those, so many are remembered; more than ever end before one report is committed. */
const endedMax = 64

/**
 * Reigns that were open and ended without a handover, this record's among them, until a report of
 * them is committed. One that its own holder took up again, with the same disk, left no fork by
 * that; but the next one may, with its end: it is remembered until that end is committed. What is
 * committed on one disk alone may be lost with it, and the account of it must not be.
 */
export function endedReigns(
  record: Assignment, claim: EndedReign, reported: ReadonlySet<number>,
  isCommitted: (entry: Position) => boolean,
): EndedReign[] {
  const { epoch, primary, state, members, start } = record
  const ended = [...record.ended ?? []]
  if (primary && state === 'open') {
    const { node } = primary
    const disk = members.find((member) => member.node === node)?.disk ?? ''
    // A record of a node that does not tell where its reign began.
    ended.push({ epoch, node, disk, start: start ?? { epoch: 0, sequence: 0 } })
  }
  if (record.inSync.length < Math.min(2, members.length)) return ended.slice(-endedMax)
  const ends = takenUp([...ended, claim])
  return ended.filter((reign) => {
    const end = ends.get(reign.epoch)
    const isKept = end !== undefined && isCommitted({ epoch: reign.epoch, sequence: end })
    return !reported.has(reign.epoch) && !isKept
  }).slice(-endedMax)
}

/** Last sequence of each reign that its holder took up again, with the same disk: all is known. */
export function takenUp(reigns: readonly EndedReign[]): Map<number, number> {
  const ends = new Map<number, number>()
  for (const { node, disk, start } of reigns) {
    const before = reigns.find((reign) => reign.epoch === start.epoch)
    if (before?.node === node && before.disk === disk) ends.set(start.epoch, start.sequence)
  }
  return ends
}

/** `start`: end of the log that the reign began on. */
export function opened(record: Assignment, start: Position, signature: Signature): Assignment {
  return { ...record, state: 'open', start, ...signature }
}

/** `diskOf`: disk that a member joined with; one that comes in may have another than before. */
export function withInSync(
  record: Assignment, inSync: readonly NodeId[], diskOf: (node: NodeId) => string | undefined,
  signature: Signature,
): Assignment {
  const members = record.members.map((member) => {
    const comesIn = inSync.includes(member.node) && !record.inSync.includes(member.node)
    const disk = comesIn ? diskOf(member.node) : undefined
    return disk ? { ...member, disk } : member
  })
  return { ...record, inSync: [...inSync], members, ...signature }
}

export function withSettings(
  record: Assignment, settings: SpaceSettings, signature: Signature,
): Assignment {
  return { ...record, settings, ...signature }
}

/** A handover: the record names the target as if it had claimed the epoch itself. */
export function handedOver(
  record: Assignment, epoch: number, to: NodeId, life: Life, signature: Signature,
): Assignment {
  const { incarnation, connection } = life
  const primary = { node: to, incarnation, connection }
  const { start: _, ...rest } = record
  return { ...rest, epoch, state: 'claimed', primary, forced: false, ...signature }
}
