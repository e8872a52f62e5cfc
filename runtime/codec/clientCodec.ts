/**
 * Validation of client requests: bytes become operations and queries here, checked once, or an
 * error that names the field. Inside, values are trusted.
 */
import { Encoder } from '@msgpack/msgpack'
import type { ClientCodec, Encoding, ErrorAnswer, ErrorCode, Validated, Query, ReadAnswer,
  WriteAnswer } from '../../actors/ports/clientApi.js'
import type { Decoded } from '../../actors/ports/controlCodec.js'
import type { AcceptedRequest } from '../../actors/ports/frames.js'
import type { Operation } from '../../machines/graph/graph.js'
import { decodeRequest, encodingOf, isDeclaredMessagePack, roundedReason, short,
  withoutMark } from './decodeRequest.js'
import { createList } from './pagedList.js'
import { encodeOperation, JSON_TAG, MSGPACK_TAG, tagged } from './operation.js'
import { isFields, keyFault, metadataSeen, operationFault, operationReason, unknownField,
  type Fields } from './validateOperation.js'
import { queryOf } from './validateQuery.js'

export const REQUEST_BYTES_MAX = 256 * 1024
/** Ample for a key or a few ids of 256 bytes, in base64 of their JSON. */
export const QUERY_BYTES_MAX = 16 * 1024
export const OPERATIONS_MAX = 1000
/**
 * A batch is encoded again for the log, where `0.1,` of JSON takes nine bytes instead of four. With
 * the overhead of a frame for 1,000 entries, this stays below a frame's 512 KiB.
 */
export const LOGGED_BYTES_MAX = 400 * 1024

const encoder = new Encoder({ ignoreUndefined: true })

type Refused = Validated<never>

export function createClientCodec(): ClientCodec {
  return {
    write,
    query,
    operation,
    encodingOf,
    list: createList,
    encodeWriteAnswer,
    encode,
  }
}

function write(
  data: Uint8Array,
  contentType: string | undefined,
  key: string | undefined,
): Validated<AcceptedRequest> {
  const encoding = encodingOf(data, contentType)
  const decoded = decodeChecked(data, encoding, contentType, REQUEST_BYTES_MAX)
  if ('ok' in decoded) return decoded
  const keyReason = key === undefined ? null : keyFault(key)
  if (keyReason !== null) {
    return refused(encoding, 'INVALID_OPERATION', `Nats-Msg-Id ${keyReason}`)
  }
  const { value, bytes } = decoded
  const { wideNumbers } = metadataSeen
  const validated = requestOf(value, bytes, encoding, key ?? null)
  if (!validated.ok || encoding === 'msgpack' || metadataSeen.wideNumbers === wideNumbers) {
    return validated
  }
  const reason = roundedReason(bytes)
  return reason === null ? validated : refused(encoding, 'INVALID_OPERATION', reason)
}

function requestOf(
  value: unknown,
  bytes: Uint8Array,
  encoding: Encoding,
  key: string | null,
): Validated<AcceptedRequest> {
  if (isFields(value) && 'operations' in value) return batch(value, encoding, key)
  const reason = operationFault(value)
  if (reason !== null) return refused(encoding, 'INVALID_OPERATION', reason)
  // Logged as the client sent it. That is safe, since reading it back decodes it as the check did:
  // for example, a key that occurs twice has its last value in both.
  const encoded = tagged(encoding === 'json' ? JSON_TAG : MSGPACK_TAG, bytes)
  return {
    ok: true,
    encoding,
    value: { operations: [value as Operation], encoded: [encoded], key },
  }
}

function batch(value: Fields, encoding: Encoding, key: string | null): Validated<AcceptedRequest> {
  for (const field in value) {
    if (field !== 'operations') return refused(encoding, 'INVALID_OPERATION', unknownField(field))
  }
  const { operations } = value
  if (!Array.isArray(operations) || operations.length < 1 || operations.length > OPERATIONS_MAX) {
    const reason = `operations must be an array of 1 to ${OPERATIONS_MAX} operations`
    return refused(encoding, 'INVALID_OPERATION', reason)
  }
  for (let index = 0; index < operations.length; index += 1) {
    const reason = operationReason(operations[index], `operations[${index}]`)
    if (reason !== null) return refused(encoding, 'INVALID_OPERATION', reason)
  }
  const accepted = operations as Operation[]
  const encoded = accepted.map(encodeOperation)
  let loggedBytes = 0
  for (const bytes of encoded) loggedBytes += bytes.length
  if (loggedBytes > LOGGED_BYTES_MAX) {
    const message = `the operations take ${loggedBytes} bytes in the log, more than `
      + `${LOGGED_BYTES_MAX}: send them in several requests`
    return refused(encoding, 'PAYLOAD_TOO_LARGE', message)
  }
  return { ok: true, encoding, value: { operations: accepted, encoded, key } }
}

function query(data: Uint8Array, contentType: string | undefined): Validated<Query> {
  const encoding = encodingOf(data, contentType)
  const decoded = decodeChecked(data, encoding, contentType, QUERY_BYTES_MAX)
  if ('ok' in decoded) return decoded
  const value = queryOf(decoded.value)
  return typeof value === 'string'
    ? refused(encoding, 'INVALID_OPERATION', value)
    : { ok: true, encoding, value }
}

/** A copy, made before the check, so that the checked value cannot change any more. */
function operation(value: unknown): Decoded<Operation> {
  let copy: unknown
  try {
    copy = structuredClone(value)
  } catch (error) {
    return { ok: false, reason: `the operation is not plain data: ${short(error)}` }
  }
  const reason = operationFault(copy)
  return reason === null ? { ok: true, value: copy as Operation } : { ok: false, reason }
}

function decodeChecked(
  data: Uint8Array,
  encoding: Encoding,
  contentType: string | undefined,
  bytesMax: number,
): Refused | { readonly value: unknown; readonly bytes: Uint8Array } {
  if (data.length > bytesMax) {
    const message = `the request has ${data.length} bytes, more than ${bytesMax}`
    return refused(encoding, 'PAYLOAD_TOO_LARGE', message)
  }
  if (data.length === 0) return refused(encoding, 'INVALID_OPERATION', 'the request is empty')
  const bytes = encoding === 'json' ? withoutMark(data) : data
  const decoded = decodeRequest(bytes, encoding)
  if (!('reason' in decoded)) return { value: decoded.value, bytes }
  // It looked like MessagePack, but is not: its sender may read JSON.
  return refused(isDeclaredMessagePack(contentType) ? encoding : 'json', 'INVALID_OPERATION',
    decoded.reason)
}

function refused(encoding: Encoding, code: ErrorCode, message: string): Refused {
  return { ok: false, encoding, code, message }
}

/** Answer to every write: built by hand, in half the time of JSON.stringify. */
function encodeWriteAnswer(answer: WriteAnswer, encoding: Encoding): Uint8Array {
  if (encoding === 'msgpack') return encoder.encode(answer)
  const { space, epoch, sequence, count, ack, safeSequence, node, duplicate } = answer
  const { loggedEpoch, quarantined, mismatch } = answer
  return Buffer.from(
    `{"ok":true,"space":${quoted(space)},"epoch":${epoch},"sequence":${sequence}`
      + `,"count":${count},"ack":"${ack}","safeSequence":${safeSequence}`
      + `,"node":${quoted(node)},"duplicate":${duplicate}`
      + (loggedEpoch === undefined ? '' : `,"loggedEpoch":${loggedEpoch}`)
      + (mismatch === undefined ? '' : ',"mismatch":true')
      + (quarantined === undefined ? '}' : `,"quarantined":${quarantined}}`),
  )
}

/** Names of this node and its spaces as JSON: a few, and the same in every answer. */
const quotedNames = new Map<string, string>()
const QUOTED_NAMES_MAX = 4096

function quoted(name: string): string {
  const known = quotedNames.get(name)
  if (known !== undefined) return known
  if (quotedNames.size >= QUOTED_NAMES_MAX) quotedNames.clear()
  const json = JSON.stringify(name)
  quotedNames.set(name, json)
  return json
}

function encode(value: ErrorAnswer | ReadAnswer | object, encoding: Encoding): Uint8Array {
  return encoding === 'msgpack' ? encoder.encode(value) : Buffer.from(JSON.stringify(value))
}
