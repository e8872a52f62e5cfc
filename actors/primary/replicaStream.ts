import type { NodeId } from '../../machines/base/ids.js'
import type { Window } from '../../machines/log/commit.js'
import type { Ack } from '../../machines/protocol/messages.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Frame, FrameCodec } from '../ports/frames.js'
import type { Clock } from '../ports/system.js'
import type { Account, Budget } from '../structures/budget.js'

export interface ReplicaStreamOptions {
  readonly peer: NodeId
  readonly epoch: number
  readonly log: SpaceLog
  readonly frames: FrameCodec
  readonly clock: Clock
  readonly windowBytes: number
  /** Of the node's memory. */
  readonly budget: Budget
  readonly send: (data: Uint8Array) => void
  /** Reading the journal failed: the stream cannot go on. */
  readonly onReadFailed: (error: unknown) => void
}

/** What is known of a replica; null: not known. Nobody measures the lag of one that is away. */
export interface ReplicaProgress {
  readonly lagBytes: number | null
  readonly lagMs: number | null
  readonly durableSequence: number | null
  readonly appliedSequence: number | null
}

interface InFlight {
  readonly last: number
  readonly bytes: number
}

/** Bytes of one read from the journal while a replica catches up. */
const readBytes = 1024 * 1024

/**
 * The cursor of one stream: which frames the replica was sent, which it has durably, and the
 * bounded window between. Past the window nothing is kept: the journal is read when acks come.
 */
export class ReplicaStream {
  session = 0
  sent = 0
  acked = 0
  applied = 0
  digest = ''
  /** Monotonic time at which the present session began. */
  joinedAtMs = -Infinity
  /** What the member has for certain as far as lag goes: no progress, which only acks make. */
  private lagBase: number
  /** Disk id that the member joined with. */
  disk = ''
  /** It has acknowledged in the last session, which may be over. */
  isHeard = false
  /** The member has acknowledged within this session: it follows, frames do not miss it. */
  private isConfirmed = false
  private inFlight: InFlight[] = []
  private inFlightBytes = 0
  private readonly account: Account
  private reading = false
  private toldCommit = 0

  constructor(private readonly options: ReplicaStreamOptions) {
    this.lagBase = options.log.end.sequence
    this.account = options.budget.account('windows')
  }

  get isJoined(): boolean {
    return this.session > 0
  }

  get windowFull(): boolean {
    return this.room <= 0
  }

  /** A frame goes on, whatever the memory of the node: it gets free as replicas get on. */
  private get room(): number {
    const { windowBytes, budget } = this.options
    return (budget.allows('windows') ? windowBytes : 1) - this.inFlightBytes
  }

  /** A session begins: its progress starts at nothing, its cursor after the common point. */
  begin(session: number, after: number, disk: string): void {
    this.session = session
    this.joinedAtMs = this.options.clock.monotonicMs()
    this.disk = disk
    this.acked = 0
    this.isHeard = false
    this.lagBase = after
    this.applied = 0
    this.toldCommit = 0
    this.isConfirmed = false
    this.rewind(after)
  }

  rewind(to: number): void {
    this.sent = to
    this.emptyWindow()
    this.pump()
  }

  stop(): void {
    this.session = 0
    this.emptyWindow()
  }

  private emptyWindow(): void {
    this.inFlight = []
    this.fly(-this.inFlightBytes)
  }

  private fly(bytes: number): void {
    this.inFlightBytes += bytes
    this.account.set(this.inFlightBytes)
  }

  /** Cumulative. False: of another session, or not believable. */
  noteAck(ack: Ack): boolean {
    if (!this.isJoined || ack.session !== this.session || ack.epoch !== this.options.epoch) {
      return false
    }
    if (ack.durableSequence > this.options.log.end.sequence) return false
    this.isConfirmed = true
    this.isHeard = true
    if (ack.durableSequence > this.acked) this.acked = ack.durableSequence
    if (this.sent < this.acked) this.sent = this.acked
    this.applied = Math.max(this.applied, ack.appliedSequence)
    if (ack.digest) this.digest = ack.digest
    let [done, left] = [0, 0]
    for (const { last, bytes } of this.inFlight) {
      if (last > this.acked) break
      left += bytes
      done += 1
    }
    if (done > 0) this.inFlight.splice(0, done)
    this.fly(-left)
    this.pump()
    return true
  }

  /** Sends what is written and fits the window. */
  pump(): void {
    const { log } = this.options
    while (this.isJoined && this.isConfirmed && !this.reading && !this.windowFull
      && this.sent < log.written.sequence) {
      const cached = log.cachedFrom(this.sent + 1, this.room)
      if (!cached) {
        void this.readOn()
        return
      }
      if (cached.length === 0) return
      for (const frame of cached) this.ship(frame)
    }
  }

  private async readOn(): Promise<void> {
    this.reading = true
    const { session, sent } = this
    try {
      const frames = await this.options.log.framesFrom(sent + 1, readBytes)
      // A rewind or another session may have come while the disk was read.
      if (this.session === session && this.sent === sent) {
        for (const frame of frames) this.ship(frame)
      }
    } catch (error) {
      this.options.onReadFailed(error)
      return
    } finally {
      this.reading = false
    }
    this.pump()
  }

  private ship(frame: Frame): void {
    this.options.send(this.options.frames.encodeWal(this.header(), frame))
    this.sent = frame.last
    this.inFlight.push({ last: frame.last, bytes: frame.bytes.length })
    this.fly(frame.bytes.length)
  }

  /**
   * Once per heartbeat, and after a commit: what frames did not tell. Nothing comes before the
   * session's first ack, so that whatever comes tells the member that it arrived.
   */
  notice(always: boolean): void {
    if (!this.isJoined || !this.isConfirmed) return
    const { log } = this.options
    if (!always && this.toldCommit === log.commitSequence) return
    this.options.send(this.options.frames.encodeWal(this.header(), null))
  }

  private header() {
    const { log, epoch, clock } = this.options
    this.toldCommit = log.commitSequence
    return {
      session: this.session,
      epoch,
      commitSequence: log.commitSequence,
      safeSequence: log.safeSequence,
      endSequence: log.written.sequence,
      sentAtMs: clock.wallMs(),
    }
  }

  progress(): ReplicaProgress {
    const lag = this.isJoined ? this.lag() : null
    return {
      lagBytes: lag?.bytes ?? null,
      lagMs: lag === null ? null : Math.round(lag.ms),
      durableSequence: this.isHeard ? this.acked : null,
      appliedSequence: this.isHeard ? this.applied : null,
    }
  }

  /** What the replica has for certain: acknowledged, or common when it joined. */
  get known(): number {
    return Math.max(this.acked, this.lagBase)
  }

  /** What the replica does not have durably; of one that is away: what came since it was here. */
  lag(): Window {
    const { log, clock } = this.options
    return log.above(this.known, clock.monotonicMs())
  }
}
