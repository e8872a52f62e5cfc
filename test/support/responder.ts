/**
 * A node that keeps its word on the outside contract in memory, and breaks it
 * as a script says: for tests of the client and the command line.
 */
import { headers } from 'nats'
import type { Msg, NatsConnection, Subscription } from 'nats'
import type { ErrorAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { EpochSpan } from '../../machines/base/ids.js'
import type { RecordedEvent } from '../../machines/protocol/events.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { eventsOfAll } from '../../runtime/inspect/eventService.js'
import { statusOfAll } from '../../runtime/status/status.js'
import type { MemberStatus, NodeStatusReport } from '../../runtime/status/status.js'
import type { WhoAnswer } from '../../runtime/status/who.js'

export interface Received {
  readonly key: string
  readonly ack: string
  /** Headers Engram-Epoch and Engram-Origin, where they are set. */
  readonly fence: string
  readonly origin: string
  readonly body: unknown
}

/** The fate of the next write: null leaves it to the rules. */
export type Script = (write: Received, count: number) =>
  | Partial<ErrorAnswer | WriteAnswer>
  | 'drop'
  | 'noResponders'
  | null

export class Responder {
  readonly received: Received[] = []
  readonly reads: { subject: string; headers: Record<string, string>; query: unknown }[] = []
  readonly admins: unknown[] = []
  readonly taken = new Map<string, WriteAnswer>()
  readonly graph = new Map<string, unknown>()
  script: Script = () => null
  onRead: (() => object) | null = null
  /** Value of a query; undefined leaves it to the rules. */
  onQuery: ((query: Record<string, unknown>) => unknown) | null = null
  /** Answer to a command; null leaves it to the rules. */
  onAdmin: ((command: Record<string, unknown>) => object | null) | null = null
  /** Fields of the status beside the rest. */
  reported: Partial<MemberStatus> = {}
  epoch = 1
  sequence = 0
  /** Highest safe sequence; null: all that is answered is safe. */
  safe: number | null = null
  /** The recorded past; null: it is of a release that keeps nothing. */
  events: readonly RecordedEvent[] | null = []
  /** The epochs before the present one. */
  history: readonly EpochSpan[] = []
  /** Keys as they were taken: the log, without what failovers cut off. */
  log: string[] = []
  #subscriptions: Subscription[] = []

  constructor(
    readonly connection: NatsConnection,
    readonly space = 'demo',
    readonly node = 'n1',
  ) {}

  start(): this {
    this.#on(subjects.write(this.space), (message) => this.#write(message))
    this.#on(subjects.read(this.space), (message) => this.#read(message, 'primary'))
    this.#on(subjects.readAny(this.space), (message) => this.#read(message, 'replica'))
    this.#on(statusOfAll,
      (message) =>
        this.#answer(message,
          Buffer.from(message.data).includes('"who"') ? this.who() : this.report()))
    this.#on(subjects.status(this.node), (message) => this.#answer(message, this.report()))
    this.#on(subjects.admin(this.node), (message) => this.#admin(message))
    if (this.events !== null) {
      for (const subject of [eventsOfAll, subjects.events(this.node)]) {
        this.#on(subject, (message) => this.#past(message))
      }
    }
    return this
  }

  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe()
  }

  announce(epoch: number, uuid = 'u1'): void {
    this.connection.publish(subjects.assignment(this.space), Buffer.from(JSON.stringify({
      kind: 'changed',
      assignment: { epoch, uuid, state: 'open' },
      history: [...this.history, { epoch, last: Math.max(this.sequence, 1) }],
    })))
  }

  /** A promotion of a member with the log up to `kept` only: the rest is forgotten. Not announced. */
  failOver(epoch: number, kept: number): void {
    const spans = [...this.history, { epoch: this.epoch, last: this.sequence }]
    this.history = spans.flatMap((span, n) =>
      (spans[n - 1]?.last ?? 0) < kept
        ? [{ epoch: span.epoch, last: Math.min(span.last, kept) }]
        : []
    )
    for (const [key, { sequence }] of this.taken) if (sequence > kept) this.taken.delete(key)
    this.log = this.log.filter((key) => this.taken.has(key))
    this.epoch = epoch
    // Its first entry, the epoch's start.
    this.sequence = kept + 1
    if (this.safe !== null) this.safe = Math.min(this.safe, kept)
  }

  report(): NodeStatusReport {
    return {
      format: 1,
      node: {
        id: this.node,
        state: 'running',
        pid: process.pid,
        incarnation: 1,
        connection: 1,
        natsServer: 'S1',
        http: null,
        data: '/data/n1',
        disk: 'd1',
        uptimeMs: 1000,
        loopDelayMs: 0,
        peers: { n2: { state: 'dead', silenceMs: 900, reason: 'noResponders' } },
        version: '0.1.0',
        journal: { segments: 1, bytes: 4096, flush: 7, readOnly: false },
      },
      spaces: [this.member()],
    }
  }

  who(): WhoAnswer {
    const { node: { id, state, incarnation, http }, spaces } = this.report()
    return {
      format: 1,
      type: 'who',
      id,
      state,
      incarnation,
      http,
      spaces: spaces.length,
      alive: [],
    }
  }

  member(): MemberStatus {
    return {
      space: this.space,
      uuid: 'u1',
      epoch: this.epoch,
      primary: this.node,
      members: [this.node, 'n2'],
      inSync: [this.node],
      minInSync: 2,
      rf: 2,
      ack: 'durable',
      role: 'primary',
      state: 'serving',
      reason: 'won',
      endSequence: this.sequence,
      durableSequence: this.sequence,
      appliedSequence: this.sequence,
      commitSequence: this.sequence,
      safeSequence: 0,
      digest: 'abc',
      nodes: 1,
      edges: 0,
      maxLoss: null,
      throttled: false,
      lossWindow: { entries: this.sequence, bytes: 100, ms: 5 },
      lag: {
        n2: {
          lagBytes: null,
          lagMs: null,
          durableSequence: null,
          appliedSequence: null,
          state: 'unreachable',
        },
      },
      forks: 0,
      salvages: 0,
      blocked: null,
      arbiter: 'reachable',
      promotions: 1,
      lastPromotionMs: 120,
      ...this.reported,
    }
  }

  /** Pages of two events, as if they were large. */
  #past(message: Msg): void {
    const { before = null, types } = JSON.parse(Buffer.from(message.data).toString()) as {
      before?: number | null
      types?: readonly string[]
    }
    const wanted = (this.events ?? []).filter(({ id, type }) =>
      (before === null || id < before)
      && (types === undefined || types.includes(type))
    )
    const events = wanted.slice(-2)
    this.#answer(message, {
      ok: true,
      node: this.node,
      events,
      before: events.length < wanted.length ? events[0]?.id ?? null : null,
    })
  }

  #on(subject: string, handle: (message: Msg) => void): void {
    this.#subscriptions.push(this.connection.subscribe(subject, {
      callback: (_error, message) => handle(message),
    }))
  }

  #answer(message: Msg, value: object): void {
    message.respond(Buffer.from(JSON.stringify(value)))
  }

  #write(message: Msg): void {
    const body = JSON.parse(Buffer.from(message.data).toString()) as {
      operations?: object[]
      node?: { id: string }
    }
    const write = {
      key: message.headers?.get('Nats-Msg-Id') ?? '',
      ack: message.headers?.get('Engram-Ack') ?? '',
      fence: message.headers?.get('Engram-Epoch') ?? '',
      origin: message.headers?.get('Engram-Origin') ?? '',
      body,
    }
    this.received.push(write)
    const scripted = this.script(write, this.received.length)
    if (scripted === 'drop') return
    if (scripted === 'noResponders') {
      // As the server says it: an empty message with a status header.
      const status = headers(503, 'No Responders')
      message.respond(new Uint8Array(), { headers: status })
      return
    }
    if (scripted && scripted.ok === false) return this.#answer(message, scripted)
    if (write.fence && Number(write.fence) !== this.epoch) {
      return this.#answer(message, {
        ok: false,
        code: 'NOT_PRIMARY',
        message: `this is epoch ${this.epoch}`,
        outcome: 'notTaken',
        retryable: true,
        epoch: this.epoch,
      })
    }
    const safeSequence = (): number => this.safe ?? this.sequence
    const before = this.taken.get(write.key)
    if (before) {
      return this.#answer(message, {
        ...before,
        epoch: this.epoch,
        duplicate: true,
        loggedEpoch: before.epoch,
        safeSequence: safeSequence(),
        ...scripted,
      })
    }
    const count = body.operations?.length ?? 1
    this.sequence += count
    if (body.node) this.graph.set(body.node.id, body.node)
    const answer: WriteAnswer = {
      ok: true,
      space: this.space,
      epoch: this.epoch,
      sequence: this.sequence,
      count,
      ack: write.ack === 'memory' || write.ack === 'committed' ? write.ack : 'durable',
      safeSequence: safeSequence(),
      node: this.node,
      duplicate: false,
    }
    this.taken.set(write.key, answer)
    this.log.push(write.key)
    this.#answer(message, { ...answer, ...scripted })
  }

  #read(message: Msg, role: 'primary' | 'replica'): void {
    const query = JSON.parse(Buffer.from(message.data).toString()) as {
      type?: string
      nodeId?: string
    }
    const seen = Object.fromEntries((message.headers?.keys() ?? []).map(
      (key) => [key, message.headers?.get(key) ?? ''],
    ))
    this.reads.push({ subject: message.subject, headers: seen, query })
    this.#answer(message, this.onRead?.() ?? {
      ok: true,
      value: this.#value(query),
      sequence: this.sequence,
      epoch: this.epoch,
      node: this.node,
      role,
      stalenessMs: role === 'primary' ? 0 : 3,
    })
  }

  #value(query: { readonly type?: string; readonly nodeId?: string }): unknown {
    const own = this.onQuery?.({ ...query })
    if (own !== undefined) return own
    if (query.type !== 'GetHistory') return this.graph.get(query.nodeId ?? '') ?? null
    const history = [...this.history, { epoch: this.epoch, last: Math.max(this.sequence, 1) }]
    return { history, safeSequence: this.safe ?? this.sequence }
  }

  #admin(message: Msg): void {
    const request = JSON.parse(Buffer.from(message.data).toString()) as { type: string }
    this.admins.push(request)
    const own = this.onAdmin?.({ ...request }) ?? null
    if (own) return this.#answer(message, own)
    if (request.type === 'createSpace') return this.#answer(message, { ok: true, created: true })
    if (request.type === 'promote') {
      return this.#answer(message, {
        ok: false,
        code: 'UNKNOWN_SPACE',
        message: 'there is no such space',
        retryable: false,
      })
    }
    this.#answer(message, { ok: true, spaces: [] })
  }
}
