import type { NodeId } from '../../machines/base/ids.js'
import type { Window } from '../../machines/log/commit.js'
import type { Ack, JoinRequest } from '../../machines/protocol/messages.js'
import type { SpaceLog } from '../log/spaceLog.js'
import type { Frame, FrameCodec } from '../ports/frames.js'
import { EntriesGoneError } from '../ports/journal.js'
import type { Clock } from '../ports/system.js'
import type { Account, Budget } from '../structures/budget.js'

export interface ReplicaStreamOptions {
  readonly peer: NodeId
  readonly epoch: number
  readonly log: SpaceLog
  readonly frames: FrameCodec
  readonly clock: Clock
  readonly windowBytes: number
  /** Memory of the node. */
  readonly budget: Budget
  readonly send: (data: Uint8Array) => void
  /**
   * Reading the journal failed: the stream cannot go on. EntriesGoneError: the next entry was given
   * up, and nothing is wrong here.
   */
  readonly onReadFailed: (error: unknown) => void
}

/** Progress of a replica; null: not known. The lag of a replica that is away is not measured. */
export interface ReplicaProgress {
  readonly lagBytes: number | null
  readonly lagMs: number | null
  readonly durableSequence: number | null
  readonly appliedSequence: number | null
}

/** What a member says of itself in its join. */
type Joined = Pick<JoinRequest, 'disk' | 'rebuilding'>

interface InFlight {
  readonly last: number
  readonly bytes: number
}

/** Size of one read from the journal while a replica catches up. */
const readBytes = 1024 * 1024

/**
 * Cursor of one stream: the frames that were sent, those that the replica has durably, and the
 * bounded window between. Nothing is kept beyond it: the journal is read as acks come in.
 */
export class ReplicaStream {
  private sessionNumber = 0
  private lastSent = 0
  private durable = 0
  private appliedUpTo = 0
  private begunAtMs = -Infinity
  /** Common point at the join. It counts for the lag, but not as progress: only acks do. */
  private lagBase: number
  private joinedDisk = ''
  /** The member has acknowledged in the last session, which may be over. */
  private isHeard = false
  /** The member has acknowledged in this session: it is subscribed, so frames reach it. */
  private isConfirmed = false
  private isBuilding = false
  private inFlight: InFlight[] = []
  private inFlightBytes = 0
  private readonly account: Account
  private reading = false
  private sentCommit = 0
  /** When the oldest commit that was not sent became known, monotonic; Infinity: all were sent. */
  private unsentSinceMs = Infinity

  constructor(private readonly options: ReplicaStreamOptions) {
    this.lagBase = options.log.end.sequence
    this.account = options.budget.account('windows')
  }

  /** Number of the present session; 0: there is none. */
  get session(): number {
    return this.sessionNumber
  }

  /** Last sequence that was sent. */
  get sent(): number {
    return this.lastSent
  }

  /** Sequence up to which the replica has acknowledged that it has all durably. */
  get acked(): number {
    return this.durable
  }

  /** Sequence up to which the replica has acknowledged that it has applied all. */
  get applied(): number {
    return this.appliedUpTo
  }

  /** Monotonic time at which the last session began. */
  get joinedAtMs(): number {
    return this.begunAtMs
  }

  /** Disk id that the member joined with. */
  get disk(): string {
    return this.joinedDisk
  }

  /** Its store is being rebuilt, as it said last. */
  get isRebuilding(): boolean {
    return this.isBuilding
  }

  get isJoined(): boolean {
    return this.session > 0
  }

  get windowFull(): boolean {
    return this.room <= 0
  }

  /** At least one frame may be in flight, whatever the memory of the node: acks free memory. */
  private get room(): number {
    const { windowBytes, budget } = this.options
    return (budget.allows('windows') ? windowBytes : 1) - this.inFlightBytes
  }

  /** Begins a session: progress starts at zero, the cursor after the common point. */
  begin(session: number, after: number, { disk, rebuilding }: Joined): void {
    this.sessionNumber = session
    this.isBuilding = rebuilding
    this.begunAtMs = this.options.clock.monotonicMs()
    this.joinedDisk = disk
    this.durable = 0
    this.isHeard = false
    this.lagBase = after
    this.appliedUpTo = 0
    this.sentCommit = 0
    this.unsentSinceMs = Infinity
    this.isConfirmed = false
    this.rewind(after)
  }

  rewind(to: number): void {
    this.lastSent = to
    this.emptyWindow()
    this.pump()
  }

  stop(): void {
    this.sessionNumber = 0
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

  /** Notes a cumulative ack. False: it is of another session, or not believable. */
  noteAck(ack: Ack): boolean {
    if (!this.isJoined || ack.session !== this.session || ack.epoch !== this.options.epoch) {
      return false
    }
    if (ack.durableSequence > this.options.log.end.sequence) return false
    this.isConfirmed = true
    this.isHeard = true
    this.isBuilding = ack.rebuilding ?? false
    this.durable = Math.max(this.durable, ack.durableSequence)
    this.lastSent = Math.max(this.lastSent, this.durable)
    this.appliedUpTo = Math.max(this.appliedUpTo, ack.appliedSequence)
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

  /** Sends frames that are written, as far as the window has room. */
  pump(): void {
    const { log } = this.options
    while (this.isJoined && this.isConfirmed && !this.reading && !this.windowFull
      && this.sent < log.written.sequence)
    {
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
      // What was given up says nothing of another session, which begins elsewhere.
      const isPresent = this.session === session && this.sent === sent
      if (isPresent || !(error instanceof EntriesGoneError)) {
        this.options.onReadFailed(error)
        return
      }
    } finally {
      this.reading = false
    }
    this.pump()
  }

  private ship(frame: Frame): void {
    this.options.send(this.options.frames.encodeWal(this.header(), frame))
    this.lastSent = frame.last
    this.inFlight.push({ last: frame.last, bytes: frame.bytes.length })
    this.fly(frame.bytes.length)
  }

  /**
   * Sends the commit sequence without a frame, once per heartbeat and after a commit. Nothing is
   * sent before the session's first ack, so that anything sent shows the member that it arrived.
   */
  notice(always: boolean): void {
    if (!this.isJoined || !this.isConfirmed) return
    const { log } = this.options
    if (!always && this.sentCommit === log.commitSequence) return
    this.options.send(this.options.frames.encodeWal(this.header(), null))
  }

  /** Notes that the commit sequence has moved. */
  committed(nowMs: number): void {
    if (this.unsentSinceMs === Infinity) this.unsentSinceMs = nowMs
  }

  /**
   * Sends a notice if a commit has waited for a frame since `beforeMs` or earlier. Returns since
   * when another one waits, or Infinity.
   */
  noticeUnsent(beforeMs: number): number {
    if (this.unsentSinceMs <= beforeMs) {
      // A stream that does not flow yet begins with the present commit sequence.
      this.unsentSinceMs = Infinity
      this.notice(false)
    }
    return this.unsentSinceMs
  }

  private header() {
    const { log, epoch, clock } = this.options
    this.sentCommit = log.commitSequence
    this.unsentSinceMs = Infinity
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

  /** Sequence that the replica has for certain: acknowledged, or common when it joined. */
  get known(): number {
    return Math.max(this.acked, this.lagBase)
  }

  /** Entries that the replica lacks. For one that is away, those that came since it left. */
  lag(): Window {
    const { log, clock } = this.options
    return log.above(this.known, clock.monotonicMs())
  }
}
