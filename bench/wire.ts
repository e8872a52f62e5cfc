/** The way of the load's writes to a system: over NATS, or over Redis' own protocol. */
import { headers } from 'nats'
import type { MsgHdrs } from 'nats'
import { openConnection, SharedInbox, writeKey, writePayload } from './inbox.js'
import type { TakeAnswer } from './inbox.js'
import { encodeCommand, RedisPipe } from './resp.js'
import type { LoadSpec } from './target.js'

/** Sends a write; its answer is taken with the same number. */
export type Send = (id: number) => void

export interface Wire {
  open(take: TakeAnswer): Send
  close(): Promise<void>
}

const takenMax = 4096

export function openWire(spec: LoadSpec): Promise<Wire> {
  return spec.url.startsWith('redis:') ? overRedis(spec) : overNats(spec)
}

async function overNats(spec: LoadSpec): Promise<Wire> {
  const connection = await openConnection(spec.url, 'bench load')
  const open = (take: TakeAnswer): Send => {
    const inbox = new SharedInbox(connection, take)
    const { subject, ids = Infinity } = spec
    return (id) => inbox.publish(subject, writePayload(id % ids), id, headersOf(spec, id))
  }
  return { open, close: () => connection.close() }
}

function headersOf({ header, ack }: LoadSpec, id: number): MsgHdrs | undefined {
  if (!header && !ack) return undefined
  const all = headers()
  if (header) all.set(header, `${process.pid}-${id}`)
  if (ack) all.set('Engram-Ack', ack)
  return all
}

/** One that has nothing in flight is taken first: with enough of them, each write has its own. */
async function overRedis({ url, connections = 1 }: LoadSpec): Promise<Wire> {
  const port = Number(new URL(url).port)
  const free: RedisWriter[] = []
  let take: TakeAnswer = () => undefined
  const all = await Promise.all(
    Array.from({ length: connections }, () =>
      RedisWriter.open(port, (writer, id, reply) => {
        if (writer.inFlight === 0) free.push(writer)
        take(id, reply)
      })),
  )
  free.push(...all)
  let turn = 0
  const open = (taker: TakeAnswer): Send => {
    take = taker
    return (id) => (free.pop() ?? all[turn++ % all.length])?.send(id)
  }
  return { open, close: async () => all.forEach((writer) => writer.close()) }
}

/** A connection; Redis answers in the order of the commands. */
class RedisWriter {
  readonly #ids: number[] = []
  #taken = 0

  private constructor(readonly pipe: RedisPipe) {}

  static async open(
    port: number,
    take: (writer: RedisWriter, id: number, reply: Buffer) => void,
  ): Promise<RedisWriter> {
    const writer: RedisWriter = new RedisWriter(
      await RedisPipe.open(port, (reply) => take(writer, writer.#answered(), reply)),
    )
    return writer
  }

  get inFlight(): number {
    return this.#ids.length - this.#taken
  }

  send(id: number): void {
    this.#ids.push(id)
    this.pipe.send(encodeCommand(['SET', writeKey(id), writePayload(id)]))
  }

  close(): void {
    this.pipe.close()
  }

  #answered(): number {
    const id = this.#ids[this.#taken] ?? -1
    this.#taken += 1
    // One by one from the front of a long array would cost more than all the rest.
    if (this.#taken === takenMax) this.#ids.splice(0, this.#taken)
    this.#taken %= takenMax
    return id
  }
}
