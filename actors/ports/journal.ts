/** The journal of a node, and the files of salvaged entries. */

import type { EpochHistory, EpochSpan, Position } from '../../machines/base/ids.js'
import type { RemovableSegment } from '../../machines/log/retention.js'
import type { VectorClock } from '../../machines/log/vectorClock.js'
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
  /** Names the checkpoints that count from now on. */
  | { readonly type: 'checkpoint'; readonly uuid: string; readonly covers: Coverage }
  /** The log is what one checkpoint has, and what follows; what was there before is void. */
  | { readonly type: 'snapshotInstalled'; readonly uuid: string; readonly covers: Coverage }

/** A checkpoint of a space, by the file that has it. */
export interface KeptCheckpoint {
  /** Number of the file. */
  readonly file: number
  /** Of the file: a random uuid. */
  readonly id: string
  readonly position: Position
}

/** What stands in for entries of a log that may be missing in the journal. */
export interface Coverage {
  /** How often this member's copy was installed or dropped. */
  readonly installs: number
  /** At most two, the older one first. */
  readonly kept: readonly KeptCheckpoint[]
  /** Entries up to there may be missing; the origin: none. Never above a kept checkpoint. */
  readonly covered: Position
  /** Up to `covered`, like what follows. */
  readonly history: EpochHistory
  readonly clock: VectorClock
  /** Ms since 1970; 0 at the origin. */
  readonly timestamp: number
}

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
  /** The position before the first entry that can be read. */
  readonly base: Position
  readonly covers: Coverage
  /** Bytes of its frames that were written since its newest checkpoint, about. */
  readonly newBytes: number
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
  /** Spaces whose last record in the journal says that they were dropped here. */
  dropped(): readonly string[]
  /**
   * Nothing is left here of a space that was dropped: its record may go with its segment. Before,
   * it is restated.
   */
  forgetDrop(uuid: string): void
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
   * EntriesGoneError: `from` lies at or below the base.
   */
  read(uuid: string, from: number, maxBytes: number): Promise<Frame[]>
  /** `indexBytes`: memory of the places of its frames, and of pages of index files. */
  stats(): { segments: number; bytes: number; flush: number; indexBytes: number }
  /** Closed segments, oldest first. */
  segments(): readonly { readonly segment: number; readonly bytes: number }[]
  /** What counts in a closed segment. */
  useOf(segment: number): RemovableSegment
  /**
   * Gives up the oldest segment: first what has to stay of it is restated durably, then that it is
   * given up, then the file is removed. Beside writes: resolves with false if what was written
   * meanwhile keeps it. Violates I14 if it has an entry that two checkpoints do not cover.
   * JournalFullError, SyncFailedError: as for a write. A file that cannot be removed is logged; the
   * next call tries again, and rejects with FileSystemError if it fails again.
   */
  remove(segment: number): Promise<boolean>
  close(): Promise<void>
}

/** Numbers of the checkpoint files that a record of the journal names: the others do not count. */
export function namedFiles(journal: Pick<Journal, 'logs'>): Set<number> {
  return new Set(journal.logs().flatMap(({ covers }) => covers.kept.map(({ file }) => file)))
}

/** Those entries were given up. */
export class EntriesGoneError extends Error {
  readonly code = 'ENTRIES_GONE'
  /** The first entry that can be read. */
  constructor(uuid: string, from: number, readonly firstSequence: number) {
    super(`entry ${from} of space ${uuid} is no longer kept: the first one is ${firstSequence}`)
    this.name = 'EntriesGoneError'
  }
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
  /** Absent: the file has all entries after `common`. */
  readonly missing?: MissingEntries
}

/** What of a fork is not in the file: the member had given it up, as committed. */
export interface MissingEntries {
  /** First entry in the file; the one after `end`: it has none. */
  readonly begins: number
  /** Epochs of the entries between `common` and there. */
  readonly spans: readonly EpochSpan[]
  /** A checkpoint that has their effect, kept beside the file; null: there was none. */
  readonly checkpoint: Position | null
}

/** Returns the sequence at which the entries of a salvage begin. */
export function firstOf({ common, missing }: Pick<SalvageHeader, 'common' | 'missing'>): number {
  return missing?.begins ?? common.sequence + 1
}

export interface SalvageFiles {
  /**
   * Returns the name once file and directory are fsynced. It begins with the space, a dot, the
   * first 8 characters of the uuid, and a dot. `checkpoint`: a file that is kept beside it, under
   * its name, durable by then; it is linked, so that it takes no room of its own at first.
   */
  save(
    header: SalvageHeader,
    frames: AsyncIterable<readonly Frame[]>,
    checkpoint?: string,
  ): Promise<string>
  /** Names of all files, whether they can be read or not. */
  names(): Promise<string[]>
  /** Those whose header can be read; the others are logged. */
  list(): Promise<{ name: string; header: SalvageHeader; bytes: number; entries: number }[]>
  /** Names of the checkpoints that are kept beside salvages, also of those that are gone. */
  kept(): Promise<string[]>
  /** Reads it frame by frame, since it may be larger than memory. The caller closes it. */
  open(name: string): Promise<OpenSalvage>
  /** Salvages and kept checkpoints. Durable when it resolves; one that is gone is no error. */
  remove(name: string): Promise<void>
}
