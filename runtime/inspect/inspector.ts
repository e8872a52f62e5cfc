/** Reads the inspection stream: announces itself to the nodes and passes their envelopes on. */
import { randomUUID } from 'node:crypto'
import { createInbox } from 'nats'
import type { Msg, NatsConnection, Subscription } from 'nats'
import { jsonOrNull } from '../system/json.js'
import { inspectionSubjects, inspectionVersion, leaseBounds, readEnvelope,
  startAnswer } from './schema.js'
import type { Envelope, StartRequest } from './schema.js'

export interface InspectorOptions {
  readonly connection: NatsConnection
  readonly inboxPrefix: string
  /** A single node. All nodes if absent. */
  readonly node?: string
  readonly payloads?: boolean
  readonly leaseMs?: number
  readonly onEnvelope: (envelope: Envelope) => void
  /** Called when a node answers for the first time, or again. */
  readonly onNode?: (node: string) => void
  /** Called when a node has not answered for the time of a lease. */
  readonly onNodeLost?: (node: string) => void
  /** Takes a message when a node refuses or sends something invalid. Each message comes once. */
  readonly onFault?: (message: string) => void
}

interface Seen {
  atMs: number
  isThere: boolean
  stream: string
  number: number
}

/** Minimum interval between two requests for a node's present state, ms. */
const askAgainMs = 2_000

/**
 * Holds a lease on the inspection stream of one node or of all, including nodes that start later.
 * Detects loss by gaps in the numbers and by a node's own count, and then requests the present
 * state.
 */
export class Inspector {
  private readonly id = randomUUID()
  private readonly seen = new Map<string, Seen>()
  private readonly faults = new Set<string>()
  private readonly askedAtMs = new Map<string, number>()
  private readonly inbox: string
  private readonly leaseMs: number
  private subscriptions: Subscription[] = []
  private timer: NodeJS.Timeout | null = null

  constructor(private readonly options: InspectorOptions) {
    this.inbox = createInbox(options.inboxPrefix)
    this.leaseMs = options.leaseMs ?? leaseBounds.defaultMs
  }

  /** Subscribes, then sends the first start request. Rejects if NATS does not answer. */
  async start(): Promise<void> {
    const { connection, node, payloads } = this.options
    const stream = inspectionSubjects.stream(node ?? '*', payloads)
    this.subscriptions = [
      connection.subscribe(this.inbox, { callback: (_, message) => this.onAnswer(message) }),
      connection.subscribe(stream, { callback: (_, message) => this.onMessage(message) }),
    ]
    await connection.flush()
    this.renew()
    this.timer = setInterval(() => this.renew(), this.leaseMs / 3)
  }

  /** Gives the lease back, so that the nodes stop at once. */
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.subscriptions = []
    this.send({ leaseMs: 0 })
  }

  private renew(): void {
    const now = performance.now()
    for (const [node, seen] of this.seen) {
      if (!seen.isThere || now - seen.atMs <= this.leaseMs) continue
      seen.isThere = false
      this.options.onNodeLost?.(node)
    }
    this.send({})
  }

  private send(change: Partial<StartRequest>, node = this.options.node): void {
    const { connection, payloads } = this.options
    if (connection.isClosed()) return
    const request: StartRequest = {
      version: inspectionVersion,
      inspector: this.id,
      leaseMs: this.leaseMs,
      payloads: payloads ?? false,
      present: false,
      ...change,
    }
    const subject = node === undefined
      ? inspectionSubjects.startAll
      : inspectionSubjects.start(node)
    connection.publish(subject, JSON.stringify(request), { reply: this.inbox })
  }

  private onAnswer(message: Msg): void {
    if (message.data.length === 0) {
      const { node } = this.options
      return this.fault(`${node ?? 'no node'} ${node ? 'does not answer' : 'answers'} yet; `
        + 'the request is repeated')
    }
    const answer = startAnswer.safeParse(jsonOrNull(message.data))
    if (!answer.success) return this.fault('an answer to a start request is not valid')
    if (answer.data.ok) this.saw(answer.data.node)
    else this.fault(`${answer.data.node} refuses: ${answer.data.message}`)
  }

  private onMessage(message: Msg): void {
    const envelope = readEnvelope(message.data)
    if (typeof envelope === 'string') return this.fault(`${message.subject}: ${envelope}`)
    const seen = this.saw(envelope.node)
    const { stream, number, present, dropped } = envelope
    if (present !== null) {
      seen.stream = stream
      seen.number = number
    } else {
      const isNext = seen.stream === stream && number === seen.number + 1
      const isFirst = seen.stream !== stream && number === 1
      seen.stream = stream
      seen.number = number
      if (!(isNext || isFirst) || dropped > 0) this.askAgain(envelope.node)
    }
    this.options.onEnvelope(envelope)
  }

  /** Requests the present state of a node, at most every 2 s. */
  askAgain(node: string): void {
    const now = performance.now()
    if (now - (this.askedAtMs.get(node) ?? -Infinity) < askAgainMs) return
    this.askedAtMs.set(node, now)
    this.send({ present: true }, node)
  }

  private saw(node: string): Seen {
    const seen = this.seen.get(node) ?? { atMs: 0, isThere: false, stream: '', number: 0 }
    this.seen.set(node, seen)
    seen.atMs = performance.now()
    if (!seen.isThere) {
      seen.isThere = true
      this.options.onNode?.(node)
    }
    return seen
  }

  private fault(message: string): void {
    if (this.faults.size >= 100 || this.faults.has(message)) return
    this.faults.add(message)
    this.options.onFault?.(message)
  }
}
