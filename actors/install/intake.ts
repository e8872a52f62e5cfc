import type { NodeId } from '../../machines/base/ids.js'
import type { CommonPoint } from '../../machines/log/positions.js'
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

  constructor(private readonly member: Member) {}

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
