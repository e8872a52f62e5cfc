/**
 * Types of fork reports: what became of writes that one epoch acknowledged and that are not in the
 * log of the next one. They are derived from log entries only, so every member has the same
 * reports, and they survive a failover. machines/forks/forkReports.ts derives them.
 */
import type { NodeId, Position } from '../base/ids.js'
import type { Operation } from '../graph/graph.js'

/** Position where a write was logged first: unique to it within a space. */
export interface Origin {
  readonly epoch: number
  readonly sequence: number
  /** Node that logged it; '': not known. */
  readonly node: NodeId
}

/** Result of a write of a fork that was taken into the log as a new entry. */
export interface Reconciliation {
  readonly origin: Origin
  /** When it was logged first, ms since 1970. An early time for a client's resend without it. */
  readonly timestamp: number
  /** Source: a resend of its client, a member's salvage, or an operator's re-apply. */
  readonly via: 'client' | 'salvage' | 'quarantine'
  /**
   * merged: the operation has its effect. quarantined: it lost against a concurrent change, and is
   * kept. superseded: a later write of its own fork is in the log already.
   */
  readonly outcome: 'merged' | 'quarantined' | 'superseded'
  /** Part of the present state that lost: it goes into the quarantine when this is applied. */
  readonly displaces: 'nothing' | 'value' | 'activation'
  /** Whether a merged StoreNode leaves the activation, with its version, as it is. */
  readonly keepsActivation: boolean
  /** Origin of the write that won; null: this one did. */
  readonly by: Position | null
}

/** An epoch that ended without a handover, as a later epoch logs it. */
export interface ForkOpening {
  /** The epoch that ended, with its primary and disk. */
  readonly epoch: number
  readonly node: NodeId
  readonly disk: string
  /** End of the log that the epoch began on; its own first entry comes next. */
  readonly start: Position
  /** Last entry of that epoch's log that the later one has. */
  readonly forkPoint: Position
  /** Highest sequence that its log is known to have had; at least that of the fork point. */
  readonly lastKnown: number
  /** Most writes that can have been acknowledged beyond it (`maxLoss.entries`), or null. */
  readonly atMost: number | null
}

/** Entries of one epoch in a fork. */
export interface ForkSpan {
  readonly epoch: number
  readonly last: number
  /** Number of clients' entries: no first entries of epochs, no notes (those that miss may be). */
  readonly writes: number
}

/** Description of a salvage, sent by its member. */
export interface SalvageNote {
  readonly name: string
  readonly node: NodeId
  /** Last entry that it shares with the log that its member joined. */
  readonly common: Position
  /** Entries beyond that, by epoch, oldest first; also those before `begins`. */
  readonly spans: readonly ForkSpan[]
  /** Its first entry; absent: the one after `common`. Its member no longer kept those before. */
  readonly begins?: number
  /** A checkpoint of that log, with the effect of those; its member keeps the file. */
  readonly checkpoint?: Position
}

/** Note of the primary in the log about a fork, beside the reconciled writes. */
export type ForkNote = { readonly type: 'ForkNote' } & (
  /** A report that no first entry of an epoch opened: the arbiter had lost the record. */
  | { readonly note: 'opened'; readonly opening: ForkOpening }
  /** A salvage waits on a member. */
  | { readonly note: 'salvaged'; readonly salvage: SalvageNote }
  /** All of it is in the log before this note; its file is removed once this is committed. */
  | { readonly note: 'taken'; readonly name: string; readonly node: NodeId }
  /** Its file disappeared before it was taken. */
  | { readonly note: 'gone'; readonly name: string; readonly node: NodeId }
  /**
   * Writes of a salvage that are known by another position: where each was logged, and where it is
   * now by its key. For one that was reconciled there: where it was logged first.
   */
  | {
    readonly note: 'resent'
    readonly writes: readonly {
      readonly epoch: number
      readonly sequence: number
      readonly now: Position
    }[]
  }
  /** An operator gives up a write in the quarantine. */
  | { readonly note: 'discarded'; readonly id: string }
  | {
    readonly note: 'closed'
    readonly epoch: number
    readonly outcome: ForkOutcome
    /** Writes known to have been logged that are found nowhere: a lower bound. */
    readonly lost: number
    readonly reason: string
  }
)

/**
 * level: there was nothing beyond the fork point. reconciled: all writes that were found are in the
 * log. lost: the disk with them is gone, or no member keeps all of them. dismissed: an operator
 * closed the report.
 */
export type ForkOutcome = 'level' | 'reconciled' | 'lost' | 'dismissed'

/** Report on one epoch that ended without a handover. */
export interface ForkReport extends ForkOpening {
  /** The entry that opened it. Its epoch lacks the entries beyond the fork point. */
  readonly opened: Position
  /** Timestamps of the entries that opened and closed it. */
  readonly openedAtMs: number
  readonly closedAtMs: number | null
  /** Null while it is open. */
  readonly outcome: ForkOutcome | null
  readonly reason: string
  /** Writes of the fork, by result; each is counted once. */
  readonly resent: number
  readonly merged: number
  readonly superseded: number
  /** Writes in the quarantine now. */
  readonly quarantined: number
  /** Writes that an operator discarded from the quarantine. */
  readonly discarded: number
  /** Lost writes, a lower bound; 0 until the report is closed. */
  readonly lost: number
  readonly salvages: readonly (SalvageNote & { readonly state: SalvageState })[]
}

export type SalvageState = 'waiting' | 'taken' | 'gone'

/** Result of one write of a fork. */
export interface OriginRecord {
  readonly outcome: 'resent' | 'merged' | 'superseded' | 'quarantined'
  readonly via: 'client' | 'salvage' | 'quarantine'
  /**
   * The entry that records it. For merged, it is where the write is now; for resent, the position
   * by which it is known.
   */
  readonly now: Position
  /** Origin of the write that won against it; null: none did. */
  readonly by: Position | null
}

/** A write that lost against another and is kept until an operator applies or discards it. */
export interface QuarantineItem {
  /** `<epoch>-<sequence>` of its origin. */
  readonly id: string
  readonly operation: Operation
  readonly origin: Position
  /** When it was logged first, ms since 1970. */
  readonly timestamp: number
  /** The entry that put it into the quarantine. */
  readonly since: Position
  /** Origin of the write that won against it. */
  readonly by: Position
}

/** Version of a value: the write that made it. */
export interface Version extends Position {
  /** When the write was logged first, ms since 1970; `epoch` and `sequence` say where. */
  readonly timestamp: number
  /** Its entry in this log. */
  readonly at: number
}

/** Closed reports that a space keeps, with the result of each write; older ones are forgotten. */
export const closedReportsMax = 64

/** Writes that the quarantine of a space holds; further ones have to wait. */
export const quarantineMax = 100_000
