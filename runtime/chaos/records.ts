/** Records of a chaos run, as its audit reads them. */
import type { Position } from '../../machines/base/ids.js'
import type { Reconciliation } from '../../machines/log/forkNotes.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

/** Places of acknowledged records. Each record is in one of them. */
export const places = [
  'present',
  'resent',
  'merged',
  'superseded',
  'quarantined',
  'salvaged',
  'lost',
] as const
export type Place = typeof places[number]

/** First log position of a reconciled write, as its entry states it. */
export interface Origin extends Position {
  readonly outcome: Reconciliation['outcome']
  readonly via: Reconciliation['via']
  /** True if it displaced another write, which is in the quarantine since. */
  readonly isDisplacing: boolean
}

export interface Found {
  readonly place: Place
  /** Its entry in the log. null if there is none. */
  readonly entry: LoggedRecord | null
}

/** One write of the load. Times are ms since the run began. */
export interface WrittenRecord {
  /** Idempotency key, unique to this write. */
  readonly key: string
  readonly sentAtMs: number
  /** The positive answer. null if there was none. */
  readonly answer: {
    /** The level that it states. */
    readonly level: AckLevel
    /** Epoch that answered. */
    readonly epoch: number
    /** Epoch under which it is logged, which is an earlier one for some repeated writes. */
    readonly loggedEpoch: number
    readonly sequence: number
    readonly node: string
    readonly atMs: number
  } | null
  /** Code of the error. null if it was answered or is under way. */
  readonly failure: string | null
  /** True if the error says that it never took effect. */
  readonly isRefused: boolean
}

/** An entry of the log since the run began. */
export interface LoggedRecord {
  readonly sequence: number
  readonly epoch: number
  /** null if it is no client's write, or has no key. */
  readonly key: string | null
  /** True if it holds what was sent under that key. */
  readonly isWhole: boolean
  /** First log position of a reconciled write. null for all others. */
  readonly origin: Origin | null
  /** First log positions of salvaged writes that clients had resent by their keys. */
  readonly resent: readonly Position[]
}

export interface SalvagedRecord {
  readonly key: string
  readonly epoch: number
  readonly node: string
}
