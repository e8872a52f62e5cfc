/** The journal of a node, and the files of salvaged entries. */

import type { EpochHistory, Position } from '../../machines/base/ids.js'
import type { Frame } from './frames.js'

export type JournalRecord =
  | { readonly type: 'frame'; readonly frame: Frame }
  | {
    readonly type: 'truncate'
    readonly uuid: string
    /** End of the part that stays: the last common point. */
    readonly to: Position
    /** Name of the salvage that keeps the removed entries. */
    readonly salvage: string
  }
  /** Confirms that everything before it is durable, and how far some spaces are committed. */
  | { readonly type: 'confirm'; readonly floors?: readonly CommitFloor[] }
  | { readonly type: 'spaceDropped'; readonly uuid: string }

/** Entries of a space up to there are committed, as far as this member knew. */
export interface CommitFloor {
  readonly uuid: string
  readonly sequence: number
}

/** The journal's view of one space's log. The history changes with it; who keeps it copies it. */
export interface JournalLog extends EpochHistory {
  readonly uuid: string
  readonly end: Position
  /** Sequence up to which it was known to be committed; 0 when that was never written. */
  readonly floor: number
  /** Why this log cannot be trusted, or null. A member with a damaged log serves nothing. */
  readonly damage: string | null
}

export interface RecoveryReport {
  readonly segments: number
  /** Number of segments that were read; of the others the index was enough. */
  readonly segmentsRead: number
  readonly bytes: number
  readonly records: number
  readonly ms: number
  /** The torn last flush that was cut off, or null. */
  readonly torn: {
    readonly segment: number
    readonly offset: number
    readonly reason: string
  } | null
  readonly damaged: readonly { readonly uuid: string | null; readonly reason: string }[]
}

/** The node's one write-ahead log. The caller makes one write or sync at a time. */
export interface Journal {
  readonly id: string
  readonly recovery: RecoveryReport
  logs(): readonly JournalLog[]
  log(uuid: string): JournalLog | undefined
  /**
   * Appends the records as one flush, not yet durable. JournalFullError: the disk is full or
   * refused; all of this flush is cut off again, and a later write may succeed. SyncFailedError: it
   * could not be cut off; the process must end.
   */
  write(records: readonly JournalRecord[]): Promise<void>
  /** fdatasync of all that was written. SyncFailedError: never retry, the process must end. */
  sync(): Promise<void>
  /**
   * Whole frames in order, the first one holding `from`, up to about `maxBytes` (at least one).
   * Empty when `from` is beyond the end. Reads everything written, durable or not.
   */
  read(uuid: string, from: number, maxBytes: number): Promise<Frame[]>
  /** `indexBytes`: memory of the places of its frames, and of pages of index files. */
  stats(): { segments: number; bytes: number; flush: number; indexBytes: number }
  close(): Promise<void>
}

export class JournalFullError extends Error {
  readonly code = 'JOURNAL_FULL'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'JournalFullError'
  }
}

export class SyncFailedError extends Error {
  readonly code = 'SYNC_FAILED'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'SyncFailedError'
  }
}

/** One salvage, read from its beginning. */
export interface OpenSalvage {
  readonly header: SalvageHeader
  /** Null after the last one; then the whole file was intact. */
  next(): Promise<Frame | null>
  close(): Promise<void>
}

/** Header of a file that keeps the entries that a member had to truncate. */
export interface SalvageHeader {
  readonly space: string
  readonly uuid: string
  readonly node: string
  /** Last common point with the log of the primary that was joined. */
  readonly common: Position
  /** End of the fork. */
  readonly end: Position
  /** Epoch of the primary that the member joined. */
  readonly joinedEpoch: number
  readonly savedAtMs: number
}

export interface SalvageFiles {
  /**
   * Returns the name once file and directory are fsynced. It begins with the space, a dot, the
   * first 8 characters of the uuid, and a dot.
   */
  save(header: SalvageHeader, frames: AsyncIterable<readonly Frame[]>): Promise<string>
  /** Names of all files, whether they can be read or not. */
  names(): Promise<string[]>
  /** Those whose header can be read; the others are logged. */
  list(): Promise<{ name: string; header: SalvageHeader; bytes: number; entries: number }[]>
  /** Reads it frame by frame, since it may be larger than memory. The caller closes it. */
  open(name: string): Promise<OpenSalvage>
  /** Durable when it resolves; a file that is gone already is no error. */
  remove(name: string): Promise<void>
}
