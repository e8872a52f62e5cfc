import type { NodeId } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { InstallOffer } from '../../machines/protocol/installMessages.js'
import type { InstallAnswer, InstallReport } from '../../machines/protocol/installMessages.js'
import type { ReplicaEvent } from '../../machines/protocol/replicaTypes.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Member } from '../member/member.js'
import { isUnanswered } from '../ports/bus.js'
import type { TimerHandle } from '../ports/system.js'

/** What of an install is reported. */
export type InstallProgress = Pick<InstallReport,
  'phase' | 'source' | 'checkpoint' | 'doneBytes' | 'totalBytes' | 'loadedRecords'>

export interface InstallSessionOptions {
  readonly member: Member
  readonly primary: NodeId
  readonly epoch: number
  readonly session: number
  readonly offer: InstallOffer
  readonly send: (event: ReplicaEvent) => void
  readonly progress: () => InstallProgress
  /** Called when an answer says that what is loaded is of no use any more. */
  readonly onOvertaken: (reason: string) => void
}

const reportMs = 1000

/**
 * A session whose join was answered *install*: only in it may the member's state be replaced. The
 * primary hears of the progress, and keeps what has to follow on it.
 */
export class InstallSession {
  private isEnded = false
  private least: number
  private timer: TimerHandle | null = null
  private number = 0
  private readonly over: Promise<void>
  private endNow: () => void = () => {}

  constructor(private readonly options: InstallSessionOptions) {
    this.least = options.offer.minimum
    this.over = new Promise((resolve) => {
      this.endNow = resolve
    })
    this.arm()
  }

  /** Resolves when the session is over. */
  get ended(): Promise<void> {
    return this.over
  }

  /** Waits for the work, or for the end of the session. */
  async orEnd(work: Promise<unknown>): Promise<void> {
    await Promise.race([work, this.over])
  }

  get isOver(): boolean {
    return this.isEnded
  }

  /** Least position of a checkpoint, as the primary said last. */
  get minimum(): number {
    return this.least
  }

  get offer(): InstallOffer {
    return this.options.offer
  }

  get epoch(): number {
    return this.options.epoch
  }

  end(): void {
    this.isEnded = true
    if (this.timer) this.options.member.context.ports.clock.clearTimeout(this.timer)
    this.timer = null
    this.endNow()
  }

  /** Does nothing once the session is over. */
  send(event: ReplicaEvent): void {
    if (!this.isEnded) this.options.send(event)
  }

  /** Asks why the primary does not agree to the checkpoint now; null: it agrees. */
  async ask(): Promise<{ readonly refusal: string | null; readonly isAnswered: boolean }> {
    try {
      const answer = await this.report()
      return { refusal: answer.ok ? null : answer.reason, isAnswered: true }
    } catch (error) {
      const { primary } = this.options
      const refusal = isUnanswered(error) ? `${primary} does not answer` : messageOf(error)
      return { refusal, isAnswered: false }
    }
  }

  private arm(): void {
    this.timer = this.options.member.context.ports.clock.setTimeout(() => {
      if (this.isEnded) return
      this.arm()
      void this.tell()
    }, reportMs)
  }

  private async tell(): Promise<void> {
    const { doneBytes, totalBytes } = this.options.progress()
    this.send({ type: 'installMeasured', doneBytes, totalBytes })
    const { refusal } = await this.ask()
    const { checkpoint } = this.options.progress()
    if (this.isEnded || refusal === null || !checkpoint) return
    if (checkpoint.position.sequence < this.least) this.options.onOvertaken(refusal)
  }

  private async report(): Promise<InstallAnswer> {
    const { member, primary, epoch, session, progress } = this.options
    const { ports, wire, settings, self } = member.context
    this.number += 1
    const { number } = this
    const report: InstallReport = {
      kind: 'install',
      version: 1,
      space: member.space,
      uuid: member.uuid,
      node: self.node,
      epoch,
      session,
      number,
      ...progress(),
    }
    const subject = subjects.ack(member.space, primary)
    const { data } = await wire.request(subject, ports.control.encode(report), {
      timeoutMs: settings.standByMs,
    })
    const decoded = ports.control.installAnswer(data)
    if (!decoded.ok) throw new Error(decoded.reason)
    const answer = decoded.value
    if (answer.number !== number) throw new Error('the answer is to another request')
    if (!answer.isPresent) {
      this.send({ type: 'sessionLost', reason: answer.reason })
    } else this.least = answer.minimum
    return answer
  }
}
