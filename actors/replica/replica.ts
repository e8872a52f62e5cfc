import type { NodeId, Position } from '../../machines/base/ids.js'
import { stateName } from '../../machines/base/stateName.js'
import { InvariantViolation } from '../../machines/log/invariants.js'
import type { WalHeader } from '../../machines/protocol/messages.js'
import { replicaMachine } from '../../machines/replica.js'
import type { ReplicaEffect } from '../../machines/replica.js'
import type { ActorSpec, HostedActor } from '../host/actorHost.js'
import type { FlushItem, FlushSource } from '../log/groupCommit.js'
import type { Installation } from '../install/installation.js'
import type { Following } from '../member/following.js'
import { isDamage } from '../member/member.js'
import type { Member } from '../member/member.js'
import { isUnanswered } from '../ports/bus.js'
import type { BusMessage } from '../ports/bus.js'
import type { Frame } from '../ports/frames.js'
import { Acknowledger, type Session } from './acknowledger.js'
import { askToJoin, joinedBy, JoinError } from './joinRequest.js'
import { ReceivedFrames } from './receivedFrames.js'
import { alertFork, salvageAbove, salvageBeforeInstall } from './salvaging.js'

type ReplicaActor = HostedActor<typeof replicaMachine>

/** Pause before the same gap is reported again. */
const nackPauseMs = 50
/** Time between two measurements of a log that streams: its chart decides nothing by them. */
const measuredMs = 25

/** The space of a replica, as the replica needs it. */
export interface ReplicaSpace {
  /** Reads the record again. */
  refresh(): void
  /** Decides again what this member should be: the primary said that its epoch is over. */
  reconsider(): void
  /** A session has begun, or ended (null). */
  follows(session: Session | null): void
}

/**
 * A member that follows a primary: checks frames, writes the same bytes to its own journal, and
 * acknowledges them when they are durable. The `replica` chart decides which primary to follow.
 */
export class ReplicaRole implements FlushSource {
  private actor: ReplicaActor | null = null
  private current: Session | null = null
  private lastNackMs = -Infinity
  private primaryEnd = 0
  /** Values last sent to the chart: unchanged ones are not sent again at each heartbeat. */
  private reported = { primary: '', epoch: -1, durable: -1, primaryEnd: -1, atMs: -Infinity }
  private readonly acks: Acknowledger
  private readonly received: ReceivedFrames

  constructor(
    private readonly member: Member,
    private readonly following: Following,
    private readonly installation: Installation,
    private readonly space: ReplicaSpace,
  ) {
    this.acks = new Acknowledger(member)
    this.received = new ReceivedFrames(member.context.budget)
  }

  spec(): ActorSpec<typeof replicaMachine> {
    const { self, space, context } = this.member
    return {
      id: `space.${space}.replica`,
      logic: replicaMachine,
      input: () => {
        this.reported.epoch = -1
        return { space, self, times: context.settings, joins: this.following.joins }
      },
      effects: (effect, actor) => {
        this.actor = actor
        this.perform(effect)
      },
      parent: `space.${space}`,
      supervision: { maxRestarts: 5, withinMs: 10_000, backoffMs: 10, backoffMaxMs: 500 },
      onExit: () => this.leave(),
    }
  }

  primarySeen(primary: NodeId, epoch: number): void {
    if (this.reported.epoch === epoch && this.reported.primary === primary) return
    Object.assign(this.reported, { primary, epoch })
    this.actor?.send({ type: 'primarySeen', primary, epoch })
  }

  primaryLost(reason: string): void {
    this.reported.epoch = -1
    this.actor?.send({ type: 'primaryLost', reason })
  }

  /** Called at each heartbeat while this node is no member: it follows nobody, and waits. */
  noMember(): void {
    if (this.reported.epoch !== -1) this.primaryLost('this node is no member of the space')
  }

  get state(): string {
    return stateName(this.actor?.snapshot()?.value ?? 'waiting')
  }

  get reason(): string {
    return this.actor?.snapshot()?.context.lastReason ?? ''
  }

  get isFollowing(): boolean {
    return this.current !== null
  }

  /** It streams, and the primary knows all that it has. */
  get isLevel(): boolean {
    return this.current !== null && this.state === 'streaming' && this.acks.isLevel
  }

  onWal(message: BusMessage): void {
    const { ports } = this.member.context
    const decoded = ports.frames.decodeWal(message.data)
    if (typeof decoded === 'string') {
      ports.telemetry.count('badMessages', 1, { kind: 'wal' })
      ports.logger.warn({ space: this.member.space }, `a WAL message was refused: ${decoded}`)
      return
    }
    const { header, frame } = decoded
    if (!this.isOfSession(header)) return
    this.member.stir()
    this.acks.noteArrival()
    this.primaryEnd = Math.max(this.primaryEnd, header.endSequence)
    this.following.heard({ epoch: header.epoch, sequence: this.primaryEnd })
    if (frame && frame.uuid === this.member.uuid) this.onFrame(frame)
    this.member.commitUpTo(header.commitSequence)
    this.member.log.raiseSafe(header.safeSequence)
    if (!frame && this.isDue()) this.measure()
  }

  /** A frame of a higher epoch is taken only after joining that epoch's primary. */
  private isOfSession(header: WalHeader): boolean {
    const { current } = this
    this.member.known.sawEpoch(header.epoch)
    if (!current || header.epoch !== current.epoch) {
      if (header.epoch > (current?.epoch ?? 0)) this.space.refresh()
      return false
    }
    if (header.session === current.session) return true
    if (header.session > current.session || header.session === 0) {
      this.actor?.send({ type: 'sessionLost', reason: 'the primary knows another session' })
    }
    return false
  }

  private onFrame(frame: Frame): void {
    const { log, context } = this.member
    if (frame.last <= log.end.sequence) {
      // Sent again after a rewind. It holds only what is in the log already.
      this.acks.askedAgain()
      if (!this.received.isFlushing) this.acks.ack()
      return
    }
    if (frame.first !== log.end.sequence + 1 || frame.previousEpoch !== log.end.epoch) {
      this.gap(frame)
      return
    }
    // A frame that is not taken is sent again: the next one will be reported as a gap.
    if (!this.received.hasRoom() || context.commits.isHeld) return
    log.accept(frame, context.ports.clock.monotonicMs())
    this.received.push(frame)
    context.commits.mark(this)
  }

  private gap(frame: Frame): void {
    const { log } = this.member
    const now = this.now()
    if (now - this.lastNackMs < nackPauseMs) return
    this.lastNackMs = now
    const reason = `frame ${frame.first} after (${frame.previousEpoch}, ${frame.first - 1}), `
      + `this log ends at (${log.end.epoch}, ${log.end.sequence})`
    this.actor?.send({ type: 'gapFound', position: log.end, reason })
  }

  take(): FlushItem[] {
    const frames = this.received.take()
    const last = frames.at(-1)
    return frames.map((frame) => ({
      record: { type: 'frame', frame },
      bytes: frame.bytes.length,
      written: () => this.member.log.noteWritten(frame),
      durable: () => this.durable(frame, frame === last),
      failed: () => this.unwritten(frame),
    }))
  }

  /** Drops frames behind one that could not be written: they do not continue the log. */
  flushFailed(): void {
    this.received.drop()
    this.member.log.rollback()
    this.received.release()
  }

  private unwritten(frame: Frame): void {
    this.received.done(frame)
    this.member.log.rollback()
  }

  private durable(frame: Frame, isLast: boolean): void {
    this.received.done(frame)
    this.member.log.noteDurable(frame)
    if (!isLast) return
    this.member.applier.wake()
    this.acks.ack()
    if (this.isDue()) this.measure()
    this.received.release()
  }

  /** Whether the chart needs to hear of progress: while it streams, only now and then. */
  private isDue(): boolean {
    return this.state !== 'streaming' || this.now() - this.reported.atMs >= measuredMs
  }

  private now(): number {
    return this.member.context.ports.clock.monotonicMs()
  }

  private measure(): void {
    if (!this.current) return
    const { primaryEnd, reported } = this
    const durable = this.member.log.durable.sequence
    if (durable === reported.durable && primaryEnd === reported.primaryEnd) return
    Object.assign(reported, { durable, primaryEnd, atMs: this.now() })
    this.actor?.send({ type: 'measured', durable, primaryEnd })
  }

  /** Called once per heartbeat. */
  tick(): void {
    if (!this.current) return
    this.acks.tick()
    this.measure()
  }

  private perform(effect: ReplicaEffect): void {
    switch (effect.type) {
      case 'join':
        void this.join(effect.primary, effect.epoch, effect.number)
        return
      case 'truncate':
        this.following.truncate(() => this.truncate(effect.common, effect.epoch))
        return
      case 'follow':
        this.member.log.commonPoint(effect.common.sequence)
        this.follow(effect)
        return
      case 'leave':
        this.leave()
        return
      case 'nack':
        this.acks.nack(effect.position, effect.reason)
        return
      case 'salvage':
        this.installation.begin({ ...effect, send: (event) => this.actor?.send(event) })
        void this.salvage(effect.offer.salvageAfter, effect.epoch)
        return
      case 'openCheckpoint':
      case 'pull':
      case 'load':
      case 'askToSwitch':
      case 'switch':
        this.installation[effect.type]()
        return
      case 'progressed':
        this.installation.entered(effect.state)
        this.member.context.ports.logger.info(
          { space: this.member.space, state: effect.state },
          effect.reason,
        )
    }
  }

  private leave(): void {
    this.current = null
    this.installation.leave()
    this.acks.end()
    this.following.sessionEnded()
    this.space.follows(null)
  }

  private follow(session: Session): void {
    this.current = session
    this.following.sessionBegun()
    this.reported.durable = -1
    this.acks.begin(session)
    this.measure()
    this.space.follows(session)
  }

  private async join(primary: NodeId, epoch: number, number: number): Promise<void> {
    const { member } = this
    this.following.joinRequested(number)
    const failed = (reason: string) => this.actor?.send({ type: 'joinFailed', number, reason })
    try {
      await this.received.settled()
      // A truncation or a flush that an earlier role began may still run. A flush may fail and be
      // rolled back. The history must not be read before.
      await member.flushed().catch(() => undefined)
      const answer = await askToJoin(member, primary, epoch, number)
      if (answer.kind === 'refused') {
        failed(answer.reason)
        this.space.refresh()
        if (member.known.holderResigned(primary, answer.endedEpoch)) this.space.reconsider()
        return
      }
      this.primaryEnd = answer.endSequence
      const joined = joinedBy(member, answer)
      this.installation.answered(joined, answer.reason)
      this.actor?.send(joined)
    } catch (error) {
      if (error instanceof InvariantViolation) return member.context.fatal(error)
      if (error instanceof JoinError) return failed(error.message)
      failed(isUnanswered(error)
        ? `${primary} does not answer: ${(error as Error).message}`
        : `cannot ask ${primary}: ${String(error)}`)
      this.space.refresh()
    }
  }

  /** Writes what only this log may have to a salvage, before the log is replaced (I6). */
  private async salvage(after: number, epoch: number): Promise<void> {
    const { member } = this
    try {
      await salvageBeforeInstall(member, after, epoch)
      this.actor?.send({ type: 'forkSalvaged' })
    } catch (error) {
      this.notSalvaged(error)
      this.actor?.send({ type: 'salvageFailed', reason: String(error) })
    }
  }

  /** A log that cannot be read is replaced as a whole: what can be read of it is salvaged then. */
  private notSalvaged(error: unknown): void {
    const { member, member: { space, context: { ports: { logger } } } } = this
    logger.error({ space, error: String(error) }, 'the fork could not be salvaged')
    if (isDamage(error)) member.damaged(String(error))
  }

  /** Writes the fork to a salvage, fsynced, before the log forgets it (I6). */
  private async truncate(common: Position, epoch: number): Promise<void> {
    const { member } = this
    const { commits } = member.context
    const { log, uuid, overlay } = member
    try {
      // First, so that nothing of the fork goes into the store meanwhile.
      log.commonPoint(common.sequence)
      await member.applier.quiet()
      if (log.covered.sequence > common.sequence) {
        throw new Error(`entries up to ${log.covered.sequence} may be in checkpoints only`)
      }
      if (member.store.applied.sequence > common.sequence) {
        throw new Error(`the store holds entries up to ${member.store.applied.sequence} already`)
      }
      const { end } = log
      const salvage = await salvageAbove(member, { common, end }, epoch)
      await commits.submit({ type: 'truncate', uuid, to: common, salvage })
      overlay.dropAbove(common.sequence)
      log.truncate(common)
      this.following.forkGivenUp()
      alertFork(member, salvage, { common, end })
      this.actor?.send({ type: 'forkTruncated' })
    } catch (error) {
      this.notSalvaged(error)
      this.actor?.send({ type: 'truncationFailed', reason: String(error) })
    }
  }
}
