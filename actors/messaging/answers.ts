/** The one way in which whoever asks is answered: writes, reads, orders, status, other nodes. */
import type { Position } from '../../machines/base/ids.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import type { BusMessage } from '../ports/bus.js'
import type {
  ClientCodec, Encoding, ErrorAnswer, ErrorCode, ReadAnswer, WriteAnswer,
} from '../ports/clientApi.js'
import type { Clock, Logger, Telemetry } from '../ports/system.js'
import type { NodeConnection } from './connection.js'

/** What of a request is kept until it is answered. */
export interface ReplyTarget {
  readonly reply: string | undefined
  readonly encoding: Encoding
  /** How the answer goes: aside with those to writes, if nothing is said. */
  readonly way?: 'reads' | 'nodes' | undefined
  /** Of a request of this node's own: gets the answer instead. */
  readonly settle?: ((answer: WriteAnswer | ErrorAnswer) => void) | undefined
}

/** Bytes: encoded already, as the asker wants them. */
export type Answered = WriteAnswer | ErrorAnswer | ReadAnswer | object | Uint8Array

/**
 * What is asked for on a subject, and so who may ask, where the answers may go, and how: writes and
 * reads by clients; orders by operators, whoever is one; the rest by other nodes.
 */
export type Asking = 'writes' | 'reads' | 'orders' | 'nodes'

const wayOf = {
  writes: undefined, reads: 'reads', orders: 'reads', nodes: 'nodes',
} as const

export interface AnswersOptions {
  readonly wire: Pick<NodeConnection, 'publish' | 'publishAside' | 'maxPayload' | 'inboxPrefix'>
  readonly clients: ClientCodec
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Clients are answered below these: `_INBOX`. */
  readonly replyPrefixes: readonly string[]
}

const nobody: ReplyTarget = { reply: undefined, encoding: 'json' }

/** What is wrong with many requests is logged this often, with how many there were. */
const logEveryMs = 10_000

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
export function isForAnotherEpoch(message: BusMessage, epoch: number): boolean {
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

/** The level that a request asks for, or null when its header names none that there is. */
export function levelOf(header: string | undefined, otherwise: AckLevel): AckLevel | null {
  if (!header) return otherwise
  if (header === 'memory' || header === 'durable' || header === 'committed') return header
  return null
}

/** Why nobody could be answered below that prefix, or null. */
export function prefixFault(prefix: string): string | null {
  const tokens = prefix.split('.')
  if (/^(?:\$|engram$)/.test(tokens[0]!)) return 'what NATS and Engram use is nobody\'s inbox'
  return tokens.map(nameFault).find((fault) => fault !== null) ?? null
}

/** A subject of its own below one of the prefixes, without wildcards. */
export function isBelow(subject: string, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) {
    if (subject.length > prefix.length + 1 && subject.charCodeAt(prefix.length) === 0x2e
      && subject.startsWith(prefix)) return !/[\s\0*>]|\.\.|\.$/.test(subject)
  }
  return false
}

/**
 * An answer is published with the rights of this node: it goes to inboxes only, or whoever may ask
 * could have it written wherever the node may write, the arbiter's records among it. It is sent
 * as it is, or an error in its place where it is larger than the server takes: nobody waits for
 * what will not come.
 */
export class Answers {
  private readonly forbidden = new Rare()
  private readonly tooLarge = new Rare()

  constructor(private readonly options: AnswersOptions) {}

  /**
   * Who is to be answered; null: the reply subject is no inbox. Such a request is not carried out,
   * since nobody could be told of it. Without a reply subject it is, and not answered.
   * Nodes' requests may come from clients' inboxes too: those of operators, and of nodes that have
   * no prefix of their own. Nobody but nodes may publish where only nodes ask.
   */
  asker(message: BusMessage, asking: Asking = 'writes'): ReplyTarget | null {
    const { reply } = message
    if (reply === undefined) return nobody
    if (this.mayReply(reply, asking)) {
      return { reply, encoding: this.encodingOf(message), way: wayOf[asking] }
    }
    this.noteForbidden(message, reply)
    return null
  }

  answer(asker: ReplyTarget, value: Answered): void {
    if (asker.settle) return asker.settle(value as WriteAnswer | ErrorAnswer)
    if (asker.reply === undefined) return
    const { wire } = this.options
    const bytes = value instanceof Uint8Array ? value : this.encoded(value, asker.encoding)
    // Answers bear no headers.
    const { maxPayload } = wire
    if (bytes.length <= maxPayload) return this.send(asker, bytes)
    if (maxPayload > 0) this.answerTooLarge(asker, bytes.length, maxPayload)
  }

  /** Answers a request whose payload was not looked at. */
  refuse(
    message: BusMessage, code: ErrorCode, text: string, more: Partial<ErrorAnswer> = {},
  ): void {
    const asker = this.asker(message)
    if (asker) this.answer(asker, errorAnswer(code, text, more))
  }

  private send({ reply, way }: ReplyTarget, bytes: Uint8Array): void {
    const { wire } = this.options
    if (way === 'nodes') wire.publish(reply!, bytes)
    else wire.publishAside(reply!, bytes, way ?? 'writes')
  }

  private encoded(value: object, encoding: Encoding): Uint8Array {
    const { clients } = this.options
    return 'ack' in value ? clients.encodeWriteAnswer(value as WriteAnswer, encoding)
      : clients.encode(value, encoding)
  }

  private encodingOf(message: BusMessage): Encoding {
    return this.options.clients.encodingOf(message.data, message.header('Content-Type'))
  }

  private mayReply(reply: string, asking: Asking): boolean {
    const { replyPrefixes, wire: { inboxPrefix } } = this.options
    if (isBelow(reply, replyPrefixes)) return true
    return (asking === 'nodes' || asking === 'orders')
      && inboxPrefix !== null && isBelow(reply, [inboxPrefix])
  }

  private noteForbidden({ subject }: BusMessage, reply: string): void {
    const { telemetry, logger, clock, replyPrefixes, wire } = this.options
    telemetry.count('repliesForbidden')
    const requests = this.forbidden.take(clock.monotonicMs())
    if (requests === 0) return
    logger.warn({ subject, reply: reply.slice(0, 200), requests, replyPrefixes,
      inboxPrefix: wire.inboxPrefix }, 'a request names a reply subject that is no inbox: it is '
      + 'neither carried out nor answered; clients whose inboxes lie elsewhere need replyPrefixes, '
      + 'and nodes one natsInboxPrefix')
  }

  private answerTooLarge(asker: ReplyTarget, bytes: number, maxPayload: number): void {
    const { telemetry, logger, clock, clients } = this.options
    telemetry.count('answersTooLarge')
    const answers = this.tooLarge.take(clock.monotonicMs())
    if (answers > 0) {
      logger.warn({ bytes, maxPayload, answers }, 'an answer is larger than NATS takes')
    }
    const error = errorAnswer('PAYLOAD_TOO_LARGE', `the answer takes ${bytes} bytes as `
      + `${asker.encoding === 'json' ? 'JSON' : 'MessagePack'}, of at most ${maxPayload} `
      + '(max_payload of the NATS server): ask for less, or raise max_payload')
    this.send(asker, clients.encode(error, asker.encoding))
  }
}

/** What happens often, told seldom. */
class Rare {
  private count = 0
  private toldAtMs = -Infinity

  /** So many are to be told of now; 0: not now. */
  take(nowMs: number): number {
    this.count += 1
    if (nowMs - this.toldAtMs < logEveryMs) return 0
    this.toldAtMs = nowMs
    const { count } = this
    this.count = 0
    return count
  }
}
