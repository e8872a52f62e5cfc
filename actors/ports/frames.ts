/** Frames: the unit of logging, replication and applying. */

import type { Operation } from '../../machines/graph/graph.js'
import type { EpochStart, LogEntry } from '../../machines/log/entries.js'
import type { ForkNote, Reconciliation } from '../../machines/log/forkNotes.js'
import type { WalHeader } from '../../machines/protocol/messages.js'

/** Consecutive entries of one space and one epoch; the same bytes on disk and on the wire. */
export interface Frame {
  readonly bytes: Uint8Array
  readonly kind: 'entries' | 'epochStart'
  readonly uuid: string
  readonly epoch: number
  readonly first: number
  readonly last: number
  /** Epoch of entry first - 1: with it, the previous position that a replica checks. */
  readonly previousEpoch: number
}

/** One request that passed the checks: all or nothing, never split over frames. */
export interface AcceptedRequest {
  readonly operations: readonly (Operation | ForkNote)[]
  /** One per operation: the bytes that go into the log, beginning with an encoding tag. */
  readonly encoded: readonly Uint8Array[]
  readonly key: string | null
  /** One per operation, for a request that was logged under an earlier epoch first. */
  readonly reconciliations?: readonly Reconciliation[]
}

export interface FrameOrigin {
  readonly uuid: string
  readonly epoch: number
  readonly first: number
  readonly previousEpoch: number
  /** Component of the clock that counts these entries: `n1`, or `n1@3` (node and epoch). */
  readonly node: string
  /** Vector clock before the first entry. */
  readonly clock: Readonly<Record<string, number>>
}

/** An open batch. Sealing fixes its place in the log. */
export interface FrameBuilder {
  readonly count: number
  /** Size of the frame so far; a request that would exceed the limit goes into the next frame. */
  readonly bytes: number
  add(request: AcceptedRequest, timestamp: number): void
  seal(origin: FrameOrigin): Frame
}

export interface FrameCodec {
  builder(): FrameBuilder
  epochStart(origin: FrameOrigin, start: EpochStart, timestamp: number): Frame
  /** Encodes an operation with its reconciliation, or a note, for `AcceptedRequest.encoded`. */
  encodeEntry(operation: Operation | ForkNote, reconciliation: Reconciliation | null): Uint8Array
  /** Checks everything: magic, version, lengths, checksum. A string is the fault found. */
  parse(bytes: Uint8Array): Frame | string
  /**
   * Decodes the entries of a frame that `parse` has passed: all, or a range of sequences. Throws on
   * a defect (a bug).
   */
  entries(frame: Frame, from?: number, to?: number): LogEntry[]
  /** Vector clock after the last entry of the frame. */
  clockAfter(frame: Frame): Record<string, number>
  /** A WAL message: the header, then the frame unless it is a notice. A fresh buffer. */
  encodeWal(header: WalHeader, frame: Frame | null): Uint8Array
  decodeWal(bytes: Uint8Array): { header: WalHeader; frame: Frame | null } | string
}
