import type { NodeId } from '../../machines/base/ids.js'
import { primaryMachine } from '../../machines/primary.js'
import type { PrimaryEffect } from '../../machines/primary.js'
import type { InstallAnswer, InstallReport } from '../../machines/protocol/installMessages.js'
import type { MemberChange } from '../../machines/protocol/memberChange.js'
import type { MemberOrder } from '../../machines/protocol/members.js'
import type { Ack, Announcement, Assignment, AssignmentAt, JoinAnswer, JoinRequest, Nack,
  SpaceSettings } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { RoleInput } from '../../machines/space.js'
import { ForkIntake, reportOpening } from '../forks/intake.js'
import type { IntakePrimary } from '../forks/intake.js'
import { Reconciler } from '../forks/reconciler.js'
import type { UploaderRunner } from '../forks/uploaderRunner.js'
import type { ActorSpec } from '../host/actorHost.js'
import type { Member } from '../member/member.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { Succession } from '../promotion/succession.js'
import { AssignmentWriter } from './assignmentWriter.js'
import { changeWaitsFor } from './changeProgress.js'
import { choiceCommand, membersCommand, settingsCommand } from './recordCommands.js'
import type { SettingsChange } from './recordCommands.js'
import { Followers } from './followers.js'
import { Handover } from './handover.js'
import { WriteGate } from './writeGate.js'
import { Ingest } from './ingest.js'
import { InSyncSet } from './inSyncSet.js'
import { PrimaryEpoch } from './primaryEpoch.js'
import { PendingView } from './pendingView.js'
import { PrimaryHealth } from './primaryHealth.js'
import { ReadBarrier } from './readBarrier.js'
import { successorOf } from './autoHandover.js'
import type { AutoHandoverPrimary } from './autoHandover.js'
import { AutoBalance } from './autoBalance.js'
import { LearnerProgress } from './learnerProgress.js'
import { SelfHealing } from './selfHealing.js'
import { WriteAnswers } from './writeAnswers.js'
import { WriteBuffer } from './writeBuffer.js'

/** The space of a primary, as the primary needs it. */
export interface PrimarySpace {
  readonly reads: { onRead(message: BusMessage): void }
  readonly uploads: Pick<UploaderRunner, 'epochKnown'>
  /** A handover to another node has begun, or was given up. */
  onHandover(isUnderWay: boolean): void
}

/**
 * The primary of one epoch: data path, replicas, lease and changes of the in-sync set. It puts its
 * parts together, performs the effects of its chart, and ends.
 */
export class PrimaryRole implements IntakePrimary, AutoHandoverPrimary {
  readonly followers: Followers
  readonly ingest: Ingest
  readonly reconciler: Reconciler
  /** Takes forks that members upload, and operators' commands about them. */
  readonly forks: ForkIntake
  /** Used by reads of the latest state. */
  readonly readable: ReadBarrier
  private readonly epoch: PrimaryEpoch
  private readonly inSync: InSyncSet
  private readonly replies: WriteAnswers
  private readonly records: AssignmentWriter
  private readonly gate: WriteGate
  private readonly handover: Handover
  private readonly health: PrimaryHealth
  private readonly learner: LearnerProgress
  private readonly healing: SelfHealing
  private readonly balance: AutoBalance
  private readSubscription: BusSubscription | null = null

  constructor(
    private readonly member: Member,
    private readonly input: RoleInput,
    private readonly succession: Succession,
    private readonly space: PrimarySpace,
  ) {
    const { context, log } = member
    const { budget, commits, ports: { clock, frames }, settings } = context
    const epoch = this.epoch = new PrimaryEpoch(member, input.record)
    const { number, started } = epoch
    const inSync = this.inSync = new InSyncSet(member, epoch.record.assignment.inSync)
    const buffer = new WriteBuffer({
      frames,
      clock,
      account: budget.account('writes'),
      frameBytesMax: settings.frameBytesMax,
    })
    const pending = new PendingView(clock, number, log, buffer)
    const reconciler = this.reconciler = new Reconciler({ member, epoch: number, pending, started })
    const replies = this.replies = new WriteAnswers({ epoch, log, inSync, context })
    const followers = this.followers = new Followers({ member, epoch, inSync, replies })
    const ingest = this.ingest = new Ingest({
      epoch,
      member,
      context,
      inSync,
      buffer,
      pending,
      replies,
      replicas: followers,
      resent: reconciler,
    })
    epoch.stops(ingest)
    epoch.adopts(() => followers.listed())
    this.readable = new ReadBarrier(log, commits, ingest, epoch)
    this.forks = new ForkIntake({ member, epoch: number, ingest, reconciler, primary: this })
    const records = this.records = new AssignmentWriter({ member, epoch, inSync, followers })
    const gate = this.gate = new WriteGate({ context, space: member.space, epoch, ingest })
    this.handover = new Handover({ member, epoch, followers, ingest, gate, records })
    const order: typeof this.changeMembers = (...of) => this.changeMembers(...of)
    const learner = this.learner = new LearnerProgress(member, followers)
    this.healing = new SelfHealing({ member, order, learner })
    this.balance = new AutoBalance({ member, followers, inSync, primary: this, order, learner })
    this.health = new PrimaryHealth({ member, epoch, inSync, followers, ingest, primary: this })
  }

  spec(): ActorSpec<typeof primaryMachine> {
    const { member, epoch: { record } } = this
    return {
      id: `space.${member.space}.primary`,
      logic: primaryMachine,
      input: () => ({
        space: member.space,
        self: member.self,
        times: member.context.settings,
        epoch: record.assignment.epoch,
        inSync: record.assignment.inSync,
        change: record.assignment.change ?? null,
      }),
      effects: (effect, actor) => {
        this.epoch.follow(actor)
        this.perform(effect)
      },
      // However the actor ends, killed or done, this node is no longer primary.
      onExit: (exit) =>
        this.end(exit.kind === 'failed'
          ? 'the primary\'s actor failed'
          : 'its actor was stopped'),
    }
  }

  get state(): string {
    return this.epoch.state
  }

  /** Sequence of this epoch's epoch-start entry. */
  get epochStart(): number {
    return this.epoch.started.sequence
  }

  get serves(): boolean {
    return !this.epoch.isOver && this.handover.to === null && this.epoch.lease.valid()
      && this.gate.isSubscribed
  }

  /** Set while its state of the space is the latest: until another node may be primary. */
  get mayAnswerReads(): boolean {
    return !this.epoch.isOver && !this.epoch.isGivenAway && this.epoch.lease.valid()
  }

  /** Answers wait for room in the loss window, or did within the last heartbeat. */
  get isThrottled(): boolean {
    return this.health.isThrottled
  }

  get isPrimary(): boolean {
    return !this.epoch.isOver
  }

  get settings(): SpaceSettings {
    return this.epoch.settings
  }

  /** What the change of the members waits for; null: none is under way. */
  get changeWaitsFor(): string | null {
    const { member, epoch, inSync, followers } = this
    return changeWaitsFor({ member, epoch, inSync, followers })
  }

  /** Returns why only clients' writes are logged now, or null when other entries are, too. */
  notNow(): string | null {
    if (this.epoch.isOver || !this.epoch.lease.valid()) return 'this node is no longer primary'
    if (!this.gate.isSubscribed) return 'this primary is still opening'
    return this.handover.to === null ? null : 'the space is being handed over'
  }

  /** Why the latest handover was given up; null: it was not, or there was none. */
  get handoverGaveUp(): string | null {
    return this.handover.gaveUp
  }

  /** Set once the compare-and-set of a handover was sent. */
  get isTransferring(): boolean {
    return this.epoch.isGivenAway
  }

  lapsed(reason: string): void {
    this.epoch.lapsed(reason)
  }

  deposed(reason: string): void {
    this.epoch.deposed(reason)
  }

  /** From here on nothing is answered positively: a compare-and-set may end the space. */
  giveUp(reason: string): void {
    this.epoch.giveAway()
    this.ingest.end('NOT_PRIMARY', reason)
  }

  /** Reports that the journal refuses writes, or that it takes them again (null). */
  journalFault(reason: string | null): void {
    this.epoch.send(reason === null ? { type: 'journalHealed' } : { type: 'journalFull', reason })
  }

  /** Resolves with the settings that the record has then; rejects with AdminRefusal. */
  async changeSettings(change: SettingsChange): Promise<SpaceSettings> {
    return (await this.records.ask(settingsCommand(this.member, change))).settings
  }

  /** Orders a change of the members; null: cancels `only` that one, or any. May be refused. */
  async changeMembers(order: MemberOrder | null, only?: MemberChange): Promise<Assignment> {
    return await this.records.ask(membersCommand(this.member, order, only))
  }

  /** Notes that the operator `by` chose this node, so that it stays primary. May be refused. */
  async chosen(by: string): Promise<void> {
    await this.records.ask(choiceCommand(this.member, by))
  }

  onAckMessage(message: Ack | Nack): void {
    this.member.stir()
    this.followers.onMessage(message)
    this.handover.check()
  }

  join(request: JoinRequest): JoinAnswer | null {
    this.member.stir()
    if (request.epoch === this.epoch.number) this.gate.joined(request.node)
    return this.epoch.isOver ? null : this.followers.join(request)
  }

  installReported(report: InstallReport): InstallAnswer | null {
    this.member.stir()
    return this.epoch.isOver ? null : this.followers.installReported(report)
  }

  /** `by`: the operator who chooses the target, and is not overruled; null: none does. */
  handOver(to: NodeId, reason: string, by: string | null = null): boolean {
    const { epoch } = this
    if (epoch.isOver || this.handover.to || to === this.member.self) return false
    if (!epoch.record.assignment.inSync.includes(to)) return false
    this.member.stir()
    this.handover.ordered(by)
    epoch.send({ type: 'handoverRequested', to, reason })
    if (this.handover.to !== to) return false
    this.succession.handoverBegun(epoch.number, to, reason)
    return true
  }

  announced(announcement: Announcement): void {
    this.handover.announced(announcement)
  }

  /** It serves, nobody waits, and all members have everything: nothing is due. */
  get isLevel(): boolean {
    const { duty, commits } = this.member.context
    return !this.epoch.isOver && this.gate.isSubscribed && this.handover.to === null
      && this.ingest.isIdle && this.followers.areLevel && !this.health.isThrottled
      && duty.drained === null && !commits.isFull
  }

  tick(): void {
    const { epoch } = this
    if (epoch.isOver) return
    // Checked here as well: the lease may have lapsed before this role was listening.
    if (!epoch.lease.valid()) return epoch.lapsed('the lease has lapsed')
    this.followers.tick()
    this.gate.tick()
    this.ingest.expire()
    this.health.tick()
    const { inSync } = epoch.record.assignment
    // One change is in flight at a time: until it is settled, the chart takes no other.
    const changes = this.inSync.isSettled ? this.followers.changes(inSync) : []
    for (const change of changes) epoch.send(change)
    this.handover.tick()
    this.learner.tick()
    this.healing.tick()
    this.balance.tick()
    this.health.relieve()
  }

  /** Adopts a record that was read since: an operator may have paused or resumed the space. */
  recordSeen(record: AssignmentAt): void {
    this.epoch.recordSeen(record)
  }

  /** Returns the best in-sync member to hand over to, or null when there is none. */
  successor(): NodeId | null {
    return successorOf(this.member, this.inSync, this.followers)
  }

  private perform(effect: PrimaryEffect): void {
    const { member } = this
    const { ports } = member.context
    switch (effect.type) {
      case 'openWrites':
        this.followers.start()
        return void this.openWrites()
      case 'pauseWrites':
        this.gate.hold()
        this.space.onHandover(true)
        return
      case 'resumeWrites':
        this.space.onHandover(false)
        this.handover.giveUp(effect.reason)
        this.gate.open()
        return
      case 'refuseWrites':
        this.ingest.refuse({ code: effect.code, message: effect.reason })
        if (effect.code === 'READ_ONLY') this.member.alert('readOnly', {}, effect.reason)
        return
      case 'acceptWrites':
        return this.ingest.refuse(null)
      case 'changeInSync':
        return void this.records.inSync(effect.inSync, effect.reason)
      case 'removeMember':
        return void this.records.removeMember(effect.node, effect.reason)
      case 'changeRecord':
        return void this.records.next()
      case 'awaitHandover':
        return this.handover.begin(effect.to)
      case 'transfer':
        return void this.handover.transfer(effect.to)
      case 'stepDown':
        return this.end(effect.reason)
      case 'progressed':
        ports.logger.info({ space: member.space, state: effect.state }, `primary: ${effect.reason}`)
    }
  }

  private async openWrites(): Promise<void> {
    const { epoch, gate, member, space } = this
    const { wire } = member.context
    // Set when this node is the target of a handover: the old primary wrote the record.
    const former = this.input.adopted?.assignment.writer
    if (former && former !== member.self) {
      const { assignment: { nonce } } = this.input.adopted!
      gate.awaitForwarded(former, member.log.epochAt(this.epochStart - 1), nonce)
    }
    try {
      gate.subscribe()
      this.readSubscription = wire.subscribeSide(
        subjects.read(member.space),
        (message) => space.reads.onRead(message),
      )
      // The announcement is sent after the server has the subscription.
      await wire.flush()
    } catch (error) {
      epoch.send({ type: 'deposed', reason: String(error) })
      return
    }
    if (epoch.isOver) return
    this.succession.opened(epoch.record, epoch.started)
    this.records.alertIfAlone(epoch.record.assignment.inSync)
    for (const opening of epoch.started.forks) reportOpening(member, opening)
    epoch.send({ type: 'writesSubscribed' })
    space.uploads.epochKnown(member.self, epoch.number)
  }

  private end(reason: string): void {
    const { epoch, member } = this
    if (epoch.isOver) return
    epoch.end(reason)
    this.gate.close(reason)
    this.readSubscription?.unsubscribe()
    this.handover.stop()
    this.health.end()
    this.healing.end()
    this.balance.end()
    this.followers.stop()
    if (!epoch.isGivenAway) {
      epoch.announce('resigned', reason)
      this.succession.steppedDown(epoch.number, reason)
    }
    member.own.stepDown(reason)
    member.context.ports.logger.info({ space: member.space }, `no longer primary: ${reason}`)
  }

  /** Resolves once all who waited when the epoch ended have their answer, or were forwarded. */
  async settled(): Promise<void> {
    const { clock } = this.member.context.ports
    while (this.epoch.isOver && !(this.replies.isIdle && this.gate.isEmpty)) {
      await new Promise<void>((resolve) => clock.nextTurn(resolve))
    }
  }
}
