/** The writing half of the WordNet demo: all requests through one client, some at a time. */
import type { WriteAnswer } from '../actors/ports/clientApi.js'
import { connect } from '../runtime/client/client.js'
import type { EngramClient } from '../runtime/client/client.js'
import type { WordNetRequests } from './wordnetData.js'

export interface WriterOptions {
  readonly url: string
  readonly space: string
  readonly requests: WordNetRequests
  readonly inFlight: number
  /** Called with each request's latency, from its first attempt to its durable ack. */
  readonly onAnswered: (latencyMs: number) => void
}

/** Covers a failover; without an answer for so long the cluster counts as lost. */
const deadlineMs = 30_000

export class WordNetWriter {
  readonly #options: WriterOptions
  readonly #client: EngramClient
  readonly #resent: { survived: number; forked: number }
  readonly #epochWatchers = new Set<(answer: WriteAnswer, at: number) => void>()
  #latest: WriteAnswer | null = null
  #next = 0

  private constructor(
    options: WriterOptions,
    client: EngramClient,
    resent: { survived: number; forked: number },
  ) {
    this.#options = options
    this.#client = client
    this.#resent = resent
  }

  static async connect(options: WriterOptions): Promise<WordNetWriter> {
    const resent = { survived: 0, forked: 0 }
    const client = await connect({
      servers: options.url,
      deadlineMs,
      onResent: ({ duplicate }) => (resent[duplicate ? 'survived' : 'forked'] += 1),
    })
    return new WordNetWriter(options, client, resent)
  }

  /** Requests that were sent again after the failover, since they were not known to be safe. */
  get resent(): { readonly survived: number; readonly forked: number } {
    return this.#resent
  }

  /** The answer of the latest epoch. */
  get latest(): WriteAnswer {
    if (!this.#latest) throw new Error('no write has been answered')
    return this.#latest
  }

  /** Resolves once every request is acknowledged. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.inFlight }, () => this.#keepWriting()))
  }

  /** Resolves once all that was written is safe: on the disks of two members. */
  async flush(timeoutMs: number): Promise<void> {
    await this.#client.flush(this.#options.space, { timeoutMs })
  }

  /** Resolves with the first answer of an epoch later than `epoch`, and its time. */
  answerLaterThan(epoch: number): Promise<{ epoch: number; at: number }> {
    return new Promise((resolve) => {
      const watch = (answer: WriteAnswer, at: number): void => {
        if (answer.epoch <= epoch) return
        this.#epochWatchers.delete(watch)
        resolve({ epoch: answer.epoch, at })
      }
      this.#epochWatchers.add(watch)
    })
  }

  async stop(): Promise<void> {
    await this.#client.close()
  }

  async #keepWriting(): Promise<void> {
    const { requests, space, onAnswered } = this.#options
    while (this.#next < requests.count) {
      const index = this.#next++
      const from = performance.now()
      const answer = await this.#client.write(
        space,
        requests.request(index),
        { ack: 'durable', key: `wordnet.${index}` },
      )
      const at = performance.now()
      if (!this.#latest || answer.epoch > this.#latest.epoch) this.#latest = answer
      for (const watch of this.#epochWatchers) watch(answer, at)
      onAnswered(at - from)
    }
  }
}
