/** Files with the committed state of spaces, as of one position each. */

import type { EpochHistory, Position } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { VectorClock } from '../../machines/log/vectorClock.js'
import type { SpaceSettings } from '../../machines/protocol/messages.js'
import type { SpaceImage, SpaceState } from './store.js'

/** What the log of the space says about the position of a state. */
export interface SectionNotes {
  readonly space: string
  readonly uuid: string
  /** Up to that position. */
  readonly history: EpochHistory
  /** Vector clock and timestamp of the entry there. */
  readonly clock: VectorClock
  readonly timestamp: number
  /** As last known here. */
  readonly settings: SpaceSettings | null
}

export interface SectionManifest extends SectionNotes {
  readonly state: SpaceState
}

/** One section to be written. */
export interface SectionSource {
  readonly notes: SectionNotes
  /** Closed by the writer, whatever happens; of an array also those that it did not reach. */
  readonly image: SpaceImage
}

/** A section of a complete file, by the file's footer. */
export interface StoredSection {
  /** Number of the file; never used twice on a disk. */
  readonly file: number
  /** Of the file: a random uuid. */
  readonly id: string
  /** When the file was written, ms since 1970. */
  readonly writtenAtMs: number
  readonly space: string
  readonly uuid: string
  readonly position: Position
  readonly digest: string
  /** Its place in the file, and its length there. */
  readonly offset: number
  readonly bytes: number
  /** Length of all sections of the file together. */
  readonly sharedBytes: number
}

export interface StoredFile {
  readonly number: number
  readonly bytes: number
  /** Those that can be used. */
  readonly sections: readonly StoredSection[]
  /** Why it, or one of its sections, cannot be used, or null. */
  readonly fault: { readonly code: string; readonly reason: string } | null
}

/**
 * How fast a file is written or read, given from outside. `rest` rejects to end the work; what was
 * written so far is then removed.
 */
export interface Pace {
  /** Called before each slice of work of the event loop. */
  begin(): void
  /** Called after it: what follows are waits for the disk. */
  end(): void
  /** Called after it, and after its bytes were written or read. The next slice comes then. */
  rest(bytes: number): Promise<void>
}

/** A section, open for a load or for another node. It can be read after its file was removed. */
export interface SectionReader {
  readonly section: StoredSection
  readonly manifest: SectionManifest
  /**
   * All records, in pieces that a stage takes. Rejects with CheckpointDamagedError, also at the end
   * when something is missing. Hashes and sums of records are for the stage to check.
   */
  records(): AsyncIterable<Uint8Array>
  /** Length of the section as a file of its own, which is what another node gets. */
  readonly fileBytes: number
  /** Part of that file; shorter at its end. */
  read(offset: number, bytes: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** A checkpoint file of another node, of one section, that is being received. */
export interface Part {
  readonly uuid: string
  readonly id: string
  /** Length of the whole file. */
  readonly totalBytes: number
  /** Received; the next chunk begins here. */
  readonly bytes: number
  /**
   * Writes the next chunk, and syncs each MiB. After an error of the write (ENOSPC) the same chunk
   * may be given again. After a failed sync the part is gone.
   */
  append(chunk: Uint8Array): Promise<void>
  /** Opens the whole part for a load. CheckpointDamagedError. */
  open(): Promise<SectionReader>
  /**
   * Makes it a checkpoint file, durable when it resolves. May be called again after an error.
   * Nothing of it counts until the journal names it.
   */
  finish(): Promise<StoredSection>
  discard(): Promise<void>
  /** Leaves the part as it is, to be resumed later. */
  close(): Promise<void>
}

/** The checkpoint files of a node. One write at a time. */
export interface Checkpoints {
  readonly directory: string
  /** By number. */
  files(): readonly StoredFile[]
  /** The sections of all files that can be used, by the number of the file. */
  list(): readonly StoredSection[]
  /**
   * Writes a file of those sections, one image after the other. When it resolves, the file is
   * durable and was read back and verified. A section whose image was closed meanwhile is not in
   * it; if there is no other one, there is no file. Otherwise nothing of it is left (or a file that
   * the next start removes): rejects with FileSystemError, ReadBackError, with what an image throws
   * else, and with that of `pace.rest`. Asserts I13.
   */
  write(
    sections: Iterable<SectionSource> | AsyncIterable<SectionSource>,
    pace: Pace,
  ): Promise<readonly StoredSection[]>
  /** The section of the space in that very file, or null. */
  find(uuid: string, of: { readonly file: number; readonly id: string }): StoredSection | null
  /** Notes that it cannot be used: its file is listed with the reason, and it is not found. */
  noteUnusable(section: StoredSection, fault: NonNullable<StoredFile['fault']>): void
  /** Path of the file that has the section. */
  pathOf(section: StoredSection): string
  /** CheckpointDamagedError, CheckpointVersionError, CheckpointGoneError. */
  open(section: StoredSection): Promise<SectionReader>
  /** Reads all of it: blocks, hashes of records, digest, counts. Rejects like `open`. */
  verify(section: StoredSection, pace: Pace): Promise<void>
  /**
   * Begins to receive a file, or goes on with what is there of it: up to the first block that does
   * not verify. Parts of other files of the same space are removed.
   */
  receive(wanted: { uuid: string; id: string; totalBytes: number }): Promise<Part>
  /** Ids of parts of that space. */
  parts(uuid: string): Promise<readonly string[]>
  /** Spaces that have parts. */
  spacesOfParts(): Promise<ReadonlySet<string>>
  removeParts(uuid: string): Promise<void>
  /** Durable when it resolves; a file that is gone already is no error. */
  remove(file: number): Promise<void>
  /** Removes all files that are not named. For a start that has read the journal. */
  keepOnly(files: ReadonlySet<number>): Promise<void>
}

/** Why a file cannot be used, as it is listed. */
export function faultOf(error: unknown): NonNullable<StoredFile['fault']> {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN'
  return { code, reason: messageOf(error) }
}

/** The file does not hold what was written. It is of no use; another checkpoint may be. */
export class CheckpointDamagedError extends Error {
  readonly code = 'CHECKPOINT_DAMAGED'
  readonly retryable = false
  constructor(readonly file: string, readonly reason: string) {
    super(`the checkpoint ${file} is damaged, and is not used: ${reason}`)
    this.name = 'CheckpointDamagedError'
  }
}

/** The file was written by a later version. It is not damaged. */
export class CheckpointVersionError extends Error {
  readonly code = 'CHECKPOINT_VERSION'
  readonly retryable = false
  constructor(readonly file: string, readonly reason: string) {
    super(`the checkpoint ${file} needs a later version of this program: ${reason}`)
    this.name = 'CheckpointVersionError'
  }
}

export class CheckpointGoneError extends Error {
  readonly code = 'CHECKPOINT_GONE'
  readonly retryable = false
  constructor(readonly file: string) {
    super(`the checkpoint ${file} does not exist any more: take a newer one`)
    this.name = 'CheckpointGoneError'
  }
}

/** A file was read back otherwise than it was written. It was removed. */
export class ReadBackError extends Error {
  readonly code = 'CHECKPOINT_READ_BACK'
  /** Once: a second time in a row the disk is to blame. */
  readonly retryable = true
  constructor(file: string, cause: CheckpointDamagedError) {
    super(`the checkpoint ${file} is read back otherwise than it was written, and was removed: `
      + `${cause.reason}; check the disk if this repeats`, { cause })
    this.name = 'ReadBackError'
  }
}
