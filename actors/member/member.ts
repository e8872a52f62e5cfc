import type { NodeId, Position, Vacancy } from '../../machines/base/ids.js'
import { vacancyOf } from '../../machines/election/vacancy.js'
import { defaultKeyRetention } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { comparePositions, origin, showPosition } from '../../machines/log/positions.js'
import type { Signature } from '../../machines/protocol/assignments.js'
import type { Announcement, AssignmentAt, EndedEpoch } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'
import { Applier } from '../log/applier.js'
import { SpaceLog } from '../log/spaceLog.js'
import { Lease } from '../membership/lease.js'
import { Overlay } from '../overlay/overlay.js'
import type { SpaceStore } from '../ports/store.js'
import { sendAlert } from './alerts.js'
import type { NodeContext } from './context.js'
import { Freshness } from './freshness.js'
import type { StartedEpoch } from './startedEpoch.js'

/**
 * Result of the latest read of the record. lost: gone or unreadable, and known from before;
 * unreadable: never known; newer: written by a later version.
 */
export type ArbiterState = 'reachable' | 'unreachable' | 'lost' | 'unreadable' | 'newer' | 'unknown'

/** Sequences that all replicas have for certain; Infinity without replicas. */
export interface Acked {
  readonly all: number
  /** The same for those that follow now. */
  readonly joined: number
}

/** Whether entries that were once written and acknowledged cannot be read back. */
export function isDamage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'JOURNAL_DAMAGED'
}

/**
 * State of a member of one space, whatever its role: log, overlay, store, and the epoch it knows.
 * Shared by the roles (replica, promotion, primary), of which one lives at a time.
 */
export class Member {
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly overlay: Overlay
  readonly applier: Applier
  /** Highest epoch seen anywhere, attempted claims included: a later claim goes above it. */
  highestEpoch: number
  /** Latest epoch known here, from the arbiter or the own log; never shrinks (I9). */
  epoch: number
  /** Latest own epoch that is over for good. Sent to candidates: vacancy `resigned`. */
  endedEpoch = 0
  /** Epoch in which this member is primary, opening or open; 0: it is not. */
  primaryEpoch = 0
  /** Highest epoch that its own primary announced to be over. */
  resignedEpoch = 0
  arbiter: ArbiterState = 'unknown'
  /** Why the record at the arbiter cannot be used, or null. */
  recordFault: string | null = null
  /** Why the arbiter refuses changes of the record, in its own words; null: it takes them. */
  rejection: string | null = null
  /** Why there is no primary and this member cannot be it either; null: that is not the case. */
  blocked: string | null = null
  /** Reason of the last alert `blocked`. Cleared when there is a primary, so that it may recur. */
  loggedBlocked: string | null = null
  damage: string | null
  /** Forks given up since the start (`forks`), and present salvage files (`salvages`). */
  forks = 0
  salvages = 0
  promotions = 0
  /** A truncation under way. It may outlive its role and epoch; nothing is appended before. */
  truncation: Promise<void> = Promise.resolve()
  isTruncating = false
  /** Joins requested since the start of the process: their numbers are never used twice. */
  joins = 0
  lastPromotionMs: number | null = null
  lease: Lease | null = null
  onApplied: () => void = () => undefined
  onLapse: (reason: string) => void = () => undefined
  /** Called when entries that were once written cannot be read back. */
  onDamage: (reason: string) => void = () => undefined
  /** Commit sequence at the start: until the store holds it, the member is no candidate. */
  private readonly rebuildTo: number
  /** Latest timestamp in the log: timestamps never go back within a space. */
  lastTimestamp = 0
  /** Set while there is a session with the primary. */
  isFollowing = false
  readonly freshness: Freshness
  private lastRecord: AssignmentAt | null = null
  private unfitUntilMs = -Infinity
  private unfitReason = ''
  private orderedUntilMs = -Infinity
  /** The last epoch that this member began in this log. */
  started: StartedEpoch | null = null
  /** Highest position that another member reported as committed. */
  private furthestCommitted: Position = origin
  /** Epoch that was followed last, and the end of its log as last received. */
  heardEnd: Position = { epoch: 0, sequence: 0 }

  constructor(readonly context: NodeContext, readonly space: string, readonly uuid: string) {
    const { ports, settings } = context
    const recovered = ports.journal.log(uuid)
    const { budget } = context
    this.log = new SpaceLog(space, uuid, ports.journal, settings.tailBytesMax, recovered, budget)
    this.overlay = new Overlay(budget.account('overlay'))
    this.store = ports.store.space(uuid)
    this.damage = recovered?.damage ?? ports.store.markedDamaged(uuid)
    const remembered = context.records.remembered(space)?.assignment
    this.epoch = Math.max(this.log.end.epoch, remembered?.uuid === uuid ? remembered.epoch : 0)
    this.highestEpoch = this.epoch
    if (this.store.applied.sequence > this.log.end.sequence) {
      this.damage ??= `the store holds ${this.store.applied.sequence}, the journal ends at `
        + `${this.log.end.sequence}`
    }
    if (this.damage !== null) this.markDamaged(this.damage)
    // Entries in the store were committed. After a power cut it may hold less than was committed.
    this.log.commitSequence = Math.max(this.store.applied.sequence, recovered?.floor ?? 0)
    this.rebuildTo = this.log.commitSequence
    this.freshness = new Freshness(this)
    this.applier = new Applier({
      log: this.log,
      store: this.store,
      overlay: this.overlay,
      codec: ports.frames,
      clock: ports.clock,
      logger: ports.logger,
      keyRetention: () =>
        ({ ...defaultKeyRetention, ...this.record?.assignment.settings.keys }),
      onApplied: () => this.onApplied(),
      // Damage of one log does not concern the others.
      onFailed: (error) => (isDamage(error) ? this.damaged(String(error)) : context.fatal(error)),
    })
  }

  get self(): string {
    return this.context.self.node
  }

  /** Signature of a record that is written here: the writer, and a nonce for this write. */
  signature(): Signature {
    return { writer: this.self, nonce: this.context.ports.random.uuid() }
  }

  /** Record as last read, or null. */
  get record(): AssignmentAt | null {
    return this.lastRecord
  }

  set record(record: AssignmentAt | null) {
    this.lastRecord = record
    if (!record) return
    const { epoch } = record.assignment
    if (epoch > this.epoch) this.epoch = epoch
    this.sawEpoch(epoch)
  }

  /** Notes the result of a read of the record. One that needs an operator raises one alert. */
  found(read: RecordRead): void {
    const { kind } = read
    this.arbiter = kind === 'present' ? 'reachable' : kind === 'absent' ? 'lost' : kind
    const fault = 'reason' in read ? read.reason : null
    if (fault === this.recordFault) return
    this.recordFault = fault
    if (kind === 'newer') this.alert('recordNewer', {}, read.reason)
    if (kind === 'unreadable') this.alert('recordUnreadable', {}, read.reason)
  }

  /** Notes that the arbiter refuses a change of the record; one alert per reason. */
  rejected(reason: string): void {
    if (reason === this.rejection) return
    this.rejection = reason
    this.alert('arbiterRefuses', {}, `the arbiter refuses a change of the record: ${reason}`)
  }

  /** Notes that the arbiter has taken a change. */
  accepted(): void {
    if (this.rejection === null) return
    this.rejection = null
    this.alert('arbiterAccepts', {}, 'the arbiter takes changes of the record again')
  }

  /** Raises an alert for ended epochs that the record has no room for: they get no report. */
  alertDropped(ended: readonly EndedEpoch[]): void {
    if (ended.length === 0) return
    const names = ended.slice(0, 8).map(({ epoch, node }) => `epoch ${epoch} of ${node}`)
      .join(', ')
    this.alert('forkReportsDropped', { epochs: ended.map(({ epoch }) => epoch) },
      `${ended.length} ended epoch(s) get no fork report (${names}): the record has no room for `
      + 'more. Writes that only their primaries had are not counted; bring members back in sync')
  }

  readonly alert = (kind: string, fields: object, message: string): void =>
    sendAlert(this.context, this.space, kind, fields, message)

  sawEpoch(epoch: number): void {
    if (epoch > this.highestEpoch) this.highestEpoch = epoch
  }

  /** Raises the commit sequence, within a joined session or as the primary. It never falls. */
  commitUpTo(sequence: number): void {
    if (sequence <= this.log.commitSequence) return
    this.log.commitSequence = sequence
    this.applier.wake()
    this.context.floors.note(this.log)
  }

  /** Progress, as text, of a store that is rebuilt after a start, or null. */
  get rebuilding(): string | null {
    const { applied } = this.store
    // Less after a promotion that an operator forced.
    const to = Math.min(this.rebuildTo, this.log.commitSequence)
    if (applied.sequence >= to) return null
    const { hindrance } = this.applier
    return `its store is being rebuilt from the journal: ${applied.sequence} of ${to} entries done`
      + (hindrance === null ? '' : `; it cannot be written: ${hindrance}`)
  }

  /** Proof that the epoch in the record (the last one read, unless given) is over, or null. */
  vacancy(at: AssignmentAt | null = this.record): Vacancy | null {
    const { peers, wire } = this.context
    const record = at?.assignment
    if (!record) return null
    const holder = record.primary?.node ?? ''
    return vacancyOf(record, {
      self: this.self,
      life: wire.life,
      primaryEpoch: this.primaryEpoch,
      heardLife: peers.heardLife(holder),
      goneLife: peers.goneLife(holder),
      resignedEpoch: this.resignedEpoch,
      grantExpired: !peers.isTilted && peers.isGrantExpired(holder),
    })
  }

  remember(entries: readonly LogEntry[]): void {
    for (const { timestamp } of entries) {
      if (timestamp > this.lastTimestamp) this.lastTimestamp = timestamp
    }
  }

  /** Announces a change to all members: a hint, which they verify at the arbiter. */
  announce(change: Omit<Announcement, 'history'>): void {
    const { ports, wire } = this.context
    const announcement: Announcement = { ...change, history: this.log.history }
    wire.publish(subjects.assignment(this.space), ports.control.encode(announcement))
  }

  /** Durable end of the log: the position with which this member is a candidate. */
  position(): Position {
    return this.log.durable
  }

  /** Last entry here that is known to be committed. */
  committed(): Position {
    const sequence = Math.min(this.log.commitSequence, this.log.durable.sequence)
    return { epoch: this.log.epochAt(sequence), sequence }
  }

  /** Notes a position that another member knows to be committed. */
  heardCommitted(position: Position): void {
    if (comparePositions(position, this.furthestCommitted) > 0) this.furthestCommitted = position
  }

  /** Why this log lacks committed entries, or null. Never happens to a member in sync by itself. */
  get lacking(): string | null {
    const { log: { commitSequence, durable }, furthestCommitted } = this
    const known = { epoch: this.epoch, sequence: commitSequence }
    const committed = commitSequence > durable.sequence ? known
      : comparePositions(furthestCommitted, durable) > 0 ? furthestCommitted : null
    return committed && `its log ends at ${showPosition(durable)}, but entries up to `
      + `${showPosition(committed)} are committed`
  }

  /**
   * Why this member should not be promoted now, or null. Sent to other candidates, so that a worse
   * one does not wait for it.
   */
  get unfit(): string | null {
    return this.context.duty.drained ?? this.fault
  }

  /** The same, without the operator's drain. */
  get fault(): string | null {
    const { ports, commits, identity } = this.context
    if (!identity.isRegistered) return 'the arbiter does not know this start of its node yet'
    if (this.damage) return `its log is damaged: ${this.damage}`
    if (this.isTruncating) return 'it is giving up a fork'
    // A disk without room for the store may have some for the journal, which holds the same.
    if (this.rebuilding && this.applier.hindrance === null) return this.rebuilding
    if (this.lacking) return this.lacking
    if (!this.store.areKeysRead) return 'it is reading the idempotency keys of its store'
    if (commits.isFull) return 'its journal cannot be written'
    return ports.clock.monotonicMs() < this.unfitUntilMs ? this.unfitReason : null
  }

  /** Notes an operator's command to be primary, whether the space is paused or not. */
  order(forMs: number): void {
    this.orderedUntilMs = this.context.ports.clock.monotonicMs() + forMs
  }

  isOrdered(): boolean {
    return this.context.ports.clock.monotonicMs() < this.orderedUntilMs
  }

  /** Notes a failed step of its promotion: the next try would fail too, so others go first. */
  promotionFailed(reason: string): void {
    const { ports, settings } = this.context
    this.unfitReason = `its last promotion failed: ${reason}`
    this.unfitUntilMs = ports.clock.monotonicMs() + settings.standByMs * 10
  }

  /** Sends a member its present session of the epoch; 0: there is none, it has to join (again). */
  sendSession(node: NodeId, epoch: number, session: number): void {
    const { ports, wire } = this.context
    const header = {
      session, epoch, commitSequence: 0, safeSequence: 0, endSequence: 0,
      sentAtMs: ports.clock.wallMs(),
    }
    wire.publish(subjects.wal(this.space, node), ports.frames.encodeWal(header, null))
  }

  /** Notes that a primary said that its epoch is over. Counts for the recorded epoch only. */
  resigned(holder: NodeId, epoch: number): boolean {
    const record = this.record?.assignment
    if (record?.primary?.node !== holder || epoch < record.epoch) return false
    this.resignedEpoch = Math.max(this.resignedEpoch, record.epoch)
    return true
  }

  damaged(reason: string): void {
    this.damage ??= reason
    this.markDamaged(reason)
    this.onDamage(reason)
  }

  /** Stores the mark of damage: after the next start, the damage itself may not be visible. */
  private markDamaged(reason: string): void {
    const { store, logger } = this.context.ports
    store.markDamaged(this.uuid, reason).catch((error: unknown) => {
      logger.warn({ space: this.space, error: String(error) }, 'damage could not be noted')
    })
  }

  /**
   * Called once per heartbeat: frees what no stream, no applier and no measurement needs. A replica
   * that joins later is sent frames from the journal.
   */
  release({ all, joined }: Acked = { all: Infinity, joined: Infinity }): void {
    const { log, store, overlay } = this
    if (this.damage !== null) {
      // A damaged member serves no reads, follows nobody and is not promoted.
      overlay.dropAbove(store.applied.sequence)
      return log.release(Infinity, Infinity)
    }
    log.release(Math.min(store.applied.sequence, joined), Math.min(log.safeSequence, all))
  }

  /** Frees all memory: the space has left this node. */
  close(): void {
    this.log.close()
    this.overlay.close()
  }

  /** Resolves when all accepted frames are durable. Rejects with JournalFullError. */
  async flushed(): Promise<void> {
    await this.truncation
    if (this.log.end.sequence === this.log.durable.sequence) return
    await this.context.commits.submit({ type: 'confirm' })
  }

  /** Ends the own epoch. The end is then reported to candidates. */
  stepDown(reason: string): void {
    if (this.primaryEpoch === 0) return
    this.endedEpoch = Math.max(this.endedEpoch, this.primaryEpoch)
    this.primaryEpoch = 0
    const { lease } = this
    this.lease = null
    lease?.lapse(reason)
  }
}
