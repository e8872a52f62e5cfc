/** Workers that write to a simulated cluster and keep what is not safe, in virtual time. */
import type { BusConnection } from '../../actors/ports/bus.js'
import type { ErrorAnswer, ReadAnswer } from '../../actors/ports/clientApi.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { SeededRandom } from '../fakes/seededRandom.js'
import type { Answer, SimCluster } from './simCluster.js'
import { SimResending } from './simResending.js'

const attemptMs = 300
const pauseMs = 10
const pollMs = 30

export class SimWriter {
  /** By worker, in the order of its acknowledgements. */
  readonly acknowledged: string[][] = []
  private readonly resending: SimResending
  /** Workers that have not come to their end. */
  private busy = 0
  private isStopping = false
  private numbers = 0
  private readonly worker = new Map<number, number>()
  private readonly random: SeededRandom

  private constructor(
    private readonly cluster: SimCluster,
    private readonly connection: BusConnection,
    private readonly protects: boolean,
  ) {
    this.random = cluster.random.fork(`writer ${protects}`)
    this.resending = new SimResending({
      nowMs: () => cluster.clock.monotonicMs(),
      pause: (ms) => this.pause(ms),
      pollMs,
      touches: ({ number }) => [String(this.worker.get(number))],
      resend: ({ data }, headers) => this.request<Answer>(subjects.write('teams'), data, headers),
      history: () =>
        this.request<ReadAnswer>(
          subjects.read('teams'),
          Buffer.from('{"type":"GetHistory"}'),
          {},
        ),
    })
  }

  static async start(
    cluster: SimCluster,
    { workers, protects }: { workers: number; protects: boolean },
  ): Promise<SimWriter> {
    const connection = await cluster.broker.bus().connect()
    cluster.owners.set(connection, { name: 'client', clock: null })
    const writer = new SimWriter(cluster, connection, protects)
    if (protects) {
      const { resending } = writer
      connection.subscribe(subjects.assignment('teams'), ({ data }) => resending.announced(data))
      resending.start()
    }
    for (let n = 0; n < workers; n += 1) void writer.work(n)
    return writer
  }

  get count(): number {
    return this.acknowledged.reduce((sum, keys) => sum + keys.length, 0)
  }

  /** Sent again, and taken as a new write. */
  get resent(): number {
    return this.resending.resent
  }

  stop(): void {
    this.isStopping = true
    this.resending.stop()
  }

  get isOver(): boolean {
    return this.busy === 0 && this.resending.isOver
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
    const { resending } = this
    const content = `${this.worker.get(number)}`
    const node = { id: content, content: key }
    const data = Buffer.from(JSON.stringify({ type: 'StoreNode', node }))
    for (;;) {
      const fence = resending.fence()
      const answer = fence && await this.request<Answer>(
        subjects.write('teams'),
        data,
        { 'Nats-Msg-Id': key, 'Engram-Ack': ack, ...fence },
      )
      if (answer?.ok && !this.protects) return
      if (answer?.ok && resending.answered({ number, key, data, bytes: 1 }, answer)) return
      if (this.protects) resending.refused(answer)
      await this.pause(pauseMs)
    }
  }

  private async request<T extends Answer | ReadAnswer>(
    subject: string,
    data: Uint8Array,
    headers: Record<string, string>,
  ): Promise<T | ErrorAnswer | null> {
    try {
      const message = await this.connection.request(subject, data, {
        timeoutMs: attemptMs,
        headers,
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
