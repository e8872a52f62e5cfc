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
 * What became of the latest read of the record. lost: gone, or not to be read, and known from
 * before; unreadable: never known; newer: written by a later version.
 */
export type ArbiterState = 'reachable' | 'unreachable' | 'lost' | 'unreadable' | 'newer' | 'unknown'

/** What replicas have for certain; Infinity where there is none. */
export interface Acked {
  readonly all: number
  /** Those that follow now. */
  readonly joined: number
}

/** What was once written, and acknowledged, cannot be read back. */
export function isDamage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'JOURNAL_DAMAGED'
}

/**
 * What a member holds of one space, whatever its role: log, overlay, store, and what it knows of
 * the reign. The roles (replica, promotion, primary) share it; only one of them lives at a time.
 */
export class Member {
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly overlay: Overlay
  readonly applier: Applier
  /** Highest epoch seen anywhere, attempted claims included: a later claim goes above it. */
  highestEpoch: number
  /** Epoch of the latest reign known here, from the arbiter or the own log; never shrinks (I9). */
  epoch: number
  /** Latest own reign that is over for good. Told to candidates: vacancy `resigned`. */
  endedEpoch = 0
  /** Own reign, opening or open; 0 when there is none. */
  primaryEpoch = 0
  /** Highest epoch whose holder said that its reign is over. */
  resignedEpoch = 0
  arbiter: ArbiterState = 'unknown'
  /** Why the record at the arbiter cannot be gone by, or null. */
  recordFault: string | null = null
  /** Why the arbiter stores no change of the record, in its own words; null: it does. */
  rejection: string | null = null
  /** Why there is no primary, and this member cannot be it either; null when that is not so. */
  blocked: string | null = null
  /** Why the last alert of kind blocked said so: it is said again when one has reigned since. */
  loggedBlocked: string | null = null
  damage: string | null
  /** Forks given up in this start; salvage files there are of this space. */
  forks = 0
  salvages = 0
  promotions = 0
  /** A truncation under way, over the end of its role and reign: nobody may append before. */
  truncation: Promise<void> = Promise.resolve()
  isTruncating = false
  /** Joins asked for in this start of the process: their numbers are never used twice. */
  joins = 0
  lastPromotionMs: number | null = null
  lease: Lease | null = null
  onApplied: () => void = () => undefined
  /** The lease of the own reign lapsed. */
  onLapse: (reason: string) => void = () => undefined
  /** What was once written cannot be read back. */
  onDamage: (reason: string) => void = () => undefined
  /** Committed when this process began: until the store holds it, the member does not stand. */
  private readonly rebuildTo: number
  /** Latest timestamp in the log: timestamps never go back within a space. */
  lastTimestamp = 0
  /** A session with the reigning primary stands. */
  isFollowing = false
  readonly freshness: Freshness
  private lastRecord: AssignmentAt | null = null
  private unfitUntilMs = -Infinity
  private unfitReason = ''
  private orderedUntilMs = -Infinity
  /** The last reign that was begun in this log. */
  started: StartedEpoch | null = null
  /** The furthest position that another member said to be committed. */
  private furthestCommitted: Position = origin
  /** Epoch of the reign that was followed last, and the end of its log as last told. */
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
    // What the store holds was committed once; after a power cut it holds less than was known.
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
      // What is wrong with one log is no matter of the others.
      onFailed: (error) => (isDamage(error) ? this.damaged(String(error)) : context.fatal(error)),
    })
  }

  get self(): string {
    return this.context.self.node
  }

  /** Marks a record as written here, and as this writing of it. */
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

  /** What a read of the record found; what needs an operator raises one alert. */
  found(read: RecordRead): void {
    const { kind } = read
    this.arbiter = kind === 'present' ? 'reachable' : kind === 'absent' ? 'lost' : kind
    const fault = 'reason' in read ? read.reason : null
    if (fault === this.recordFault) return
    this.recordFault = fault
    if (kind === 'newer') this.alert('recordNewer', {}, read.reason)
    if (kind === 'unreadable') this.alert('recordUnreadable', {}, read.reason)
  }

  /** The arbiter does not store a change of the record; told once per reason. */
  rejected(reason: string): void {
    if (reason === this.rejection) return
    this.rejection = reason
    this.alert('arbiterRefuses', {}, `the arbiter refuses a change of the record: ${reason}`)
  }

  /** It has stored one. */
  accepted(): void {
    if (this.rejection === null) return
    this.rejection = null
    this.alert('arbiterAccepts', {}, 'the arbiter takes changes of the record again')
  }

  /** The record had no room for these ended epochs: no report will be made of them. */
  alertDropped(reigns: readonly EndedEpoch[]): void {
    if (reigns.length === 0) return
    const names = reigns.slice(0, 8).map(({ epoch, node }) => `epoch ${epoch} of ${node}`)
      .join(', ')
    this.alert('forkReportsDropped', { epochs: reigns.map(({ epoch }) => epoch) },
      `${reigns.length} ended epoch(s) go without a fork report (${names}): the record has no room `
      + 'for more. What their primaries alone had is not accounted for; bring members back in sync')
  }

  readonly alert = (kind: string, fields: object, message: string): void =>
    sendAlert(this.context, this.space, kind, fields, message)

  sawEpoch(epoch: number): void {
    if (epoch > this.highestEpoch) this.highestEpoch = epoch
  }

  /** Within a joined session, or as the primary: it only rises. */
  commitUpTo(sequence: number): void {
    if (sequence <= this.log.commitSequence) return
    this.log.commitSequence = sequence
    this.applier.wake()
    this.context.floors.note(this.log)
  }

  /** How far the store is that is built anew after a start, in words, or null. */
  get rebuilding(): string | null {
    const { applied } = this.store
    // Less after a reign that an operator forced.
    const to = Math.min(this.rebuildTo, this.log.commitSequence)
    if (applied.sequence >= to) return null
    const { hindrance } = this.applier
    return `its store is being built from the journal: it has ${applied.sequence} of ${to} entries`
      + (hindrance === null ? '' : `, and cannot be written: ${hindrance}`)
  }

  /** Proof that the reign in the record (the last one read, unless given) is over, or null. */
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

  /** Tells all members what has changed: a hint, which they verify at the arbiter. */
  announce(change: Omit<Announcement, 'history'>): void {
    const { ports, wire } = this.context
    const announcement: Announcement = { ...change, history: this.log.history }
    wire.publish(subjects.assignment(this.space), ports.control.encode(announcement))
  }

  /** The durable end: what this member would bring into a promotion. */
  position(): Position {
    return this.log.durable
  }

  /** The last entry here that is known to be committed. */
  committed(): Position {
    const sequence = Math.min(this.log.commitSequence, this.log.durable.sequence)
    return { epoch: this.log.epochAt(sequence), sequence }
  }

  /** Another member knows that position to be committed. */
  heardCommitted(position: Position): void {
    if (comparePositions(position, this.furthestCommitted) > 0) this.furthestCommitted = position
  }

  /** Why this log lacks what is committed, or null: a member in sync never does by itself. */
  get lacking(): string | null {
    const { log: { commitSequence, durable }, furthestCommitted } = this
    const told = { epoch: this.epoch, sequence: commitSequence }
    const committed = commitSequence > durable.sequence ? told
      : comparePositions(furthestCommitted, durable) > 0 ? furthestCommitted : null
    return committed && `its log ends at ${showPosition(durable)}, and what is committed reaches `
      + `to ${showPosition(committed)}`
  }

  /**
   * Why this member should not be promoted now, or null. Candidates are told, so that a lesser
   * one stands rather than wait for it.
   */
  get unfit(): string | null {
    return this.context.duty.drained ?? this.fault
  }

  /** The same, but for what an operator wants. */
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

  /** An operator wants this member to be primary, whether the space is paused or not. */
  order(forMs: number): void {
    this.orderedUntilMs = this.context.ports.clock.monotonicMs() + forMs
  }

  isOrdered(): boolean {
    return this.context.ports.clock.monotonicMs() < this.orderedUntilMs
  }

  /** A step of its promotion failed: the next one would fail too, so others go first. */
  promotionFailed(reason: string): void {
    const { ports, settings } = this.context
    this.unfitReason = `its last promotion failed: ${reason}`
    this.unfitUntilMs = ports.clock.monotonicMs() + settings.standByMs * 10
  }

  /** Tells a member which session of the reign stands; 0: none, it has to join (again). */
  sendSession(node: NodeId, epoch: number, session: number): void {
    const { ports, wire } = this.context
    const header = {
      session, epoch, commitSequence: 0, safeSequence: 0, endSequence: 0,
      sentAtMs: ports.clock.wallMs(),
    }
    wire.publish(subjects.wal(this.space, node), ports.frames.encodeWal(header, null))
  }

  /** The holder of that reign says that it is over. It counts for the recorded epoch only. */
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

  /** What tells of damage may be gone after the next start: a store whose graphs were lost. */
  private markDamaged(reason: string): void {
    const { store, logger } = this.context.ports
    store.markDamaged(this.uuid, reason).catch((error: unknown) => {
      logger.warn({ space: this.space, error: String(error) }, 'damage could not be noted')
    })
  }

  /**
   * Once per heartbeat: drops what no stream, no applier and no measurement needs. Who joins later
   * is sent what is in the journal.
   */
  release({ all, joined }: Acked = { all: Infinity, joined: Infinity }): void {
    const { log, store, overlay } = this
    if (this.damage !== null) {
      // Nobody reads, follows or takes over here any more.
      overlay.dropAbove(store.applied.sequence)
      return log.release(Infinity, Infinity)
    }
    log.release(Math.min(store.applied.sequence, joined), Math.min(log.safeSequence, all))
  }

  /** The space has left this node. */
  close(): void {
    this.log.close()
    this.overlay.close()
  }

  /** All that was accepted so far is durable. Rejects with JournalFullError. */
  async flushed(): Promise<void> {
    await this.truncation
    if (this.log.end.sequence === this.log.durable.sequence) return
    await this.context.commits.submit({ type: 'confirm' })
  }

  /** The own reign is over; it is told to whoever asks. */
  stepDown(reason: string): void {
    if (this.primaryEpoch === 0) return
    this.endedEpoch = Math.max(this.endedEpoch, this.primaryEpoch)
    this.primaryEpoch = 0
    const { lease } = this
    this.lease = null
    lease?.lapse(reason)
  }
}
