import type { NodeId } from '../../machines/base/ids.js'
import type { AssignmentAt } from '../../machines/protocol/messages.js'
import type { RecordRead } from '../arbiter/assignmentStore.js'

/**
 * Result of the latest read of the record. lost: gone or unreadable, and known from before;
 * unreadable: never known; newer: written by a later version.
 */
export type ArbiterState = 'reachable' | 'unreachable' | 'lost' | 'unreadable' | 'newer' | 'unknown'

export type RaiseAlert = (kind: string, fields: object, message: string) => void

/** A member's knowledge of the space's record, of epochs, and of the arbiter's state. */
export class KnownRecord {
  private latest: AssignmentAt | null = null
  private latestEpoch: number
  private highestSeen: number
  private resigned = 0
  private state: ArbiterState = 'unknown'
  private unusable: string | null = null
  private refusal: string | null = null

  /** `epoch`: latest epoch in the own log, or in the record that this node remembers. */
  constructor(epoch: number, private readonly alert: RaiseAlert) {
    this.latestEpoch = epoch
    this.highestSeen = epoch
  }

  /** Record as last read, or null. */
  get record(): AssignmentAt | null {
    return this.latest
  }

  /** Latest epoch known here, from the arbiter or the own log; never shrinks (I9). */
  get epoch(): number {
    return this.latestEpoch
  }

  /** Highest epoch seen anywhere, attempted claims included: a later claim goes above it. */
  get highestEpoch(): number {
    return this.highestSeen
  }

  /** Highest epoch that its own primary announced to be over. */
  get resignedEpoch(): number {
    return this.resigned
  }

  get arbiter(): ArbiterState {
    return this.state
  }

  /** Why the record at the arbiter cannot be used, or null. */
  get fault(): string | null {
    return this.unusable
  }

  /** Why the arbiter refuses changes of the record, in its own words; null: it takes them. */
  get rejection(): string | null {
    return this.refusal
  }

  /** Notes a record that was read, written, or remembered since an earlier start. */
  learned(record: AssignmentAt): void {
    this.latest = record
    const { epoch } = record.assignment
    if (epoch > this.latestEpoch) this.latestEpoch = epoch
    this.sawEpoch(epoch)
  }

  sawEpoch(epoch: number): void {
    if (epoch > this.highestSeen) this.highestSeen = epoch
  }

  /** Notes an announcement that an epoch is over. */
  epochResigned(epoch: number): void {
    this.resigned = Math.max(this.resigned, epoch)
  }

  /**
   * Notes that a node said which of its own epochs is over. Counts for the recorded epoch only.
   * Returns whether it does.
   */
  holderResigned(holder: NodeId, epoch: number): boolean {
    const record = this.latest?.assignment
    if (record?.primary?.node !== holder || epoch < record.epoch) return false
    this.epochResigned(record.epoch)
    return true
  }

  /** Notes the result of a read of the record. One that needs an operator raises one alert. */
  found(read: RecordRead): void {
    const { kind } = read
    this.state = kind === 'present' ? 'reachable' : kind === 'absent' ? 'lost' : kind
    const fault = 'reason' in read ? read.reason : null
    if (fault === this.unusable) return
    this.unusable = fault
    if (kind === 'newer') this.alert('recordNewer', {}, read.reason)
    if (kind === 'unreadable') this.alert('recordUnreadable', {}, read.reason)
  }

  /** Notes that the record could not be read. */
  unreachable(): void {
    this.state = 'unreachable'
  }

  /** Notes that the arbiter refuses a change of the record; one alert per reason. */
  rejected(reason: string): void {
    if (reason === this.refusal) return
    this.refusal = reason
    this.alert('arbiterRefuses', {}, `the arbiter refuses a change of the record: ${reason}`)
  }

  /** Notes that the arbiter refused a claim. No alert: the promotion raises one when it lasts. */
  claimRejected(reason: string): void {
    this.refusal = reason
  }

  /** Notes that the arbiter has taken a change. */
  accepted(): void {
    if (this.refusal === null) return
    this.refusal = null
    this.alert('arbiterAccepts', {}, 'the arbiter takes changes of the record again')
  }

  /** Forgets a refusal without an alert: a claim was taken, or another one is tried. */
  forgetRejection(): void {
    this.refusal = null
  }
}
