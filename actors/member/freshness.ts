import { elapsedMs } from '../../machines/election/grants.js'
import type { Instant } from '../../machines/election/grants.js'
import type { Announcement, AssignmentAt } from '../../machines/protocol/messages.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Heartbeats } from '../membership/heartbeats.js'
import type { Lease } from '../membership/lease.js'
import type { SpaceStore } from '../ports/store.js'

/** A commit that no frame has told the replicas is told in a notice after this long. */
export const commitNoticeMs = 20

/** The member whose state it is. */
export interface FreshnessSource {
  readonly context: { readonly peers: Heartbeats }
  readonly record: AssignmentAt | null
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly primaryEpoch: number
  readonly isFollowing: boolean
  readonly lease: Lease | null
}

/** How old the committed state of a member may be. */
export class Freshness {
  /** The state was the latest at that time, less so many ms. */
  private fresh: { readonly at: Instant; readonly lessMs: number } | null = null
  /** Highest epoch whose reign was said to be over, by anybody. */
  private overEpoch = 0

  constructor(private readonly member: FreshnessSource) {}

  /** A hint, not yet verified at the arbiter: enough to call nothing of that reign fresh. */
  heard({ kind, assignment: { epoch } }: Announcement): void {
    this.overEpoch = Math.max(this.overEpoch, kind === 'resigned' ? epoch : epoch - 1)
  }

  /**
   * How old the committed state here may be, ms; Infinity when no reign was ever followed. By the
   * longer of both clocks: the monotonic one leaves out a suspension of the machine. A bound as
   * long as no single message is lost on a living connection.
   */
  stalenessMs(): number {
    const { context: { peers }, record: at, log, store, primaryEpoch, isFollowing } = this.member
    const now = peers.now()
    const record = at?.assignment
    // Until its first entry is committed, a reign may know of less than was answered before it.
    const isLevel = store.applied.sequence >= log.commitSequence
      && log.epochAt(log.commitSequence) === record?.epoch
    if (isLevel && primaryEpoch > 0) {
      // A primary that was stopped may not have noticed yet that its lease is over.
      if (this.member.lease?.valid()) this.fresh = { at: now, lessMs: 0 }
    } else if (isLevel && isFollowing && record?.primary && record.epoch > this.overEpoch) {
      // Frames and notices come in order before the heartbeats that were sent after them, and the
      // latest one was sent after that of mine which it lists: its receipt says nothing, it may
      // have lain in a buffer. (Heartbeats go on when a reign is over.)
      const grantedAt = peers.grantedAt(record.primary.node)
      if (grantedAt) this.fresh = { at: grantedAt, lessMs: commitNoticeMs }
    }
    return this.fresh ? elapsedMs(this.fresh.at, now) + this.fresh.lessMs : Infinity
  }
}
