import type { Position } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import { isHolder, removedAt } from '../../machines/protocol/members.js'
import type { Assignment, AssignmentAt } from '../../machines/protocol/messages.js'
import type { UploaderRunner } from '../forks/uploaderRunner.js'
import type { Member } from '../member/member.js'
import { askToDepart } from '../replica/joinRequest.js'
import { salvageBeforeInstall } from '../replica/salvaging.js'

/** Why the data of a node that owes nothing is still there. */
export const keptForTime = 'kept for removedKeepMs'

/** Pause between two questions to the primary. */
const askMs = 5000

export interface DepartureOptions {
  readonly member: Member
  readonly uploads: Pick<UploaderRunner, 'epochKnown' | 'owe' | 'isOwed'>
  /** Nothing is left that only this node has, and its time is over: its data goes. */
  readonly onDeparted: (record: AssignmentAt) => void
}

/**
 * The way of a node that was taken out of the members. It asks the primary where their logs part;
 * what lies beyond is salvaged and uploaded like any fork (I6). After `removedKeepMs` its data
 * goes. Without a primary, or an answer, all is kept. A change that adds the node again ends this.
 */
export class Departure {
  /** The record says that this node was taken out. */
  private isLeaving = false
  private isAsking = false
  private isSalvaged = false
  /** Up to there the primary had the same log; what lies beyond is salvaged. */
  private salvagedAfter = Infinity
  /** Epoch whose primary has said so again since the time was over; 0: none has. */
  private confirmedIn = 0
  private dueMs = 0
  /** Last safe entry of the primary, by its last answer. */
  private safe: Position | null = null
  private hindrance: string | null = null

  constructor(private readonly options: DepartureOptions) {}

  /** Why the data is still here; null: this node was not taken out. */
  get reason(): string | null {
    const { isLeaving, isSalvaged, hindrance } = this
    if (!isLeaving) return null
    if (hindrance !== null) return `kept: ${hindrance}`
    if (!isSalvaged) return 'kept until the primary has said what its log lacks'
    return this.isUploaded ? keptForTime : 'kept until its salvages are uploaded'
  }

  /** Whether the entry survives: what a member sees in its own log, this node has to be told. */
  isSafe({ epoch, sequence }: Position): boolean {
    return this.safe !== null && this.safe.epoch === epoch && this.safe.sequence >= sequence
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { member, member: { known: { record }, self, context } } = this.options
    const { ports: { clock }, settings: { removedKeepMs } } = context
    const at = record ? removedAt(record.assignment, self) : null
    if (!record || at === null || isHolder(record.assignment, self)) return this.end()
    this.isLeaving = true
    const isReady = this.isSalvaged && this.isUploaded
    // A time that is none leads nowhere.
    const isOver = clock.wallMs() - Date.parse(at) >= removedKeepMs
    if (isReady && !isOver) return
    if (isReady && this.confirmedIn === record.assignment.epoch) {
      return this.options.onDeparted(record)
    }
    const nowMs = clock.monotonicMs()
    if (this.isAsking || nowMs < this.dueMs || !context.wire.isOpen) return
    this.dueMs = nowMs + askMs
    this.hindrance = member.damage
    if (member.damage === null) void this.ask(record.assignment, isReady)
  }

  private get isUploaded(): boolean {
    const { uploads, member } = this.options
    return !uploads.isOwed && member.salvages.count === 0
  }

  private end(): void {
    if (!this.isLeaving) return
    this.isLeaving = false
    this.isSalvaged = false
    this.salvagedAfter = Infinity
    this.confirmedIn = 0
    this.safe = null
    this.hindrance = null
  }

  /** `isLast`: its time is over, and nothing is left to upload. */
  private async ask({ primary, epoch }: Assignment, isLast: boolean): Promise<void> {
    const { member, uploads } = this.options
    if (!primary) {
      this.hindrance = 'the space has no primary'
      return
    }
    this.isAsking = true
    try {
      const { node } = primary
      const answer = await askToDepart(member, node, epoch)
      if (!this.isLeaving) return
      if (answer.code !== 'removed' || answer.salvageAfter === undefined) {
        throw new Error(answer.reason || `${node} takes this node for a member`)
      }
      // A later primary may have less than the one that was asked before.
      if (!this.isSalvaged || answer.salvageAfter < this.salvagedAfter) {
        await salvageBeforeInstall(member, answer.salvageAfter, epoch)
        if (!this.isLeaving) return
        this.isSalvaged = true
        this.salvagedAfter = answer.salvageAfter
        uploads.owe()
      } else {
        const isSafe = answer.commitSequence >= answer.salvageAfter
        this.confirmedIn = isLast && isSafe ? epoch : 0
        if (!isSafe) this.hindrance = 'too few members in sync have all of it'
      }
      this.safe = { epoch, sequence: answer.commitSequence }
      uploads.epochKnown(node, epoch)
    } catch (error) {
      this.hindrance = messageOf(error)
    } finally {
      this.isAsking = false
    }
  }
}
