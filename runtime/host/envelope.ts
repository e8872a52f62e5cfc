/**
 * Envelopes between hosts: MessagePack arrays
 * `[version, kind, node, actor, incarnation, number, body]`. Bytes are checked here, once.
 */
import { decode, encode } from '@msgpack/msgpack'
import type { AnyEventObject } from 'xstate'
import { nameFault } from '../../machines/protocol/subjects.js'
import { deadLetterReasons } from './types.js'
import type { DeadLetterReason, ExitKind } from './types.js'

export const envelopeVersion = 1

/** Limit of an event's nesting. */
const depthMax = 32
/** Limit of the elements of an array or map: the decoder allocates what the header claims. */
const elementsMax = 16_384
const typeLengthMax = 128
const textLengthMax = 512
/** Longer reasons why an event reached nobody are cut before they are sent. */
export const detailLengthMax = 256

export interface EnvelopeHead {
  readonly node: string
  /** null: not an actor, but other code of that node. */
  readonly actor: string | null
  readonly incarnation: number
  /** Number of the message among those of that incarnation to this node: 1, 2, 3 … */
  readonly number: number
}

/** The answer to an ask of the receiving host, or why there will be none. */
export interface AnswerBody {
  readonly kind: 'answer'
  readonly ask: number
  readonly life: number
  readonly value?: unknown
  readonly refusal?: { readonly reason: DeadLetterReason; readonly detail: string }
}

/** An event that the receiving host had sent has reached nobody. */
export interface UndeliveredBody {
  readonly kind: 'undelivered'
  /** Its addressee and its sender. */
  readonly actor: string
  readonly from: string | null
  readonly type: string
  readonly reason: DeadLetterReason
  readonly detail: string
}

export type WatchBody =
  | { readonly kind: 'watch'; readonly watch: number; readonly id: string }
  | { readonly kind: 'unwatch'; readonly watch: number }
  | { readonly kind: 'watching'; readonly watch: number }
  | { readonly kind: 'death'; readonly watch: number; readonly exit: ExitKind | 'unknown' }

export type EnvelopeBody =
  | { readonly kind: 'event'; readonly event: AnyEventObject }
  | AnswerBody
  | UndeliveredBody
  | WatchBody

export interface Envelope {
  readonly head: EnvelopeHead
  readonly body: EnvelopeBody
}

/**
 * Throws if the event holds something that MessagePack cannot carry (functions, bigints, cycles).
 */
export function encodeEnvelope({ head, body }: Envelope): Uint8Array {
  const { kind, ...rest } = body
  const payload = body.kind === 'event' ? body.event : rest
  return encode(
    [envelopeVersion, kind, head.node, head.actor, head.incarnation, head.number, payload],
    { maxDepth: depthMax + 2 },
  )
}

/** Never throws: a string is the fault found. Keeps no view of the bytes. */
export function decodeEnvelope(bytes: Uint8Array): Envelope | string {
  const fault = shapeFault(bytes)
  if (fault !== null) return fault
  let value: unknown
  try {
    // A copy: decoded binary is a view of its source.
    value = decode(bytes.slice(), { maxArrayLength: elementsMax, maxMapLength: elementsMax })
  } catch (error) {
    return `not MessagePack: ${String(error).slice(0, 120)}`
  }
  if (!Array.isArray(value)) return 'an envelope must be an array'
  const [version, kind, node, actor, incarnation, number, payload] = value as unknown[]
  if (version !== envelopeVersion) {
    return `version ${String(version).slice(0, 20)}; this node understands ${envelopeVersion}`
  }
  if (value.length !== 7) return `an envelope must have 7 fields, not ${value.length}`
  const nameReason = nameFault(node)
  if (nameReason !== null) return `node: ${nameReason}`
  if (actor !== null && (typeof actor !== 'string' || actor.length > 512)) return 'actor: not an id'
  if (!isCount(incarnation)) return 'incarnation: not a count'
  if (!isCount(number) || number === 0) return 'number: not a positive count'
  const body = bodyOf(kind, payload)
  if (typeof body === 'string') return body
  return { head: { node: node as string, actor, incarnation, number }, body }
}

function bodyOf(kind: unknown, payload: unknown): EnvelopeBody | string {
  if (!isRecord(payload)) return 'the body is not a map'
  if (kind === 'event') return eventBody(payload)
  if (kind === 'answer') return answerBody(payload)
  if (kind === 'undelivered') return undeliveredBody(payload)
  const { watch, id, exit } = payload
  if (!isCount(watch)) return 'watch: not a count'
  if (kind === 'watch') {
    return typeof id === 'string' && id.length <= 512 ? { kind, watch, id } : 'id: not an actor id'
  }
  if (kind === 'unwatch' || kind === 'watching') return { kind, watch }
  if (kind !== 'death') return 'kind: unknown'
  if (exit === 'done' || exit === 'stopped' || exit === 'failed' || exit === 'unknown') {
    return { kind, watch, exit }
  }
  return 'exit: unknown'
}

function eventBody(event: Record<string, unknown>): EnvelopeBody | string {
  const { type } = event
  if (typeof type !== 'string' || type === '' || type.length > typeLengthMax) {
    return `type: not a string of 1 to ${typeLengthMax} characters`
  }
  // XState's own types: `xstate.stop` would end the actor, `xstate.error.*` fail it.
  if (type.startsWith('xstate.')) return 'type: reserved for XState'
  return { kind: 'event', event: { ...event, type } }
}

function answerBody({ ask, life, value, refusal }: Record<string, unknown>): EnvelopeBody | string {
  if (!isCount(ask) || !isCount(life)) return 'ask: not a count'
  if (refusal === undefined) return { kind: 'answer', ask, life, value }
  if (!isRecord(refusal)) return 'refusal: not a map'
  const { reason, detail } = refusal
  if (!isReason(reason) || !isText(detail)) return 'refusal: not a reason and a text'
  return { kind: 'answer', ask, life, refusal: { reason, detail } }
}

function undeliveredBody(
  { actor, from, type, reason, detail }: Record<string, unknown>,
): EnvelopeBody | string {
  if (!isText(actor) || (from !== null && !isText(from))) return 'actor: not an id'
  if (!isText(type) || !isText(detail)) return 'type and detail: not texts'
  if (!isReason(reason)) return 'reason: unknown'
  return { kind: 'undelivered', actor, from, type, reason, detail }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= textLengthMax
}

function isReason(value: unknown): value is DeadLetterReason {
  return deadLetterReasons.some((reason) => reason === value)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    && Object.getPrototypeOf(value) === Object.prototype
}

/**
 * Walks the headers only. 256 KiB of nested `array32` headers, each claiming 16,384 elements, would
 * make the decoder allocate gigabytes before it noticed: depth is bounded first.
 */
function shapeFault(bytes: Uint8Array): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  /** Values that are still due, per open array or map. */
  const due: number[] = [1]
  let at = 0
  while (due.length > 0) {
    const left = due[due.length - 1] as number
    if (left === 0) {
      due.pop()
      continue
    }
    due[due.length - 1] = left - 1
    if (at >= bytes.length) return 'cut short'
    const header = headerAt(view, at)
    if (header === null) return 'not MessagePack'
    at += header.bytes
    if (header.values === 0) continue
    if (header.values > elementsMax * 2) return 'too many elements'
    if (due.length > depthMax + 1) return 'nested too deeply'
    due.push(header.values)
  }
  if (at !== bytes.length) return at > bytes.length ? 'cut short' : 'bytes are left over'
  return null
}

interface Header {
  /** Size of the header and its contents, without the values of an array or map. */
  readonly bytes: number
  readonly values: number
}

function headerAt(view: DataView, at: number): Header | null {
  const tag = view.getUint8(at)
  if (tag <= 0x7f || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) {
    return { bytes: 1, values: 0 }
  }
  if (tag <= 0x8f) return { bytes: 1, values: (tag & 0x0f) * 2 }
  if (tag <= 0x9f) return { bytes: 1, values: tag & 0x0f }
  if (tag <= 0xbf) return { bytes: 1 + (tag & 0x1f), values: 0 }
  const fixed = fixedBytes[tag]
  if (fixed !== undefined) return { bytes: fixed, values: 0 }
  const sized = sizedBytes[tag]
  if (sized === undefined || at + 1 + sized.width > view.byteLength) return null
  const size = sized.width === 1
    ? view.getUint8(at + 1)
    : sized.width === 2
    ? view.getUint16(at + 1)
    : view.getUint32(at + 1)
  if (sized.values > 0) return { bytes: 1 + sized.width, values: size * sized.values }
  return { bytes: 1 + sized.width + sized.extra + size, values: 0 }
}

/** Tags of values of fixed length: floats, integers, fixext (MessagePack specification). */
const fixedBytes: Readonly<Record<number, number>> = {
  0xca: 5,
  0xcb: 9,
  0xcc: 2,
  0xcd: 3,
  0xce: 5,
  0xcf: 9,
  0xd0: 2,
  0xd1: 3,
  0xd2: 5,
  0xd3: 9,
  0xd4: 3,
  0xd5: 4,
  0xd6: 6,
  0xd7: 10,
  0xd8: 18,
}

interface Sized {
  /** Size of the length field. */
  readonly width: 1 | 2 | 4
  readonly extra: number
  /** Values per element: 1 in arrays, 2 in maps, 0 in strings and bytes. */
  readonly values: 0 | 1 | 2
}

/** Tags followed by a length: bin, ext, str, array, map. */
const sizedBytes: Readonly<Record<number, Sized>> = {
  0xc4: { width: 1, extra: 0, values: 0 },
  0xc5: { width: 2, extra: 0, values: 0 },
  0xc6: { width: 4, extra: 0, values: 0 },
  0xc7: { width: 1, extra: 1, values: 0 },
  0xc8: { width: 2, extra: 1, values: 0 },
  0xc9: { width: 4, extra: 1, values: 0 },
  0xd9: { width: 1, extra: 0, values: 0 },
  0xda: { width: 2, extra: 0, values: 0 },
  0xdb: { width: 4, extra: 0, values: 0 },
  0xdc: { width: 2, extra: 0, values: 1 },
  0xdd: { width: 4, extra: 0, values: 1 },
  0xde: { width: 2, extra: 0, values: 2 },
  0xdf: { width: 4, extra: 0, values: 2 },
}
