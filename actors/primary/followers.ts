import type { NodeId } from '../../machines/base/ids.js'
import { advanceCommit, commitSequence, safeSequence } from '../../machines/log/commit.js'
import { assertCommitDurable } from '../../machines/log/invariants.js'
import { commonPoint, endOf, origin, type CommonPoint } from '../../machines/log/positions.js'
import type { InstallAnswer, InstallReport } from '../../machines/protocol/installMessages.js'
import { holdersOf, isHolder, learnerOf } from '../../machines/protocol/members.js'
import type { Ack, JoinAnswer, JoinRequest, Nack } from '../../machines/protocol/messages.js'
import { InstallIntake } from '../install/intake.js'
import type { Acked, Member } from '../member/member.js'
import { joinBase, joinRefused, removedAnswer } from './joinAnswers.js'
import { CommitNotices } from './commitNotices.js'
import { Digests } from './digests.js'
import { Dismissed } from './dismissed.js'
import { followerOf } from './follower.js'
import type { Follower } from './follower.js'
import { followerStatus, reachedBy, type FollowerStatus, type Reached } from './followerStatus.js'
import { InSyncPolicy, type MembershipChange } from './inSyncPolicy.js'
import type { InSyncSet } from './inSyncSet.js'
import type { PrimaryEpoch } from './primaryEpoch.js'
import type { ReplicaStream } from './replicaStream.js'

export interface FollowersOptions {
  readonly member: Member
  readonly epoch: PrimaryEpoch
  readonly inSync: InSyncSet
  /** Answers that wait for the commit or the safe sequence. */
  readonly replies: { committed(): void }
}

/** Heartbeats between two measurements of the lag of a replica that is away. */
const awayEvery = 10

/**
 * The replicas of one epoch: their streams and what they acknowledged. From that follow the commit
 * and safe sequences, which members are in sync, and which could be.
 */
export class Followers {
  private readonly followers = new Map<NodeId, Follower>()
  /** Disk that the record lists for a member, or will list once the member is added. */
  private readonly listedDisks = new Map<NodeId, string>()
  private readonly dismissed: Dismissed
  private sessions = 0
  private readonly digests: Digests
  private readonly fitness: InSyncPolicy
  private readonly installs: InstallIntake
  private ticks: number
  private isStarted = false
  private readonly notices: CommitNotices

  constructor(private readonly options: FollowersOptions) {
    const { sequence } = options.epoch.started
    this.ticks = sequence
    this.digests = new Digests(options.member)
    this.fitness = new InSyncPolicy(options.member, sequence)
    this.notices = new CommitNotices(options.member.context.ports.clock,
      () => [...this.followers.values()].map(({ shipping }) => shipping))
    this.installs = new InstallIntake(options.member, options.epoch.number)
    this.dismissed = new Dismissed(options.member, options.epoch.number)
    for (const { node, disk } of options.member.known.record?.assignment.members ?? []) {
      this.listedDisks.set(node, disk)
    }
  }

  /** Spawns a stream and a lag monitor for each replica, below the primary's actor. */
  start(): void {
    this.isStarted = true
    this.listed()
    this.recommit()
  }

  /** Follows the record: a learner gets a stream, and who was taken out has none any more. */
  listed(): void {
    if (!this.isStarted) return
    const { member: { self }, epoch: { record: { assignment } } } = this.options
    for (const node of holdersOf(assignment)) {
      this.dismissed.delete(node)
      if (node !== self && !this.followers.has(node)) this.followers.set(node, this.follow(node))
    }
    for (const [node, { charts }] of this.followers) {
      if (isHolder(assignment, node)) continue
      charts.stop()
      this.dismissed.add(node)
      this.installs.over(node)
      this.followers.delete(node)
      this.listedDisks.delete(node)
    }
  }

  private follow(peer: NodeId): Follower {
    const { member, epoch: { number } } = this.options
    return followerOf(member, number, peer, () => this.installs.silent(peer))
  }

  stop(): void {
    this.isStarted = false
    this.notices.stop()
    for (const [node, { charts }] of this.followers) {
      charts.stop()
      this.installs.over(node)
    }
  }

  /** Each member is in sync and has applied all, or is known to be gone. */
  get areLevel(): boolean {
    const { member: { log, context: { peers } }, inSync } = this.options
    for (const [node, { shipping }] of this.followers) {
      const isLevel = shipping.isJoined
        ? inSync.has(node) && shipping.applied === log.end.sequence && !shipping.isRebuilding
        : !inSync.has(node) && peers.goneReason(node) !== null
      if (!isLevel) return false
    }
    return inSync.isSettled
  }

  /** Writes have come, and will be flushed. */
  begun(): void {
    this.options.member.stir()
  }

  /** A frame is in the file: it is sent while the disk flushes, to save that time. */
  written(): void {
    for (const { shipping } of this.followers.values()) shipping.pump()
  }

  onMessage(message: Ack | Nack): void {
    if (message.epoch !== this.options.epoch.number) return
    const follower = this.followers.get(message.node)
    if (!follower) return
    if (message.kind === 'ack') this.onAck(follower, message)
    else this.onNack(follower, message)
  }

  private onAck({ shipping, charts }: Follower, ack: Ack): void {
    const { member, epoch } = this.options
    const before = shipping.acked
    if (!shipping.noteAck(ack)) {
      // It acknowledges a session that is not the present one: the present one is sent to it.
      member.sendSession(ack.node, epoch.number, shipping.session)
      return
    }
    if (shipping.acked > before) {
      charts.progressed()
      this.recommit()
    }
    this.digests.compare(ack)
  }

  private onNack({ shipping, charts }: Follower, nack: Nack): void {
    const { member, member: { log } } = this.options
    if (nack.session !== shipping.session || !shipping.isJoined) {
      member.sendSession(nack.node, this.options.epoch.number, shipping.session)
      return
    }
    if (log.has(nack.position)) charts.nacked(nack.position.sequence, nack.reason)
  }

  /** Finds the last common point, and begins a session after it (Kafka KIP-101, KIP-279). */
  join(request: JoinRequest): JoinAnswer {
    const { member, epoch: { number: epoch } } = this.options
    const { log } = member
    const base = joinBase(member, epoch, request)
    const refused = (reason: string) => joinRefused(member, epoch, request, reason)
    if (request.uuid !== member.uuid) return refused('the space has another uuid')
    if (request.epoch !== epoch) {
      return refused(`the current epoch is ${epoch}, not ${request.epoch}`)
    }
    const follower = this.followers.get(request.node)
    this.dismissed.delete(request.node)
    if (!follower || request.departing) {
      const answer = refused(`${request.node} is ${follower ? 'a' : 'no'} member`)
      // Alone in sync, this log is one copy: what a removed node has may be the other.
      const safe = this.options.inSync.isUnderReplicated ? 0 : member.log.safeSequence
      return removedAnswer(member, answer, request, this.installs, safe)
    }
    const theirEnd = endOf(request.history)
    if (theirEnd.epoch > epoch) {
      const reason = `${request.node} has entries of epoch ${theirEnd.epoch}`
      member.known.sawEpoch(theirEnd.epoch)
      this.options.epoch.deposed(reason)
      return refused(reason)
    }
    const common = commonPoint(log, request)
    const joined = { ...base, kind: 'joined', endedEpoch: 0 } as const
    const { acked, disk } = follower.shipping
    if (this.isListedNow(request.node)
      && request.disk === this.listedDisks.get(request.node))
    {
      const has = 'below' in common ? common.below - 1 : common.sequence
      this.fitness.joined(request.node, has, disk === request.disk ? acked : 0)
    }
    const obstacle = this.installs.needed(request, common)
    if (obstacle !== null && request.reads > 0) {
      return this.isListedNow(request.node)
        ? { ...refused(this.leaveFirst(follower, request.node, obstacle)), code: 'leaveFirst' }
        : { ...joined, ...this.install(follower, request, common, obstacle) }
    }
    if ('below' in common || common.sequence < log.base) {
      // A member of an earlier release cannot be installed: it waits.
      const reason = obstacle ?? ''
      follower.charts.snapshotNeeded(0, log.base, reason)
      return { ...joined, session: 0, common: origin, snapshotNeeded: true, reason }
    }
    this.installs.over(request.node)
    this.sessions += 1
    follower.shipping.begin(this.sessions, common.sequence, request)
    follower.charts.joined(this.sessions, common.sequence, log.end.sequence)
    return { ...joined, session: this.sessions, common, snapshotNeeded: false, reason: '' }
  }

  private isListedNow(node: NodeId): boolean {
    return this.options.inSync.union().has(node)
  }

  /** Its acks do not count any more, and it leaves the in-sync set: its next join is answered. */
  private leaveFirst({ shipping }: Follower, node: NodeId, obstacle: string): string {
    shipping.stop()
    this.fitness.hasToLeave(node, obstacle)
    return `it has to be installed, and leaves the in-sync set first: ${obstacle}`
  }

  /** Begins a session in which nothing is sent: the member gets a state from another one. */
  private install(
    { shipping, charts }: Follower,
    request: JoinRequest,
    common: CommonPoint,
    reason: string,
  ): Pick<JoinAnswer, 'session' | 'common' | 'snapshotNeeded' | 'install' | 'reason'> {
    shipping.stop()
    this.sessions += 1
    const install = this.installs.begin(request, common, this.sessions, this.sources())
    charts.snapshotNeeded(this.sessions, install.minimum, reason)
    return {
      session: this.sessions,
      common: 'below' in common ? origin : common,
      snapshotNeeded: true,
      install,
      reason,
    }
  }

  /** A member reports its install, or asks whether it may be completed. */
  installReported(report: InstallReport): InstallAnswer {
    const answer = this.installs.reported(report, this.isListedNow(report.node))
    if (answer.isPresent) {
      const { source, doneBytes, totalBytes } = report
      this.followers.get(report.node)?.charts.installReported(source, doneBytes, totalBytes)
    }
    return answer
  }

  /** Members with checkpoints that are of use, this one last: it has other things to do. */
  private sources(): NodeId[] {
    const { inSync, member: { self, context: { peers } } } = this.options
    const replicas = [...this.followers].filter(([node, { shipping }]) =>
      inSync.certain().has(node) && shipping.isJoined && !shipping.isRebuilding
      && !peers.isProvenDead(node) && peers.knowsInstalls(node)
    )
    return [...replicas.map(([node]) => node), self]
  }

  /** A new member is listed with the disk that it joined with: only that disk's acks count. */
  propose(inSync: readonly NodeId[], minInSync?: number): void {
    for (const node of inSync) {
      const isMember = this.options.inSync.has(node)
      const disk = isMember ? null : this.followers.get(node)?.shipping.disk
      if (disk) this.listedDisks.set(node, disk)
    }
    this.options.inSync.propose(inSync, minInSync)
  }

  adopt(inSync: readonly NodeId[]): void {
    this.options.inSync.adopt(inSync)
    this.fitness.adopted(inSync)
    this.recommit()
  }

  recommit(): void {
    const { member, inSync, replies } = this.options
    const { log } = member
    const acks = new Map<NodeId, number | undefined>()
    for (const [node, { shipping }] of this.followers) {
      acks.set(node, this.isListed(node, shipping) ? shipping.acked : undefined)
    }
    const computed = commitSequence(log.durable.sequence, acks, inSync.union(), member.self)
    const commit = advanceCommit(log.commitSequence, computed)
    assertCommitDurable(commit, log.durable.sequence)
    const safe = safeSequence(
      log.safeSequence,
      commit,
      inSync.count,
      inSync.replicationFactor,
    )
    if (commit === log.commitSequence && safe === log.safeSequence) return
    log.raiseSafe(safe)
    if (commit > log.commitSequence) member.commitUpTo(commit)
    replies.committed()
    this.notices.committed()
  }

  /**
   * Whether its acks count: it has joined with the disk that the record lists (another disk is
   * another member, in sync with nothing), and that disk is no older copy.
   */
  private isListed(node: NodeId, shipping: ReplicaStream): boolean {
    return shipping.isJoined && shipping.disk === this.listedDisks.get(node)
      && !this.fitness.lacks(node) && this.options.member.context.peers.isRegistered(node)
  }

  /** Members that have to leave the in-sync set or may enter it, for the primary's chart. */
  changes(inSync: readonly NodeId[]): MembershipChange[] {
    const changes: MembershipChange[] = []
    for (const [node, { shipping }] of this.followers) {
      const isListed = this.isListed(node, shipping)
      const loss = inSync.includes(node)
        ? this.fitness.removalReason(node, shipping, isListed)
        : null
      if (loss) changes.push({ type: 'memberLost', node, reason: loss })
      else if (!inSync.includes(node) && this.fitness.isEligible(node, shipping)) {
        changes.push({ type: 'memberCaughtUp', node, reason: `${node} has caught up` })
      }
    }
    const node = this.options.inSync.leaver()
    if (node !== null && node !== this.options.member.self) {
      changes.push({ type: 'memberLeaves', node, reason: `${node} is to leave, and may` })
    }
    return changes
  }

  /** Disk that the next record lists for the member. */
  diskOf(node: NodeId): string | undefined {
    return this.listedDisks.get(node)
  }

  hasAll(node: NodeId): boolean {
    const shipping = this.followers.get(node)?.shipping
    return shipping !== undefined && this.isListed(node, shipping)
      && shipping.acked >= this.options.member.log.end.sequence
  }

  /** Age of the oldest entry that the replica lacks, ms; Infinity: its acks do not count. */
  lagMs(node: NodeId): number {
    const shipping = this.followers.get(node)?.shipping
    return shipping && this.isListed(node, shipping) ? shipping.lag().ms : Infinity
  }

  /** Sequences that all replicas have for certain, and that all present followers have. */
  get acked(): Acked {
    let [all, joined] = [Infinity, Infinity]
    for (const { shipping: { known, isJoined } } of this.followers.values()) {
      all = Math.min(all, known)
      if (isJoined) joined = Math.min(joined, known)
    }
    return { all, joined }
  }

  tick(): void {
    const { member } = this.options
    this.fitness.tick()
    this.ticks += 1
    this.dismissed.tick()
    for (const [node, { shipping, charts }] of this.followers) {
      const gone = shipping.isJoined ? member.context.peers.goneReason(node) : null
      if (gone !== null) charts.peerDied(gone)
      const isTurn = this.ticks % awayEvery === 0
      charts.measureLag(isTurn)
      if (!shipping.isJoined) {
        if (isTurn) {
          this.callLearner(node)
          charts.remind()
        }
        continue
      }
      charts.measure()
      // A notice may be lost: it is repeated until the member has applied that far.
      shipping.notice(shipping.applied < member.log.commitSequence)
    }
  }

  /** The announcement that made it the learner may have been lost. */
  private callLearner(node: NodeId): void {
    const { epoch } = this.options
    if (learnerOf(epoch.record.assignment) === node) epoch.announce('changed', `${node} is to join`)
  }

  /** Progress of each replica, with the state of its stream. */
  status(): Record<NodeId, FollowerStatus> {
    return followerStatus(this.followers, this.installs)
  }

  /** How far the node is, as far as it said. */
  reached(node: NodeId): Reached {
    return reachedBy(this.followers.get(node)?.shipping, this.installs.reportOf(node))
  }

  /** Why the node cannot be taken into the in-sync set now, or null. */
  entryObstacle(node: NodeId): string | null {
    const follower = this.followers.get(node)
    return follower ? this.fitness.entryObstacle(node, follower.shipping) : `${node} has no stream`
  }
}
