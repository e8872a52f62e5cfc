/** What an account of a chaos run is made from. */
import type { Position } from '../../machines/base/ids.js'
import type { Reconciliation } from '../../machines/log/forkNotes.js'
import type { AckLevel } from '../../machines/protocol/messages.js'

/** Of an acknowledged record; each is in one of them. */
export const places = [
  'present', 'resent', 'merged', 'superseded', 'quarantined', 'salvaged', 'lost',
] as const
export type Place = typeof places[number]

/** What an entry says of the write in it that was logged under an earlier epoch first. */
export interface Home extends Position {
  readonly outcome: Reconciliation['outcome']
  readonly via: Reconciliation['via']
  /** What stood there lost, and is in the quarantine since. */
  readonly isDisplacing: boolean
}

export interface Found {
  readonly place: Place
  /** Its entry in the log; null where there is none. */
  readonly entry: LoggedRecord | null
}

/** One write of the load. Times are ms since the run began. */
export interface WrittenRecord {
  /** Idempotency key; no other write has it. */
  readonly key: string
  readonly sentAtMs: number
  /** The positive answer; null when there was none. */
  readonly answer: {
    /** The level that it states. */
    readonly level: AckLevel
    /** Of the reign that answered. */
    readonly epoch: number
    /** Where it is logged: of a repeated write perhaps under an earlier epoch. */
    readonly loggedEpoch: number
    readonly sequence: number
    readonly node: string
    readonly atMs: number
  } | null
  /** Code of the error it ended with; null when it was answered, or is under way. */
  readonly failure: string | null
  /** The failure says that it never took effect. */
  readonly isRefused: boolean
}

/** An entry of the log since the run began. */
export interface LoggedRecord {
  readonly sequence: number
  readonly epoch: number
  /** null: not a write of a client, or one without a key. */
  readonly key: string | null
  /** What it holds is what was sent under that key. */
  readonly isWhole: boolean
  /** It was logged under an earlier epoch first, and came home; null as a rule. */
  readonly home: Home | null
  /** Writes of a salvage that had come by their keys already, where they were logged first. */
  readonly resent: readonly Position[]
}

export interface SalvagedRecord {
  readonly key: string
  readonly epoch: number
  readonly node: string
}
