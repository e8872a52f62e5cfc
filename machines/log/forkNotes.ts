/**
 * The books of a space: what became of writes that were acknowledged under a reign and are not in
 * the log of the next one. Everything in them comes from log entries, so every member has the same
 * books, and a failover takes them along. The types; the arithmetic is in ledger.ts.
 */
import type { NodeId, Position } from '../base/ids.js'
import type { Operation } from '../graph/graph.js'

/** Where a write was logged first: unique to it within a space. */
export interface Origin {
  readonly epoch: number
  readonly sequence: number
  /** Who logged it; '' when that is not known. */
  readonly node: NodeId
}

/** What became of a write of a fork when it was taken into the log, as a new entry. */
export interface Reconciliation {
  readonly origin: Origin
  /** When it was logged first, ms since 1970; unknown of what a client sends again: then early. */
  readonly timestamp: number
  /** Who brought it: its client again, a member's salvage, or an operator out of the quarantine. */
  readonly via: 'client' | 'salvage' | 'quarantine'
  /**
   * merged: the operation has its effect. quarantined: it lost against what had been changed
   * meanwhile, and is kept. superseded: a later write of its own fork is in the log already.
   */
  readonly outcome: 'merged' | 'quarantined' | 'superseded'
  /** What stood there lost: it goes into the quarantine, as it stands when this is applied. */
  readonly displaces: 'nothing' | 'value' | 'activation'
  /** A merged StoreNode that leaves the activation, and who set it, as they are. */
  readonly keepsActivation: boolean
  /** The write that won: where it was logged first. Null when this one did. */
  readonly by: Position | null
}

/** A reign that ended without a handover, as the log of a later one tells of it. */
export interface ForkOpening {
  /** The reign that ended, and who held it, with which disk. */
  readonly epoch: number
  readonly node: NodeId
  readonly disk: string
  /** End of the log that the reign began on; its own first entry comes next. */
  readonly start: Position
  /** Last entry of that reign's log that the later one has. */
  readonly forkPoint: Position
  /** Highest sequence that its log is known to have had; of the fork point at least. */
  readonly lastKnown: number
  /** Most writes that can have been acknowledged beyond it (`maxLoss.entries`), or null. */
  readonly atMost: number | null
}

/** Entries of one epoch in a fork. */
export interface ForkSpan {
  readonly epoch: number
  readonly last: number
  /** Entries that clients wrote: not first entries of reigns, not notes. */
  readonly writes: number
}

/** A salvage, as its member tells of it. */
export interface SalvageNote {
  readonly name: string
  readonly node: NodeId
  /** Last entry that it shares with the log that its member joined. */
  readonly common: Position
  /** What lies beyond, oldest first. */
  readonly spans: readonly ForkSpan[]
}

/** What the primary notes in the log about a fork, beside the writes that come of it. */
export type ForkNote = { readonly type: 'ForkNote' } & (
  /** A report that no first entry of a reign opened: the arbiter had lost what it knew. */
  | { readonly note: 'opened'; readonly opening: ForkOpening }
  /** A salvage lies on a member, and waits. */
  | { readonly note: 'salvaged'; readonly salvage: SalvageNote }
  /** All of it is in the log, before this note; its file may go once this is committed. */
  | { readonly note: 'taken'; readonly name: string; readonly node: NodeId }
  /** Its file went before it was taken. */
  | { readonly note: 'gone'; readonly name: string; readonly node: NodeId }
  /**
   * Writes of a salvage that are known by another place: where each was logged, and is now, by its
   * key; or, of one that had come home there, where it was logged first.
   */
  | {
    readonly note: 'resent'
    readonly writes: readonly {
      readonly epoch: number
      readonly sequence: number
      readonly now: Position
    }[]
  }
  /** An operator gives up what lies in the quarantine. */
  | { readonly note: 'discarded'; readonly id: string }
  | {
    readonly note: 'closed'
    readonly epoch: number
    readonly outcome: ForkOutcome
    /** Writes known to have been logged that are nowhere: at least so many. */
    readonly lost: number
    readonly reason: string
  }
)

/**
 * level: nothing lay beyond the fork point. reconciled: all that was found has been taken into
 * the log. lost: the disk that held it is gone. dismissed: an operator closed the report.
 */
export type ForkOutcome = 'level' | 'reconciled' | 'lost' | 'dismissed'

/** The account of one reign that ended without a handover. */
export interface ForkReport extends ForkOpening {
  /** The entry that opened it; its reign has to do without what lay beyond the fork point. */
  readonly opened: Position
  /** By the timestamp of the entry that opened it, and of the one that closed it. */
  readonly openedAtMs: number
  readonly closedAtMs: number | null
  /** Null while it is open. */
  readonly outcome: ForkOutcome | null
  readonly reason: string
  /** Writes of the fork by what became of them; each is in one of these once. */
  readonly resent: number
  readonly merged: number
  readonly superseded: number
  /** Those that lie there now. */
  readonly quarantined: number
  /** Given up by an operator, out of the quarantine. */
  readonly discarded: number
  /** At least so many; 0 until the report is closed. */
  readonly lost: number
  readonly salvages: readonly (SalvageNote & { readonly state: SalvageState })[]
}

export type SalvageState = 'waiting' | 'taken' | 'gone'

/** What became of one write of a fork. */
export interface OriginRecord {
  readonly outcome: 'resent' | 'merged' | 'superseded' | 'quarantined'
  readonly via: 'client' | 'salvage' | 'quarantine'
  /**
   * The entry that says so: for merged, where the write is now; for resent, the place by which it
   * is known.
   */
  readonly now: Position
  /** The write that won against it, where it was logged first; null when none did. */
  readonly by: Position | null
}

/** A write that lost against another and is kept until an operator applies or discards it. */
export interface QuarantineItem {
  /** `<epoch>-<sequence>` of where it was logged first. */
  readonly id: string
  readonly operation: Operation
  readonly origin: Position
  /** When it was logged first, ms since 1970. */
  readonly timestamp: number
  /** The entry by which it came here. */
  readonly since: Position
  /** The write that won against it, where it was logged first. */
  readonly by: Position
}

/** Which write made something what it is. */
export interface Version extends Position {
  /** When it was logged first, ms since 1970. `epoch` and `sequence`: where. */
  readonly timestamp: number
  /** Its entry in this log. */
  readonly at: number
}

/** Closed reports that a space keeps, with what became of each write: older ones are forgotten. */
export const closedReportsMax = 64

/** Writes in quarantine that a space keeps: what would go there too has to wait. */
export const quarantineMax = 100_000
