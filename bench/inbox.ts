/**
 * Requests over one shared inbox subscription and a numbered reply subject. `nc.request` and
 * `js.publish` cap one client at 20,000 to 40,000 a second; this makes 150,000, so the system is
 * measured and not the client.
 */
import { connect, createInbox } from 'nats'
import type { MsgHdrs, NatsConnection } from 'nats'
import type { Operation } from '../machines/graph/graph.js'

/** `body` is null when NATS answered 503: nobody subscribes. */
export type TakeAnswer = (id: number, body: Uint8Array | null) => void

export class SharedInbox {
  readonly #prefix: string

  constructor(readonly connection: NatsConnection, take: TakeAnswer) {
    this.#prefix = `${createInbox()}.`
    connection.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        if (error) return
        const none = message.data.length === 0 && message.headers?.code === 503
        take(Number(message.subject.slice(this.#prefix.length)), none ? null : message.data)
      },
    })
  }

  publish(subject: string, data: Uint8Array, id: number, headers?: MsgHdrs): void {
    const reply = this.#prefix + id
    this.connection.publish(subject, data, headers ? { reply, headers } : { reply })
  }
}

export function openConnection(url: string, name: string): Promise<NatsConnection> {
  return connect({ servers: url, name, timeout: 2000, reconnect: false, noRandomize: true })
}

/** About 100 bytes of content, in JSON that is built by hand, so it is cheap. */
const filler = 'an engram is the trace that a memory leaves in the brain, here in three processes; '
const keysMax = 100_000

/** The same write, for a client that encodes by itself. */
export function writeOperation(number: number): Operation {
  const node = {
    id: writeKey(number),
    content: `${filler}${number}`,
    activation: 0.5,
    confidence: 0.9,
  }
  return { type: 'StoreNode', node }
}

/** Id of the memory node that a write stores. */
export function writeKey(number: number): string {
  return `b${number % keysMax}`
}

/** The write that all systems get. Ids repeat after 100,000, so that stores stay small. */
export function writePayload(number: number): Buffer {
  return Buffer.from(`{"type":"StoreNode","node":{"id":"${writeKey(number)}",`
    + `"content":"${filler}${number}","activation":0.5,"confidence":0.9}}`)
}
