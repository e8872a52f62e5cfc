import type { NodeId, Position } from '../../machines/base/ids.js'
import { countText } from '../../machines/base/units.js'
import { showPosition } from '../../machines/log/positions.js'
import type { CommonPoint } from '../../machines/log/positions.js'
import type { InstallAnswer, InstallOffer,
  InstallReport } from '../../machines/protocol/installMessages.js'
import type { JoinRequest } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'

/** An install that was answered from here. */
interface UnderWay {
  readonly session: number
  readonly replaces: boolean
  /** Of the member, at its join: below it its state goes back only if `replaces`. */
  readonly applied: number
  /** The last one; null: none yet, or nothing has been heard for long. */
  report: InstallReport | null
}

/** What a member has reported of its install. */
export interface ReportedInstall
  extends Pick<InstallReport, 'phase' | 'source' | 'doneBytes' | 'totalBytes'>
{
  readonly minimum: number
}

/** The primary's side of installs: who has to be installed, and with what. */
export class InstallIntake {
  private readonly underWay = new Map<NodeId, UnderWay>()

  constructor(private readonly member: Member, private readonly epoch: number) {}

  /** Returns why the member has to be installed before it can follow the log, or null. */
  needed({ applied, damaged, history }: JoinRequest, common: CommonPoint): string | null {
    const { self, log: { base } } = this.member
    const keeps = `${self} keeps entries from ${countText(base + 1)} on`
    if (damaged) return 'its log is damaged'
    if ('below' in common) {
      return `it is not known where its log and that of ${self} part, below ${
        countText(common.below)
      }; ${keeps}`
    }
    const { sequence } = common
    if (sequence < base) {
      const end = history.at(-1)?.last ?? 0
      if (end === 0) return `its log is empty, ${keeps}`
      return sequence < end
        ? `its log and that of ${self} part after ${countText(sequence)}, ${keeps}`
        : `its log ends at ${countText(sequence)}, ${keeps}`
    }
    return sequence < applied
      ? `it has applied entries up to ${countText(applied)}, and those after ${
        countText(sequence)
      } are `
        + `not in the log of ${self}`
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
    this.underWay.set(request.node, { session, replaces, applied, report: null })
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
    const at = this.underWay.get(node)
    if (at) at.report = null
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
    at.report = report
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

  /** What the member said last of its install; null: none is under way, or it is not heard of. */
  reportOf(node: NodeId): InstallReport | null {
    return this.underWay.get(node)?.report ?? null
  }

  /** The same, for the status. */
  progress(node: NodeId): ReportedInstall | null {
    const at = this.underWay.get(node)
    if (!at?.report) return null
    const { phase, source, doneBytes, totalBytes } = at.report
    const minimum = this.minimum(at.replaces, at.applied)
    return { phase, source, doneBytes, totalBytes, minimum }
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
  salvageAfter({ history, floor }: JoinRequest, common: CommonPoint): number {
    if (!('below' in common)) return common.sequence
    let least = floor
    for (const { epoch, forkPoint } of this.member.store.reports()) {
      const span = history.find((one) => one.epoch === epoch)
      if (span && span.last > forkPoint.sequence) least = Math.min(least, forkPoint.sequence)
    }
    return least
  }
}
