/** Sends all answers of a node: to writes, reads, operators' commands, status and other nodes. */
import type { Position } from '../../machines/base/ids.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { nameFault } from '../../machines/protocol/subjects.js'
import type { BusMessage } from '../ports/bus.js'
import type { ClientCodec, Encoding, ErrorAnswer, ErrorCode, ReadAnswer,
  WriteAnswer } from '../ports/clientApi.js'
import type { Clock, Logger, Telemetry } from '../ports/system.js'
import type { NodeConnection } from './connection.js'

/** Part of a request that is kept until it is answered. */
export interface ReplyTarget {
  readonly reply: string | undefined
  readonly encoding: Encoding
  /** Way of the answer; undefined: the side connection of answers to writes. */
  readonly way?: 'reads' | 'nodes' | undefined
  /** Set for a request of this node's own: gets the answer instead. */
  readonly settle?: ((answer: WriteAnswer | ErrorAnswer) => void) | undefined
}

/** An answer; bytes are encoded already, as the asker wants them. */
export type Answered = WriteAnswer | ErrorAnswer | ReadAnswer | object | Uint8Array

/**
 * Kind of the requests on a subject. Decides where answers may go, and how. Writes and reads come
 * from clients, `commands` from operators, the rest from other nodes. Checkpoints are large: no
 * heartbeat waits behind them.
 */
export type Asking = 'writes' | 'reads' | 'commands' | 'nodes' | 'checkpoints'

const wayOf = {
  writes: undefined,
  reads: 'reads',
  commands: 'reads',
  nodes: 'nodes',
  checkpoints: 'reads',
} as const

export interface AnswersOptions {
  readonly wire: Pick<NodeConnection, 'publish' | 'publishSide' | 'maxPayload' | 'inboxPrefix'>
  readonly clients: ClientCodec
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly logger: Logger
  readonly telemetry: Telemetry
  /** Prefixes below which clients are answered: `_INBOX`. */
  readonly replyPrefixes: readonly string[]
}

const nobody: ReplyTarget = { reply: undefined, encoding: 'json' }

/** Interval of log lines about faulty requests; each line has their number. */
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
  TRUNCATED: { outcome: 'notTaken', retryable: false },
  UNKNOWN_SPACE: { outcome: 'notTaken', retryable: false },
}

/** Returns the error answer of a code, with its outcome and whether a retry helps. */
export function errorAnswer(
  code: ErrorCode,
  message: string,
  more: Partial<ErrorAnswer> = {},
): ErrorAnswer {
  return { ok: false, code, message, ...outcomes[code], ...more }
}

/** Whether only another epoch may take the write (`Engram-Epoch`); without the header, any may. */
export function isForAnotherEpoch(message: BusMessage, epoch: number): boolean {
  const wanted = message.header('Engram-Epoch')
  return Boolean(wanted) && Number(wanted) !== epoch
}

/** Position in a log, in a header. Leading zeros would give one position several names. */
const placeRule = /^([1-9][0-9]{0,15})\/([1-9][0-9]{0,15})$/

/**
 * Reads `Engram-Origin: <epoch>/<sequence>`: where a resent write was logged first, as its answer
 * said. The sequence is that of the request's last operation. Null: the header is malformed.
 */
export function originOf(header: string): Position | null {
  const [, epoch, sequence] = placeRule.exec(header)?.map(Number) ?? []
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(sequence)
    ? { epoch: epoch!, sequence: sequence! }
    : null
}

/** Returns the level that a request asks for, or null when its header names an unknown one. */
export function levelOf(header: string | undefined, otherwise: AckLevel): AckLevel | null {
  if (!header) return otherwise
  if (header === 'memory' || header === 'durable' || header === 'committed') return header
  return null
}

/** Returns why the prefix cannot be used for replies, or null. */
export function prefixFault(prefix: string): string | null {
  const tokens = prefix.split('.')
  if (/^(?:\$|engram$)/.test(tokens[0]!)) return 'NATS and Engram use subjects below it themselves'
  return tokens.map(nameFault).find((fault) => fault !== null) ?? null
}

/** Whether the subject is below one of the prefixes, and has no wildcards. */
export function isBelow(subject: string, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) {
    if (subject.length > prefix.length + 1 && subject.charCodeAt(prefix.length) === 0x2e
      && subject.startsWith(prefix)) return !/[\s\0*>]|\.\.|\.$/.test(subject)
  }
  return false
}

/**
 * Sends answers. They are published with the rights of this node, and therefore to inboxes only:
 * otherwise a requester could have one written wherever the node may write, for example over the
 * arbiter's records. An answer that is larger than the server takes is replaced by an error, so
 * that nobody waits in vain.
 */
export class Answers {
  private readonly forbidden = new Rare()
  private readonly tooLarge = new Rare()

  constructor(private readonly options: AnswersOptions) {}

  /**
   * Returns the target of the answer; null: the reply subject is no inbox. Such a request is not
   * handled, since it cannot be answered. A request without a reply subject is handled, and not
   * answered. Nodes' requests may have clients' inboxes too: operators' requests, and those of
   * nodes without a prefix of their own. Only nodes may publish where only nodes ask.
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
    // Answers have no headers.
    const { maxPayload } = wire
    if (bytes.length <= maxPayload) return this.send(asker, bytes)
    if (maxPayload > 0) this.answerTooLarge(asker, bytes.length, maxPayload)
  }

  /** Refuses a request whose payload was not decoded. */
  refuse(
    message: BusMessage,
    code: ErrorCode,
    text: string,
    more: Partial<ErrorAnswer> = {},
  ): void {
    const asker = this.asker(message)
    if (asker) this.answer(asker, errorAnswer(code, text, more))
  }

  private send({ reply, way }: ReplyTarget, bytes: Uint8Array): void {
    const { wire } = this.options
    if (way === 'nodes') wire.publish(reply!, bytes)
    else wire.publishSide(reply!, bytes, way ?? 'writes')
  }

  private encoded(value: object, encoding: Encoding): Uint8Array {
    const { clients } = this.options
    return 'ack' in value
      ? clients.encodeWriteAnswer(value as WriteAnswer, encoding)
      : clients.encode(value, encoding)
  }

  private encodingOf(message: BusMessage): Encoding {
    return this.options.clients.encodingOf(message.data, message.header('Content-Type'))
  }

  private mayReply(reply: string, asking: Asking): boolean {
    const { replyPrefixes, wire: { inboxPrefix } } = this.options
    if (isBelow(reply, replyPrefixes)) return true
    return (asking === 'nodes' || asking === 'commands' || asking === 'checkpoints')
      && inboxPrefix !== null && isBelow(reply, [inboxPrefix])
  }

  private noteForbidden({ subject }: BusMessage, reply: string): void {
    const { telemetry, logger, clock, replyPrefixes, wire } = this.options
    telemetry.count('repliesForbidden')
    const requests = this.forbidden.take(clock.monotonicMs())
    if (requests === 0) return
    logger.warn({ subject, reply: reply.slice(0, 200), requests, replyPrefixes,
      inboxPrefix: wire.inboxPrefix }, 'a request with a reply subject that is no inbox is neither '
      + 'handled nor answered; set replyPrefixes for clients with other inboxes, and '
      + 'natsInboxPrefix for nodes')
  }

  private answerTooLarge(asker: ReplyTarget, bytes: number, maxPayload: number): void {
    const { telemetry, logger, clock, clients } = this.options
    telemetry.count('answersTooLarge')
    const answers = this.tooLarge.take(clock.monotonicMs())
    if (answers > 0) {
      logger.warn({ bytes, maxPayload, answers }, 'an answer is larger than the NATS server allows')
    }
    const error = errorAnswer('PAYLOAD_TOO_LARGE', `the answer takes ${bytes} bytes as `
      + `${asker.encoding === 'json' ? 'JSON' : 'MessagePack'}, of at most ${maxPayload} `
      + '(max_payload of the NATS server): ask for less, or raise max_payload')
    this.send(asker, clients.encode(error, asker.encoding))
  }
}

/** Counter of a frequent event that is logged seldom. */
class Rare {
  private count = 0
  private loggedAtMs = -Infinity

  /** Counts an event. Returns how many to log now; 0: nothing now. */
  take(nowMs: number): number {
    this.count += 1
    if (nowMs - this.loggedAtMs < logEveryMs) return 0
    this.loggedAtMs = nowMs
    const { count } = this
    this.count = 0
    return count
  }
}
