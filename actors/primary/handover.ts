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
  /** Writes the record unchanged; resolves with whether the arbiter took that. */
  readonly touch: (wanted: () => boolean) => Promise<boolean>
  readonly isOver: () => boolean
  readonly send: (event: PrimaryEvent) => void
  /** The record is another one than this primary wrote last. */
  readonly onRefused: (current: AssignmentAt | null) => void
  /** The new primary did not announce itself in time: held writes are forwarded to it anyway. */
  readonly onPatienceOver: () => void
}

/** A planned handover: writes are drained, then one compare-and-set makes the target primary. */
export class Handover {
  to: NodeId | null = null
  /** Set once the compare-and-set in favour of the target was sent: no positive answers. */
  isTransferring = false
  /** Nonce of the record that names the target: by it the target knows forwarded writes. */
  nonce = ''
  /** Set once the arbiter took a change during this handover: the last step needs its answer. */
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
   * Checks that the arbiter answers, before writes stop for good: the compare-and-set of the
   * transfer would otherwise wait without an end. While the arbiter is away or refuses, the epoch
   * goes on. `number` identifies the handover, which may be given up meanwhile.
   */
  private async hearArbiter(number: number): Promise<void> {
    const isPresent = (): boolean => this.to !== null && this.number === number
    const isTaken = await this.options.touch(isPresent)
    if (!isPresent() || this.options.isOver()) return
    const { rejection } = this.options.member.known
    if (!isTaken && rejection !== null) {
      return this.options.send({ type: 'handoverHindered', reason: rejection })
    }
    this.isArbiterHeard = isTaken
    this.check()
  }

  /** Reports to the chart when the target has everything, or has died. */
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

  /** Sends the compare-and-set. From then on nothing is answered positively. */
  async transfer(to: NodeId): Promise<void> {
    const { member, ingest, isOver, onRefused } = this.options
    const { records, ports, peers, settings } = member.context
    const { assignment, revision } = this.options.record()
    const life = peers.heardLife(to)
    if (!life) return onRefused(null)
    this.isTransferring = true
    ingest.end('NOT_PRIMARY', 'the space is being handed over')
    const epoch = Math.max(assignment.epoch, member.known.highestEpoch) + 1
    const last = member.log.end.sequence
    const next = handedOver(assignment, epoch, to, life, last, member.signature())
    this.nonce = next.nonce
    const settlement = await records.settle(next, revision, () =>
      !isOver() && member.context.wire.isOpen,
    { onRejected: (reason) => member.known.rejected(reason), madeOf: assignment })
    if (settlement.kind !== 'applied') {
      if (settlement.kind === 'refused') onRefused(settlement.current)
      return
    }
    member.alertDropped(boundedEpochs(handedEpochs(assignment, last)).dropped)
    member.known.sawEpoch(next.epoch)
    const reason = `handed over to ${to}`
    member.announce({
      kind: 'resigned', assignment, revision: settlement.record.revision, reason,
    })
    ports.events.note(
      { type: 'steppedDown', space: member.space, epoch: assignment.epoch, reason })
    if (isOver()) return
    // The new primary announces itself. If it never does, writers send again by themselves.
    this.timer = ports.clock.setTimeout(
      () => this.options.onPatienceOver(), forwardHeldAfterMs(settings.standByMs))
  }
}
