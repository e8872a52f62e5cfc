import { compareLives } from '../../machines/election/vacancy.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { Member } from './member.js'

/** Records are read again at least this often while no reign is followed. */
const pollMs = 300
/** And this often while all is well: announcements may be lost. */
const slowPollMs = 5000

export interface PromotionRecord {
  readonly record: AssignmentAt
  /** The arbiter does not have it any more: it is what this node remembers. */
  readonly isLost: boolean
}

export interface AssignmentWatchOptions {
  readonly member: Member
  readonly onRecord: (record: AssignmentAt) => void
  /** The bucket no longer has the record; what this node remembers of it, if anything. */
  readonly onLost: (remembered: AssignmentAt | null) => void
  /** What the two threw: a bug, not a fault of the arbiter. */
  readonly onDefect: (error: unknown) => void
}

/** Nobody can be promoted upon the record until somebody does something about it. */
export class RecordUnusableError extends Error {
  readonly code = 'RECORD_UNUSABLE'
  constructor(reason: string) {
    super(reason)
    this.name = 'RecordUnusableError'
  }
}

/** Reads one space's record at the arbiter, linearizably: when told to, and now and then. */
export class AssignmentWatch {
  private reading: Promise<void> | null = null
  private isWantedAgain = false
  private lastReadMs = -Infinity

  constructor(private readonly options: AssignmentWatchOptions) {}

  /**
   * Reads the record and tells what it says. A call during a read is answered by one more read:
   * the change that it is about may have come after the first was sent.
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

  /** Resolves when no read is under way. */
  async settled(): Promise<void> {
    while (this.reading) await this.reading
  }

  /** How long the next read is overdue, ms; negative before. `isCalm`: a reign is known here. */
  overdueMs(isCalm: boolean): number {
    const { clock } = this.options.member.context.ports
    return clock.monotonicMs() - this.lastReadMs - (isCalm ? slowPollMs : pollMs)
  }

  private async read(): Promise<void> {
    const { member } = this.options
    const { records, ports } = member.context
    this.lastReadMs = ports.clock.monotonicMs()
    const { life } = member.context.wire
    let read: RecordRead
    try {
      read = await records.read(member.space)
    } catch (error) {
      if (!(error instanceof ArbiterUnavailableError)) return this.options.onDefect(error)
      // Told once for the whole node, by the records.
      member.arbiter = 'unreachable'
      return
    }
    // Over another connection than the present one: what it says may be long past.
    if (compareLives(life, member.context.wire.life) !== 0) return
    try {
      this.take(read)
    } catch (error) {
      this.options.onDefect(error)
    }
  }

  private take(read: RecordRead): void {
    const { member, onRecord, onLost } = this.options
    member.found(read)
    switch (read.kind) {
      case 'present': return onRecord(read.record)
      case 'lost': return onLost(read.remembered)
      case 'absent': return onLost(null)
      case 'unreadable':
      case 'newer':
        // An epoch goes on as long as its lease does; what is known of the record stands.
    }
  }

  /**
   * The record that a promotion stands on. Rejects with ArbiterUnavailableError, also while the
   * bucket has lost the record and its last holder goes first, and with RecordUnusableError.
   */
  async readForPromotion(): Promise<PromotionRecord> {
    const { member } = this.options
    const { records, settings } = member.context
    const read = await records.read(member.space)
    member.found(read)
    if (read.kind === 'present') {
      const { uuid, state } = read.record.assignment
      if (uuid !== member.uuid) {
        throw new RecordUnusableError('the record is of another space of that name')
      }
      if (state === 'dropped') throw new RecordUnusableError('the space was dropped')
      member.record = read.record
      return { record: read.record, isLost: false }
    }
    if (read.kind === 'absent') {
      throw new RecordUnusableError('the arbiter has no record of this space')
    }
    if (read.kind !== 'lost') throw new RecordUnusableError(read.reason)
    const waitMs = settings.grantMs * settings.grantMargin
    const wasMine = read.remembered.assignment.primary?.node === member.self
    if (!wasMine && read.sinceMs < waitMs) {
      throw new ArbiterUnavailableError('the arbiter lost the record: its last primary goes first')
    }
    return { record: read.remembered, isLost: true }
  }
}
