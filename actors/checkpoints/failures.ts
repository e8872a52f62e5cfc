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
  /** It was to be taken beside writes, and not on a full disk, which needs less room. */
  readonly isBesideWrites: boolean
  readonly readBacks: number
  readonly isAlerted: boolean
}

/** Spaces of which the last checkpoint could not be taken. */
export class Failures {
  private readonly ofMember = new WeakMap<Member, Failed>()

  constructor(private readonly context: NodeContext) {}

  /** A disk that has become full since is a reason to try again. */
  isPausing(member: Member, nowMs: number): boolean {
    const failed = this.ofMember.get(member)
    if (!failed || failed.untilMs <= nowMs) return false
    return !(failed.isBesideWrites && this.context.commits.lacksRoom)
  }

  /** Tries the others first. */
  later(member: Member): void {
    const before = this.ofMember.get(member)
    const untilMs = this.context.ports.clock.monotonicMs() + pauseMs
    this.ofMember.set(member, { count: 0, readBacks: 0, isAlerted: false, ...before, untilMs,
      isBesideWrites: false })
  }

  /**
   * Of spaces that were to share a file: one of them is named. `isReadBack`: the disk gave back
   * other bytes than were written.
   */
  note(members: readonly Member[], reason: string, isReadBack: boolean): void {
    const { commits, ports: { clock, logger } } = this.context
    const isBesideWrites = !commits.lacksRoom
    const untilMs = clock.monotonicMs() + pauseMs
    const failed = members.map((member): [Member, Failed] => {
      const before = this.ofMember.get(member)
      const count = (before?.count ?? 0) + 1
      const readBacks = isReadBack ? (before?.readBacks ?? 0) + 1 : 0
      return [member, { isAlerted: false, ...before, count, readBacks, untilMs, isBesideWrites }]
    })
    for (const [member, now] of failed) this.ofMember.set(member, now)
    const spaces = whichSpaces(members)
    logger.warn({ ...spaces, reason }, 'a checkpoint could not be taken; the journal is kept')
    this.alert(failed, reason)
    const rotten = failed.find(([, { readBacks }]) => readBacks === alertAfter)
    if (rotten) {
      sendAlert(this.context, rotten[0].space, 'diskRotten', {},
        `the disk does not give back what was written: ${reason}. Replace the disk`)
    }
  }

  private alert(failed: readonly [Member, Failed][], reason: string): void {
    const again = failed.filter(([, { count }]) => count >= alertAfter)
    const [first] = again
    if (!first || again.some(([, { isAlerted }]) => isAlerted)) return
    const [member, now] = first
    this.ofMember.set(member, { ...now, isAlerted: true })
    const others = again.length > 1 ? `, and of ${again.length - 1} others,` : ''
    sendAlert(this.context, member.space, 'checkpointFailed', {},
      `checkpoints of ${member.space}${others} cannot be taken, so its journal is kept and grows: `
        + reason)
  }

  over(member: Member): void {
    const { space } = member
    const failed = this.ofMember.get(member)
    this.ofMember.delete(member)
    if (failed?.isAlerted) {
      sendAlert(this.context, space, 'checkpointFailedCleared', {},
        `checkpoints of ${space} are taken again`)
    }
  }
}

function whichSpaces(members: readonly Member[]): { space: string; others?: number } {
  const { space } = members[0]!
  return members.length > 1 ? { space, others: members.length - 1 } : { space }
}
