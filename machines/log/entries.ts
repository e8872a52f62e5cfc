/** Entries of the log of a space. */
import type { Operation } from '../graph/graph.js'
import type { ForkNote, ForkOpening, Reconciliation } from './forkNotes.js'

/** The first entry of an epoch: written by the primary itself, never by a client. */
export interface EpochStart {
  readonly type: 'EpochStart'
  readonly space: string
  readonly node: string
  readonly incarnation: number
  readonly connection: number
  /** Epochs that ended without a handover; each opens a fork report (forkNotes.ts). */
  readonly forks?: readonly ForkOpening[]
}

export interface LogEntry {
  readonly sequence: number
  readonly epoch: number
  /** Milliseconds since 1970; never goes back within a space. */
  readonly timestamp: number
  readonly vectorClock: Readonly<Record<string, number>>
  /** Idempotency key of the request that brought this entry. */
  readonly writeId: string | null
  readonly operation: Operation | EpochStart | ForkNote
  /** Set for a write that an earlier epoch logged first, in a log that did not survive. */
  readonly reconciliation?: Reconciliation
}

/** Record of the request that had an idempotency key. */
export interface KeyRecord {
  readonly epoch: number
  /** Sequence of the last operation of the request. */
  readonly sequence: number
  readonly count: number
  /** Timestamp of the entry, ms since 1970. Retention uses it, never a local clock. */
  readonly timestamp: number
}
