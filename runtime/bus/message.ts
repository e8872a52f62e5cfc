import type { Msg, MsgHdrs } from 'nats'
import type { BusMessage } from '../../actors/ports/bus.js'
import { blockOf, namesIn, PlainHeaders } from './headers.js'

/**
 * A NATS message as the bus presents it. Headers are parsed when one is read. `header('Status')` is
 * the status of a message without payload that the server made, e.g. 503 (as in Go's client). A
 * header block that cannot be decoded gives '' for every name, so that a garbled idempotency key is
 * refused and not overlooked.
 */
export class NatsBusMessage implements BusMessage {
  #plain: PlainHeaders | null | undefined
  #headers: MsgHdrs | null = null
  #unreadable = false

  constructor(private readonly message: Msg) {}

  get subject(): string {
    return this.message.subject
  }

  get data(): Uint8Array {
    return this.message.data
  }

  get reply(): string | undefined {
    return this.message.reply || undefined
  }

  header(name: string): string | undefined {
    if (this.#plain === undefined) this.#read()
    if (this.#plain) return this.#plain.get(name)
    if (this.#unreadable) return ''
    const block = this.#headers
    if (!block) return undefined
    if (block.has(name)) return block.get(name)
    return name === 'Status' && block.code !== 0 ? String(block.code) : undefined
  }

  headerNames(): readonly string[] | null {
    if (this.#plain === undefined) this.#read()
    if (this.#plain) return this.#plain.names()
    if (this.#unreadable) return null
    const block = blockOf(this.message)
    if (block === undefined) return this.#headers?.keys() ?? []
    return block.length === 0 ? [] : namesIn(block)
  }

  #read(): void {
    const block = blockOf(this.message)
    this.#plain = block === undefined || block.length === 0 ? null : PlainHeaders.read(block)
    if (this.#plain !== null || block?.length === 0) return
    try {
      this.#headers = this.message.headers ?? null
    } catch {
      this.#unreadable = true
    }
  }
}
