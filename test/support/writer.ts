/** A load of single writes over plain NATS, kept up through failures with the same keys. */
import { setTimeout as pause } from 'node:timers/promises'
import { createInbox, type Msg, type NatsConnection } from 'nats'
import type { ErrorAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { connectTo, decodeBody, encodeBody, writeHeaders } from './client.js'
import { space } from './cluster.js'
import { patience } from './environment.js'
import { History, type Attempt, type WriteRecord } from './history.js'
import { waitFor } from './wait.js'

export interface WriterOptions {
  readonly url: string
  readonly level?: AckLevel
  /** Together, not per worker. */
  readonly ratePerSecond?: number
  /** Requests under way at most. */
  readonly workers?: number
  readonly attemptTimeoutMs?: number
  /** A write that is not settled by then is given up as unknown. */
  readonly giveUpSeconds?: number
  /** Bytes of content besides the key. */
  readonly contentBytes?: number
  /** Stops by itself after this number of writes. */
  readonly count?: number
  /** Kept together with other writers, so that the order of their answers is checked, too. */
  readonly history?: History
}

let writersMade = 0

export class LoadWriter {
  readonly history: History
  readonly #prefix: string
  readonly #waiting = new Map<string, (message: Msg) => void>()
  readonly #inbox: string
  readonly #workers: Promise<void>[] = []
  #isStopping = false
  #requests = 0

  private constructor(readonly nc: NatsConnection, readonly options: WriterOptions) {
    writersMade += 1
    this.history = options.history ?? new History()
    this.#prefix = `w${writersMade}`
    this.#inbox = createInbox()
    nc.subscribe(`${this.#inbox}.*`, {
      callback: (_error, message) => this.#waiting.get(message.subject)?.(message),
    })
  }

  static async start(options: WriterOptions): Promise<LoadWriter> {
    const writer = new LoadWriter(await connectTo(options.url, 'load writer'), options)
    await writer.nc.flush()
    const workers = options.workers ?? 16
    for (let n = 0; n < workers; n += 1) writer.#workers.push(writer.#work(n, workers))
    return writer
  }

  /** Waits until this number of further writes has been taken. */
  async taken(more: number, seconds = 20): Promise<void> {
    const goal = this.history.takenCount + more
    await waitFor(`${more} more writes to be taken`, () =>
      this.history.takenCount >= goal
      || Promise.reject(new Error(this.history.summary())), { seconds })
  }

  /** Waits until a positive answer of a higher epoch than that came; its waiting time in ms. */
  async takenAbove(epoch: number, seconds = 20): Promise<number> {
    const startedAt = performance.now()
    await waitFor(`a positive answer above epoch ${epoch}`, () =>
      this.history.positives()
        .some(({ answer }) => answer.epoch > epoch && !answer.duplicate)
      || Promise.reject(new Error(this.history.summary())), { seconds })
    return performance.now() - startedAt
  }

  /** Starts nothing new, and waits until what is under way is settled. */
  async stop(): Promise<History> {
    this.#isStopping = true
    await Promise.all(this.#workers)
    return this.history
  }

  async close(): Promise<void> {
    this.#isStopping = true
    await this.nc.close()
  }

  async #work(worker: number, workers: number): Promise<void> {
    const everyMs = 1000 * workers / (this.options.ratePerSecond ?? 500)
    const count = this.options.count ?? Infinity
    const startedAt = performance.now() + everyMs * worker / workers
    for (let n = 0; n * workers + worker < count && !this.#isStopping; n += 1) {
      await this.#write(`${this.#prefix}-${n * workers + worker}`)
      // The pace; after an outage it goes on at the pace, it does not catch up.
      const late = Math.max(0, performance.now() - startedAt) % everyMs
      if (!this.#isStopping) await pause(everyMs - late)
    }
  }

  async #write(key: string): Promise<void> {
    const level = this.options.level ?? 'durable'
    const record: WriteRecord = { key, nodeId: key, level, attempts: [], outcome: null }
    this.history.records.push(record)
    const until = performance.now() + (this.options.giveUpSeconds ?? 30) * 1000 * patience
    for (;;) {
      if (this.nc.isClosed()) return
      const answer = await this.#attempt(record)
      if (answer?.ok) {
        record.outcome = 'taken'
        return
      }
      if (answer && isFinal(answer)) {
        record.outcome = 'refused'
        return
      }
      if (performance.now() > until) {
        record.outcome = 'unknown'
        return
      }
      await pause(retryAfterMs(answer))
    }
  }

  /** Resolves with null when the time is up; an answer that comes later is recorded still. */
  #attempt(record: WriteRecord): Promise<Attempt['answer']> {
    const attempt: Attempt = {
      sentTick: this.history.tick(),
      sentAtMs: performance.now(),
      answeredTick: null,
      answeredAtMs: null,
      answer: null,
    }
    record.attempts.push(attempt)
    this.#requests += 1
    const reply = `${this.#inbox}.${this.#requests}`
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), this.options.attemptTimeoutMs ?? 1000)
      this.#waiting.set(reply, (message) => {
        clearTimeout(timer)
        this.#waiting.delete(reply)
        attempt.answeredTick = this.history.tick()
        attempt.answeredAtMs = performance.now()
        attempt.answer = message.headers?.code === 503
          ? { ok: false, code: 'NO_RESPONDERS' }
          : decodeBody(message.data) as WriteAnswer | ErrorAnswer
        resolve(attempt.answer)
      })
      const body = encodeBody({ type: 'StoreNode', node: this.#node(record.key) })
      const headers = writeHeaders({ ack: record.level, key: record.key })
      try {
        this.nc.publish(subjects.write(space), body, { reply, headers })
      } catch {
        // Closed or closing: no answer, as the timer will say.
      }
    })
  }

  #node(key: string): { id: string; content: string; activation: number } {
    return { id: key, content: `of ${key} ${'.'.repeat(this.options.contentBytes ?? 40)}`,
      activation: 0.5 }
  }
}

function isFinal(answer: NonNullable<Attempt['answer']>): boolean {
  return !answer.ok && 'retryable' in answer && !answer.retryable && answer.outcome === 'notTaken'
}

function retryAfterMs(answer: Attempt['answer']): number {
  if (answer && !answer.ok && 'retryAfterMs' in answer && answer.retryAfterMs) {
    return Math.min(answer.retryAfterMs, 500)
  }
  return 20
}
