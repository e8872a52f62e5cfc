/** Workers that write to a simulated cluster and keep what is not safe, in virtual time. */
import { decode } from '@msgpack/msgpack'
import type { BusConnection, ErrorAnswer, HistoryValue, ReadAnswer } from '../../actors/ports.js'
import type { AckLevel, Announcement } from '../../machines/protocol.js'
import { subjects } from '../../machines/subjects.js'
import { Keeper } from '../../runtime/client/keeper.js'
import type { Kept } from '../../runtime/client/keeper.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { Answer, SimCluster } from './simCluster.js'

const attemptMs = 300
const pauseMs = 10
const pollMs = 30

export class SimWriter {
  /** By worker, in the order of its acknowledgements. */
  readonly acknowledged: string[][] = []
  readonly keeper: Keeper
  resent = 0
  survived = 0
  /** Workers, and what is being sent again, that have not come to their end. */
  private busy = 0
  private isStopping = false
  private numbers = 0
  private readonly worker = new Map<number, number>()
  private readonly random: SeededRandom

  private constructor(
    private readonly cluster: SimCluster, private readonly connection: BusConnection,
    private readonly protects: boolean,
  ) {
    this.random = cluster.random.fork(`writer ${protects}`)
    this.keeper = new Keeper({
      resendingMax: 8, onSafe: () => undefined,
      touches: ({ number }) => [String(this.worker.get(number))],
    })
  }

  static async start(
    cluster: SimCluster, { workers, protects }: { workers: number; protects: boolean },
  ): Promise<SimWriter> {
    const connection = await cluster.broker.bus().connect()
    cluster.owners.set(connection, { name: 'client', clock: null })
    const writer = new SimWriter(cluster, connection, protects)
    if (protects) {
      connection.subscribe(subjects.assignment('demo'), ({ data }) => writer.announced(data))
      writer.poll()
    }
    for (let n = 0; n < workers; n += 1) void writer.work(n)
    return writer
  }

  get count(): number {
    return this.acknowledged.reduce((sum, keys) => sum + keys.length, 0)
  }

  stop(): void {
    this.isStopping = true
  }

  get isOver(): boolean {
    return this.busy === 0 && this.keeper.writes === 0
  }

  private async work(worker: number): Promise<void> {
    this.busy += 1
    const keys: string[] = this.acknowledged[worker] = []
    while (!this.isStopping) {
      const number = this.numbers++
      this.worker.set(number, worker)
      const key = `w${worker}.${number}`
      const ack = this.random.pick<AckLevel>(['memory', 'durable', 'durable'])
      await this.write(number, key, ack)
      keys.push(key)
      await this.pause(this.random.next() * 25)
    }
    this.busy -= 1
  }

  private async write(number: number, key: string, ack: AckLevel): Promise<void> {
    const { keeper } = this
    const content = `${this.worker.get(number)}`
    const node = { id: content, content: key }
    const data = Buffer.from(JSON.stringify({ type: 'StoreNode', node }))
    for (;;) {
      const fence: Record<string, string> = keeper.writes > 0
        ? { 'Engram-Epoch': String(keeper.epoch) } : {}
      const answer = keeper.isBehind ? null
        : await this.ask(data, { 'Nats-Msg-Id': key, 'Engram-Ack': ack, ...fence })
      if (answer?.ok && !this.protects) return
      if (answer?.ok && answer.epoch >= keeper.epoch) {
        this.heard(answer.epoch)
        keeper.answered({ number, key, data, bytes: 1 }, answer, this.cluster.clock.monotonicMs())
        return
      }
      await this.pause(pauseMs)
    }
  }

  private resendAll(): void {
    const { keeper } = this
    for (let write = keeper.next(); write; write = keeper.next()) void this.resend(write)
  }

  private async resend(write: Kept): Promise<void> {
    const { keeper } = this
    const { epoch } = keeper
    const { key, data, level, origin } = write
    // Until it is taken, or taken back since a later reign is known.
    while (keeper.epoch === epoch) {
      const answer = await this.ask(data, {
        'Nats-Msg-Id': key, 'Engram-Ack': level, 'Engram-Epoch': String(epoch),
        'Engram-Origin': `${origin.epoch}/${origin.sequence}`,
      })
      if (answer?.ok && keeper.resent(write, answer)) {
        if (answer.duplicate) this.survived += 1
        else this.resent += 1
        return this.resendAll()
      }
      await this.pause(pauseMs)
    }
  }

  private announced(data: Uint8Array): void {
    const { kind, assignment, history } = decode(data) as Announcement
    if (kind !== 'changed' || assignment.state !== 'open') return
    this.keeper.takeOver(assignment.epoch, history)
    this.resendAll()
  }

  private heard(epoch: number): void {
    if (this.protects) this.keeper.heard(epoch)
  }

  private poll(): void {
    this.cluster.clock.setTimeout(() => void this.look().finally(() => this.poll()), pollMs)
  }

  private async look(): Promise<void> {
    const read = await this.request<ReadAnswer>(
      subjects.read('demo'), Buffer.from('{"type":"GetHistory"}'), {})
    if (!read?.ok) return
    const { history, safeSequence } = read.value as HistoryValue
    this.keeper.takeOver(read.epoch, history)
    this.keeper.safe(read.epoch, safeSequence)
    this.resendAll()
  }

  private async ask(data: Uint8Array, headers: Record<string, string>): Promise<Answer | null> {
    const answer = await this.request<Answer>(subjects.write('demo'), data, headers)
    if (answer && !answer.ok && answer.epoch !== undefined) this.heard(answer.epoch)
    return answer
  }

  private async request<T extends Answer | ReadAnswer>(
    subject: string, data: Uint8Array, headers: Record<string, string>,
  ): Promise<T | ErrorAnswer | null> {
    try {
      const message = await this.connection.request(subject, data, {
        timeoutMs: attemptMs, headers,
      })
      return JSON.parse(Buffer.from(message.data).toString()) as T
    } catch {
      return null
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.cluster.clock.setTimeout(resolve, ms))
  }
}
