/**
 * Clients: writes at every level, batches, keys with retries, reads at primary and members. Each
 * goes its own way by its own random numbers; what it asks and hears goes into the history.
 */
import type { Query, ReadAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import { SimResending } from '../support/simResending.js'
import { ClientConnection } from './clientConnection.js'
import type { Attempt, WriteRecord } from './history.js'
import { drawOperation, ids, tokenOf, touchedBy } from './operations.js'
import { space } from './plan.js'
import type { ClientPlan } from './plan.js'
import type { World } from './world.js'

const requestTimeoutMs = 6000
const resendTimeoutMs = 1500
const retriesMax = 6
/** Interval at which a client that resends looks at the history, ms. */
const pollMs = 150
/** A client that forgets its answers repeats one of its latest writes with a key. */
const repeatedMax = 20

export class Workload {
  private readonly clients: Client[]
  private requests = 0
  private stopped = false

  constructor(private readonly world: World) {
    this.clients = world.plan.clients.map((plan, index) =>
      new Client(world, index, plan, () => this.mayAsk())
    )
  }

  start(): void {
    for (const client of this.clients) client.start()
  }

  /** No new request; those under way come to their end. */
  stop(): void {
    this.stopped = true
    for (const client of this.clients) client.stop()
  }

  get isOver(): boolean {
    return this.clients.every((client) => client.isOver)
  }

  private mayAsk(): boolean {
    if (this.stopped || this.requests >= this.world.plan.requestsMax) return false
    this.requests += 1
    return true
  }
}

/** A write as it is sent, first or again. */
interface Request {
  readonly number: number
  readonly record: WriteRecord
  readonly body: Buffer
  readonly touches: readonly string[]
}

class Client {
  private open = 0
  private readonly name: string
  private readonly random: SeededRandom
  private readonly connection: ClientConnection
  private readonly resending: SimResending | null
  private operations = 0
  private readonly requests: Request[] = []
  /** Highest sequence that this client wrote or read, to ask for again. */
  private seen = 0

  constructor(
    private readonly world: World,
    private readonly index: number,
    private readonly plan: ClientPlan,
    private readonly mayAsk: () => boolean,
  ) {
    this.name = `c${index + 1}`
    this.random = world.random.fork(`client ${this.name}`)
    const resending = plan.behaves === 'protects' ? this.outbox() : null
    this.resending = resending
    this.connection = new ClientConnection(world, this.name, (connection) => {
      if (!resending) return
      connection.subscribe(subjects.assignment(space), ({ data }) => resending.announced(data))
    })
  }

  private outbox(): SimResending {
    return new SimResending({
      nowMs: () => this.world.now,
      pause: (ms) => this.pause(ms),
      pollMs,
      touches: ({ number }) => this.requests[number]!.touches,
      resend: async ({ number }, headers) => {
        this.world.checks.saw('writes sent again by their clients')
        const request = this.requests[number]!
        return (await this.send(request, headers, resendTimeoutMs))?.answer ?? null
      },
      history: async () => {
        const attempt = await this.ask<ReadAnswer>(subjects.read(space),
          Buffer.from('{"type":"GetHistory"}'), {}, () => undefined, resendTimeoutMs)
        return attempt?.answer ?? null
      },
    })
  }

  start(): void {
    this.resending?.start()
    this.goOn()
  }

  stop(): void {
    this.resending?.stop()
  }

  get isOver(): boolean {
    return this.open === 0 && (this.resending?.isOver ?? true)
  }

  private goOn(): void {
    this.world.after(this.random.next() * this.plan.thinkMs, () => this.next())
  }

  private next(): void {
    if (this.open < this.plan.pipeline) {
      if (!this.mayAsk()) return
      this.open += 1
      const done = (): void => {
        this.open -= 1
      }
      void this.act().finally(done)
    }
    this.goOn()
  }

  private async act(): Promise<void> {
    if (!this.random.chance(0.75)) return await this.read()
    if (this.resending) return await this.writeProtected(this.resending)
    if (this.plan.behaves === 'repeats' && this.random.chance(0.2)) await this.repeat()
    else await this.write()
  }

  private draw(isKeyed: boolean): Request {
    const { random, world } = this
    const count = random.chance(0.2) ? 2 + random.integer(6) : 1
    const operations = Array.from({ length: count },
      () => drawOperation(random, this.index, this.operations += 1))
    const tokens = operations.map((operation) => tokenOf({ operation })!)
    const record: WriteRecord = {
      client: this.name,
      tokens,
      key: isKeyed ? `key-${this.name}-${this.operations}` : null,
      level: random.pick<AckLevel>(['memory', 'durable', 'durable', 'committed', 'committed']),
      attempts: [],
    }
    world.history.writes.push(record)
    const request = {
      number: this.requests.length,
      record,
      touches: operations.map(touchedBy),
      body: Buffer.from(JSON.stringify(count === 1 ? operations[0] : { operations })),
    }
    this.requests.push(request)
    return request
  }

  private async write(): Promise<void> {
    const { random } = this
    const request = this.draw(random.chance(0.4))
    const { key } = request.record
    // Without a key a retry could take effect twice: then an unknown outcome stays unknown.
    for (let tries = 0; tries < (key ? retriesMax : 1); tries += 1) {
      const attempt = await this.send(request, headersOf(request))
      // Asked again after it was answered: it must say that it knows the key.
      if (attempt?.answer?.ok && (!key || !random.chance(0.2))) return
      await this.pause(20 + random.next() * 400)
    }
  }

  /** With its key only: it may be in the log, in a fork that is not yet reconciled, or in both. */
  private async repeat(): Promise<void> {
    const keyed = this.requests.filter(({ record }) => record.key !== null).slice(-repeatedMax)
    if (keyed.length === 0) return await this.write()
    const request = this.random.pick(keyed)
    await this.send(request, headersOf(request))
  }

  private async writeProtected(resending: SimResending): Promise<void> {
    const { random } = this
    const request = this.draw(true)
    const { number, record: { key }, body } = request
    for (let tries = 0; tries < retriesMax; tries += 1) {
      let fence = resending.fence()
      while (!fence) {
        await this.pause(20)
        fence = resending.fence()
      }
      const attempt = await this.send(request, { ...headersOf(request), ...fence })
      const answer = attempt?.answer ?? null
      const sendable = { number, key: key!, data: body, bytes: body.length }
      if (answer?.ok && resending.answered(sendable, answer)) return
      resending.refused(answer)
      await this.pause(20 + random.next() * 400)
    }
  }

  private async send(
    { record, body }: Request,
    headers: Record<string, string>,
    timeoutMs = requestTimeoutMs,
  ): Promise<Attempt<WriteAnswer> | null> {
    const attempt = await this.ask<WriteAnswer>(subjects.write(space), body, headers,
      (made) => record.attempts.push(made), timeoutMs)
    if (attempt?.answer?.ok) this.seen = Math.max(this.seen, attempt.answer.sequence)
    return attempt
  }

  private async read(): Promise<void> {
    const { random, world } = this
    const target = random.pick(['primary', 'any'] as const)
    const committed = target === 'primary' && random.chance(0.4)
    const minSequence = target === 'any' && random.chance(0.5) ? this.seen : 0
    const maxStalenessMs = target === 'any' && random.chance(0.3)
      ? random.pick([50, 500])
      : Infinity
    const query = this.drawQuery()
    const subject = target === 'any' ? subjects.readAny(space) : subjects.read(space)
    const headers = {
      ...(committed ? { 'Engram-Read': 'committed' } : {}),
      ...(minSequence > 0 ? { 'Engram-Min-Sequence': String(minSequence) } : {}),
      ...(Number.isFinite(maxStalenessMs)
        ? { 'Engram-Max-Staleness-Ms': String(maxStalenessMs) }
        : {}),
    }
    const body = Buffer.from(JSON.stringify(query))
    await this.ask<ReadAnswer>(subject, body, headers, (attempt) =>
      world.history.reads.push({
        client: this.name,
        target,
        committed,
        query,
        minSequence,
        maxStalenessMs,
        attempt,
      }))
  }

  private drawQuery(): Query {
    const { random } = this
    const kind = random.next()
    if (kind < 0.15) {
      return { type: 'GetEntries', from: Math.max(1, this.seen - random.integer(15)), limit: 20 }
    }
    if (kind < 0.2) return { type: 'GetForks' }
    if (kind < 0.25) return { type: 'GetQuarantine', after: '', limit: 1 + random.integer(50) }
    if (kind < 0.4) return this.drawFate()
    if (kind < 0.5) return { type: 'GetEdges', nodeId: random.pick(ids), direction: 'out' }
    return { type: 'GetNode', nodeId: random.pick(ids) }
  }

  /** The fate of a write of its own, now and then of one that nobody made. */
  private drawFate(): Query {
    const { random } = this
    const latest = this.requests.slice(-60)
    const record = latest.length > 0 ? random.pick(latest).record : null
    if (record?.key && random.chance(0.4)) return { type: 'GetFate', key: record.key }
    const answer = record?.attempts.find((attempt) => attempt.answer?.ok)?.answer
    if (!answer?.ok) return { type: 'GetFate', epoch: 1, sequence: 1 + random.integer(1000) }
    const { epoch, sequence, duplicate, loggedEpoch = epoch } = answer
    return { type: 'GetFate', epoch: duplicate ? loggedEpoch : epoch, sequence }
  }

  /** null: there is no connection. */
  private async ask<TAnswer extends { ok: true }>(
    subject: string,
    body: Buffer,
    headers: Record<string, string>,
    note: (attempt: Attempt<TAnswer>) => void,
    timeoutMs = requestTimeoutMs,
  ): Promise<Attempt<TAnswer> | null> {
    const { world } = this
    const connection = this.connection.current
    if (!connection) return null
    const attempt = world.history.attempt<TAnswer>(world.now, this.connection.number)
    note(attempt)
    try {
      const message = await connection.request(subject, body, { timeoutMs, headers })
      attempt.answer = JSON.parse(Buffer.from(message.data).toString()) as TAnswer
      attempt.answeredAtMs = world.now
    } catch {
      // No answer: the outcome is unknown.
    }
    return attempt
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.world.after(ms, resolve))
  }
}

function headersOf({ record: { key, level } }: Request): Record<string, string> {
  return { 'Engram-Ack': level, ...(key ? { 'Nats-Msg-Id': key } : {}) }
}
