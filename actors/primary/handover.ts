import type { NodeId } from '../../machines/base/ids.js'
import type { PrimaryEvent } from '../../machines/primary.js'
import { boundedEpochs, handedOver, handedEpochs } from '../../machines/protocol/assignments.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'
import type { TimerHandle } from '../ports/system.js'
import type { Followers } from './followers.js'
import { forwardHeldAfterMs } from './handoverGate.js'
import type { Ingest } from './ingest.js'

export interface HandoverOptions {
  readonly member: Member
  readonly followers: Followers
  readonly ingest: Ingest
  readonly record: () => AssignmentAt
  /** Whether the arbiter takes a change of the record: it was written as it is. */
  readonly touch: (wanted: () => boolean) => Promise<boolean>
  readonly isOver: () => boolean
  readonly send: (event: PrimaryEvent) => void
  /** The record is another one than this reign wrote last. */
  readonly onRefused: (current: AssignmentAt | null) => void
  /** The patience with the new primary is over: what was held goes to it as it is. */
  readonly onPatienceOver: () => void
}

/** A planned handover: drained, then the reign is given away by one compare-and-set. */
export class Handover {
  to: NodeId | null = null
  /** The compare-and-set in favour of the target was sent: nothing is answered positively. */
  isTransferring = false
  /** Of the record that gives the reign away: who has read it knows what was passed on by it. */
  nonce = ''
  /** The arbiter took a change since this handover began: else its last step would have no end. */
  private isArbiterHeard = false
  private number = 0
  private timer: TimerHandle | null = null

  constructor(private readonly options: HandoverOptions) {}

  begin(to: NodeId): void {
    const { member, ingest } = this.options
    this.to = to
    this.isArbiterHeard = false
    member.context.commits.mark(ingest)
    void this.hearArbiter((this.number += 1))
  }

  giveUp(): void {
    this.to = null
  }

  stop(): void {
    if (this.timer) this.options.member.context.ports.clock.clearTimeout(this.timer)
  }

  /**
   * While it is away, or refuses, the epoch goes on; the compare-and-set of the transfer would hold
   * it up without an end. The number of the handover: this one may be given up meanwhile.
   */
  private async hearArbiter(number: number): Promise<void> {
    const isPresent = (): boolean => this.to !== null && this.number === number
    const isTaken = await this.options.touch(isPresent)
    if (!isPresent() || this.options.isOver()) return
    const { rejection } = this.options.member
    if (!isTaken && rejection !== null) {
      return this.options.send({ type: 'handoverHindered', reason: rejection })
    }
    this.isArbiterHeard = isTaken
    this.check()
  }

  /** Whether the target has everything, or has died. */
  check(): void {
    const { member, followers, ingest, send } = this.options
    if (!this.to || this.options.isOver()) return
    if (member.context.peers.isProvenDead(this.to)) {
      send({ type: 'handoverTargetLost', reason: `${this.to} died before the handover` })
      return
    }
    const isFlushed = ingest.isIdle && member.log.durable.sequence === member.log.end.sequence
    if (isFlushed && this.isArbiterHeard && followers.hasAll(this.to)) {
      followers.recommit()
      send({ type: 'handoverReady' })
    }
  }

  /** From the sending of this compare-and-set on, nothing is answered positively. */
  async transfer(to: NodeId): Promise<void> {
    const { member, ingest, isOver, onRefused } = this.options
    const { records, ports, peers, settings } = member.context
    const { assignment, revision } = this.options.record()
    const life = peers.heardLife(to)
    if (!life) return onRefused(null)
    this.isTransferring = true
    ingest.end('NOT_PRIMARY', 'the reign is being handed over')
    const epoch = Math.max(assignment.epoch, member.highestEpoch) + 1
    const last = member.log.end.sequence
    const next = handedOver(assignment, epoch, to, life, last, member.signature())
    this.nonce = next.nonce
    const settlement = await records.settle(next, revision, () =>
      !isOver() && member.context.wire.isOpen,
    { onRejected: (reason) => member.rejected(reason), madeOf: assignment })
    if (settlement.kind !== 'applied') {
      if (settlement.kind === 'refused') onRefused(settlement.current)
      return
    }
    member.alertDropped(boundedEpochs(handedEpochs(assignment, last)).dropped)
    member.sawEpoch(next.epoch)
    const reason = `handed over to ${to}`
    member.announce({
      kind: 'resigned', assignment, revision: settlement.record.revision, reason,
    })
    ports.events.note(
      { type: 'steppedDown', space: member.space, epoch: assignment.epoch, reason })
    if (isOver()) return
    // The new primary announces itself; if it never does, the writers ask again by themselves.
    this.timer = ports.clock.setTimeout(
      () => this.options.onPatienceOver(), forwardHeldAfterMs(settings.standByMs))
  }
}
