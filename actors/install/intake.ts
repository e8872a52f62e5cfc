import type { NodeId, Position } from '../../machines/base/ids.js'
import { showPosition } from '../../machines/log/positions.js'
import type { CommonPoint } from '../../machines/log/positions.js'
import type { InstallAnswer, InstallReport } from '../../machines/protocol/installMessages.js'
import type { InstallOffer, JoinRequest } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'

/** An install that was answered from here. */
interface UnderWay {
  readonly session: number
  readonly replaces: boolean
  /** Of the member, at its join: below it its state goes back only if `replaces`. */
  readonly applied: number
}

/** The primary's side of installs: who has to be installed, and with what. */
export class InstallIntake {
  private readonly underWay = new Map<NodeId, UnderWay>()

  constructor(private readonly member: Member, private readonly epoch: number) {}

  /** Returns why the member has to be installed before it can follow the log, or null. */
  needed({ node, applied, damaged }: JoinRequest, common: CommonPoint): string | null {
    const { base } = this.member.log
    if (damaged) return `the log of ${node} is damaged`
    if ('below' in common) return `what both logs have ends below ${common.below}, not known where`
    const { sequence } = common
    if (sequence < base) {
      return `both logs have entries up to ${sequence}, and those up to ${base} are given up`
    }
    return sequence < applied
      ? `${node} has applied entries up to ${applied}, and both logs have those up to ${sequence}`
      : null
  }

  /** Notes the session whose join is answered *install*: the only one to switch in. */
  begin(
    request: JoinRequest,
    common: CommonPoint,
    session: number,
    sources: readonly NodeId[],
  ): InstallOffer {
    const { applied, damaged } = request
    // Where the common point is not known, an entry above both roots is certainly not in this log.
    const isForeign = 'below' in common ? applied >= common.below : common.sequence < applied
    const replaces = damaged || isForeign
    this.underWay.set(request.node, { session, replaces, applied })
    const minimum = this.minimum(replaces, applied)
    return { minimum, sources, replaces, salvageAfter: this.salvageAfter(request, common) }
  }

  /** The member follows, or is in no session: nothing is kept for it. */
  over(node: NodeId): void {
    this.underWay.delete(node)
    this.silent(node)
  }

  /** Nothing is heard of the install: nothing is kept for it, until it is heard of again. */
  silent(node: NodeId): void {
    const { context, uuid } = this.member
    context.pins.release(uuid, node)
  }

  /** Judges the checkpoint of an install, and keeps what has to follow on it. */
  reported(report: InstallReport, isListed: boolean): InstallAnswer {
    const { member, epoch } = this
    const { node, number, checkpoint } = report
    const answer = { kind: 'installing', number, node: member.self, epoch, ok: false,
      isPresent: false, minimum: 0, pinnedFrom: 0 } as const
    const at = this.underWay.get(node)
    if (report.uuid !== member.uuid || report.epoch !== epoch || at?.session !== report.session) {
      return { ...answer, reason: 'the session is not the present one' }
    }
    const minimum = this.minimum(at.replaces, at.applied)
    const present = { ...answer, isPresent: true, minimum }
    if (isListed) return { ...present, reason: `${node} is listed in sync` }
    if (!checkpoint) return { ...present, reason: 'no checkpoint is chosen' }
    const obstacle = this.obstacle(checkpoint.position, minimum)
    if (obstacle !== null) return { ...present, reason: obstacle }
    const pinnedFrom = checkpoint.position.sequence + 1
    member.context.pins.pin(member.uuid, { node, from: pinnedFrom, bytes: report.totalBytes })
    return { ...present, ok: true, pinnedFrom, reason: '' }
  }

  /** Why the log here does not go on from that position, or null. */
  private obstacle(position: Position, minimum: number): string | null {
    const { log } = this.member
    const { sequence } = position
    if (sequence < minimum) return `a state as of ${minimum} or later is needed, not ${sequence}`
    if (sequence > log.commitSequence) return `entries up to ${sequence} are not known as committed`
    return log.has(position) ? null : `${showPosition(position)} is not in this log`
  }

  private minimum(replaces: boolean, applied: number): number {
    const { base } = this.member.log
    return replaces ? base : Math.max(base, applied)
  }

  /**
   * Up to there, the member's entries are in this log, or were given up by a report. What it knew
   * to be committed is in every later log; after a forced promotion there is a report.
   */
  private salvageAfter({ history, floor }: JoinRequest, common: CommonPoint): number {
    if (!('below' in common)) return common.sequence
    let least = floor
    for (const { epoch, forkPoint } of this.member.store.reports()) {
      const span = history.find((one) => one.epoch === epoch)
      if (span && span.last > forkPoint.sequence) least = Math.min(least, forkPoint.sequence)
    }
    return least
  }
}
