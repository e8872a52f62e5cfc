/** Writes to a state that stays small, as fast as it can, over all failovers. */
import { setTimeout as delay } from 'node:timers/promises'
import { headers } from 'nats'
import type { NatsConnection } from 'nats'
import { openConnection } from './inbox.js'

const lanes = 16
/** Memory nodes that each lane writes over and over. */
const idsPerLane = 45
const perRequest = 15
const contentBytes = 4000
const filler = 'x'.repeat(contentBytes)
/** A request in this number waits until it is committed. */
const committedEach = 10
const timeoutMs = 10_000
const foundMax = 5

export class SoakWriter {
  /** Of positive answers. */
  bytes = 0
  #isStopped = false
  #isResting = false
  readonly #running: Promise<void>[]
  /** By memory node: number of the last write that was answered as committed. */
  readonly #committed = new Map<string, number>()

  private constructor(private readonly connection: NatsConnection, private readonly space: string) {
    this.#running = Array.from({ length: lanes }, (_, lane) => this.#lane(lane))
  }

  static async start(url: string, space: string): Promise<SoakWriter> {
    return new SoakWriter(await openConnection(url, 'soak'), space)
  }

  async until(bytes: number): Promise<void> {
    while (this.bytes < bytes) await delay(50)
  }

  /** Nothing is written for so long. */
  async rest(ms: number): Promise<void> {
    this.#isResting = true
    await delay(ms)
    this.#isResting = false
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  /** Memory nodes that are older than what was committed: the first few. */
  async missing(): Promise<string[]> {
    const found: string[] = []
    for (const [id, number] of this.#committed) {
      const answer = await this.connection.request(`engram.v1.read.${this.space}`,
        JSON.stringify({ type: 'GetNode', nodeId: id }), { timeout: timeoutMs })
      const { value } = answer.json<{ value: { content: string } | null }>()
      const present = Number(value?.content.split(' ')[0])
      if (!(present >= number)) found.push(`${id} is at ${present}, committed was ${number}`)
      if (found.length >= foundMax) break
    }
    return found
  }

  async close(): Promise<void> {
    await this.connection.close()
  }

  async #lane(lane: number): Promise<void> {
    for (let number = 1; !this.#isStopped; number++) {
      while (this.#isResting && !this.#isStopped) await delay(20)
      const ids = Array.from({ length: perRequest }, (_, at) =>
        `l${lane}-${(number * perRequest + at) % idsPerLane}`)
      const operations = ids.map((id) => ({ type: 'StoreNode',
        node: { id, content: `${number} ${filler}` } })
      )
      const body = JSON.stringify({ operations })
      const isCommitted = number % committedEach === 0
      if (!await this.#send(body, isCommitted)) {
        await delay(20)
        continue
      }
      this.bytes += body.length
      if (isCommitted) { for (const id of ids) this.#committed.set(id, number) }
    }
  }

  async #send(body: string, isCommitted: boolean): Promise<boolean> {
    const all = headers()
    all.set('Engram-Ack', isCommitted ? 'committed' : 'durable')
    try {
      const answer = await this.connection.request(`engram.v1.write.${this.space}`, body, {
        timeout: timeoutMs,
        headers: all,
      })
      return answer.json<{ ok: boolean }>().ok
    } catch {
      // Nobody, or no answer: a failover.
      return false
    }
  }
}
