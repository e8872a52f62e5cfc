import { compareLives } from '../../machines/election/vacancy.js'
import { isSameButInSync } from '../../machines/protocol/assignments.js'
import type { Announcement, AssignmentAt } from '../../machines/protocol/messages.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Member } from './member.js'

/** Longest time between reads of the record while no primary is known, or it is silent. */
const pollMs = 300
/** Longest time while all is well for which the record may have changed: news may be lost. */
const slowPollMs = 5000
/** Longest time between reads while looks at the bucket show no change. */
const surePollMs = 60_000

export interface PromotionRecord {
  readonly record: AssignmentAt
  /** Set when the arbiter has lost the record, and this is what the node remembers of it. */
  readonly isLost: boolean
}

export interface AssignmentWatchOptions {
  readonly member: Member
  readonly onRecord: (record: AssignmentAt) => void
  /** Called when the bucket no longer has the record, with what this node remembers of it. */
  readonly onLost: (remembered: AssignmentAt | null) => void
  /** Called with an error that one of the two threw: a bug, not a fault of the arbiter. */
  readonly onDefect: (error: unknown) => void
}

/** The record allows no promotion until an operator repairs it. */
export class RecordUnusableError extends Error {
  readonly code = 'RECORD_UNUSABLE'
  constructor(reason: string) {
    super(reason)
    this.name = 'RecordUnusableError'
  }
}

/** Reads one space's record at the arbiter, linearizably: on request, and at intervals. */
export class AssignmentWatch {
  private reading: Promise<void> | null = null
  private isWantedAgain = false
  private lastReadMs = -Infinity
  /** It has changed since, and is to be read in its turn. */
  private isOutdated = false

  constructor(private readonly options: AssignmentWatchOptions) {}

  /**
   * Reads the record and reports it. A call during a read causes one more read: the change that the
   * call is about may have come after the first read was sent.
   */
  refresh(): void {
    if (!this.options.member.context.records.isAttached) return
    if (this.reading) {
      this.isWantedAgain = true
      return
    }
    this.reading = this.read().finally(() => {
      this.reading = null
      if (!this.isWantedAgain) return
      this.isWantedAgain = false
      this.refresh()
    })
  }

  /**
   * A later record was announced. If only its in-sync set is another one, in which this member
   * still is, nothing follows from that here, and it is read in its turn: a node that dies leaves
   * the sets of all its spaces at once.
   */
  announced({ kind, assignment }: Announcement): void {
    const { self, known: { record } } = this.options.member
    const isSame = kind === 'changed' && record !== null && assignment.inSync.includes(self)
      && isSameButInSync(record.assignment, assignment)
    if (isSame) this.isOutdated = true
    else this.refresh()
  }

  /** Resolves when no read is under way. */
  async settled(): Promise<void> {
    while (this.reading) await this.reading
  }

  /** Time since the next read was due, ms; negative before. `isLed`: a primary is known. */
  overdueMs(isLed: boolean): number {
    const { known, context: { peers, ports: { clock }, records: { looks } } } = this.options.member
    const { lastReadMs } = this
    const nowMs = clock.monotonicMs()
    // One that falls silent may have handed the space over before, to this member too.
    const holder = known.record?.assignment.primary?.node
    const isSilent = holder !== undefined && peers.isSuspect(holder)
    if (!isLed || isSilent) return nowMs - lastReadMs - pollMs
    // After those that wait for a primary.
    if (this.isOutdated) return Math.min(1, nowMs - lastReadMs - pollMs)
    const asOfMs = known.arbiter === 'reachable' ? looks.currentAsOf(lastReadMs) : lastReadMs
    return Math.max(nowMs - asOfMs - slowPollMs, nowMs - lastReadMs - surePollMs)
  }

  private async read(): Promise<void> {
    const { member } = this.options
    const { records, ports } = member.context
    this.lastReadMs = ports.clock.monotonicMs()
    const { isOutdated } = this
    this.isOutdated = false
    const { life } = member.context.wire
    let read: RecordRead
    try {
      read = await records.read(member.space)
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) return this.options.onDefect(error)
      this.isOutdated ||= isOutdated
      // Logged once for the whole node, by the assignment store.
      member.known.unreachable()
      return
    }
    // Read over an earlier connection: the result may be long outdated.
    if (compareLives(life, member.context.wire.life) !== 0) return
    try {
      this.take(read)
    } catch (error) {
      this.options.onDefect(error)
    }
  }

  private take(read: RecordRead): void {
    const { member, onRecord, onLost } = this.options
    member.known.found(read)
    switch (read.kind) {
      case 'present':
        return onRecord(read.record)
      case 'lost':
        return onLost(read.remembered)
      case 'absent':
        return onLost(null)
      case 'unreadable':
      case 'newer':
        // An epoch goes on as long as its lease does; the known record stays in use.
    }
  }

  /**
   * Reads the record for a promotion. Rejects with RecordUnusableError, and with
   * ArbiterUnavailableError, also while the bucket has lost the record and the last primary has
   * priority.
   */
  async readForPromotion(): Promise<PromotionRecord> {
    const { member } = this.options
    const { records, settings } = member.context
    const read = await records.read(member.space, 'candidate')
    member.known.found(read)
    if (read.kind === 'present') {
      const { uuid, state } = read.record.assignment
      if (uuid !== member.uuid) {
        throw new RecordUnusableError('the record belongs to another space of that name')
      }
      if (state === 'dropped') throw new RecordUnusableError('the space was dropped')
      member.known.learned(read.record)
      return { record: read.record, isLost: false }
    }
    if (read.kind === 'absent') {
      throw new RecordUnusableError('the arbiter has no record of this space')
    }
    if (read.kind !== 'lost') throw new RecordUnusableError(read.reason)
    // It must not come back because the arbiter forgot that it was dropped.
    if (read.remembered.assignment.state === 'dropped') {
      throw new RecordUnusableError('the space was dropped')
    }
    const waitMs = settings.grantMs * settings.grantMargin
    const wasMine = read.remembered.assignment.primary?.node === member.self
    if (!wasMine && read.sinceMs < waitMs) {
      throw new ArbiterUnavailableError(
        'the arbiter lost the record; its last primary has priority for now',
      )
    }
    return { record: read.remembered, isLost: true }
  }
}
