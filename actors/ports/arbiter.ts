/** The arbiter: records that are changed by compare-and-set. */

import type { BusConnection } from './bus.js'

export interface ArbiterRecord {
  readonly value: Uint8Array
  /** Grows with every change of any key of the bucket. */
  readonly revision: number
}

/**
 * `refused`: the revision has moved; this request was definitely not applied.
 * `unknown`: no definite answer; it may have been applied, or may still be.
 * `rejected`: the arbiter says why it does not store this, and will repeat it until somebody acts:
 * it is full, the record is too large, a permission is missing. No more definite than `unknown`: an
 * earlier attempt may still arrive, and a leader whose own disk refused what its followers have
 * stored may be succeeded by one of them.
 */
export type CompareAndSetOutcome =
  | { readonly kind: 'applied'; readonly revision: number }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string }

/** A view of the bucket over one bus connection. Linearizable. */
export interface Arbiter {
  /** null: no such key. Rejects with ArbiterUnavailableError. */
  read(key: string): Promise<ArbiterRecord | null>
  /** `revision` 0: the key must not exist. Never rejects. */
  compareAndSet(key: string, value: Uint8Array, revision: number): Promise<CompareAndSetOutcome>
  /** Keys that begin with the prefix. Rejects with ArbiterUnavailableError. */
  keys(prefix: string): Promise<string[]>
  /**
   * Text that changes whenever anything in the bucket has changed. Rejects with
   * ArbiterUnavailableError.
   */
  mark(): Promise<string>
  /**
   * Identity of the bucket. It changes when the bucket is made again, and its contents are lost.
   * Makes the bucket when it does not exist. Rejects with ArbiterUnavailableError.
   */
  bucketId(): Promise<string>
  /**
   * Faults in the configuration of the bucket that endanger its contents, each with its remedy;
   * usually none. Rejects with ArbiterUnavailableError.
   */
  faults(): Promise<readonly string[]>
}

export class ArbiterUnavailableError extends Error {
  readonly code = 'ARBITER_UNAVAILABLE'
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'ArbiterUnavailableError'
  }
}

/** Makes the arbiter's view over a fresh connection. */
export type OpenArbiter = (connection: BusConnection) => Arbiter
