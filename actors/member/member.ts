import type { EpochHistory, NodeId, Position, Vacancy } from '../../machines/base/ids.js'
import { vacancyOf } from '../../machines/election/vacancy.js'
import { defaultKeyRetention } from '../../machines/graph/graph.js'
import type { Signature } from '../../machines/protocol/signature.js'
import type { Announcement, AssignmentAt, EndedEpoch } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { Applier } from '../log/applier.js'
import { SpaceLog } from '../log/spaceLog.js'
import { Overlay } from '../overlay/overlay.js'
import type { JournalLog } from '../ports/journal.js'
import type { SpaceStore } from '../ports/store.js'
import { sendAlert } from './alerts.js'
import { Blockage } from './blockage.js'
import type { NodeContext } from './context.js'
import { Fitness } from './fitness.js'
import type { FollowingView } from './following.js'
import { Freshness } from './freshness.js'
import { KnownRecord } from './knownRecord.js'
import { OwnEpoch } from './ownEpoch.js'
import { isBehind, Rebuild } from './rebuild.js'
import { SalvageCount } from './salvageCount.js'

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

export interface MemberOptions {
  /** State of the member as a replica. */
  readonly following: FollowingView
  /** Called when entries that were once written cannot be read back. */
  readonly onDamage: (reason: string) => void
  /** Called when a damaged log was replaced by a whole one. */
  readonly onRepaired: () => void
  /** Called when the store, which was thrown away, was loaded from a checkpoint. */
  readonly onLoaded: () => void
  /** Called when something happens that heartbeats have to follow up. */
  readonly onStirred: () => void
}

/**
 * A member of one space, whatever its role: its log, overlay and store, and the parts of its state,
 * each with methods for its changes. Shared by the roles (replica, promotion, primary); one of them
 * lives at a time.
 */
export class Member {
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly overlay: Overlay
  readonly applier: Applier
  /** The record and the epochs, as far as they are known here. */
  readonly known: KnownRecord
  /** The epoch in which this member is primary. */
  readonly own = new OwnEpoch()
  readonly fitness: Fitness
  readonly freshness: Freshness
  readonly blockage: Blockage
  readonly salvages = new SalvageCount()
  /** Written by the replica only. */
  readonly following: FollowingView
  private damageFound: string | null
  readonly rebuild: Rebuild

  constructor(
    readonly context: NodeContext,
    readonly space: string,
    readonly uuid: string,
    private readonly options: MemberOptions,
  ) {
    const { ports, settings } = context
    const recovered = ports.journal.log(uuid)
    const { budget } = context
    const { journal } = ports
    const { tailBytesMax } = settings
    this.log = new SpaceLog({ space, uuid, journal, tailBytesMax, recovered, budget })
    this.overlay = new Overlay(budget.account('overlay'))
    this.store = ports.store.space(uuid)
    this.following = options.following
    this.damageFound = recovered?.damage ?? this.markOfDamage(recovered)
    const remembered = context.records.remembered(space)?.assignment
    const epoch = remembered?.uuid === uuid ? remembered.epoch : 0
    this.known = new KnownRecord(Math.max(this.log.end.epoch, epoch), this.alert)
    this.blockage = new Blockage(this.alert, (text) => ports.logger.warn({ space }, text))
    this.fitness = new Fitness(this)
    const isLoading = recovered !== undefined && this.damageFound === null
      && isBehind(this.store, recovered.covers)
    if (!isLoading && this.store.applied.sequence > this.log.end.sequence) {
      this.damageFound ??= `the store holds ${this.store.applied.sequence}, the journal ends at `
        + `${this.log.end.sequence}`
    }
    if (this.damageFound !== null) this.markDamaged(this.damageFound)
    // Entries in the store were committed. After a power cut it may hold less than was committed.
    const covered = recovered?.covers.kept.at(-1)?.position.sequence ?? 0
    const applied = isLoading ? 0 : this.store.applied.sequence
    this.log.raiseCommit(Math.max(applied, covered, recovered?.floor ?? 0))
    this.freshness = new Freshness(this)
    this.applier = new Applier({
      log: this.log,
      store: this.store,
      overlay: this.overlay,
      codec: ports.frames,
      clock: ports.clock,
      logger: ports.logger,
      keyRetention: () => ({ ...defaultKeyRetention,
        ...this.known.record?.assignment.settings.keys }),
      // Damage of one log does not concern the others.
      onFailed: (error) => (isDamage(error) ? this.damaged(String(error)) : context.fatal(error)),
    })
    this.rebuild = new Rebuild(this, this.log.commitSequence, options.onLoaded)
    // Nothing more is applied of a log that cannot be trusted, until it is replaced.
    if (this.damageFound !== null) this.applier.hold()
    if (!isLoading) return
    this.rebuild.begin()
    context.loads.add(this)
  }

  get self(): string {
    return this.context.self.node
  }

  /** Has the space looked at in each heartbeat, until it is at rest again. */
  stir(): void {
    this.options.onStirred()
  }

  /** All of the log is durable, committed and applied, and nothing stands in the way. */
  get isLevel(): boolean {
    const { log, store, known, fitness, blockage } = this
    const { sequence } = log.end
    if (known.record?.assignment.change) return false
    return log.durable.sequence === sequence && log.commitSequence === sequence
      && store.applied.sequence === sequence && known.arbiter === 'reachable'
      && blockage.reason === null && fitness.fault === null
  }

  /** Signature of a record that is written here: the writer, and a nonce for this write. */
  signature(): Signature {
    return { writer: this.self, nonce: this.context.ports.random.uuid() }
  }

  /** Why entries that were once written cannot be read back, or null. */
  get damage(): string | null {
    return this.damageFound
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

  /** Raises the commit sequence, within a joined session or as the primary. It never falls. */
  commitUpTo(sequence: number): void {
    if (!this.log.raiseCommit(sequence)) return
    this.applier.wake()
    this.context.floors.note(this.log)
  }

  /** Progress, as text, of a store that is rebuilt after a start, or null. */
  get rebuilding(): string | null {
    return this.rebuild.text
  }

  /** Proof that the epoch in the record (the last one read, unless given) is over, or null. */
  vacancy(at: AssignmentAt | null = this.known.record): Vacancy | null {
    const { peers, wire } = this.context
    const record = at?.assignment
    if (!record) return null
    const holder = record.primary?.node ?? ''
    return vacancyOf(record, {
      self: this.self,
      life: wire.life,
      primaryEpoch: this.own.epoch,
      heardLife: peers.heardLife(holder),
      goneLife: peers.goneLife(holder),
      resignedEpoch: this.known.resignedEpoch,
      grantExpired: !peers.isTilted && peers.isGrantExpired(holder),
    })
  }

  /** Announces a change to all members: a hint, which they verify at the arbiter. */
  announce(change: Omit<Announcement, keyof EpochHistory>): void {
    const { ports, wire } = this.context
    const announcement: Announcement = {
      ...change,
      root: this.log.root,
      history: this.log.history,
    }
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

  /** Sends a member its present session of the epoch; 0: there is none, it has to join (again). */
  sendSession(node: NodeId, epoch: number, session: number): void {
    const { ports, wire } = this.context
    const header = {
      session,
      epoch,
      commitSequence: 0,
      safeSequence: 0,
      endSequence: 0,
      sentAtMs: ports.clock.wallMs(),
    }
    wire.publish(subjects.wal(this.space, node), ports.frames.encodeWal(header, null))
  }

  /** Notes that entries that were once written cannot be read back. */
  damaged(reason: string): void {
    this.damageFound ??= reason
    this.applier.hold()
    this.markDamaged(reason)
    this.options.onDamage(reason)
  }

  /** Log and store were replaced by a checkpoint, whatever they were before. */
  replaced(): void {
    this.overlay.replaced(this.store.applied.sequence)
    if (this.damageFound === null) return
    this.damageFound = null
    this.options.onRepaired()
  }

  /** A mark of a log that was replaced since is void. */
  private markOfDamage(recovered: JournalLog | undefined): string | null {
    const mark = this.context.ports.store.markedDamaged(this.uuid)
    if (mark === null) return null
    if (mark.installs >= (recovered?.covers.installs ?? 0)) return mark.reason
    void this.unmarkDamaged()
    return null
  }

  /** Removes the mark of damage, if there is one. Never rejects. */
  async unmarkDamaged(): Promise<void> {
    const { store, logger } = this.context.ports
    if (store.markedDamaged(this.uuid) === null) return
    await store.unmarkDamaged(this.uuid).catch((error: unknown) => {
      logger.warn({ space: this.space, error: String(error) }, 'a mark of damage is still there')
    })
  }

  /** Stores the mark of damage: after the next start, the damage itself may not be visible. */
  private markDamaged(reason: string): void {
    const { store, logger, journal } = this.context.ports
    const installs = journal.log(this.uuid)?.covers.installs ?? 0
    store.markDamaged(this.uuid, { reason, installs }).catch((error: unknown) => {
      logger.warn({ space: this.space, error: String(error) }, 'damage could not be noted')
    })
  }

  /**
   * Called once per heartbeat: frees what no stream, no applier and no measurement needs. A replica
   * that joins later is sent frames from the journal.
   */
  release({ all, joined }: Acked = { all: Infinity, joined: Infinity }): void {
    const { log, store, overlay } = this
    if (this.damageFound !== null) {
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
    await this.following.truncated()
    if (this.log.end.sequence === this.log.durable.sequence) return
    await this.context.commits.submit({ type: 'confirm' })
  }
}
