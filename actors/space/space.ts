import type { NodeId } from '../../machines/base/ids.js'
import { compareLives } from '../../machines/election/vacancy.js'
import { isHolder, isMember } from '../../machines/protocol/members.js'
import type { AckMessage, Announcement, AssignmentAt, SurveyAnswer,
  SurveyRequest } from '../../machines/protocol/messages.js'
import type { spaceMachine, RoleInput, SpaceEffect } from '../../machines/space.js'
import { UploaderRunner } from '../forks/uploaderRunner.js'
import type { HostedActor } from '../host/actorHost.js'
import { AssignmentWatch } from '../member/assignmentWatch.js'
import { Installation } from '../install/installation.js'
import type { NodeContext } from '../member/context.js'
import { Following } from '../member/following.js'
import { Member } from '../member/member.js'
import { isBetterThan } from '../member/precedence.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { BusMessage } from '../ports/bus.js'
import type { ErrorCode } from '../ports/clientApi.js'
import { PrimaryRole } from '../primary/primary.js'
import type { PrimarySpace } from '../primary/primary.js'
import { PromotionRole } from '../promotion/promotion.js'
import { Succession } from '../promotion/succession.js'
import { ReadService } from '../reads/reads.js'
import { ReplicaRole } from '../replica/replica.js'
import type { ReplicaSpace } from '../replica/replica.js'
import { AnyReads } from './anyReads.js'
import { Departure } from './departure.js'
import { failByDefect } from './defect.js'
import { onAckMessage } from './memberRequests.js'
import { roleStateOf, type RoleState } from './roleState.js'
import type { SpaceCalls } from './spaceCalls.js'
import { surveyAnswerOf } from './statelessAnswers.js'

/** One space on this node: the `space` chart, its role actors, and its messages. */
export class SpaceActor implements PrimarySpace, ReplicaSpace {
  readonly member: Member
  private actor: HostedActor<typeof spaceMachine> | null = null
  private replica: ReplicaRole | null = null
  private promotion: PromotionRole | null = null
  private primary: PrimaryRole | null = null
  readonly reads: ReadService
  private readonly anyReads: AnyReads
  private readonly records: AssignmentWatch
  private readonly following = new Following()
  readonly installation: Installation
  readonly succession: Succession
  readonly uploads: UploaderRunner
  readonly departure: Departure
  /** The record was read over this connection. Before that it only says which primary to join. */
  private isVerified = false

  constructor(
    private readonly context: NodeContext,
    readonly space: string,
    uuid: string,
    private readonly calls: SpaceCalls<SpaceActor>,
  ) {
    this.member = new Member(context, space, uuid, {
      following: this.following,
      onDamage: (reason) => this.damaged(reason),
      onRepaired: () => {
        this.actor?.send({ type: 'logRepaired' })
        if (this.context.wire.isOpen) this.connected()
      },
      onLoaded: () => this.anyReads.update(),
      onStirred: () => this.calls.wake(this),
    })
    this.installation = new Installation(this.member, this.following)
    this.succession = new Succession(this.member)
    this.reads = new ReadService(this.member, () => this.primary)
    this.anyReads = new AnyReads(this.member, (message) => this.reads.onReadAny(message))
    this.uploads = new UploaderRunner(this.member, (entry) => this.departure.isSafe(entry))
    this.departure = new Departure({
      member: this.member,
      uploads: this.uploads,
      onDeparted: (record) => this.calls.over(this, record),
    })
    this.records = new AssignmentWatch({
      member: this.member,
      onRecord: (record) => this.onRecord(record),
      onLost: (remembered) => this.onLost(remembered),
      onDefect: (error) => failByDefect(context, space, error),
    })
  }

  start(machine: typeof spaceMachine): void {
    const { host } = this.context.ports
    host.spawn({
      id: `space.${this.space}`,
      logic: machine,
      input: () => ({
        space: this.space,
        self: this.context.self.node,
        damage: this.member.damage,
      }),
      effects: (effect, actor) => {
        this.actor = actor
        this.perform(effect)
      },
      supervision: { maxRestarts: 5, withinMs: 30_000, backoffMs: 50, backoffMaxMs: 2000 },
    })
    // After a power cut, committed entries may be missing from the store: apply them.
    this.member.applier.wake()
    if (this.context.wire.isOpen) this.connected()
  }

  private damaged(reason: string): void {
    this.context.ports.events.note({ type: 'damaged', space: this.space, reason })
    this.anyReads.end()
    this.actor?.send({ type: 'logDamaged', reason })
  }

  /** Ends all roles at once; reads that wait get `code`. Resolves when nothing is written more. */
  async leave(code: ErrorCode, reason: string): Promise<void> {
    this.primaryRole?.deposed(reason)
    this.reads.end(code, reason)
    await this.stop()
    await this.member.following.truncated()
    await this.installation.close()
  }

  async stop(): Promise<void> {
    this.actor?.stop()
    this.uploads.stop()
    this.anyReads.close()
    await this.primary?.settled()
    await this.installation.close()
    await this.member.applier.stop()
    this.member.close()
  }

  /** Spec of the role's actor. First, the member leaves its former role. */
  startReplica() {
    if (this.primary) this.succession.ownEnded()
    this.primary = null
    this.promotion = null
    this.member.own.stepDown('the member is a replica')
    this.uploads.primaryLeft('the member is a replica')
    this.replica = new ReplicaRole(this.member, this.following, this.installation, this)
    return this.replica.spec()
  }

  startPromotion(input: RoleInput) {
    this.replica = null
    this.installation.cancel()
    this.succession.begun(input)
    this.promotion = new PromotionRole(this.member, input, () => this.records.readForPromotion(),
      (reason) => this.primary?.lapsed(reason))
    return this.promotion.spec()
  }

  startPrimary(input: RoleInput) {
    this.promotion = null
    this.succession.won()
    this.primary = new PrimaryRole(this.member, input, this.succession, this)
    return this.primary.spec()
  }

  onHandover(isUnderWay: boolean): void {
    this.actor?.send({ type: isUnderWay ? 'handoverStarted' : 'handoverAbandoned' })
  }

  private perform(effect: SpaceEffect): void {
    const { logger } = this.context.ports
    this.member.stir()
    switch (effect.type) {
      case 'progressed':
        logger.info({ space: this.space, state: effect.state }, effect.reason || effect.state)
        // Also after a restart of this actor: the log was recovered when the node started.
        if (effect.state === 'recovering') this.actor?.send({ type: 'logRecovered' })
        if (effect.state === 'replica') this.reconsider()
        // A damaged member has no role; the chart has stopped its actors.
        if (effect.state === 'damaged') this.replica = this.promotion = this.primary = null
        return
      case 'resign':
        this.member.own.stepDown(effect.reason)
        return
      case 'escalate':
        throw effect.error
    }
  }

  /** Subscribes, and reads the record before it acts on anything. */
  connected(): void {
    this.anyReads.end()
    this.anyReads.update()
    this.records.refresh()
    // A session needs no arbiter: a primary of a former epoch would refuse it.
    this.reconsider()
  }

  disconnected(reason: string): void {
    this.anyReads.end()
    this.primary?.deposed(reason)
    this.member.own.stepDown(reason)
    this.actor?.send({ type: 'busLost', reason })
    this.replica?.primaryLost(reason)
    this.isVerified = false
  }

  onWal(message: BusMessage): void {
    this.replica?.onWal(message)
  }

  /** Called when the member follows another primary or epoch; null: none. */
  follows(session: { readonly primary: NodeId; readonly epoch: number } | null): void {
    if (session) this.uploads.epochKnown(session.primary, session.epoch)
    else this.uploads.primaryLeft('no primary is followed')
  }

  onAckMessage(ack: AckMessage, asker: ReplyTarget): void {
    onAckMessage(this, ack, asker)
  }

  surveyed(by: SurveyRequest): SurveyAnswer {
    if (isBetterThan(this.member, by)) this.calls.insist(this)
    return surveyAnswerOf(this.member, this.primary?.serves ?? false)
  }

  onAnnouncement(announcement: Announcement): void {
    const { assignment, kind, revision } = announcement
    if (assignment.uuid !== this.member.uuid) return this.records.refresh()
    // Before the record is read: nothing may be acknowledged that is being removed.
    if (assignment.state === 'dropped') this.primary?.deposed('the space was dropped')
    this.succession.heard(announcement)
    this.primary?.announced(announcement)
    this.member.freshness.heard(announcement)
    const { record } = this.member.known
    // The revisions of a bucket that was made anew count from the start: a higher epoch counts
    // even at an equal or lower revision.
    const isNews = revision > (record?.revision ?? 0)
      || assignment.epoch > (record?.assignment.epoch ?? 0)
    if (isNews) this.records.announced(announcement)
    if (kind !== 'resigned') return
    // Handed over if the record is a later one. It names the next primary, so it is read first;
    // otherwise the node that it names would claim yet another epoch.
    if (isNews) void this.records.settled().then(() => this.resigned(assignment.epoch))
    else this.resigned(assignment.epoch)
  }

  private resigned(epoch: number): void {
    const { known } = this.member
    known.epochResigned(epoch)
    if (known.record?.assignment.epoch === epoch) this.reconsider()
  }

  private onRecord(record: AssignmentAt): void {
    const { member, member: { known } } = this
    const { assignment } = record
    if (assignment.uuid !== member.uuid || assignment.state === 'dropped') {
      return this.calls.over(this, record)
    }
    if (known.record && known.record.revision > record.revision
      && known.record.assignment.epoch >= assignment.epoch) return
    if (record.revision !== known.record?.revision) member.stir()
    known.learned(record)
    this.isVerified = true
    this.anyReads.update()
    if (this.primary) {
      if (assignment.epoch > member.own.epoch && !this.primary.isTransferring) {
        this.primary.deposed(`${assignment.primary?.node ?? 'nobody'} holds epoch `
          + `${assignment.epoch}`)
      } else this.primary.recordSeen(record)
      return
    }
    this.promotion?.recordSeen(record)
    this.reconsider()
  }

  /**
   * The bucket no longer has the record. The primary steps down and opens a new epoch, above every
   * known one. The other members wait one lease first.
   */
  private onLost(remembered: AssignmentAt | null): void {
    if (!remembered || remembered.assignment.uuid !== this.member.uuid) return
    if (remembered.assignment.state === 'dropped') return
    this.member.known.learned(remembered)
    this.isVerified = true
    this.primary?.deposed('the arbiter lost the record')
    this.reconsider()
  }

  /** As a replica: decides whether to follow a primary, to become primary, or to wait. */
  reconsider(): void {
    const { member, member: { known, known: { record } }, replica } = this
    if (!record || !this.context.wire.isOpen) return
    const { assignment, assignment: { primary, epoch, state } } = record
    if (!isHolder(assignment, member.self)) {
      this.calls.learners.giveBack(this.space)
      return replica?.noMember()
    }
    if (member.damage !== null) return this.refetch(primary?.node, epoch)
    if (!replica) return
    const join = () => {
      if (primary && primary.node !== member.self) replica.primarySeen(primary.node, epoch)
    }
    if (!isMember(assignment, member.self)) {
      // While there is no primary, others have its turn.
      if (member.vacancy()) return this.calls.learners.giveBack(this.space)
      return this.calls.learners.take(this.space) ? join() : undefined
    }
    this.calls.learners.giveBack(this.space)
    if (!this.isVerified) return join()
    const isMyLife = primary !== null && primary.node === member.self
      && compareLives(primary, this.context.wire.life) === 0
    if (isMyLife && state === 'claimed' && known.arbiter === 'reachable'
      && epoch > Math.max(member.own.endedEpoch, member.log.end.epoch))
    {
      this.actor?.send({ type: 'namedPrimary', record })
      return
    }
    const vacancy = member.vacancy()
    const { fault } = member.fitness
    member.blockage.standsAside(vacancy && fault)
    if (vacancy && !this.context.peers.isTilted && !fault) {
      if (!this.calls.mayPromote(this)) return
      replica.primaryLost(`epoch ${epoch} is over: ${vacancy}`)
      this.actor?.send({ type: 'vacancyFound', reason: `vacancy: ${vacancy}` })
      return
    }
    if (!vacancy && primary && state === 'open') {
      this.succession.settled(primary.node)
      member.blockage.primaryKnown()
      known.forgetRejection()
    }
    join()
  }

  /** A damaged member has itself installed by another one that is primary. */
  private refetch(primary: NodeId | undefined, epoch: number): void {
    if (!primary || !this.context.peers.knowsInstalls(primary)) return
    this.actor?.send({ type: 'primarySeen', primary, epoch })
    this.replica?.primarySeen(primary, epoch)
  }

  /** A candidate may have waited for the grant that came. */
  grantsRenewed(): void {
    this.promotion?.tick()
  }

  evidence(peer: NodeId): void {
    if (this.member.known.record?.assignment.primary?.node === peer) this.reconsider()
    this.promotion?.tick()
  }

  tick(): void {
    this.replica?.tick()
    this.promotion?.tick()
    this.primary?.tick()
    this.departure.tick()
    this.uploads.tick()
    this.member.release(this.primary?.followers.acked)
    if (this.replica || this.member.damage !== null) this.reconsider()
  }

  /** Until something happens, nothing is due here that could not wait for a second. */
  get isAtRest(): boolean {
    const isLevel = !this.promotion && (this.primary ?? this.replica)?.isLevel === true
    return isLevel && this.isVerified && this.member.isLevel && this.uploads.isIdle
  }

  /** Positive when the record should be read again; the larger, the more urgent. */
  pollOverdueMs(): number {
    return this.records.overdueMs(this.primary !== null || (this.replica?.isFollowing ?? false))
  }

  refresh(): void {
    this.records.refresh()
  }

  journalFault(reason: string | null): void {
    this.primary?.journalFault(reason)
  }

  get serves(): boolean {
    return this.primary?.serves ?? false
  }

  get primaryRole(): PrimaryRole | null {
    return this.primary
  }

  get roleState(): RoleState {
    return roleStateOf(this.actor, this.primary ?? this.promotion ?? this.replica)
  }

  /** The best in-sync member to hand over to, or null if there is none. */
  successor(): NodeId | null {
    return this.primary?.successor() ?? null
  }

  handOver(to: NodeId, reason: string, by: string | null = null): boolean {
    return this.primary?.handOver(to, reason, by) ?? false
  }

  forcePromotion(reason: string): void {
    this.actor?.send({ type: 'promotionOrdered', reason })
  }
}
