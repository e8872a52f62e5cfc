import { withInSync } from '../machines/assignments.js'
import type { LagMonitorEffect } from '../machines/lagMonitor.js'
import { primaryMachine } from '../machines/primary.js'
import type { PrimaryEffect } from '../machines/primary.js'
import type {
  AckMessage, Announcement, AssignmentAt, JoinAnswer, JoinRequest, NodeId,
} from '../machines/protocol.js'
import type { RoleInput } from '../machines/space.js'
import { stateName } from '../machines/stateName.js'
import { subjects } from '../machines/subjects.js'
import { Followers } from './followers.js'
import { Handover } from './handover.js'
import type { ActorSpec, HostedActor } from './hosting.js'
import { Ingest } from './ingest.js'
import type { Lease } from './lease.js'
import { commitNoticeMs } from './member.js'
import type { Member } from './member.js'
import type { BusMessage, BusSubscription, TimerHandle } from './ports.js'
import { WriteGate } from './writeGate.js'

/** One reign: its data path, its replicas, its lease, its changes of the in-sync set. */
export class PrimaryRole {
  readonly followers: Followers
  readonly ingest: Ingest
  private readonly lease: Lease
  private record: AssignmentAt
  private actor: HostedActor<typeof primaryMachine> | null = null
  private subscription: BusSubscription | null = null
  private readSubscription: BusSubscription | null = null
  private isOver = false
  private isBufferFull = false
  /** Answers wait for room in the loss window, or did within the last heartbeat. */
  isThrottled = false
  private readonly handover: Handover
  private readonly gate: WriteGate
  private noticeTimer: TimerHandle | null = null

  constructor(
    private readonly member: Member,
    private readonly input: RoleInput,
    clockAtEnd: Record<string, number>,
    private readonly onRead: (message: BusMessage) => void,
    private readonly onHandover: (isUnderWay: boolean) => void,
    private readonly alert: (kind: string, fields: object, message: string) => void,
  ) {
    if (!input.record || !member.lease) throw new Error('a primary needs a record and a lease')
    const { ports, settings, commits, self, wire } = member.context
    this.record = input.record
    this.lease = member.lease
    const { assignment, assignment: { epoch } } = input.record
    this.followers = new Followers({
      member, epoch, epochStart: input.epochStart, inSync: assignment.inSync,
      onCommit: () => this.committed(),
      onOutdated: (reason) => this.deposed(reason),
      onLag: (effect) => this.onLag(effect),
    })
    this.ingest = new Ingest({
      space: member.space, node: self.node, epoch, settings,
      spaceSettings: assignment.settings,
      log: member.log, overlay: member.overlay, store: member.store, lease: this.lease,
      frames: ports.frames, clients: ports.clients, commits, clock: ports.clock,
      telemetry: ports.telemetry, publish: wire.publish,
      inSyncCount: () => this.followers.certain().size,
      isUnderReplicated: () => this.followers.isUnderReplicated,
      onWritten: () => this.followers.written(),
      onDurable: () => this.followers.recommit(),
      onForgotten: (reason) => this.deposed(reason),
      clockAtEnd, lastTimestamp: member.lastTimestamp,
    })
    this.gate = new WriteGate({
      context: member.context, space: member.space, epoch,
      take: (message) => this.ingest.onWrite(message),
    })
    this.handover = new Handover({
      member, followers: this.followers, ingest: this.ingest,
      record: () => this.record,
      isOver: () => this.isOver,
      send: (event) => this.actor?.send(event),
      onRefused: (current) => this.refused(current),
      onPatienceOver: () => this.passOn(),
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
      // However the actor ends, killed or done, its reign is over (DESIGN section 5).
      onExit: (exit) => this.end(exit.kind === 'failed' ? 'the primary\'s actor failed' : 'closed'),
    }
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'opening')
  }

  /** Sequence of this reign's epoch-start entry. */
  get epochStart(): number {
    return this.input.epochStart
  }

  get serves(): boolean {
    return !this.isOver && this.handover.to === null && this.lease.valid()
      && this.subscription !== null
  }

  /** What it says of the space is the latest: until the reign is given away. */
  get mayAnswerReads(): boolean {
    return !this.isOver && !this.isTransferring && this.lease.valid()
  }

  /** What was answered can be read: also at level `memory`, whose entries come with the flush. */
  async readable(): Promise<void> {
    const upTo = this.ingest.highestAnswered
    const { log, context } = this.member
    try {
      while (!this.isOver && log.durable.sequence < upTo) {
        await context.commits.submit({ type: 'confirm' })
      }
    } catch {
      // The journal refuses: those answers are void.
    }
  }

  get reigns(): boolean {
    return !this.isOver
  }

  get isTransferring(): boolean {
    return this.handover.isTransferring
  }

  // ---------------------------------------------------------------- what happens around it

  // The data path ends at once, before any event is processed.
  lapsed(reason: string): void {
    this.ingest.end('LEASE_LAPSED', reason)
    if (!this.isOver) this.actor?.send({ type: 'leaseLapsed', reason })
  }

  deposed(reason: string): void {
    this.ingest.end('LEASE_LAPSED', reason)
    if (!this.isOver) this.actor?.send({ type: 'deposed', reason })
  }

  /** The journal refuses writes, for this reason, or takes them again (null). */
  journalFault(reason: string | null): void {
    this.actor?.send(reason === null ? { type: 'journalHealed' } : { type: 'journalFull', reason })
  }

  onAckMessage(message: AckMessage): void {
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
    return this.handover.to === to
  }

  /** The new primary says that it reigns: what I held is passed on. */
  announced(announcement: Announcement): void {
    const { assignment } = announcement
    if (assignment.epoch <= this.record.assignment.epoch || announcement.kind !== 'changed') return
    const { to } = this.handover
    if (to && assignment.primary?.node === to) this.passOn()
  }

  tick(): void {
    if (this.isOver) return
    // Told here once more, should the lease have lapsed before this role was listening.
    if (!this.lease.valid()) return this.lapsed('the lease has lapsed')
    this.followers.tick()
    this.gate.tick()
    this.ingest.expire()
    const { settings } = this.member.context
    const isFull = this.ingest.bufferedBytes > settings.unflushedBytesMax
    if (isFull || this.isBufferFull) {
      this.actor?.send(isFull
        ? { type: 'bufferFull', reason: 'the disk does not keep up' }
        : { type: 'bufferDrained' })
    }
    this.isBufferFull = isFull
    this.tellThrottled(this.ingest.takeThrottled())
    const { inSync } = this.record.assignment
    for (const change of this.followers.changes(inSync)) this.actor?.send(change)
    this.handover.check()
  }

  private tellThrottled(isThrottled: boolean): void {
    // Each time: it may have come back from a handover, which forgets.
    if (isThrottled || this.isThrottled) {
      this.actor?.send(isThrottled
        ? { type: 'lossWindowFilled', reason: 'the loss window is as large as it may be' }
        : { type: 'lossWindowCleared', reason: 'there is room in the loss window' })
    }
    this.isThrottled = isThrottled
  }

  private committed(): void {
    this.ingest.committed()
    this.noticeTimer ??= this.member.context.ports.clock.setTimeout(() => {
      this.noticeTimer = null
      if (!this.isOver) this.followers.notice()
    }, commitNoticeMs)
  }

  private onLag(effect: LagMonitorEffect): void {
    const { type, ...fields } = effect
    this.alert(type === 'lagRaised' ? 'lag' : 'lagCleared', fields, effect.reason)
  }

  // ---------------------------------------------------------------- effects of the chart

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
        if (effect.code === 'READ_ONLY') this.alert('readOnly', {}, effect.reason)
        return
      case 'acceptWrites':
        this.ingest.refuse(null)
        return
      case 'changeInSync':
        void this.changeInSync(effect.inSync, effect.reason)
        return
      case 'awaitHandover':
        this.handover.begin(effect.to)
        return
      case 'transfer':
        void this.handover.transfer(effect.to)
        return
      case 'endReign':
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
    // A handover in my favour: the old primary wrote the record that names me.
    const former = this.input.adopted?.assignment.writer
    if (former && former !== member.self) {
      this.gate.awaitForwarded(former, member.log.epochAt(this.epochStart - 1))
    }
    try {
      this.subscription = wire.subscribe(subject, (message) => this.gate.onWrite(message))
      this.readSubscription = wire.subscribe(subjects.read(member.space), this.onRead)
      // The announcement goes out after the subscription stands at the server.
      await wire.flush()
    } catch (error) {
      this.actor?.send({ type: 'deposed', reason: String(error) })
      return
    }
    if (this.isOver) return
    this.announce('changed', 'the reign is open')
    this.alertIfAlone(this.record.assignment.inSync)
    this.actor?.send({ type: 'writesSubscribed' })
  }

  private announce(kind: Announcement['kind'], reason: string): void {
    const { assignment, revision } = this.record
    this.member.announce({ kind, assignment, revision, reason })
  }

  private async changeInSync(inSync: readonly NodeId[], reason: string): Promise<void> {
    const { member, followers } = this
    const { assignment, revision } = this.record
    const { records, ports } = member.context
    followers.propose(inSync)
    this.lease.need(followers.union())
    const diskOf = (node: NodeId) => followers.diskOf(node)
    const next = withInSync(assignment, inSync, diskOf, member.signature())
    const settlement = await records.settle(next, revision, () =>
      !this.isOver && member.context.wire.isOpen)
    if (this.isOver) return
    if (settlement.kind === 'applied') {
      this.adoptRecord(settlement.record)
      this.lease.need(inSync)
      followers.adopt(inSync)
      this.actor?.send({ type: 'inSyncChanged', inSync })
      this.announce('changed', reason)
      ports.telemetry.count('inSyncChanges', 1, { space: member.space })
      this.alert(inSync.length < assignment.inSync.length ? 'inSyncShrunk' : 'inSyncGrown',
        { inSync }, `in sync: ${inSync.join(', ')} (${reason})`)
      this.alertIfAlone(inSync)
    } else if (settlement.kind === 'refused') {
      this.refused(settlement.current)
    }
  }

  /** What is written from now on may be lost with one disk: said loudly, whatever follows. */
  private alertIfAlone(inSync: readonly NodeId[]): void {
    if (!this.followers.isUnderReplicated) return
    const { whenUnderReplicated: then = 'accept' } = this.record.assignment.settings
    const what = { accept: 'are accepted', wait: 'wait for their answer', refuse: 'are refused' }
    this.alert('underReplicated', { inSync, whenUnderReplicated: then },
      `only ${inSync.join(', ')} in sync: writes ${what[then]}, and none becomes safe`)
  }

  private adoptRecord(record: AssignmentAt): void {
    this.record = record
    this.member.record = record
  }

  private refused(current: AssignmentAt | null): void {
    const reason = current
      ? `the record is at epoch ${current.assignment.epoch} of `
        + `${current.assignment.primary?.node ?? 'nobody'}`
      : 'the record is gone'
    this.ingest.end('LEASE_LAPSED', reason)
    this.actor?.send({ type: 'compareAndSetRefused', reason })
  }

  /** Ends the own subscription, and gives what was held to the new primary, in order. */
  private passOn(): void {
    this.subscription?.unsubscribe()
    this.subscription = null
    this.gate.passOn()
    this.actor?.send({ type: 'handedOver' })
  }

  // ---------------------------------------------------------------- the end

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
    this.followers.stop()
    if (!this.isTransferring) this.announce('resigned', reason)
    member.endReign(reason)
    member.context.ports.logger.info({ space: member.space }, `the reign is over: ${reason}`)
  }
}
