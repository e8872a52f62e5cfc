/**
 * Clients: writes at every level, batches, keys with retries, reads at primary and members. Each
 * goes its own way by its own random numbers; what it asks and hears goes into the history.
 */
import type { ReadAnswer, WriteAnswer } from '../../actors/ports.js'
import type { Operation } from '../../machines/memory.js'
import type { AckLevel } from '../../machines/protocol.js'
import { subjects } from '../../machines/subjects.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import { ClientConnection } from './clientConnection.js'
import type { Attempt, WriteRecord } from './history.js'
import type { ClientPlan } from './plan.js'
import { space } from './plan.js'
import type { World } from './world.js'

const requestTimeoutMs = 6000
const retriesMax = 6
/** Clients store under few ids, so that what they read was written over and over. */
const idCount = 12

export class Workload {
  private readonly clients: Client[]
  private requests = 0
  private stopped = false

  constructor(private readonly world: World) {
    this.clients = world.plan.clients.map((plan, index) =>
      new Client(world, `c${index + 1}`, plan, () => this.mayAsk()))
  }

  start(): void {
    for (const client of this.clients) client.start()
  }

  /** No new request; those under way come to their end. */
  stop(): void {
    this.stopped = true
  }

  get isOver(): boolean {
    return this.clients.every((client) => client.open === 0)
  }

  private mayAsk(): boolean {
    if (this.stopped || this.requests >= this.world.plan.requestsMax) return false
    this.requests += 1
    return true
  }
}

class Client {
  open = 0
  private readonly random: SeededRandom
  private readonly connection: ClientConnection
  private written = 0
  /** Highest sequence that this client wrote or read, to ask for again. */
  private seen = 0

  constructor(
    private readonly world: World, private readonly name: string,
    private readonly plan: ClientPlan, private readonly mayAsk: () => boolean,
  ) {
    this.random = world.random.fork(`client ${name}`)
    this.connection = new ClientConnection(world, name)
  }

  start(): void {
    this.world.after(this.random.next() * this.plan.thinkMs, () => this.next())
  }

  private next(): void {
    if (this.open < this.plan.pipeline) {
      if (!this.mayAsk()) return
      this.open += 1
      const done = (): void => {
        this.open -= 1
      }
      void (this.random.chance(0.75) ? this.write() : this.read()).finally(done)
    }
    this.start()
  }

  private async write(): Promise<void> {
    const { random, world } = this
    const count = random.chance(0.2) ? 2 + random.integer(6) : 1
    const tokens = Array.from({ length: count }, () => `${this.name}-${(this.written += 1)}`)
    const record: WriteRecord = {
      client: this.name, tokens,
      key: random.chance(0.4) ? `key-${tokens[0]}` : null,
      level: random.pick<AckLevel>(['memory', 'durable', 'durable', 'committed', 'committed']),
      attempts: [],
    }
    world.history.writes.push(record)
    const operations = tokens.map((token) => this.operation(token))
    const body = JSON.stringify(count === 1 ? operations[0] : { operations })
    // Without a key a retry could take effect twice: then an unknown outcome stays unknown.
    for (let tries = 0; tries < (record.key ? retriesMax : 1); tries += 1) {
      const attempt = await this.ask<WriteAnswer>(subjects.write(space), body, {
        'Engram-Ack': record.level, ...(record.key ? { 'Nats-Msg-Id': record.key } : {}),
      }, (made) => record.attempts.push(made))
      if (attempt?.answer?.ok) {
        this.seen = Math.max(this.seen, attempt.answer.sequence)
        // Asked again after it was answered: it must say that it knows the key.
        if (!record.key || !random.chance(0.2)) return
      }
      await this.pause(20 + random.next() * 400)
    }
  }

  /** Every operation carries its token, so that each can be told in the log. */
  private operation(token: string): Operation {
    const { random } = this
    const id = `id-${random.integer(idCount)}`
    if (random.chance(0.1)) {
      return { type: 'StoreEdge', edge: { source: id, target: token, kind: 'causal' } }
    }
    return { type: 'StoreNode', node: { id, content: token, activation: 0.5 } }
  }

  private async read(): Promise<void> {
    const { random, world } = this
    const target = random.pick(['primary', 'any'] as const)
    const committed = target === 'primary' && random.chance(0.4)
    const minSequence = target === 'any' && random.chance(0.5) ? this.seen : 0
    const maxStalenessMs = target === 'any' && random.chance(0.3) ? random.pick([50, 500]) : Infinity
    const query = random.chance(0.15)
      ? { from: Math.max(1, this.seen - random.integer(15)) }
      : { nodeId: `id-${random.integer(idCount)}` }
    const body = JSON.stringify('from' in query
      ? { type: 'GetEntries', limit: 20, ...query } : { type: 'GetNode', ...query })
    const subject = target === 'any' ? subjects.readAny(space) : subjects.read(space)
    const headers = {
      ...(committed ? { 'Engram-Read': 'committed' } : {}),
      ...(minSequence > 0 ? { 'Engram-Min-Sequence': String(minSequence) } : {}),
      ...(Number.isFinite(maxStalenessMs)
        ? { 'Engram-Max-Staleness-Ms': String(maxStalenessMs) } : {}),
    }
    await this.ask<ReadAnswer>(subject, body, headers, (attempt) => world.history.reads.push({
      client: this.name, target, committed, query, minSequence, maxStalenessMs, attempt,
    }))
  }

  /** null: there is no connection. */
  private async ask<TAnswer extends { ok: true }>(
    subject: string, body: string, headers: Record<string, string>,
    note: (attempt: Attempt<TAnswer>) => void,
  ): Promise<Attempt<TAnswer> | null> {
    const { world } = this
    const connection = this.connection.current
    if (!connection) return null
    const attempt = world.history.attempt<TAnswer>(world.now, this.connection.number)
    note(attempt)
    try {
      const message = await connection.request(subject, Buffer.from(body), {
        timeoutMs: requestTimeoutMs, headers,
      })
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
