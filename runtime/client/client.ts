/** The TypeScript client: writes that take effect once, reads with a stated freshness. */
import { randomUUID } from 'node:crypto'
import { decode as unpack, encode as pack } from '@msgpack/msgpack'
import type { NatsConnection } from 'nats'
import type {
  ErrorAnswer, HistoryValue, Query, ReadAnswer, WriteAnswer,
} from '../../actors/ports.js'
import type { LogEntry, MemoryEdge, MemoryNode, Operation } from '../../machines/memory.js'
import type { AckLevel } from '../../machines/protocol.js'
import { nameFault, subjects } from '../../machines/subjects.js'
import type { ClusterStatus } from '../status.js'
import { inboxPrefix } from '../bus/options.js'
import type { NatsOptions } from '../bus/options.js'
import { openConnection } from './connection.js'
import { ReadError } from './errors.js'
import { encodedHeaders } from './headers.js'
import { Operator } from './operator.js'
import type { AdminAnswer, AdminRequest } from './operator.js'
import { Requests } from './requests.js'
import { ReignWatch } from './reigns.js'
import { judgeRead, judgeWrite, readGivenUp, refusedHere, writeGivenUp } from './verdicts.js'

export interface ClientOptions extends NatsOptions {
  /** Of requests and so of answers. Default json. */
  readonly encoding?: 'json' | 'msgpack'
  /** Of a write or read, all attempts together. Default 10,000. */
  readonly deadlineMs?: number
  /** Reads see at least what this client wrote, wherever they are answered. Default false. */
  readonly readYourWrites?: boolean
  /** Writes and reads waiting for an answer; one more is refused. Default 65,536. */
  readonly inFlightMax?: number
}

export interface WriteOptions {
  /** Default: that of the space. */
  readonly ack?: AckLevel
  /** Idempotency key, visible ASCII, at most 256 characters. Default: a new one for each write. */
  readonly key?: string
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface ReadOptions {
  /** `primary` (default): the latest. `any`: committed state of whichever member is free. */
  readonly from?: 'primary' | 'any'
  /** With `any`: a member that has not applied this sequence waits for it, or is not asked. */
  readonly minSequence?: number
  /** With `any`: a member that is further behind refuses. */
  readonly maxStalenessMs?: number
  /** With `primary`: committed state only. */
  readonly committed?: boolean
  readonly readYourWrites?: boolean
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** What a query gives: null for a node that does not exist. */
export type QueryValue<Q extends Query> =
  Q['type'] extends 'GetNode' ? MemoryNode | null
    : Q['type'] extends 'GetEdges' ? MemoryEdge[]
      : Q['type'] extends 'ListNodes' ? MemoryNode[]
        : Q['type'] extends 'GetHistory' ? HistoryValue
          : LogEntry[]

export type ReadResult<Q extends Query> = Omit<ReadAnswer, 'value'> & { value: QueryValue<Q> }

const defaultDeadlineMs = 10_000
const defaultInFlightMax = 65_536

/**
 * Connects to NATS; later losses of the connection are mended by themselves.
 * @throws ConnectError
 */
export async function connect(options: ClientOptions): Promise<EngramClient> {
  return new EngramClient(await openConnection(options), options)
}

/** Made by `connect`. Safe for any number of concurrent calls. */
export class EngramClient {
  readonly #requests: Requests
  readonly #reigns: ReignWatch
  readonly #operator: Operator
  readonly #options: Omit<ClientOptions, 'servers'>
  readonly #contentType: readonly Header[]
  readonly #keyPrefix = randomUUID()
  readonly #written = new Map<string, number>()
  #writes = 0

  constructor(
    /** For whatever else is to be done over the same connection. */
    readonly connection: NatsConnection,
    options: Omit<ClientOptions, 'servers'> = {},
  ) {
    this.#options = options
    this.#contentType = options.encoding === 'msgpack'
      ? [['Content-Type', 'application/msgpack']] : []
    const inbox = inboxPrefix({ servers: '', ...options })
    this.#requests = new Requests(connection, inbox, options.inFlightMax ?? defaultInFlightMax)
    this.#reigns = new ReignWatch(connection, (space) => this.#requests.resend(space))
    this.#operator = new Operator(connection, inbox)
  }

  /**
   * Writes one operation or several (all or nothing). Tries again with the same idempotency key
   * until there is a definite answer or the deadline has passed. Writes that had to be tried
   * again may be logged after later ones: await each where the order matters.
   * @throws WriteRefusedError it did not take effect
   * @throws WriteOutcomeUnknownError it may have; `key` finds out
   */
  write(
    space: string, operations: Operation | readonly Operation[], options: WriteOptions = {},
  ): Promise<WriteAnswer> {
    const key = options.key ?? `${this.#keyPrefix}.${(this.#writes++).toString(36)}`
    const fault = nameFault(space) ?? keyFault(key)
    if (fault) return Promise.reject(refusedHere(fault, key))
    this.#reigns.watch(space)
    const body = Array.isArray(operations) ? { operations } : operations
    const headers: Header[] = [['Nats-Msg-Id', key], ...this.#contentType]
    if (options.ack) headers.push(['Engram-Ack', options.ack])
    return this.#requests.call<WriteAnswer>({
      subject: subjects.write(space), data: this.#encode(body), headers: encodedHeaders(headers),
      group: space, deadlineMs: this.#deadline(options), signal: options.signal,
      judge: (answer) => judgeWrite(
        answer, this.#decode, key, this.#reigns, (taken) => this.#took(space, taken)),
      giveUp: (end) => writeGivenUp(end, space, key),
    })
  }

  /**
   * Asks the primary, or with `from: 'any'` whichever member NATS picks.
   * @throws ReadError
   */
  read<const Q extends Query>(
    space: string, query: Q, options: ReadOptions = {},
  ): Promise<ReadResult<Q>> {
    const fault = nameFault(space)
    if (fault) return Promise.reject(new ReadError('UNKNOWN_SPACE', fault, false))
    const any = options.from === 'any'
    const headers = encodedHeaders(
      [...readHeaders(options, this.#atLeast(space, options)), ...this.#contentType])
    return this.#requests.call<ReadAnswer>({
      subject: any ? subjects.readAny(space) : subjects.read(space),
      data: this.#encode(query), headers, group: `read ${space}`,
      deadlineMs: this.#deadline(options), signal: options.signal,
      judge: (answer) => judgeRead(answer, this.#decode, any ? null : this.#reigns, space),
      giveUp: (end) => readGivenUp(end, space),
    }) as Promise<ReadResult<Q>>
  }

  /** Sequence of this client's last write to the space that was answered; 0 when none was. */
  lastWritten(space: string): number {
    return this.#written.get(space) ?? 0
  }

  /** Asks all nodes, and merges what they say. No nodes when none answers. */
  status(): Promise<ClusterStatus> {
    return this.#operator.status()
  }

  /**
   * Sends an operator's request to a node, by default any one that runs.
   * @throws AdminError
   */
  admin(
    request: AdminRequest, options?: { node?: string; timeoutMs?: number },
  ): Promise<AdminAnswer> {
    return this.#operator.admin(request, options)
  }

  /** Ends what is waiting (writes as outcome unknown) and closes the connection. Idempotent. */
  async close(): Promise<void> {
    this.#requests.close()
    this.#reigns.close()
    await this.connection.close()
  }

  #took(space: string, answer: WriteAnswer): void {
    this.#written.set(space, Math.max(this.lastWritten(space), answer.sequence))
  }

  #atLeast(space: string, options: ReadOptions): number {
    const own = options.readYourWrites ?? this.#options.readYourWrites ?? false
    return Math.max(options.minSequence ?? 0, own ? this.lastWritten(space) : 0)
  }

  #deadline(options: { readonly deadlineMs?: number }): number {
    return options.deadlineMs ?? this.#options.deadlineMs ?? defaultDeadlineMs
  }

  #encode(value: unknown): Uint8Array {
    if (this.#options.encoding === 'msgpack') return pack(value)
    return Buffer.from(JSON.stringify(value))
  }

  readonly #decode = (data: Uint8Array): WriteAnswer | ReadAnswer | ErrorAnswer | null => {
    try {
      const value: unknown = this.#options.encoding === 'msgpack' && data[0] !== 0x7b
        ? unpack(data)
        : JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString('utf8'))
      return isAnswer(value) ? value : null
    } catch {
      return null
    }
  }
}

function isAnswer(value: unknown): value is WriteAnswer | ReadAnswer | ErrorAnswer {
  return typeof value === 'object' && value !== null && 'ok' in value
}

function keyFault(key: string): string | null {
  if (/^[\x21-\x7e]{1,256}$/.test(key)) return null
  return 'an idempotency key is 1 to 256 visible ASCII characters'
}

type Header = readonly [name: string, value: string]

function readHeaders(options: ReadOptions, minSequence: number): Header[] {
  const headers: Header[] = []
  if (minSequence > 0) headers.push(['Engram-Min-Sequence', String(minSequence)])
  if (options.maxStalenessMs !== undefined) {
    headers.push(['Engram-Max-Staleness-Ms', String(options.maxStalenessMs)])
  }
  if (options.committed) headers.push(['Engram-Read', 'committed'])
  return headers
}
