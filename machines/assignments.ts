import type { Assignment, Life, Member, NodeId, Reigning } from './protocol.js'

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
  forced: boolean, signature: Signature,
): Assignment {
  const { disk, ...primary } = claimant
  const members = record.members.map((member) =>
    (member.node === primary.node ? { ...member, disk } : member))
  return { ...record, epoch, state: 'claimed', primary, members, inSync, forced, ...signature }
}

export function opened(record: Assignment, signature: Signature): Assignment {
  return { ...record, state: 'open', ...signature }
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

/** A handover: the record names the target as if it had claimed the epoch itself. */
export function handedOver(
  record: Assignment, epoch: number, to: NodeId, life: Life, signature: Signature,
): Assignment {
  const { incarnation, connection } = life
  const primary = { node: to, incarnation, connection }
  return { ...record, epoch, state: 'claimed', primary, forced: false, ...signature }
}
