/** The memory graph's values and operations, as clients write them (section 6). */
import type { ForkNote, ForkOpening, Reconciliation } from './books.js'

export type Json =
  | string | number | boolean | null
  | readonly Json[]
  | { readonly [k: string]: Json }

export interface MemoryNode {
  readonly id: string
  readonly content?: string
  readonly activation?: number
  readonly confidence?: number
  readonly embedding?: readonly number[]
  readonly metadata?: { readonly [key: string]: Json }
}

export interface MemoryEdge {
  readonly source: string
  readonly target: string
  readonly kind: string
  readonly weight?: number
}

export type Operation =
  | { readonly type: 'StoreNode'; readonly node: MemoryNode }
  | { readonly type: 'UpdateActivation'; readonly nodeId: string; readonly activation: number }
  | { readonly type: 'StoreEdge'; readonly edge: MemoryEdge }

/** The first entry of a reign: written by the primary itself, never by a client. */
export interface EpochStart {
  readonly type: 'EpochStart'
  readonly space: string
  readonly node: string
  readonly incarnation: number
  readonly connection: number
  /** Reigns that ended without a handover; each opens a fork report (machines/books.ts). */
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

/** How long idempotency keys are known: the younger of what both bounds leave. */
export interface KeyRetention {
  /** ms between the entry with the key and the latest one of the space, by their timestamps. */
  readonly ms: number
  readonly count: number
}

/** A day; a million keys, some 50 MB of a member's store and 16 to 24 MB of its memory. */
export const defaultKeyRetention: KeyRetention = { ms: 24 * 3_600_000, count: 1_000_000 }

/** What an idempotency key stands for. */
export interface KeyRecord {
  readonly epoch: number
  /** Sequence of the last operation of the request. */
  readonly sequence: number
  readonly count: number
  /** Of the entry, ms since 1970: retention goes by this, never by a local clock. */
  readonly timestamp: number
}
