/**
 * An operation as the log holds it: one tag byte, then MessagePack (0) or JSON (1). The tag lets a
 * single operation go into the log as the client sent it, without a second encoding. Tag 2: a
 * MessagePack map {operation, reconciliation}, where the latter may be absent; for notes on forks,
 * and for operations with their reconciliation (machines/log/forkNotes.ts).
 */
import { Decoder, Encoder } from '@msgpack/msgpack'
import type { Operation } from '../../machines/graph/graph.js'
import type { ForkNote, Reconciliation } from '../../machines/log/forkNotes.js'
import { asBuffer } from './frameBytes.js'

export const MSGPACK_TAG = 0
export const JSON_TAG = 1
/** Exists since frame format version 2. */
export const FORK_TAG = 2

// Shared on purpose: creating a codec per call costs more than a small operation.
const encoder = new Encoder({ ignoreUndefined: true })
const decoder = new Decoder()

/** `tag`, then a copy of `bytes`. */
export function tagged(tag: number, bytes: Uint8Array): Uint8Array {
  const encoded = Buffer.allocUnsafe(bytes.length + 1)
  encoded[0] = tag
  encoded.set(bytes, 1)
  return encoded
}

/** The bytes of a validated operation: tag 0 and MessagePack. */
export function encodeOperation(operation: Operation): Uint8Array {
  return tagged(MSGPACK_TAG, encoder.encodeSharedRef(operation))
}

/**
 * An operation with its reconciliation, or a note on a fork. An operation without one is encoded as
 * usual, so that members of the previous version can read it.
 */
export function encodeEntry(
  operation: Operation | ForkNote,
  reconciliation: Reconciliation | null,
): Uint8Array {
  if (operation.type !== 'ForkNote' && reconciliation === null) return encodeOperation(operation)
  const entry = reconciliation === null ? { operation } : { operation, reconciliation }
  return tagged(FORK_TAG, encoder.encodeSharedRef(entry))
}

/**
 * Reads an operation of the log. The bytes are trusted: they were validated when they came in, and
 * on disk and wire the frame's checksum covers them. So a defect is a bug and throws.
 */
export function decodeOperation(encoded: Uint8Array): Operation {
  return decodeOperationAt(asBuffer(encoded), 0, encoded.length)
}

/** The same for an operation within a frame: makes no view of JSON. */
export function decodeOperationAt(bytes: Buffer, start: number, end: number): Operation {
  const tag = bytes[start]
  if (tag === JSON_TAG) return JSON.parse(bytes.toString('utf8', start + 1, end)) as Operation
  if (tag === MSGPACK_TAG) return decoder.decode(bytes.subarray(start + 1, end)) as Operation
  throw new Error(`bug: an operation with encoding tag ${tag}`)
}

interface ForkEntry {
  readonly operation: Operation | ForkNote
  readonly reconciliation?: Reconciliation
}

/** The part of a log entry that tag 2 at `start` holds. Throws on a defect, a bug. */
export function decodeForkEntryAt(bytes: Buffer, start: number, end: number): ForkEntry {
  const { operation, reconciliation } = decoder.decode(bytes.subarray(start + 1, end)) as ForkEntry
  return reconciliation === undefined ? { operation } : { operation, reconciliation }
}

/** UTF-8 text of bytes that are known to be well-formed. */
export function textOf(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('utf8')
}
