import type { NodeId } from '../../machines/base/ids.js'
import { boundedEpochs, handedOver, handedEpochs,
  withPromoter } from '../../machines/protocol/assignments.js'
import type { Announcement } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'
import type { TimerHandle } from '../ports/system.js'
import type { AssignmentWriter } from './assignmentWriter.js'
import type { Followers } from './followers.js'
import { forwardHeldAfterMs } from './writeGate.js'
import type { WriteGate } from './writeGate.js'
import type { Ingest } from './ingest.js'
import type { PrimaryEpoch } from './primaryEpoch.js'

export interface HandoverOptions {
  readonly member: Member
  readonly epoch: PrimaryEpoch
  readonly followers: Followers
  readonly ingest: Ingest
  readonly gate: WriteGate
  readonly records: AssignmentWriter
}

/** A planned handover: writes are drained, then one compare-and-set makes the target primary. */
export class Handover {
  private target: NodeId | null = null
  private orderedBy: string | null = null
  /** Nonce of the record that names the target: by it the target knows forwarded writes. */
  private nonce = ''
  /** Epoch of the target, from the sending of the compare-and-set on. */
  private givenEpoch: number | null = null
  /** Set once the arbiter took a change during this handover: the last step needs its answer. */
  private isArbiterHeard = false
  private failure: string | null = null
  private number = 0
  private timer: TimerHandle | null = null

  constructor(private readonly options: HandoverOptions) {}

  /** Member that is to be primary; null: no handover is under way. */
  get to(): NodeId | null {
    return this.target
  }

  /** Why the latest handover was given up; null: it was not, or there was none. */
  get gaveUp(): string | null {
    return this.failure
  }

  /** Notes the operator who chooses the target of the next handover; null: none does. */
  ordered(by: string | null): void {
    this.orderedBy = by
  }

  begin(to: NodeId): void {
    const { member, ingest } = this.options
    this.target = to
    this.failure = null
    this.isArbiterHeard = false
    member.context.commits.mark(ingest)
    void this.hearArbiter(this.number += 1)
  }

  /** `reason`: null if it was not ready in time. */
  giveUp(reason: string | null): void {
    const { member } = this.options
    const to = this.target ?? ''
    this.failure = reason
      ?? `${to} could not take over in time: ${this.obstacle(to) ?? 'it was ready too late'}`
    this.target = null
    member.context.ports.logger.info({ space: member.space, to },
      `the handover is given up: ${this.failure}`)
  }

  stop(): void {
    if (this.timer) this.options.member.context.ports.clock.clearTimeout(this.timer)
    this.timer = null
  }

  /**
   * Checks that the arbiter answers, before writes stop for good: the compare-and-set of the
   * transfer would otherwise wait without an end. While the arbiter is away or refuses, the epoch
   * goes on. `number` identifies the handover, which may be given up meanwhile.
   */
  private async hearArbiter(number: number): Promise<void> {
    const isPresent = (): boolean => this.to !== null && this.number === number
    const { member, epoch, records } = this.options
    const isTaken = await records.touch(isPresent)
    if (!isPresent() || epoch.isOver) return
    const { rejection } = member.known
    if (!isTaken && rejection !== null) {
      return epoch.send({ type: 'handoverHindered', reason: rejection })
    }
    this.isArbiterHeard = isTaken
    this.check()
  }

  /**
   * Called once per heartbeat. Tells the target of its epoch, so that it reads the record: it may
   * miss what is announced, and this node may not hear whether the record was changed.
   */
  tick(): void {
    this.check()
    const { member } = this.options
    // Given away, and for nothing: this node or a third one has to take over.
    if (this.to && this.timer && member.context.peers.isProvenDead(this.to)) this.forwardUnasked()
    if (this.to && this.givenEpoch !== null) member.sendSession(this.to, this.givenEpoch, 0)
  }

  /** Reports to the chart when the target has everything and is heard, or has died. */
  check(): void {
    const { member, epoch, followers } = this.options
    if (!this.to || epoch.isOver) return
    if (member.context.peers.isProvenDead(this.to)) {
      epoch.send({ type: 'handoverTargetLost', reason: `${this.to} died before the handover` })
      return
    }
    if (this.obstacle(this.to) !== null) return
    followers.recommit()
    epoch.send({ type: 'handoverReady' })
  }

  /** What the compare-and-set has to wait for, or null. */
  private obstacle(to: NodeId): string | null {
    const { member, followers, ingest } = this.options
    if (!this.isArbiterHeard) return 'the arbiter does not answer'
    if (!member.context.peers.isHeard(to)) return `${to} is not heard`
    const isFlushed = ingest.isIdle && member.log.durable.sequence === member.log.end.sequence
    if (!isFlushed) return `the journal of ${member.self} does not finish its writes`
    return followers.hasAll(to) ? null : `${to} does not have all entries`
  }

  /** Sends the compare-and-set. From then on nothing is answered positively. */
  async transfer(to: NodeId): Promise<void> {
    const { member, epoch, ingest } = this.options
    const { records, ports, peers, settings } = member.context
    const { assignment, revision } = epoch.record
    const life = peers.heardLife(to)
    if (!life) return epoch.refused(null)
    epoch.giveAway()
    ingest.end('NOT_PRIMARY', 'the space is being handed over')
    const nextEpoch = Math.max(assignment.epoch, member.known.highestEpoch) + 1
    const last = member.log.end.sequence
    const given = handedOver(assignment, nextEpoch, to, life, last, member.signature())
    const next = withPromoter(given, this.orderedBy)
    this.nonce = next.nonce
    this.givenEpoch = nextEpoch
    const settlement = await records.settle(next, revision,
      () => !epoch.isOver && member.context.wire.isOpen, {
      onRejected: (reason) => member.known.rejected(reason),
      madeOf: assignment,
      urgency: 'promotion',
    })
    if (settlement.kind !== 'applied') {
      if (settlement.kind === 'refused') epoch.refused(settlement.current)
      return
    }
    member.alertDropped(boundedEpochs(handedEpochs(assignment, last)).dropped)
    member.known.sawEpoch(next.epoch)
    const reason = `handed over to ${to}`
    member.announce({
      kind: 'resigned',
      assignment,
      revision: settlement.record.revision,
      reason,
    })
    ports.events.note(
      { type: 'steppedDown', space: member.space, epoch: assignment.epoch, reason },
    )
    if (epoch.isOver) return
    // The new primary announces itself. If it never does, held writes are forwarded if it is there.
    this.timer = ports.clock.setTimeout(
      () => this.forwardUnasked(),
      forwardHeldAfterMs(settings.standByMs),
    )
  }

  /** Forwards held writes once the new primary has announced itself. */
  announced({ kind, assignment: { epoch, primary } }: Announcement): void {
    if (epoch <= this.options.epoch.number || kind !== 'changed') return
    if (this.to && primary?.node === this.to) this.forwardHeld()
  }

  private forwardHeld(): void {
    const { epoch, gate } = this.options
    gate.forwardHeld(this.nonce, () => epoch.send({ type: 'handedOver' }))
  }

  private forwardUnasked(): void {
    const { epoch, gate } = this.options
    this.stop()
    void gate.forwardUnasked(this.nonce, () => epoch.send({ type: 'handedOver' }))
  }
}
