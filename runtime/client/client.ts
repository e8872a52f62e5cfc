/** The TypeScript client: writes that take effect once, reads with a stated freshness. */
import { randomUUID } from 'node:crypto'
import { decode as unpack, encode as pack } from '@msgpack/msgpack'
import type { NatsConnection } from 'nats'
import type { ErrorAnswer, Query, ReadAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { Operation } from '../../machines/graph/graph.js'
import { nameFault, subjects } from '../../machines/protocol/subjects.js'
import { inboxPrefix } from '../bus/options.js'
import type { RehearsalOf, RehearsalReport } from '../status/rehearsal.js'
import type { ClusterStatus } from '../status/status.js'
import { openConnection } from './connection.js'
import { NotSafeError, ReadError } from './errors.js'
import { encodedHeaders } from './headers.js'
import { SpaceLookup } from './lookup.js'
import { Operator } from './operator.js'
import type { AdminAnswer, AdminRequest, SpaceCommand, SpaceList, StatusOf } from './operator.js'
import type { ClientOptions, QueryValue, ReadOptions, ReadResult, WriteOptions } from './options.js'
import { pagesOf } from './pages.js'
import type { AllEntries, ListQuery } from './pages.js'
import { Outbox } from './outbox.js'
import type { Unsafe } from './outbox.js'
import { EpochWatch } from './epochs.js'
import { rehearseAt } from './rehearse.js'
import { Requests } from './requests.js'
import { judgeRead, judgeWrite, readGivenUp, refusedHere, writeGivenUp } from './verdicts.js'
import type { WriteListener } from './verdicts.js'

const defaultDeadlineMs = 10_000
const defaultInFlightMax = 65_536
const defaultUnsafeBytesMax = 8 * 1024 * 1024

/**
 * Connects to NATS; reconnects by itself when the connection is lost later.
 * @throws ConnectError
 */
export async function connect(options: ClientOptions): Promise<EngramClient> {
  return new EngramClient(await openConnection(options), options)
}

/** Made by `connect`. Safe for any number of concurrent calls. */
export class EngramClient {
  readonly #requests: Requests
  readonly #epochs: EpochWatch
  readonly #lookup: SpaceLookup
  readonly #operator: Operator
  readonly #outbox: Outbox | null
  readonly #resends: Requests
  readonly #options: Omit<ClientOptions, 'servers'>
  readonly #contentType: readonly Header[]
  readonly #keyPrefix = randomUUID()
  readonly #written = new Map<string, number>()
  #writes = 0

  constructor(
    /** Free for other uses. */
    readonly connection: NatsConnection,
    options: Omit<ClientOptions, 'servers'> = {},
  ) {
    this.#options = options
    this.#contentType = options.encoding === 'msgpack'
      ? [['Content-Type', 'application/msgpack']]
      : []
    const inbox = inboxPrefix({ servers: '', ...options })
    this.#requests = new Requests(connection, inbox, options.inFlightMax ?? defaultInFlightMax)
    this.#resends = new Requests(connection, inbox, Infinity)
    this.#epochs = new EpochWatch(connection, {
      historyHeard: (space, epoch, history) => this.#outbox?.historyHeard(space, epoch, history),
      opened: (space) => this.#requests.resend(space),
      renewed: (space) => this.#outbox?.renewed(space),
    })
    this.#lookup = new SpaceLookup(connection, (space, askedAt) => {
      this.#requests.endUnserved(space, askedAt)
      this.#requests.endUnserved(readsOf(space), askedAt)
    })
    this.#operator = new Operator(connection, inbox)
    this.#outbox = options.protect === false ? null : this.#protect()
  }

  #protect(): Outbox {
    const { unsafeBytesMax = defaultUnsafeBytesMax, onResent, onResendRefused } = this.#options
    return new Outbox({
      connection: this.connection,
      unsafeBytesMax,
      writes: this.#requests,
      own: this.#resends,
      epochs: this.#epochs,
      decode: this.#decode,
      request: this.#value,
      contentType: this.#contentType,
      encodeQuery: (query) => this.#encode(query),
      // Called in turns of their own, so that an error thrown by one does not end up here.
      onResent: (resent) => onResent && queueMicrotask(() => onResent(resent)),
      onResendRefused: (refused) =>
        onResendRefused
        && queueMicrotask(() => onResendRefused(refused)),
    })
  }

  /**
   * Writes one operation or several (all or nothing). Repeats the request with the same idempotency
   * key until there is a definite answer or the deadline has passed. A repeated write may be logged
   * after later ones: await each where the order matters.
   * @throws WriteRefusedError it did not take effect
   * @throws WriteOutcomeUnknownError it may have taken effect; `key` finds out
   */
  write(
    space: string,
    operations: Operation | readonly Operation[],
    options: WriteOptions = {},
  ): Promise<WriteAnswer> {
    const key = options.key ?? `${this.#keyPrefix}.${(this.#writes++).toString(36)}`
    const fault = nameFault(space) ?? keyFault(key)
    if (fault) return Promise.reject(refusedHere(fault, key))
    this.#epochs.watch(space)
    const data = this.#encode(Array.isArray(operations) ? { operations } : operations)
    const outbox = this.#outbox
    const ack = outbox ? outbox.levelFor(data, options.ack) : options.ack
    const ticket = outbox?.begin(space, key, data, ack)
    const end = ticket ? () => outbox!.settle(ticket) : () => undefined
    const headers: Header[] = [['Nats-Msg-Id', key], ...this.#contentType]
    if (ack) headers.push(['Engram-Ack', ack])
    const listener: WriteListener = {
      took: (answer) => {
        this.#took(space, answer)
        if (ticket) outbox!.answered(ticket, answer)
      },
      heard: (of, epoch) => outbox?.heard(of, epoch),
    }
    return this.#requests.call<WriteAnswer>({
      subject: subjects.write(space),
      data,
      group: space,
      headers: () => {
        const fence = outbox?.fence(space) ?? null
        return encodedHeaders(fence === null ? headers : [...headers, ['Engram-Epoch', `${fence}`]])
      },
      deadlineMs: this.#deadline(options),
      signal: options.signal,
      judge: (answer) => {
        const verdict = judgeWrite(answer, this.#decode, space, key, this.#epochs, listener)
        if (verdict.kind === 'reject') end()
        return verdict
      },
      onUnserved: (since) => this.#lookup.unserved(space, since),
      giveUp: (why) => {
        end()
        const more = ack === options.ack ? '' : pastBound
        return writeGivenUp(why, space, key, { unserved: () => this.#lookup.why(space), more })
      },
    })
  }

  /**
   * Reads from the primary, or with `from: 'any'` from whichever member NATS picks.
   * @throws ReadError
   */
  read<const Q extends Query>(
    space: string,
    query: Q,
    options: ReadOptions = {},
  ): Promise<ReadResult<Q>> {
    const fault = nameFault(space)
    if (fault) return Promise.reject(new ReadError('UNKNOWN_SPACE', fault, false))
    const any = options.from === 'any'
    const headers = encodedHeaders(
      [...readHeaders(options, this.#atLeast(space, options)), ...this.#contentType],
    )
    return this.#requests.call<ReadAnswer>({
      subject: any ? subjects.readAny(space) : subjects.read(space),
      data: this.#encode(query),
      headers: () => headers,
      group: readsOf(space),
      deadlineMs: this.#deadline(options),
      signal: options.signal,
      judge: (answer) => judgeRead(answer, this.#decode, any ? null : this.#epochs, space),
      onUnserved: (since) => this.#lookup.unserved(space, since),
      giveUp: (end) => readGivenUp(end, space, { unserved: () => this.#lookup.why(space) }),
    }) as Promise<ReadResult<Q>>
  }

  /** Sequence of this client's last acknowledged write to the space; 0 if there is none. */
  lastWritten(space: string): number {
    return this.#written.get(space) ?? 0
  }

  /**
   * Reads a list page by page: each page is a separate answer, as of its own sequence. A query's
   * `limit` is that of all pages together. Entries `from: 'first'` begin with the first one that is
   * kept; those that are given up while the next ones are read end it with TRUNCATED.
   * @throws ReadError
   */
  pages<const Q extends ListQuery | AllEntries>(
    space: string,
    query: Q,
    options: ReadOptions = {},
  ): AsyncGenerator<ReadResult<Q>, undefined> {
    return pagesOf(query, (page) => this.read(space, page, options) as Promise<ReadResult<Q>>)
  }

  /** The same, all pages together. For lists that fit into memory. */
  async readAll<const Q extends ListQuery | AllEntries>(
    space: string,
    query: Q,
    options: ReadOptions = {},
  ): Promise<QueryValue<Q>> {
    const all: unknown[] = []
    for await (const { value } of this.pages(space, query, options)) {
      all.push(...value as readonly unknown[])
    }
    return all as QueryValue<Q>
  }

  /**
   * Lists all spaces that the arbiter knows.
   * @throws AdminError
   */
  listSpaces(): Promise<SpaceList> {
    return this.#operator.listSpaces()
  }

  /** Merges the reports of all nodes that answer. */
  status(of?: StatusOf): Promise<ClusterStatus> {
    return this.#operator.status(of)
  }

  /**
   * What would happen if the primary of the space, or the node, were gone now, or hung.
   * @throws AdminError
   */
  rehearse(of: RehearsalOf): Promise<RehearsalReport> {
    return rehearseAt(this.#operator, of)
  }

  /**
   * Sends an operator's command to a node, by default to any running one.
   * @throws AdminError
   */
  admin(
    request: AdminRequest,
    options?: { node?: string; timeoutMs?: number },
  ): Promise<AdminAnswer> {
    return this.#operator.admin(request, options)
  }

  /**
   * Sends an operator's command to the primary of its space. Looks it up again if the primary has
   * changed meanwhile.
   * @throws AdminError
   */
  adminAtPrimary(
    request: SpaceCommand,
    options?: { timeoutMs?: number; deadlineMs?: number },
  ): Promise<AdminAnswer> {
    return this.#operator.adminAtPrimary(request, options)
  }

  /**
   * Acknowledged writes that one lost disk could still take away, in one space or all. Always none
   * with `protect: false`.
   */
  unsafe(space?: string): Unsafe {
    return this.#outbox?.unsafe(space) ?? { writes: 0, bytes: 0, oldestMs: 0 }
  }

  /**
   * Resolves once every write made so far, to one space or all, is safe: on as many disks as the
   * space requires of its in-sync members, and on two at least where it has them. (Failed writes do
   * not count: their promises rejected.) `timeoutMs`: default `deadlineMs`.
   * @throws NotSafeError
   */
  flush(space?: string, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const timeoutMs = this.#deadline({ deadlineMs: options.timeoutMs })
    if (this.#outbox) return this.#outbox.flush(space, timeoutMs)
    const text = 'this client was made with protect: false, and does not know what is safe'
    return Promise.reject(new NotSafeError('UNPROTECTED', text, 0, 0))
  }

  /**
   * Ends pending calls (writes as outcome unknown) and closes the connection. Idempotent.
   * `flushMs`: first waits this long for unsafe writes. Resolves with those that are still unsafe:
   * from here on nobody sends them again.
   */
  async close(options: { readonly flushMs?: number } = {}): Promise<Unsafe> {
    const { flushMs } = options
    if (flushMs && this.#outbox) {
      // Writes that are not safe in time are returned below.
      await this.#outbox.flush(undefined, flushMs).catch(() => undefined)
    }
    const unsafe = this.unsafe()
    this.#outbox?.close()
    this.#requests.close()
    this.#resends.close()
    this.#epochs.close()
    await this.connection.close()
    return unsafe
  }

  #took(space: string, answer: WriteAnswer): void {
    this.#written.set(space, Math.max(this.lastWritten(space), answer.sequence))
  }

  #atLeast(space: string, options: ReadOptions): number {
    const own = options.readYourWrites ?? this.#options.readYourWrites ?? false
    return Math.max(options.minSequence ?? 0, own ? this.lastWritten(space) : 0)
  }

  #deadline(options: { readonly deadlineMs?: number | undefined }): number {
    return options.deadlineMs ?? this.#options.deadlineMs ?? defaultDeadlineMs
  }

  #encode(value: unknown): Uint8Array {
    if (this.#options.encoding === 'msgpack') return pack(value)
    return Buffer.from(JSON.stringify(value))
  }

  readonly #decode = (data: Uint8Array): WriteAnswer | ReadAnswer | ErrorAnswer | null => {
    try {
      const value = this.#value(data)
      return isAnswer(value) ? value : null
    } catch {
      return null
    }
  }

  /** Throws on anything that this client has not encoded. */
  readonly #value = (data: Uint8Array): unknown =>
    this.#options.encoding === 'msgpack' && data[0] !== 0x7b
      ? unpack(data)
      : JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString('utf8'))
}

/** Group of the reads of a space; the group of its writes has the space's name. */
const readsOf = (space: string): string => `read ${space}`

function isAnswer(value: unknown): value is WriteAnswer | ReadAnswer | ErrorAnswer {
  return typeof value === 'object' && value !== null && 'ok' in value
}

/** The fault of an idempotency key, or null. */
export function keyFault(key: string): string | null {
  if (/^[\x21-\x7e]{1,256}$/.test(key)) return null
  return 'an idempotency key must be 1 to 256 visible ASCII characters'
}

const pastBound = '; committed was requested, since unsafeBytesMax is reached'

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
