import type { NodeId } from '../base/ids.js'
import type { NodeIdentity } from './messages.js'

/** What a data directory says of itself. */
export interface DirectoryIdentity {
  /** Null in a directory of a release that did not write it. */
  readonly node: NodeId | null
  /** Uuid of the directory: a node with another disk is another member. */
  readonly disk: string
  /** Number that was compared with the arbiter's record last, or raised since. */
  readonly incarnation: number
  /** Highest number used without the arbiter: not compared with anything, `incarnation` or more. */
  readonly spoken: number
}

/**
 * new: nothing here, and nothing known of the node. empty: nothing here, but the arbiter knows the
 * node. trusted: the latest state of the disk that the arbiter knows. unrecorded: the arbiter has
 * no readable record to compare with. past: an older state of that disk. other: another disk was
 * used since.
 */
export type DirectoryKind = 'new' | 'empty' | 'trusted' | 'unrecorded' | 'past' | 'other'

export interface DirectoryVerdict {
  readonly kind: DirectoryKind
  /** The directory's own, or a fresh one: in sync with nothing. */
  readonly disk: string
  /** Above every number that this disk or the record knows. */
  readonly incarnation: number
  /** For operators: null where nothing is unusual. */
  readonly reason: string | null
}

/** Of a disk that is taken for no member any more. */
const consequence = 'It comes in as a new member, in sync with nothing: what only this directory '
  + 'has is salvaged and reconciled when it joins'

/**
 * Whether a directory is the latest state of its disk. A copy of the past (a backup, a snapshot of
 * a machine) lacks what the disk acknowledged since, so it must not count as that member. It is
 * known by its number: each start raises the directory's and then the record's. The comparison
 * comes before the raise: a copy that raised its number first would pass at its second start.
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
  const after = Math.max(recorded?.incarnation ?? 0, directory?.incarnation ?? 0,
    directory?.spoken ?? 0) + 1
  if (directory === null) {
    const incarnation = Math.max(after, fresh.incarnation)
    if (recorded === null) return { kind: 'new', disk: fresh.disk, incarnation, reason: null }
    return {
      kind: 'empty', disk: fresh.disk, incarnation,
      reason: `the data directory is empty, and the arbiter knows ${recorded.node} with another `
        + 'disk. It comes in as a new member, in sync with nothing. If a volume should be mounted '
        + 'there, stop this process and mount it',
    }
  }
  const own = { disk: directory.disk, incarnation: after }
  if (recorded === null) {
    return {
      kind: 'unrecorded', ...own,
      reason: 'the arbiter has no record of this node that can be read: it cannot be told whether '
        + 'the data directory is its latest state; it is taken for that',
    }
  }
  if (recorded.disk !== directory.disk) {
    return {
      kind: 'other', disk: fresh.disk, incarnation: after,
      reason: `${recorded.node} has used another data directory since this one. ${consequence}`,
    }
  }
  if (recorded.incarnation > directory.incarnation) {
    return {
      kind: 'past', disk: fresh.disk, incarnation: after,
      reason: `the data directory is a copy of the past: it was last started as number `
        + `${directory.incarnation}, the arbiter knows number ${recorded.incarnation}. `
        + consequence,
    }
  }
  return { kind: 'trusted', ...own, reason: null }
}
