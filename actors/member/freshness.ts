import { elapsedMs } from '../../machines/election/grants.js'
import type { Instant } from '../../machines/election/grants.js'
import type { Announcement } from '../../machines/protocol/messages.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Heartbeats } from '../membership/heartbeats.js'
import type { SpaceStore } from '../ports/store.js'
import type { FollowingView } from './following.js'
import type { KnownRecord } from './knownRecord.js'
import type { OwnEpoch } from './ownEpoch.js'

/** Time after which a commit that no frame has carried to the replicas is sent in a notice. */
export const commitNoticeMs = 20

/** Parts of a member that its freshness is derived from. */
export interface FreshnessSource {
  readonly context: { readonly peers: Heartbeats }
  readonly known: Pick<KnownRecord, 'record'>
  readonly own: Pick<OwnEpoch, 'epoch' | 'lease'>
  readonly following: Pick<FollowingView, 'isHearing'>
  readonly log: SpaceLog
  readonly store: SpaceStore
}

/** Estimates how old the committed state of a member may be. */
export class Freshness {
  /** The state was the latest at that time minus `lessMs`. */
  private fresh: { readonly at: Instant; readonly lessMs: number } | null = null
  /** Highest epoch that any node announced to be over. */
  private overEpoch = 0

  constructor(private readonly member: FreshnessSource) {}

  /** Notes an announcement. It is not verified, but enough to call no state of that epoch fresh. */
  heard({ kind, assignment: { epoch } }: Announcement): void {
    this.overEpoch = Math.max(this.overEpoch, kind === 'resigned' ? epoch : epoch - 1)
  }

  /**
   * Returns how old the committed state here may be, ms; Infinity when no primary was ever
   * followed. Uses the larger of the two clocks, since the monotonic one stops during suspend. An
   * upper bound unless a message is lost on an open connection.
   */
  stalenessMs(): number {
    const { context: { peers }, known, own, following, log, store } = this.member
    const now = peers.now()
    const record = known.record?.assignment
    // Until its first entry is committed, a new primary may know less than was answered before.
    const isLevel = store.applied.sequence >= log.commitSequence
      && log.epochAt(log.commitSequence) === record?.epoch
    if (isLevel && own.epoch > 0) {
      // A primary whose process was stopped may not have noticed yet that its lease is over.
      if (own.lease?.valid()) this.fresh = { at: now, lessMs: 0 }
    } else if (isLevel && following.isHearing && record?.primary
      && record.epoch > this.overEpoch)
    {
      // Frames and notices arrive before heartbeats that were sent after them. The primary's latest
      // heartbeat was sent after the one of this node that it lists, so that one's time counts. The
      // time of receipt does not: the message may have waited in a buffer. (Heartbeats go on when
      // an epoch is over.)
      const grantedAt = peers.grantedAt(record.primary.node)
      if (grantedAt) this.fresh = { at: grantedAt, lessMs: commitNoticeMs }
    }
    return this.fresh ? elapsedMs(this.fresh.at, now) + this.fresh.lessMs : Infinity
  }
}
