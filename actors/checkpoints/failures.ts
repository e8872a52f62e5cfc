import { sendAlert } from '../member/alerts.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'

/** Pause after a checkpoint could not be taken. */
const pauseMs = 60_000
/** Failures in a row that raise an alert. */
const alertAfter = 2

interface Failed {
  readonly count: number
  readonly untilMs: number
  readonly readBacks: number
}

/** Spaces of which the last checkpoint could not be taken. */
export class Failures {
  private readonly ofMember = new WeakMap<Member, Failed>()

  constructor(private readonly context: NodeContext) {}

  isPausing(member: Member, nowMs: number): boolean {
    return (this.ofMember.get(member)?.untilMs ?? -Infinity) > nowMs
  }

  /** Tries the others first. */
  later(member: Member): void {
    const before = this.ofMember.get(member)
    const untilMs = this.context.ports.clock.monotonicMs() + pauseMs
    this.ofMember.set(member, { count: 0, readBacks: 0, ...before, untilMs })
  }

  /** `isReadBack`: the disk gave back other bytes than were written. */
  note(member: Member, reason: string, isReadBack: boolean): void {
    const { ports } = this.context
    const { space } = member
    const before = this.ofMember.get(member)
    const count = (before?.count ?? 0) + 1
    const readBacks = isReadBack ? (before?.readBacks ?? 0) + 1 : 0
    const untilMs = ports.clock.monotonicMs() + pauseMs
    this.ofMember.set(member, { count, readBacks, untilMs })
    ports.logger.warn({ space, reason }, 'a checkpoint could not be taken; the journal is kept')
    if (count === alertAfter) {
      sendAlert(this.context, space, 'checkpointFailed', {},
        `checkpoints of ${space} cannot be taken, so its journal is kept and grows: ${reason}`)
    }
    if (readBacks === alertAfter) {
      sendAlert(this.context, space, 'diskRotten', {},
        `the disk does not give back what was written: ${reason}. Replace the disk`)
    }
  }

  over(member: Member): void {
    const { space } = member
    const failed = this.ofMember.get(member)
    this.ofMember.delete(member)
    if (failed && failed.count >= alertAfter) {
      sendAlert(this.context, space, 'checkpointFailedCleared', {},
        `checkpoints of ${space} are taken again`)
    }
  }
}
