import { commitNoticeMs } from '../member/freshness.js'
import type { Clock, TimerHandle } from '../ports/system.js'
import type { ReplicaStream } from './replicaStream.js'

/** A timer may fire this much too early. */
const earlyMs = 1

/** Sends a commit with the next frame, or in a notice if none comes for a while. */
export class CommitNotices {
  private timer: TimerHandle | null = null

  constructor(
    private readonly clock: Clock,
    private readonly streams: () => Iterable<ReplicaStream>,
  ) {}

  /** Called when the commit or the safe sequence has risen. */
  committed(): void {
    const { clock } = this
    const now = clock.monotonicMs()
    for (const shipping of this.streams()) shipping.committed(now)
    this.timer ??= clock.setTimeout(() => this.sendUnsent(), commitNoticeMs)
  }

  stop(): void {
    if (this.timer) this.clock.clearTimeout(this.timer)
  }

  private sendUnsent(): void {
    const { clock } = this
    const now = clock.monotonicMs()
    let oldestMs = Infinity
    for (const shipping of this.streams()) {
      oldestMs = Math.min(oldestMs, shipping.noticeUnsent(now - commitNoticeMs + earlyMs))
    }
    this.timer = oldestMs === Infinity
      ? null
      : clock.setTimeout(() => this.sendUnsent(), Math.ceil(oldestMs + commitNoticeMs - now))
  }
}
