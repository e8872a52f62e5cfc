/**
 * The bus in memory, with the semantics of core NATS that the actors rely on: at most once, in
 * order per sender, wildcards, queue groups, 503 for a request that nobody subscribes to.
 * Without a `schedule` of its own, delivery is by microtask: asynchronous, and soon.
 */
import { BusClosedError, BusConnectError, isNoResponders, NoRespondersError,
  RequestTimeoutError } from '../../actors/ports/bus.js'
import type { Bus, BusConnection, BusMessage, BusSubscription,
  PublishOptions } from '../../actors/ports/bus.js'
import type { Clock, Random, TimerHandle } from '../../actors/ports/system.js'

export interface MemoryBrokerOptions {
  /** Times requests out; default: the process's own timers. */
  readonly clock?: Pick<Clock, 'setTimeout' | 'clearTimeout'>
  /** Picks the member of a queue group; default: in turn. */
  readonly random?: Pick<Random, 'next'>
  /**
   * Runs a delivery later, or never (a lost message). Calls of one (from, to) pair must run in
   * the order they were made: that is NATS's promise. `from` null: the broker itself.
   */
  readonly schedule?: (
    run: () => void,
    from: BusConnection | null,
    to: BusConnection,
    message: { readonly subject: string; readonly data: Uint8Array },
  ) => void
  readonly serverId?: string
  readonly maxPayload?: number
  readonly onHandlerError?: (error: unknown, subject: string) => void
}

interface Subscription {
  readonly connection: MemoryConnection
  readonly tokens: readonly string[]
  readonly queue: string | undefined
  readonly handler: (message: BusMessage) => void
  active: boolean
}

interface Envelope {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string | undefined
  readonly headers: Readonly<Record<string, string>> | undefined
}

const wallTimers: Pick<Clock, 'setTimeout' | 'clearTimeout'> = {
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
}

export class MemoryBroker {
  readonly serverId: string
  readonly maxPayload: number
  readonly clock: Pick<Clock, 'setTimeout' | 'clearTimeout'>
  readonly #options: MemoryBrokerOptions
  readonly #connections = new Set<MemoryConnection>()
  /** Receivers of a subject that was published before; inboxes are too many to be remembered. */
  readonly #routes = new Map<string, readonly Subscription[]>()
  /** By subject without wildcards, by inbox (`_INBOX.x.*`), and all others. */
  readonly #exact = new Map<string, Set<Subscription>>()
  readonly #patterns = new Set<Subscription>()
  #running = true
  #turn = 0
  #connectionCount = 0

  constructor(options: MemoryBrokerOptions = {}) {
    this.#options = options
    this.clock = options.clock ?? wallTimers
    this.serverId = options.serverId ?? 'MEMORY'
    this.maxPayload = options.maxPayload ?? 1_048_576
  }

  /** `inboxPrefix`: below it answers to requests of its connections come. */
  bus(inboxPrefix = '_INBOX'): Bus {
    return { connect: () => Promise.resolve().then(() => this.#connect(inboxPrefix)) }
  }

  get connections(): readonly BusConnection[] {
    return [...this.#connections]
  }

  /** Cuts one connection, as when its process died: what it had sent is still delivered. */
  kill(connection: BusConnection, reason = 'killed'): void {
    for (const own of this.#connections) if (own === connection) own.end(reason)
  }

  /** Ends every connection; further ones are refused until `start`. */
  stop(reason = 'the server ended'): void {
    this.#running = false
    for (const connection of this.#connections) connection.end(reason)
  }

  start(): void {
    this.#running = true
  }

  #connect(inboxPrefix: string): MemoryConnection {
    if (!this.#running) throw new BusConnectError('the memory broker is stopped', true)
    const connection = new MemoryConnection(this, inboxPrefix, this.#connectionCount += 1)
    this.#connections.add(connection)
    return connection
  }

  add(subscription: Subscription): void {
    const subject = subscription.tokens.join('.')
    this.#routes.clear()
    if (isPattern(subscription.tokens) && !/^_INBOX[^.*>]*\.[^.*>]+\.\*$/.test(subject)) {
      this.#patterns.add(subscription)
      return
    }
    const there = this.#exact.get(subject)
    if (there) there.add(subscription)
    else this.#exact.set(subject, new Set([subscription]))
  }

  remove(subscription: Subscription): void {
    subscription.active = false
    this.#routes.clear()
    this.#patterns.delete(subscription)
    const subject = subscription.tokens.join('.')
    const there = this.#exact.get(subject)
    there?.delete(subscription)
    if (there?.size === 0) this.#exact.delete(subject)
  }

  forget(connection: MemoryConnection): void {
    this.#connections.delete(connection)
    for (const subscription of this.#patterns) {
      if (subscription.connection === connection) this.remove(subscription)
    }
    for (const there of this.#exact.values()) {
      for (const subscription of there) {
        if (subscription.connection === connection) this.remove(subscription)
      }
    }
  }

  route(envelope: Envelope, from: MemoryConnection): void {
    const groups = new Map<string, Subscription[]>()
    let found = 0
    for (const subscription of this.#matching(envelope.subject)) {
      found += 1
      if (subscription.queue === undefined) this.#deliver(envelope, subscription, from)
      else {
        const group = groups.get(subscription.queue)
        if (group) group.push(subscription)
        else groups.set(subscription.queue, [subscription])
      }
    }
    for (const group of groups.values()) {
      const chosen = group[this.#pick(group.length)]
      if (chosen) this.#deliver(envelope, chosen, from)
    }
    if (found === 0 && envelope.reply !== undefined) this.#refuse(envelope.reply, from)
  }

  #pick(count: number): number {
    const random = this.#options.random
    return random ? Math.floor(random.next() * count) : (this.#turn += 1) % count
  }

  /** The requester itself gets the 503, on the reply subject, as from a NATS server. */
  #refuse(reply: string, to: MemoryConnection): void {
    const envelope: Envelope = {
      subject: reply,
      data: new Uint8Array(0),
      reply: undefined,
      headers: { Status: '503' },
    }
    for (const subscription of this.#matching(reply)) {
      if (subscription.connection === to) this.#deliver(envelope, subscription, null)
    }
  }

  #matching(subject: string): readonly Subscription[] {
    if (isInbox(subject)) {
      const inbox = `${subject.slice(0, subject.lastIndexOf('.'))}.*`
      return [...this.#find(subject), ...(this.#exact.get(inbox) ?? [])]
    }
    const known = this.#routes.get(subject)
    if (known) return known
    const found = this.#find(subject)
    this.#routes.set(subject, found)
    return found
  }

  #find(subject: string): Subscription[] {
    const tokens = subject.split('.')
    const found = [...(this.#exact.get(subject) ?? [])]
    for (const pattern of this.#patterns) {
      if (subjectMatches(pattern.tokens, tokens)) found.push(pattern)
    }
    return found
  }

  #deliver(envelope: Envelope, to: Subscription, from: MemoryConnection | null): void {
    // A copy for each, as over a socket: nobody sees what a receiver does to it.
    const message = new MemoryMessage(envelope, envelope.data.slice())
    const run = (): void => {
      if (!to.active || to.connection.isClosed) return
      try {
        to.handler(message)
      } catch (error) {
        this.#options.onHandlerError?.(error, envelope.subject)
      }
    }
    const { schedule } = this.#options
    if (schedule) schedule(run, from, to.connection, envelope)
    else queueMicrotask(run)
  }
}

class MemoryMessage implements BusMessage {
  readonly subject: string
  readonly reply: string | undefined
  readonly #headers: Readonly<Record<string, string>> | undefined

  constructor(envelope: Envelope, readonly data: Uint8Array) {
    this.subject = envelope.subject
    this.reply = envelope.reply
    this.#headers = envelope.headers
  }

  header(name: string): string | undefined {
    return this.#headers?.[name]
  }

  headerNames(): readonly string[] {
    return Object.keys(this.#headers ?? {})
  }
}

export class MemoryConnection implements BusConnection {
  readonly serverId: string
  readonly maxPayload: number
  readonly bufferedBytes = 0
  readonly closed: Promise<string>
  readonly #broker: MemoryBroker
  readonly #inbox: string
  readonly #pending = new Map<string, {
    subject: string
    timer: TimerHandle
    resolve: (message: BusMessage) => void
    reject: (error: Error) => void
  }>()
  #resolveClosed: (reason: string) => void = () => {}
  #lastToken = 0
  #isClosed = false

  constructor(broker: MemoryBroker, readonly inboxPrefix: string, number: number) {
    this.#broker = broker
    this.serverId = broker.serverId
    this.maxPayload = broker.maxPayload
    this.#inbox = `${inboxPrefix}.memory${number}`
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.subscribe(`${this.#inbox}.*`, (message) => this.#answer(message))
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  publish(subject: string, data: Uint8Array, options?: PublishOptions): void {
    if (this.#isClosed) throw new BusClosedError()
    checkSubject(subject)
    if (data.length + headerBytes(options?.headers) > this.maxPayload) {
      throw new RangeError(
        `${data.length} bytes and their headers exceed max_payload, ${this.maxPayload} bytes`,
      )
    }
    this.#broker.route(
      { subject, data, reply: options?.reply, headers: options?.headers },
      this,
    )
  }

  publishSide(subject: string, data: Uint8Array): void {
    this.publish(subject, data)
  }

  subscribe(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    if (this.#isClosed) throw new BusClosedError()
    checkSubject(subject)
    const subscription: Subscription = {
      connection: this,
      tokens: subject.split('.'),
      queue: options?.queue,
      handler,
      active: true,
    }
    this.#broker.add(subscription)
    return { unsubscribe: () => this.#broker.remove(subscription) }
  }

  subscribeSide(
    subject: string,
    handler: (message: BusMessage) => void,
    options?: { queue?: string },
  ): BusSubscription {
    return this.subscribe(subject, handler, options)
  }

  request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; headers?: Readonly<Record<string, string>> },
  ): Promise<BusMessage> {
    return new Promise((resolve, reject) => {
      const token = (this.#lastToken += 1).toString(36)
      this.publish(subject, data, {
        reply: `${this.#inbox}.${token}`,
        ...(options.headers === undefined ? {} : { headers: options.headers }),
      })
      const timer = this.#broker.clock.setTimeout(() => {
        this.#pending.delete(token)
        reject(new RequestTimeoutError(subject, options.timeoutMs))
      }, options.timeoutMs)
      this.#pending.set(token, { subject, timer, resolve, reject })
    })
  }

  async flush(): Promise<void> {
    if (this.#isClosed) throw new BusClosedError()
    await Promise.resolve()
    if (this.#isClosed) throw new BusClosedError()
  }

  async close(): Promise<void> {
    this.end('closed by this process')
    await this.closed
  }

  /** For the broker. */
  end(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#broker.forget(this)
    for (const pending of this.#pending.values()) {
      this.#broker.clock.clearTimeout(pending.timer)
      pending.reject(new BusClosedError(`the NATS connection is closed: ${reason}`))
    }
    this.#pending.clear()
    this.#resolveClosed(reason)
  }

  #answer(message: BusMessage): void {
    const token = message.subject.slice(this.#inbox.length + 1)
    const pending = this.#pending.get(token)
    if (!pending) return
    this.#pending.delete(token)
    this.#broker.clock.clearTimeout(pending.timer)
    if (isNoResponders(message)) pending.reject(new NoRespondersError(pending.subject))
    else pending.resolve(message)
  }
}

/** NATS's rule: `*` is one token, `>` one or more at the end. */
export function subjectMatches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i += 1) {
    if (pattern[i] === '>') return subject.length > i
    if (i >= subject.length) return false
    if (pattern[i] !== '*' && pattern[i] !== subject[i]) return false
  }
  return pattern.length === subject.length
}

function isInbox(subject: string): boolean {
  return subject.startsWith('_INBOX')
}

function isPattern(tokens: readonly string[]): boolean {
  return tokens.includes('*') || tokens.includes('>')
}

function checkSubject(subject: string): void {
  if (subject === '' || /[\s\0]/.test(subject)) {
    throw new TypeError(`${JSON.stringify(subject)} is no subject`)
  }
}

function headerBytes(headers: Readonly<Record<string, string>> | undefined): number {
  if (!headers) return 0
  return Object.entries(headers).reduce((sum, [k, v]) => sum + k.length + v.length + 4, 12)
}
