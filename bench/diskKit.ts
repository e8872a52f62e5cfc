/** Shared by the parts of the benchmark of disks: bulk writes, first answers, memory, metrics. */
import { setTimeout as delay } from 'node:timers/promises'
import type { NatsConnection } from 'nats'
import type { EngramCluster } from './engram.js'
import { rssOf } from './faults.js'
import { openConnection, SharedInbox, writePayload } from './inbox.js'

export const MiB = 2 ** 20
export const GiB = 2 ** 30

/** A measured number. Without a goal it explains another one. */
export interface Finding {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly goal?: { readonly least: number } | { readonly most: number }
}

export type Progress = (text: string) => void

export interface Writes {
  readonly contentBytes: number
  /** Memory nodes; written over and over when there are more writes. */
  readonly ids: number
}

const lanes = 12
const requestBytesMax = 200_000
/** Of JSON around the content. */
const wrapBytes = 60
/** Spreads ids over the key space, as those of clients are: not in the order of their keys. */
const stride = 7919
const answerMs = 10_000
const giveUpMs = 120_000

/** Number of the memory node that a write stores: each one once in `ids` writes. */
export function idOf(number: number, ids: number): number {
  return number * stride % ids
}

/** The space's journal as fast as it grows by large requests. */
export class BulkWriter {
  /** Writes that are durable, once `write` has resolved. */
  written = 0
  readonly #filler: string
  readonly #perRequest: number
  #lastOkAt = performance.now()

  private constructor(
    private readonly connection: NatsConnection,
    private readonly subject: string,
    private readonly writes: Writes,
  ) {
    if (writes.ids % stride === 0) throw new Error(`ids must not be a multiple of ${stride}`)
    this.#filler = 'x'.repeat(writes.contentBytes)
    this.#perRequest = Math.max(1, Math.floor(requestBytesMax / (writes.contentBytes + wrapBytes)))
  }

  static async open(cluster: EngramCluster, writes: Writes): Promise<BulkWriter> {
    const connection = await openConnection(cluster.url, 'bench bulk')
    return new BulkWriter(connection, cluster.target.endpoint.subject, writes)
  }

  /** Resolves when so many more are durable. */
  async write(count: number): Promise<void> {
    const end = this.written + count
    let next = this.written
    const lane = async (): Promise<void> => {
      while (next < end) {
        const first = next
        next = Math.min(end, next + this.#perRequest)
        await this.#send(first, next)
      }
    }
    this.#lastOkAt = performance.now()
    await Promise.all(Array.from({ length: lanes }, lane))
    this.written = end
  }

  async close(): Promise<void> {
    await this.connection.close()
  }

  async #send(first: number, end: number): Promise<void> {
    const operations: string[] = []
    for (let number = first; number < end; number++) {
      const content = `${number} ${this.#filler}`.slice(0, this.writes.contentBytes)
      operations.push(`{"type":"StoreNode","node":{"id":"d${idOf(number, this.writes.ids)}",`
        + `"content":"${content}"}}`)
    }
    const body = `{"operations":[${operations.join()}]}`
    while (!await this.#isTaken(body)) {
      if (performance.now() - this.#lastOkAt > giveUpMs) {
        throw new Error(`no write was taken for ${giveUpMs} ms`)
      }
      await delay(20)
    }
  }

  /** False when it is overloaded, or nobody answers: it is sent again, which changes nothing. */
  async #isTaken(body: string): Promise<boolean> {
    try {
      const message = await this.connection.request(this.subject, body, { timeout: answerMs })
      const answer = message.json<{ ok: boolean; retryable?: boolean; message?: string }>()
      if (answer.ok) this.#lastOkAt = performance.now()
      else if (!answer.retryable) throw new Refused(answer.message ?? 'refused')
      return answer.ok
    } catch (error) {
      if (error instanceof Refused) throw error
      return false
    }
  }
}

class Refused extends Error {}

const probeEveryMs = 5

/** Writes every few ms from now on; resolves with the time of the first positive answer. */
export async function firstAnswer(cluster: EngramCluster, limitMs: number): Promise<number> {
  const { url, subject, okPrefix } = cluster.target.endpoint
  const connection = await openConnection(url, 'bench probe')
  let timer: NodeJS.Timeout | undefined
  let limit: NodeJS.Timeout | undefined
  try {
    return await new Promise<number>((resolve, reject) => {
      const inbox = new SharedInbox(connection, (_id, body) => {
        if (!body) return
        if (Buffer.from(body).toString().startsWith(okPrefix)) resolve(performance.now())
      })
      let sent = 0
      timer = setInterval(() => inbox.publish(subject, writePayload(sent), sent++), probeEveryMs)
      limit = setTimeout(() => reject(new Error(`no positive answer in ${limitMs} ms`)), limitMs)
    })
  } finally {
    clearInterval(timer)
    clearTimeout(limit)
    await connection.close()
  }
}

const sampleMs = 100

/** Most memory that is no mapped file, of any of these processes, while they run; MiB. */
export class MemoryPeak {
  rssMiB = 0
  readonly #timer: NodeJS.Timeout

  constructor(private readonly pids: () => readonly number[]) {
    this.#timer = setInterval(() => this.#sample(), sampleMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    for (const pid of this.pids()) {
      const now = rssOf(pid)
      if (now > this.rssMiB) this.rssMiB = now
    }
  }
}

/** A metric of one node, summed over its labels; NaN: it does not answer, or has none. */
export async function metricOf(http: string | null, name: string): Promise<number> {
  if (http === null) return NaN
  try {
    const text = await (await fetch(`${http}/metrics`, { signal: AbortSignal.timeout(2000) }))
      .text()
    return metricIn(text, name)
  } catch {
    return NaN
  }
}

export function metricIn(text: string, name: string): number {
  const lines = text.split('\n').filter((line) =>
    line.startsWith(`${name} `)
    || line.startsWith(`${name}{`)
  )
  if (lines.length === 0) return NaN
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
