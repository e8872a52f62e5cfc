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

/** Ack again after this long without news, so that a lost session is noticed. */
const keepAliveMs = 2000
/** Until something came in a session, its first ack is repeated this often. */
const firstAcks = 10

const nothing: SessionProgress = { session: 0, durableSequence: 0, appliedSequence: 0 }

/** What a replica tells its primary within a session: cumulative acks, and gaps. */
export class Acknowledger {
  private session: Session | null = null
  /** As acknowledged last in this session. */
  private said = nothing
  /** What was acknowledged last is acknowledged again. */
  private isAskedAgain = false
  private lastAckMs = 0
  /** Heartbeats that a new session's first ack, which begins the stream, is repeated for. */
  private firstAcksLeft = 0

  constructor(private readonly member: Member) {}

  begin(session: Session): void {
    this.session = session
    this.said = nothing
    this.firstAcksLeft = firstAcks
    this.ack()
  }

  end(): void {
    this.session = null
  }

  /** Something came: the stream has begun. */
  noteArrival(): void {
    this.firstAcksLeft = 0
  }

  /** The primary does not know what was acknowledged last. */
  askedAgain(): void {
    this.isAskedAgain = true
  }

  ack(digest = ''): void {
    const { session, member } = this
    if (!session) return
    const { context: { ports, wire, self }, log, store, space } = member
    const now = {
      session: session.session, durableSequence: log.durable.sequence,
      appliedSequence: store.applied.sequence,
    }
    assertSessionProgress(this.said, now, log.end.sequence)
    this.said = now
    this.isAskedAgain = false
    this.lastAckMs = ports.clock.monotonicMs()
    const { primary, epoch } = session
    const ack: Ack = { kind: 'ack', space, node: self.node, epoch, ...now, digest }
    wire.publish(subjects.ack(space, primary), ports.control.encode(ack))
  }

  /** Once per heartbeat: tells what the last ack did not. */
  tick(): void {
    if (!this.session) return
    const { store, log, context } = this.member
    const now = context.ports.clock.monotonicMs()
    const isNews = this.isAskedAgain || store.applied.sequence !== this.said.appliedSequence
      || log.durable.sequence !== this.said.durableSequence
    if (!isNews && this.firstAcksLeft <= 0 && now - this.lastAckMs <= keepAliveMs) return
    this.firstAcksLeft -= 1
    this.ack(store.applied.sequence === log.commitSequence ? store.digest : '')
  }

  /** A gap: everything after `position` is asked for. */
  nack(position: Position, reason: string): void {
    const { session, member } = this
    if (!session) return
    const { ports, wire, self } = member.context
    ports.telemetry.count('gaps')
    const nack = {
      kind: 'nack', space: member.space, node: self.node, epoch: session.epoch,
      session: session.session, position, reason,
    }
    wire.publish(subjects.ack(member.space, session.primary), ports.control.encode(nack))
  }
}
