/** What the log of a space holds. */
import type { Operation } from '../graph/graph.js'
import type { ForkNote, ForkOpening, Reconciliation } from './forkNotes.js'

/** The first entry of a reign: written by the primary itself, never by a client. */
export interface EpochStart {
  readonly type: 'EpochStart'
  readonly space: string
  readonly node: string
  readonly incarnation: number
  readonly connection: number
  /** Reigns that ended without a handover; each opens a fork report (machines/log/forkNotes.ts). */
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
  /** Of a write that was logged under an earlier epoch first, in a log that did not survive. */
  readonly reconciliation?: Reconciliation
}

/** What an idempotency key stands for. */
export interface KeyRecord {
  readonly epoch: number
  /** Sequence of the last operation of the request. */
  readonly sequence: number
  readonly count: number
  /** Of the entry, ms since 1970: retention goes by this, never by a local clock. */
  readonly timestamp: number
}
