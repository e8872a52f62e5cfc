import { learnerOf } from '../../machines/protocol/members.js'
import type { Member } from '../member/member.js'
import type { Reached } from './followerStatus.js'
import type { Followers } from './followers.js'
import { isUsual } from './usual.js'

const nothing: Reached = { acked: 0, applied: 0, checkpoint: null, bytes: 0, records: 0 }

/**
 * Since when the learner gets no further, as far as its primary knows: it has acknowledged and
 * applied no entry more than ever before, and its install has no more bytes or records. It may take
 * hours to catch up, and be begun anew; the time also begins anew while anything else is wrong,
 * since a learner that has everything waits for the arbiter then.
 */
export class LearnerProgress {
  /** The change whose learner it is; '': none. */
  private change = ''
  private most = nothing
  private sinceMs = 0

  constructor(
    private readonly member: Member,
    private readonly followers: Pick<Followers, 'reached'>,
  ) {}

  /** Called once per heartbeat. */
  tick(): void {
    const record = this.member.known.record?.assignment
    const learner = record ? learnerOf(record) : null
    if (!record || learner === null) {
      this.change = ''
      return
    }
    const change = `${learner} ${record.change?.since}`
    const now = this.followers.reached(learner)
    const isAsBefore = change === this.change && !isFurther(now, this.most)
    if (!isAsBefore || !isUsual(this.member, record)) this.sinceMs = this.nowMs()
    this.most = change === this.change ? furthest(now, this.most) : now
    this.change = change
  }

  /** Whether there is a learner, and it has got no further for that long. */
  isStuckFor(ms: number): boolean {
    return this.change !== '' && this.nowMs() - this.sinceMs >= ms
  }

  private nowMs(): number {
    return this.member.context.ports.clock.monotonicMs()
  }
}

function isFurther(now: Reached, most: Reached): boolean {
  if (now.acked > most.acked || now.applied > most.applied) return true
  return now.checkpoint === most.checkpoint
    && (now.bytes > most.bytes || now.records > most.records)
}

/** Of another checkpoint, that is pulled instead, all is counted from its beginning. */
function furthest(now: Reached, most: Reached): Reached {
  const { checkpoint, bytes, records } = now
  const isSame = checkpoint === null || checkpoint === most.checkpoint
  return {
    acked: Math.max(now.acked, most.acked),
    applied: Math.max(now.applied, most.applied),
    checkpoint: checkpoint ?? most.checkpoint,
    bytes: isSame ? Math.max(bytes, most.bytes) : bytes,
    records: isSame ? Math.max(records, most.records) : records,
  }
}
