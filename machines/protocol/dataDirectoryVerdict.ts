import type { NodeId } from '../base/ids.js'
import type { NodeIdentity } from './messages.js'

/** Identity that is stored in a data directory. */
export interface DirectoryIdentity {
  /** Null: the directory was written by a release that did not store it. */
  readonly node: NodeId | null
  /** Uuid of the directory: a node with another disk is another member. */
  readonly disk: string
  /** Number that was last compared with the arbiter's record, or raised since. */
  readonly incarnation: number
  /** Highest number used without the arbiter and therefore not compared; at least `incarnation`. */
  readonly spoken: number
}

/**
 * new: empty, and the arbiter does not know the node. empty: empty, but the arbiter knows the node.
 * trusted: the latest state of the disk that the arbiter knows. unrecorded: the arbiter has no
 * readable record to compare with. past: an older state of that disk. other: another disk was used
 * since.
 */
export type DirectoryKind = 'new' | 'empty' | 'trusted' | 'unrecorded' | 'past' | 'other'

export interface DirectoryVerdict {
  readonly kind: DirectoryKind
  /** The directory's own, or a fresh one: in sync with nothing. */
  readonly disk: string
  /** Above every number that this disk or the record knows. */
  readonly incarnation: number
  /** Text for operators; null: nothing is unusual. */
  readonly reason: string | null
}

/** Text about a disk that does not count as a member any more. */
const consequence = 'It joins as a new member, in sync with nothing. Writes that only this '
  + 'directory has are salvaged and reconciled when it joins'

/**
 * Decides whether a directory is the latest state of its disk. A copy of the past (a backup, a
 * snapshot of a machine) lacks entries that the disk acknowledged since, so it must not count as
 * that member. It is detected by its number: each start raises the directory's and then the
 * record's. The comparison comes before the raise: a copy that raised its number first would pass
 * at its second start.
 *
 * @param recorded the arbiter's record of the node, null where it has none that can be read
 * @param fresh    for a directory that is given another disk id; `incarnation`: least number of
 *                 an empty one, which cannot know how often its node was started
 */
export function judgeDirectory(
  directory: DirectoryIdentity | null,
  recorded: Pick<NodeIdentity, 'node' | 'disk' | 'incarnation'> | null,
  fresh: { readonly disk: string; readonly incarnation: number },
): DirectoryVerdict {
  const after =
    Math.max(recorded?.incarnation ?? 0, directory?.incarnation ?? 0, directory?.spoken ?? 0) + 1
  if (directory === null) {
    const incarnation = Math.max(after, fresh.incarnation)
    if (recorded === null) return { kind: 'new', disk: fresh.disk, incarnation, reason: null }
    return {
      kind: 'empty',
      disk: fresh.disk,
      incarnation,
      reason: `the data directory is empty, and the arbiter knows ${recorded.node} with another `
        + 'disk. It joins as a new member, in sync with nothing. If a volume should be mounted '
        + 'there, stop this process and mount it',
    }
  }
  const own = { disk: directory.disk, incarnation: after }
  if (recorded === null) {
    return {
      kind: 'unrecorded',
      ...own,
      reason: 'the arbiter has no record of this node that can be read: it is not known whether '
        + 'the data directory is its latest state; this is assumed',
    }
  }
  if (recorded.disk !== directory.disk) {
    return {
      kind: 'other',
      disk: fresh.disk,
      incarnation: after,
      reason: `${recorded.node} has used another data directory since this one. ${consequence}`,
    }
  }
  if (recorded.incarnation > directory.incarnation) {
    return {
      kind: 'past',
      disk: fresh.disk,
      incarnation: after,
      reason: `the data directory is a copy of the past: it was last started as number `
        + `${directory.incarnation}, the arbiter knows number ${recorded.incarnation}. `
        + consequence,
    }
  }
  return { kind: 'trusted', ...own, reason: null }
}
