import type { NodeConnection } from '../messaging/connection.js'
import { forwardedHeader, keptBytes } from '../messaging/headers.js'
import type { BusMessage } from '../ports/bus.js'
import type { Account, Budget } from '../structures/budget.js'
import { Fifo } from '../structures/fifo.js'

/** A write kept while no decision about it can be made; its bytes are copied. */
export interface HeldWrite {
  readonly message: BusMessage
  readonly headers: Readonly<Record<string, string>>
}

const kept = ['Nats-Msg-Id', 'Engram-Ack', 'Content-Type', 'Engram-Origin'] as const

/**
 * Writes held during a handover (DESIGN section 5): by the old primary until the new one has
 * announced itself, and by the new one until the old has passed its own on, so that the order of
 * each connection is kept. While both subscribe, a write reaches both. Its reply subject, which
 * is unique to the request, tells that it is the same one; without one its bytes do, each copy
 * for one.
 */
export class HeldWrites {
  /** In order of arrival. */
  private readonly writes = new Set<HeldWrite>()
  private readonly byKey = new Map<string, Fifo<HeldWrite>>()
  /** From its head, a set looks for what is left of it among all that was deleted. */
  private next: Iterator<HeldWrite, undefined> | null = null
  private bytes = 0
  private readonly account: Account

  constructor(private readonly bytesMax: number, private readonly budget: Budget) {
    this.account = budget.account('held')
  }

  /** False: there is no room. A request that is held already is not held twice. */
  hold(message: BusMessage): boolean {
    const key = keyOf(message)
    let same = this.byKey.get(key)
    if (message.reply && same) return true
    const size = sizeOf(message)
    if (this.bytes + size > this.bytesMax || !this.budget.allows('held')) return false
    this.change(size)
    const write = copyOf(message)
    this.writes.add(write)
    if (!same) this.byKey.set(key, same = new Fifo())
    same.push(write)
    return true
  }

  /** Drops the same write, if it is held: it came another way. */
  drop(message: BusMessage): void {
    const key = keyOf(message)
    const same = this.byKey.get(key)
    const write = same?.shift()
    if (!same || !write) return
    this.writes.delete(write)
    this.change(-sizeOf(write.message))
    if (same.size === 0) this.byKey.delete(key)
  }

  /** Takes the first one out. */
  shift(): HeldWrite | undefined {
    this.next ??= this.writes.values()
    const { value } = this.next.next()
    if (value) this.drop(value.message)
    else this.next = null
    return value
  }

  release(): HeldWrite[] {
    const writes = [...this.writes]
    this.writes.clear()
    this.next = null
    this.byKey.clear()
    this.change(-this.bytes)
    return writes
  }

  private change(bytes: number): void {
    this.bytes += bytes
    this.account.set(this.bytes)
  }
}

/** Its bytes are copied: not by `slice()`, which of a Buffer is a view. */
function copyOf(message: BusMessage): HeldWrite {
  const headers: Record<string, string> = {}
  for (const name of kept) {
    const value = message.header(name)
    if (value) headers[name] = value
  }
  const { subject, reply } = message
  const data = new Uint8Array(message.data)
  const copy = {
    subject, data, reply, header: (name: string) => headers[name],
    headerNames: () => Object.keys(headers),
  }
  return { message: copy, headers }
}

const decoder = new TextDecoder('latin1')

function keyOf(message: BusMessage): string {
  if (message.reply) return message.reply
  return ` ${message.header('Nats-Msg-Id') ?? ''} ${decoder.decode(message.data)}`
}

/** The payload (also in its key, where there is no reply subject), and what else is kept. */
function sizeOf(message: BusMessage): number {
  const payloads = message.reply ? 1 : 2
  return payloads * message.data.length + keptBytes(message, kept) + 256
}

/**
 * Passes held writes on, in order, and tells where they end. `nonce`: of the record of the
 * handover, which writers cannot read, and so not forge.
 */
export function forward(
  wire: NodeConnection, subject: string, held: readonly HeldWrite[], nonce: string,
): void {
  for (const { message, headers } of held) {
    wire.publish(subject, message.data, {
      reply: message.reply, headers: { ...headers, [forwardedHeader]: `write ${nonce}` },
    })
  }
  wire.publish(subject, new Uint8Array(0), { headers: { [forwardedHeader]: `end ${nonce}` } })
}
