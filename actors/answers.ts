import type { AckLevel, Position } from '../machines/protocol.js'
import type { NodeContext } from './context.js'
import type {
  BusMessage, ClientCodec, Encoding, ErrorAnswer, ErrorCode, WriteAnswer,
} from './ports.js'

/** What of a request is kept until it is answered. */
export interface Asker {
  readonly reply: string | undefined
  readonly encoding: Encoding
  /** Of a request of this node's own: gets the answer instead. */
  readonly settle?: (answer: WriteAnswer | ErrorAnswer) => void
}

export type Publish = (subject: string, data: Uint8Array) => void

const outcomes: Record<ErrorCode, { outcome: 'notTaken' | 'unknown'; retryable: boolean }> = {
  INVALID_OPERATION: { outcome: 'notTaken', retryable: false },
  PAYLOAD_TOO_LARGE: { outcome: 'notTaken', retryable: false },
  NOT_ENOUGH_IN_SYNC: { outcome: 'notTaken', retryable: true },
  OVERLOADED: { outcome: 'notTaken', retryable: true },
  READ_ONLY: { outcome: 'notTaken', retryable: true },
  SHUTTING_DOWN: { outcome: 'notTaken', retryable: true },
  NOT_PRIMARY: { outcome: 'unknown', retryable: true },
  LEASE_LAPSED: { outcome: 'unknown', retryable: true },
  ACK_TIMEOUT: { outcome: 'unknown', retryable: true },
  INTERNAL: { outcome: 'unknown', retryable: true },
  STALE_READ: { outcome: 'notTaken', retryable: true },
  UNKNOWN_SPACE: { outcome: 'notTaken', retryable: false },
}

/** The error answer of a code, with its outcome and whether a retry helps (section 6). */
export function errorAnswer(
  code: ErrorCode, message: string, more: Partial<ErrorAnswer> = {},
): ErrorAnswer {
  return { ok: false, code, message, ...outcomes[code], ...more }
}

/** `Engram-Epoch`: a write that another reign than this may take; without the header, any may. */
export function isForAnotherReign(message: BusMessage, epoch: number): boolean {
  const wanted = message.header('Engram-Epoch')
  return Boolean(wanted) && Number(wanted) !== epoch
}

/** A place in a log, in a header; leading zeros would give one place several names. */
const placeRule = /^([1-9][0-9]{0,15})\/([1-9][0-9]{0,15})$/

/**
 * `Engram-Origin: <epoch>/<sequence>`: where a write that is sent again was logged first, as its
 * answer said; the sequence is that of the request's last operation. Null when it is no place.
 */
export function originOf(header: string): Position | null {
  const [, epoch, sequence] = placeRule.exec(header)?.map(Number) ?? []
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(sequence)
    ? { epoch: epoch!, sequence: sequence! } : null
}

/** What tells JSON from MessagePack when the gate never saw the payload: its first byte. */
export function encodingOf(message: BusMessage): Encoding {
  const type = message.header('Content-Type')
  if (type) return type.includes('msgpack') ? 'msgpack' : 'json'
  const first = message.data[0] ?? 0x7b
  return first >= 0x80 ? 'msgpack' : 'json'
}

export function answerError(
  publish: Publish, codec: ClientCodec, asker: Asker, answer: ErrorAnswer,
): void {
  if (asker.settle) asker.settle(answer)
  else if (asker.reply) publish(asker.reply, codec.encode(answer, asker.encoding))
}

/** The level that a request asks for, or null when its header names none that there is. */
export function levelOf(header: string | undefined, otherwise: AckLevel): AckLevel | null {
  if (!header) return otherwise
  if (header === 'memory' || header === 'durable' || header === 'committed') return header
  return null
}

/** Of a request whose payload was not looked at. */
export function askerOf(message: BusMessage): Asker {
  return { reply: message.reply, encoding: encodingOf(message) }
}

/** Answers a request whose payload was not looked at. */
export function refuse(
  { ports, wire }: NodeContext, message: BusMessage, code: ErrorCode, text: string,
  more: Partial<ErrorAnswer> = {},
): void {
  answerError(wire.publish, ports.clients, askerOf(message), errorAnswer(code, text, more))
}
