import type { NodeId } from '../../machines/base/ids.js'
import { stateName } from '../../machines/base/stateName.js'
import type { LagMonitorEffect } from '../../machines/lagMonitor.js'
import { primaryMachine } from '../../machines/primary.js'
import type { PrimaryEffect, PrimaryEvent } from '../../machines/primary.js'
import type {
  Ack, Announcement, AssignmentAt, JoinAnswer, JoinRequest, Nack, SpaceSettings,
} from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { RoleInput } from '../../machines/space.js'
import { ForkIntake, reportOpening } from '../forks/intake.js'
import { Reconciler } from '../forks/reconciler.js'
import type { ActorSpec, HostedActor } from '../host/actorHost.js'
import { commitNoticeMs } from '../member/freshness.js'
import type { Member } from '../member/member.js'
import type { StartedEpoch } from '../member/startedEpoch.js'
import type { Lease } from '../membership/lease.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { TimerHandle } from '../ports/system.js'
import type { Succession } from '../promotion/succession.js'
import { AssignmentChanges } from './assignmentChanges.js'
import type { SettingsChange } from './assignmentChanges.js'
import { Followers } from './followers.js'
import { Handover } from './handover.js'
import { HandoverGate } from './handoverGate.js'
import { Ingest } from './ingest.js'
import { PrimaryHealth } from './primaryHealth.js'
import { Readable } from './readable.js'
import { successorOf } from './relief.js'

/** The primary of one epoch: data path, replicas, lease and changes of the in-sync set. */
export class PrimaryRole {
  readonly followers: Followers
  readonly ingest: Ingest
  readonly reconciler: Reconciler
  /** Takes forks that members upload, and operators' commands about them. */
  readonly forks: ForkIntake
  /** Used by reads of the latest state. */
  readonly readable: Readable
  private readonly lease: Lease
  private readonly started: StartedEpoch
  private readonly changes: AssignmentChanges
  private actor: HostedActor<typeof primaryMachine> | null = null
  private subscription: BusSubscription | null = null
  private readSubscription: BusSubscription | null = null
  private isOver = false
  private readonly health: PrimaryHealth
  private readonly handover: Handover
  private readonly gate: HandoverGate
  private noticeTimer: TimerHandle | null = null

  constructor(
    private readonly member: Member,
    private readonly input: RoleInput,
    private readonly succession: Succession,
    private readonly onRead: (message: BusMessage) => void,
    private readonly onHandover: (isUnderWay: boolean) => void,
    private readonly onOpen: () => void,
  ) {
    const { lease, started } = member.own
    if (!input.record || !lease || !started) {
      throw new Error('a primary needs a record, a lease and an epoch that has begun')
    }
    const { alert, context: { ports, settings, commits, self, answers, lanes, budget } } = member
    const send = (event: PrimaryEvent) => this.actor?.send(event)
    this.lease = lease
    this.started = started
    const { assignment, assignment: { epoch } } = input.record
    this.changes = new AssignmentChanges({
      member, record: input.record, lease: this.lease, alert,
      followers: () => this.followers, isOver: () => this.isOver, send,
      announce: (reason) => this.announce('changed', reason),
      onRefused: (current) => this.refused(current),
    })
    this.followers = new Followers({
      member, epoch, epochStart: input.epochStart, inSync: assignment.inSync,
      onCommit: () => this.committed(),
      onOutdated: (reason) => this.deposed(reason),
      onLag: (effect) => this.onLag(effect),
    })
    this.ingest = new Ingest({
      space: member.space, node: self.node, epoch, settings, spaceSettings: () => this.settings,
      log: member.log, overlay: member.overlay, store: member.store, lease: this.lease,
      frames: ports.frames, clients: ports.clients, commits, clock: ports.clock,
      telemetry: ports.telemetry, answers, budget, logReads: lanes.logReads,
      inSyncCount: () => this.followers.certain().size,
      isUnderReplicated: () => this.followers.isUnderReplicated,
      onWritten: () => this.followers.written(), onDurable: () => this.followers.recommit(),
      onAckedWritesLost: (reason) => this.deposed(reason),
      clockAtEnd: started.clock, component: started.component,
      lastTimestamp: started.timestamp, lastTimestampAtMs: started.atMs,
      reconcile: (request, origin) => this.reconciler.fromClient(request, origin),
      losersAt: (origin, count) => this.reconciler.losersAt(origin, count),
    })
    const answered = (): number => this.ingest.highestAnswered
    this.readable = new Readable(member.log, commits, answered, () => this.isOver)
    this.health = new PrimaryHealth({
      member, ingest: this.ingest, followers: this.followers, send,
      handOver: (to, reason) => this.handOver(to, reason),
    })
    this.reconciler = new Reconciler({
      member, epoch, ingest: this.ingest, openings: started.forks, openedAtMs: started.timestamp,
    })
    this.forks = new ForkIntake({
      member, epoch, ingest: this.ingest, reconciler: this.reconciler,
      busy: () => this.notNow(),
      isAutomatic: () => (this.settings.reconcile ?? 'automatic') === 'automatic', alert,
    })
    this.gate = new HandoverGate({
      context: member.context, space: member.space, epoch,
      isGivenAway: () => this.isTransferring,
      take: (message) => this.ingest.onWrite(message),
    })
    this.handover = new Handover({
      member, followers: this.followers, ingest: this.ingest,
      record: () => this.record, touch: (wanted) => this.changes.touch(wanted),
      isOver: () => this.isOver, send,
      onRefused: (current) => this.refused(current),
      onPatienceOver: () => this.forwardHeld(),
    })
  }

  spec(): ActorSpec<typeof primaryMachine> {
    const { member, record } = this
    return {
      id: `space.${member.space}.primary`,
      logic: primaryMachine,
      input: () => ({
        space: member.space, self: member.self, times: member.context.settings,
        epoch: record.assignment.epoch, inSync: record.assignment.inSync,
      }),
      effects: (effect, actor) => {
        this.actor = actor
        this.perform(effect)
      },
      // However the actor ends, killed or done, this node is no longer primary.
      onExit: (exit) => this.end(exit.kind === 'failed' ? 'the primary\'s actor failed'
        : 'its actor was stopped'),
    }
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'opening')
  }

  /** Sequence of this epoch's epoch-start entry. */
  get epochStart(): number {
    return this.input.epochStart
  }

  get serves(): boolean {
    return !this.isOver && this.handover.to === null && this.lease.valid()
      && this.subscription !== null
  }

  /** Set while its state of the space is the latest: until another node may be primary. */
  get mayAnswerReads(): boolean {
    return !this.isOver && !this.isTransferring && this.lease.valid()
  }

  /** Answers wait for room in the loss window, or did within the last heartbeat. */
  get isThrottled(): boolean {
    return this.health.isThrottled
  }

  get isPrimary(): boolean {
    return !this.isOver
  }

  private get record(): AssignmentAt {
    return this.changes.record
  }

  get settings(): SpaceSettings {
    return this.record.assignment.settings
  }

  /** Returns why only clients' writes are logged now, or null when other entries are, too. */
  private notNow(): string | null {
    if (this.isOver || !this.lease.valid()) return 'this node is no longer primary'
    if (this.subscription === null) return 'this primary is still opening'
    return this.handover.to === null ? null : 'the space is being handed over'
  }

  get isTransferring(): boolean {
    return this.handover.isTransferring
  }

  // The data path ends at once, before any event is processed.
  lapsed(reason: string): void {
    this.ingest.end('LEASE_LAPSED', reason)
    if (!this.isOver) this.actor?.send({ type: 'leaseLapsed', reason })
  }

  deposed(reason: string): void {
    this.ingest.end('LEASE_LAPSED', reason)
    if (!this.isOver) this.actor?.send({ type: 'deposed', reason })
  }

  /** Reports that the journal refuses writes, or that it takes them again (null). */
  journalFault(reason: string | null): void {
    this.actor?.send(reason === null ? { type: 'journalHealed' } : { type: 'journalFull', reason })
  }

  /** Resolves with the settings that the record has then; rejects with AdminRefusal. */
  async changeSettings(change: SettingsChange): Promise<SpaceSettings> {
    return await this.changes.ask(change)
  }

  onAckMessage(message: Ack | Nack): void {
    this.followers.onMessage(message)
    this.handover.check()
  }

  join(request: JoinRequest): JoinAnswer | null {
    return this.isOver ? null : this.followers.join(request)
  }

  handOver(to: NodeId, reason: string): boolean {
    if (this.isOver || this.handover.to || to === this.member.self) return false
    if (!this.record.assignment.inSync.includes(to)) return false
    this.actor?.send({ type: 'handoverRequested', to, reason })
    if (this.handover.to !== to) return false
    this.succession.handoverBegun(this.record.assignment.epoch, to, reason)
    return true
  }

  /** Forwards held writes once the new primary has announced itself. */
  announced(announcement: Announcement): void {
    const { assignment } = announcement
    if (assignment.epoch <= this.record.assignment.epoch || announcement.kind !== 'changed') return
    const { to } = this.handover
    if (to && assignment.primary?.node === to) this.forwardHeld()
  }

  tick(): void {
    if (this.isOver) return
    // Checked here as well: the lease may have lapsed before this role was listening.
    if (!this.lease.valid()) return this.lapsed('the lease has lapsed')
    this.followers.tick()
    this.gate.tick()
    this.ingest.expire()
    this.health.tick()
    const { inSync } = this.record.assignment
    for (const change of this.followers.changes(inSync)) this.actor?.send(change)
    this.handover.check()
    this.health.relieve()
  }

  /** Adopts a record that was read since: an operator may have paused or resumed the space. */
  recordSeen(record: AssignmentAt): void {
    this.changes.seen(record)
  }

  /** Returns the best in-sync member to hand over to, or null when there is none. */
  successor(): NodeId | null {
    return successorOf(this.member, this.followers)
  }

  private committed(): void {
    this.ingest.committed()
    this.noticeTimer ??= this.member.context.ports.clock.setTimeout(() => {
      this.noticeTimer = null
      if (!this.isOver) this.followers.notice()
    }, commitNoticeMs)
  }

  private onLag(effect: LagMonitorEffect): void {
    const { type, peer: replica, reason, ...lag } = effect
    const kind = type === 'lagRaised' ? 'replicaLag' : 'replicaLagCleared'
    this.member.alert(kind, { replica, ...lag }, reason)
  }

  private perform(effect: PrimaryEffect): void {
    const { member } = this
    const { ports } = member.context
    switch (effect.type) {
      case 'openWrites':
        this.followers.start()
        void this.openWrites()
        return
      case 'pauseWrites':
        this.gate.hold()
        this.onHandover(true)
        return
      case 'resumeWrites':
        this.onHandover(false)
        this.handover.giveUp()
        this.gate.open()
        return
      case 'refuseWrites':
        this.ingest.refuse({ code: effect.code, message: effect.reason })
        if (effect.code === 'READ_ONLY') this.member.alert('readOnly', {}, effect.reason)
        return
      case 'acceptWrites':
        this.ingest.refuse(null)
        return
      case 'changeInSync':
        void this.changes.inSync(effect.inSync, effect.reason)
        return
      case 'changeSettings':
        void this.changes.settings()
        return
      case 'awaitHandover':
        this.handover.begin(effect.to)
        return
      case 'transfer':
        void this.handover.transfer(effect.to)
        return
      case 'stepDown':
        this.end(effect.reason)
        return
      case 'progressed':
        ports.logger.info({ space: member.space, state: effect.state }, `primary: ${effect.reason}`)
    }
  }

  private async openWrites(): Promise<void> {
    const { member } = this
    const { wire } = member.context
    const subject = subjects.write(member.space)
    // Set when this node is the target of a handover: the old primary wrote the record.
    const former = this.input.adopted?.assignment.writer
    if (former && former !== member.self) {
      const { assignment: { nonce } } = this.input.adopted!
      this.gate.awaitForwarded(former, member.log.epochAt(this.epochStart - 1), nonce)
    }
    try {
      this.subscription = wire.subscribe(subject, (message) => this.gate.onWrite(message))
      this.readSubscription = wire.subscribeSide(subjects.read(member.space), this.onRead)
      // The announcement is sent after the server has the subscription.
      await wire.flush()
    } catch (error) {
      this.actor?.send({ type: 'deposed', reason: String(error) })
      return
    }
    if (this.isOver) return
    this.succession.opened(this.record, this.started)
    this.changes.alertIfAlone(this.record.assignment.inSync)
    for (const opening of this.started.forks) reportOpening(this.member, opening)
    this.actor?.send({ type: 'writesSubscribed' })
    this.onOpen()
  }

  private announce(kind: Announcement['kind'], reason: string): void {
    const { assignment, revision } = this.record
    this.member.announce({ kind, assignment, revision, reason })
  }

  private refused(current: AssignmentAt | null): void {
    const reason = current
      ? `the record is at epoch ${current.assignment.epoch} of `
        + `${current.assignment.primary?.node ?? 'nobody'}`
      : 'the record is gone'
    this.ingest.end('LEASE_LAPSED', reason)
    this.actor?.send({ type: 'compareAndSetRefused', reason })
  }

  /** Unsubscribes, and forwards held writes to the new primary in order. */
  private forwardHeld(): void {
    this.subscription?.unsubscribe()
    this.subscription = null
    this.gate.forwardHeld(this.handover.nonce)
    this.actor?.send({ type: 'handedOver' })
  }

  private end(reason: string): void {
    if (this.isOver) return
    this.isOver = true
    const { member } = this
    const { clock } = member.context.ports
    this.ingest.end('LEASE_LAPSED', reason)
    this.subscription?.unsubscribe()
    this.readSubscription?.unsubscribe()
    this.subscription = null
    this.handover.stop()
    if (this.noticeTimer) clock.clearTimeout(this.noticeTimer)
    this.gate.close(reason)
    this.health.end()
    this.followers.stop()
    if (!this.isTransferring) {
      this.announce('resigned', reason)
      this.succession.steppedDown(this.record.assignment.epoch, reason)
    }
    member.own.stepDown(reason)
    member.context.ports.logger.info({ space: member.space }, `no longer primary: ${reason}`)
  }
}
