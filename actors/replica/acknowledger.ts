import type { NodeId, Position } from '../../machines/base/ids.js'
import { assertSessionProgress } from '../../machines/log/invariants.js'
import type { SessionProgress } from '../../machines/log/invariants.js'
import type { Ack } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Member } from '../member/member.js'

/** A session of this member with a primary. */
export interface Session {
  readonly primary: NodeId
  readonly epoch: number
  readonly session: number
}

/**
 * Time without progress after which an ack is repeated. A primary that has no session with this
 * member says so by itself; this is for what both sides have missed.
 */
const keepAliveMs = 5000
/** Repeats of a session's first ack while nothing has come in the session. */
const firstAcks = 10

const nothing: SessionProgress = { session: 0, durableSequence: 0, appliedSequence: 0 }

/** Sends a replica's acks (cumulative) and nacks (gaps) to its primary within a session. */
export class Acknowledger {
  private session: Session | null = null
  /** Last ack of this session. */
  private sent = nothing
  /** Set when the last ack has to be repeated. */
  private isAskedAgain = false
  private lastAckMs = 0
  /** Remaining repeats of the session's first ack, which makes the primary begin the stream. */
  private firstAcksLeft = 0

  constructor(private readonly member: Member) {}

  begin(session: Session): void {
    this.session = session
    this.sent = nothing
    this.firstAcksLeft = firstAcks
    this.ack()
  }

  end(): void {
    this.session = null
  }

  /** Notes that something came: the stream has begun. */
  noteArrival(): void {
    this.firstAcksLeft = 0
  }

  /** Repeats the last ack: the primary does not seem to have it. */
  askedAgain(): void {
    this.isAskedAgain = true
  }

  ack(digest = ''): void {
    const { session, member } = this
    if (!session) return
    const { context: { ports, wire, self }, log, store, space } = member
    const now = {
      session: session.session,
      durableSequence: log.durable.sequence,
      appliedSequence: store.applied.sequence,
    }
    assertSessionProgress(this.sent, now, log.end.sequence)
    this.sent = now
    this.isAskedAgain = false
    this.lastAckMs = ports.clock.monotonicMs()
    const { primary, epoch } = session
    const ack: Ack = {
      kind: 'ack',
      space,
      node: self.node,
      epoch,
      ...now,
      digest,
      ...(member.fitness.rebuilding !== null && { rebuilding: true }),
    }
    wire.publish(subjects.ack(space, primary), ports.control.encode(ack))
  }

  /** The primary has been told all: only time makes another ack due. */
  get isLevel(): boolean {
    const { store, log } = this.member
    return !this.isAskedAgain && this.firstAcksLeft <= 0
      && store.applied.sequence === this.sent.appliedSequence
      && log.durable.sequence === this.sent.durableSequence
  }

  /** Called once per heartbeat: sends progress since the last ack. */
  tick(): void {
    if (!this.session) return
    const { store, log, context } = this.member
    const now = context.ports.clock.monotonicMs()
    if (this.isLevel && now - this.lastAckMs <= keepAliveMs) return
    this.firstAcksLeft -= 1
    this.ack(store.applied.sequence === log.commitSequence ? store.digest : '')
  }

  /** Reports a gap: requests everything after `position`. */
  nack(position: Position, reason: string): void {
    const { session, member } = this
    if (!session) return
    const { ports, wire, self } = member.context
    ports.telemetry.count('gaps')
    const nack = {
      kind: 'nack',
      space: member.space,
      node: self.node,
      epoch: session.epoch,
      session: session.session,
      position,
      reason,
    }
    wire.publish(subjects.ack(member.space, session.primary), ports.control.encode(nack))
  }
}
