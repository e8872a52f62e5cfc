/** Requests of clients, and their answers. */

import type { EpochSpan, Position } from '../../machines/base/ids.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import type { Decoded } from './controlCodec.js'
import type { AcceptedRequest } from './frames.js'
import type { EdgeDirection } from './store.js'

export type Encoding = 'json' | 'msgpack'

export type ErrorCode = 'INVALID_OPERATION' | 'PAYLOAD_TOO_LARGE' | 'NOT_ENOUGH_IN_SYNC'
  | 'OVERLOADED' | 'READ_ONLY' | 'SHUTTING_DOWN' | 'NOT_PRIMARY' | 'LEASE_LAPSED' | 'ACK_TIMEOUT'
  | 'INTERNAL' | 'STALE_READ' | 'TRUNCATED' | 'UNKNOWN_SPACE'

export interface WriteAnswer {
  readonly ok: true
  readonly space: string
  readonly epoch: number
  readonly sequence: number
  readonly count: number
  readonly ack: AckLevel
  readonly safeSequence: number
  readonly node: string
  readonly duplicate: boolean
  /** For a duplicate: the epoch under which it is logged, `epoch` or a lower one. */
  readonly loggedEpoch?: number
  /** For a duplicate: the request differs from the one that is logged under its key. */
  readonly mismatch?: true
  /** For a write that is sent again: number of its operations that lost against concurrent ones. */
  readonly quarantined?: number
}

export interface ErrorAnswer {
  readonly ok: false
  readonly code: ErrorCode
  readonly message: string
  readonly outcome: 'notTaken' | 'unknown'
  readonly retryable: boolean
  readonly retryAfterMs?: number
  readonly sequence?: number
  readonly epoch?: number
  /** For entries that are no longer kept there: the first one that is. */
  readonly firstSequence?: number
  /** For a list whose next item fits into no answer: the place behind it. */
  readonly after?: string | number
}

/**
 * An answer with a list may hold less than `limit` and less than there is. Then it has `more`, and
 * its `after` continues the list in the next query.
 */
export type Query =
  | { readonly type: 'GetNode'; readonly nodeId: string }
  | {
    readonly type: 'GetEdges'
    readonly nodeId: string
    readonly direction: EdgeDirection
    /** Opaque: from an earlier answer. */
    readonly after?: string
    readonly limit?: number
  }
  /** `after`: id of a node. */
  | { readonly type: 'ListNodes'; readonly after: string; readonly limit: number }
  /** `after`: a sequence. If both are given, the later one counts. */
  | {
    readonly type: 'GetEntries'
    readonly from: number
    readonly limit: number
    readonly after?: number
  }
  /** `after`: an epoch. */
  | { readonly type: 'GetHistory'; readonly after?: number }
  | { readonly type: 'GetForks'; readonly after?: number; readonly limit?: number }
  | { readonly type: 'GetQuarantine'; readonly after: string; readonly limit: number }
  | { readonly type: 'GetFate'; readonly key: string }
  | { readonly type: 'GetFate'; readonly epoch: number; readonly sequence: number }

/** Value of `GetHistory`: the epochs that the log consists of, and how far it is safe. */
export interface HistoryValue {
  /**
   * Up to there the history is summed up: the first span stands for lower epochs, too. The origin:
   * nothing is. Nodes of earlier releases do not send it, and sum up nothing.
   */
  readonly root?: Position
  /**
   * Oldest first. Entry (e, s) is in the log exactly if the span that contains s is of epoch e; of
   * an entry below the root and of a lower epoch, nothing is known.
   */
  readonly history: readonly EpochSpan[]
  readonly safeSequence: number
}

/** Value of `GetFate`: the fate of one write, and where it is now. */
export interface FateValue {
  /**
   * safe, committed, durable: in the log, at `now`; durable: on the primary, and not yet on all
   * in-sync members. superseded: overwritten by a later write of its own fork (`by`).
   * quarantined: lost against `by`. salvaged: waits on `node` to be taken into the log. lost: its
   * disk is gone, or it never reached one. unknown: nothing is known of it (yet).
   */
  readonly fate: 'safe' | 'committed' | 'durable' | 'superseded' | 'quarantined' | 'salvaged'
    | 'lost' | 'unknown'
  /** Position where it was logged first, as far as known. */
  readonly epoch: number | null
  readonly sequence: number | null
  /** Its present position; differs from the first if it was reconciled from a fork. */
  readonly now: Position | null
  readonly via: 'client' | 'salvage' | 'quarantine' | null
  readonly by: Position | null
  readonly node: string | null
  /** The same as a sentence. */
  readonly reason: string
}

export interface ReadAnswer {
  readonly ok: true
  readonly value: unknown
  /** There is more than `value` holds: repeat the query with this `after`. */
  readonly more?: true
  readonly after?: string | number
  readonly sequence: number
  readonly epoch: number
  readonly node: string
  readonly role: 'primary' | 'replica'
  readonly stalenessMs: number
}

export type Validated<T> =
  | { readonly ok: true; readonly encoding: Encoding; readonly value: T }
  | {
    readonly ok: false
    readonly encoding: Encoding
    readonly code: ErrorCode
    readonly message: string
  }

/** An answer whose value is a list, encoded item by item: its size is known before it is sent. */
export interface ListEncoder {
  readonly count: number
  /** Size of the items so far. */
  readonly bytes: number
  add(item: unknown): void
  /** Removes the last item. */
  drop(): void
  answer(rest: Omit<ReadAnswer, 'value'>): Uint8Array
}

/** Checks bytes from clients, once; inside, types are trusted. */
export interface ClientCodec {
  /** `key`: header Nats-Msg-Id, `contentType`: header Content-Type. Copies what it keeps. */
  write(
    data: Uint8Array,
    contentType: string | undefined,
    key: string | undefined,
  ): Validated<AcceptedRequest>
  query(data: Uint8Array, contentType: string | undefined): Validated<Query>
  /** Checks a value that a deployment's own code returned, by the rules of `write`. Copies it. */
  operation(value: unknown): Decoded<Operation>
  /** Determined without decoding it. */
  encodingOf(data: Uint8Array, contentType: string | undefined): Encoding
  list(encoding: Encoding): ListEncoder
  encodeWriteAnswer(answer: WriteAnswer, encoding: Encoding): Uint8Array
  encode(value: ErrorAnswer | ReadAnswer | object, encoding: Encoding): Uint8Array
}
