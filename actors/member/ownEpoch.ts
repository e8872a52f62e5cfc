import type { LogEntry } from '../../machines/log/entries.js'
import type { Lease } from '../membership/lease.js'
import type { StartedEpoch } from './startedEpoch.js'

interface PresentEpoch {
  readonly epoch: number
  /** Null: its first entry is not in the log yet. */
  readonly started: StartedEpoch | null
  /** Null until the epoch is about to be opened. */
  readonly lease: Lease | null
}

/**
 * The epoch in which this member is primary: from the claim (or from a record that names it) until
 * it steps down.
 */
export class OwnEpoch {
  private present: PresentEpoch | null = null
  private lastEnded = 0
  private latest = 0

  /** Epoch in which this member is primary, opening or open; 0: it is not. */
  get epoch(): number {
    return this.present?.epoch ?? 0
  }

  /** Start of that epoch in this log; null: there is none yet. */
  get started(): StartedEpoch | null {
    return this.present?.started ?? null
  }

  get lease(): Lease | null {
    return this.present?.lease ?? null
  }

  /** Latest own epoch that is over for good. Sent to candidates: vacancy `resigned`. */
  get endedEpoch(): number {
    return this.lastEnded
  }

  /** Latest timestamp in the log, as far as it was read: within a space they never go back. */
  get latestTimestamp(): number {
    return this.latest
  }

  /** Notes the timestamps of entries that were read from the log or appended to it. */
  sawEntries(entries: readonly LogEntry[]): void {
    for (const { timestamp } of entries) this.sawTimestamp(timestamp)
  }

  sawTimestamp(timestamp: number): void {
    if (timestamp > this.latest) this.latest = timestamp
  }

  /** Begins an epoch, unless its claim did already. Throws if it was ended before. */
  begin(epoch: number): void {
    if (epoch <= this.lastEnded) throw new Error(`epoch ${epoch} was ended before`)
    if (this.epoch !== epoch) this.present = { epoch, started: null, lease: null }
  }

  /** Notes that the first entry of the epoch is durable. */
  noteStarted(started: StartedEpoch): void {
    this.present = { ...this.begun(), started }
  }

  /** Notes the lease of the epoch. It lapses when the epoch ends. */
  hold(lease: Lease): void {
    this.present = { ...this.begun(), lease }
  }

  private begun(): PresentEpoch {
    if (!this.present) throw new Error('no epoch of this member has begun')
    return this.present
  }

  /** Ends the epoch, if there is one. The end is then reported to candidates. */
  stepDown(reason: string): void {
    if (!this.present) return
    const { epoch, lease } = this.present
    this.lastEnded = Math.max(this.lastEnded, epoch)
    this.present = null
    lease?.lapse(reason)
  }
}
