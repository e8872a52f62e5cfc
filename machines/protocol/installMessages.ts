/** Messages by which a member is installed: to the primary, and to the source of a checkpoint. */
import type { NodeId, Position, SpaceId } from '../base/ids.js'

/** States of the replica's chart below `installing`. */
export type InstallPhase = 'waiting' | 'salvaging' | 'asking' | 'pulling' | 'verifying'
  | 'switching'

/** How a member gets a state that the log can follow on from. */
export interface InstallOffer {
  /** Least position of the state: the first entry after it has to be in the primary's journal. */
  readonly minimum: number
  /** Members that have checkpoints, best first. */
  readonly sources: readonly NodeId[]
  /** Whether the member's state may go back: it is damaged, or of a log that does not count. */
  readonly replaces: boolean
  /** The member's entries after that one may be nowhere else, so they are salvaged. */
  readonly salvageAfter: number
}

export interface CheckpointName {
  /** Random, of the file. */
  readonly id: string
  readonly position: Position
}

/**
 * To the primary, on `engram.v1.ack.<space>.<primary>`: progress of an install, once a second, and
 * the question whether it may be completed.
 */
export interface InstallReport {
  readonly kind: 'install'
  readonly version: 1
  readonly space: SpaceId
  readonly uuid: string
  readonly node: NodeId
  readonly epoch: number
  readonly session: number
  /** Repeated in the answer; other answers are ignored. */
  readonly number: number
  readonly phase: Exclude<InstallPhase, 'waiting'>
  readonly source: NodeId | null
  readonly checkpoint: CheckpointName | null
  readonly doneBytes: number
  readonly totalBytes: number
  readonly loadedRecords: number
}

export interface InstallAnswer {
  readonly kind: 'installing'
  readonly number: number
  readonly node: NodeId
  readonly epoch: number
  /** Whether that checkpoint may be installed now, in that session. */
  readonly ok: boolean
  /** Whether the session is the present one. */
  readonly isPresent: boolean
  readonly reason: string
  /** Least position of a checkpoint now. */
  readonly minimum: number
  /** The primary keeps entries from there on; 0: none are kept for this install. */
  readonly pinnedFrom: number
}

/** `engram.v1.checkpoint.<space>.<node>`, as a request. */
export type CheckpointRequest =
  | {
    readonly kind: 'open'
    readonly version: 1
    readonly uuid: string
    readonly node: NodeId
    /** Least position that is of use. */
    readonly minimum: number
    /** Highest version of checkpoint files that the member reads. */
    readonly formats: number
    /** Of a file that the member has a part of, or null. */
    readonly id: string | null
  }
  | {
    readonly kind: 'chunk'
    readonly node: NodeId
    readonly id: string
    readonly offset: number
    readonly bytes: number
  }
  | { readonly kind: 'close'; readonly node: NodeId; readonly id: string }

export type CheckpointAnswer =
  | {
    readonly kind: 'opened'
    readonly id: string
    readonly position: Position
    /** Length of the file that is sent. */
    readonly bytes: number
  }
  /** There is none from `minimum` on; one may be taken now. */
  | { readonly kind: 'none'; readonly newest: number; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'chunk'; readonly id: string; readonly offset: number;
    readonly data: Uint8Array }
  /** That checkpoint is not open here. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'closed' }

/** Bytes of one chunk at most. */
export const chunkBytesMax = 256 * 1024
