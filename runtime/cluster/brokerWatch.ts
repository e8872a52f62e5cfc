/** Restarts the private nats-server if it does not recover from a full disk by itself. */
import { statfs } from 'node:fs/promises'
import type { EngramClient } from '../client/client.js'
import type { Broker } from './broker.js'

export interface BrokerWatchOptions {
  readonly broker: Pick<Broker, 'bounce'>
  readonly client: Pick<EngramClient, 'connection'>
  /** Directory whose file system is watched. */
  readonly data: string
  readonly show: (line: string) => void
}

const lookMs = 1000
/** A file system with less room is full. */
const fullBytes = 1024 * 1024
/** With this much room, a server may be started again. */
const roomBytes = 16 * 1024 * 1024
/** Answers in a row that show that the server has recovered. */
const answersMin = 5
const answerMs = 1000
/** Every node and every operator may send this request. */
const question = '$JS.API.STREAM.INFO.KV_engram'

/**
 * A nats-server whose JetStream could not write switches it off, or hangs, and stays so when there
 * is room again. Then it is started again. A server that hangs for another reason is left alone.
 * @returns a function that ends it
 */
export function watchBroker(options: BrokerWatchOptions): () => void {
  const watch = new BrokerWatch(options)
  const timer = setInterval(() => void watch.look(), lookMs)
  timer.unref()
  return () => clearInterval(timer)
}

class BrokerWatch {
  #isLooking = false
  #wasFull = false
  #answers = 0

  constructor(private readonly options: BrokerWatchOptions) {}

  async look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await this.#judge()
    } catch (error) {
      this.options.show(`nats-server could not be started again: ${String(error)}`)
    } finally {
      this.#isLooking = false
    }
  }

  async #judge(): Promise<void> {
    const { data, client, broker, show } = this.options
    const { bavail, bfree, bsize } = await statfs(data)
    // Root may use the reserved blocks.
    const room = (process.getuid?.() === 0 ? bfree : bavail) * bsize
    if (room < fullBytes) {
      if (!this.#wasFull) show(`The file system of ${data} is full: make room.`)
      this.#wasFull = true
      this.#answers = 0
    }
    if (!this.#wasFull || room < roomBytes) return
    if (await answers(client)) {
      this.#answers += 1
      if (this.#answers >= answersMin) this.#wasFull = false
      return
    }
    show('There is room again, but nats-server does not serve: it is started again.')
    this.#answers = 0
    await broker.bounce(0)
  }
}

/** Whether JetStream answers; that there is no such stream is an answer, too. */
async function answers({ connection }: BrokerWatchOptions['client']): Promise<boolean> {
  try {
    const { data } = await connection.request(question, '', { timeout: answerMs })
    const { error } = JSON.parse(Buffer.from(data).toString()) as { error?: { code: number } }
    return error === undefined || error.code === 404
  } catch {
    return false
  }
}
