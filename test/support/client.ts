/** Plain NATS requests as any client in any language would send them: not the product's client. */
import { decode, encode } from '@msgpack/msgpack'
import { connect, headers, type MsgHdrs, type NatsConnection } from 'nats'
import type { Encoding, ErrorAnswer, ReadAnswer,
  WriteAnswer } from '../../actors/ports/clientApi.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { AckLevel, Announcement } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'

export type { Announcement }

/** NATS itself gave no answer of the product: outcome unknown. */
export interface NoAnswer {
  readonly ok: false
  readonly code: 'NO_RESPONDERS' | 'TIMEOUT' | 'DISCONNECTED'
  readonly message: string
  readonly outcome: 'unknown'
}
export type Reply<T> = T | ErrorAnswer | NoAnswer

export type WriteBody = Operation | { readonly operations: readonly Operation[] }

export interface WriteOptions {
  readonly ack?: AckLevel
  readonly key?: string
  readonly encoding?: Encoding
  /** Sends no Content-Type: the first byte decides. */
  readonly isUntyped?: boolean
  readonly timeoutMs?: number
}

export interface ReadOptions {
  readonly any?: boolean
  readonly minSequence?: number
  readonly maxStalenessMs?: number
  readonly committed?: boolean
  readonly encoding?: Encoding
  readonly timeoutMs?: number
}

/** `url`: one, or several with commas between. */
export function connectTo(url: string, name: string): Promise<NatsConnection> {
  return connect({
    servers: url.split(','),
    name,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 20,
    pingInterval: 2000,
    maxPingOut: 2,
    timeout: 5000,
    waitOnFirstConnect: true,
  })
}

export function writeHeaders(options: WriteOptions): MsgHdrs {
  const set = headers()
  if (!options.isUntyped) {
    set.set('Content-Type', `application/${options.encoding ?? 'json'}`)
  }
  if (options.ack) set.set('Engram-Ack', options.ack)
  if (options.key) set.set('Nats-Msg-Id', options.key)
  return set
}

export function encodeBody(body: unknown, encoding: Encoding = 'json'): Uint8Array {
  return encoding === 'msgpack' ? encode(body) : Buffer.from(JSON.stringify(body))
}

/** By the first byte, as the contract says: `{` is JSON, anything else MessagePack. */
export function decodeBody(data: Uint8Array): unknown {
  return data[0] === 0x7b ? JSON.parse(Buffer.from(data).toString('utf8')) : decode(data)
}

export function encodingOf(data: Uint8Array): Encoding {
  return data[0] === 0x7b ? 'json' : 'msgpack'
}

export class Client {
  /** Encoding of the last answer that came. */
  lastEncoding: Encoding | null = null

  constructor(readonly nc: NatsConnection, readonly space: string) {}

  write(body: WriteBody, options: WriteOptions = {}): Promise<Reply<WriteAnswer>> {
    return this.send<WriteAnswer>(
      subjects.write(this.space),
      encodeBody(body, options.encoding),
      writeHeaders(options),
      options.timeoutMs,
    )
  }

  /** Bytes as they are, for what a proper client would never send. */
  writeRaw(data: Uint8Array, options: WriteOptions = {}): Promise<Reply<WriteAnswer>> {
    const subject = subjects.write(this.space)
    return this.send<WriteAnswer>(subject, data, writeHeaders(options), options.timeoutMs)
  }

  read(query: object, options: ReadOptions = {}): Promise<Reply<ReadAnswer>> {
    const set = headers()
    set.set('Content-Type', `application/${options.encoding ?? 'json'}`)
    if (options.minSequence !== undefined) {
      set.set('Engram-Min-Sequence', String(options.minSequence))
    }
    if (options.maxStalenessMs !== undefined) {
      set.set('Engram-Max-Staleness-Ms', String(options.maxStalenessMs))
    }
    if (options.committed) set.set('Engram-Read', 'committed')
    const subject = options.any ? subjects.readAny(this.space) : subjects.read(this.space)
    return this.send<ReadAnswer>(
      subject,
      encodeBody(query, options.encoding),
      set,
      options.timeoutMs,
    )
  }

  async send<T>(
    subject: string,
    data: Uint8Array,
    set?: MsgHdrs,
    timeoutMs = 8000,
  ): Promise<Reply<T>> {
    try {
      const message = await this.nc.request(subject, data, {
        timeout: timeoutMs,
        noMux: false,
        ...(set ? { headers: set } : {}),
      })
      this.lastEncoding = encodingOf(message.data)
      return decodeBody(message.data) as T | ErrorAnswer
    } catch (error) {
      return noAnswer(error, subject)
    }
  }
}

function noAnswer(error: unknown, subject: string): NoAnswer {
  const code = (error as { code?: string }).code
  const message = `${subject}: ${error instanceof Error ? error.message : String(error)}`
  if (code === '503') return { ok: false, code: 'NO_RESPONDERS', message, outcome: 'unknown' }
  if (code === 'TIMEOUT') return { ok: false, code: 'TIMEOUT', message, outcome: 'unknown' }
  if (code === undefined) throw error
  return { ok: false, code: 'DISCONNECTED', message, outcome: 'unknown' }
}

/** The answer, or a failure that shows what came instead. */
export function positive<T extends { readonly ok: true }>(reply: Reply<T>, what: string): T {
  if (reply.ok) return reply
  throw new Error(`${what}: expected a positive answer, got ${JSON.stringify(reply)}`)
}

/** The error answer with that code, or a failure that shows what came instead. */
export function refused<T extends { readonly ok: true }>(
  reply: Reply<T>,
  code: ErrorAnswer['code'] | NoAnswer['code'],
  what: string,
): ErrorAnswer | NoAnswer {
  if (!reply.ok && reply.code === code) return reply
  throw new Error(`${what}: expected error ${code}, got ${JSON.stringify(reply)}`)
}
