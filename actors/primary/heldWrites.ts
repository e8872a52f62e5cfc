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
 * Writes held during a handover: by the old primary until the new one has announced itself, and by
 * the new one until the old one has forwarded its own. This keeps the order of each connection.
 * While both subscribe, a write reaches both. Its reply subject, which is unique to the request,
 * identifies it. Without a reply subject its bytes do, one copy for each that was held.
 */
export class HeldWrites {
  /** In order of arrival. */
  private readonly writes = new Set<HeldWrite>()
  private readonly byKey = new Map<string, Fifo<HeldWrite>>()
  /** Kept between calls: a new iterator of a Set skips all deleted entries at its head again. */
  private next: Iterator<HeldWrite, undefined> | null = null
  private bytes = 0
  private readonly account: Account

  constructor(private readonly bytesMax: number, private readonly budget: Budget) {
    this.account = budget.account('held')
  }

  /** Returns false when there is no room. A request that is held already is not held twice. */
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

  /** Drops the same write, if it is held: it was forwarded as well. */
  drop(message: BusMessage): void {
    const key = keyOf(message)
    const same = this.byKey.get(key)
    const write = same?.shift()
    if (!same || !write) return
    this.writes.delete(write)
    this.change(-sizeOf(write.message))
    if (same.size === 0) this.byKey.delete(key)
  }

  get isEmpty(): boolean {
    return this.writes.size === 0
  }

  /** Takes the first one out. */
  shift(): HeldWrite | undefined {
    this.next ??= this.writes.values()
    const { value } = this.next.next()
    if (value) this.drop(value.message)
    else this.next = null
    return value
  }

  private change(bytes: number): void {
    this.bytes += bytes
    this.account.set(this.bytes)
  }
}

/** Copies the bytes, but not by `slice()`, which returns a view of a Buffer. */
function copyOf(message: BusMessage): HeldWrite {
  const headers: Record<string, string> = {}
  for (const name of kept) {
    const value = message.header(name)
    if (value) headers[name] = value
  }
  const { subject, reply } = message
  const data = new Uint8Array(message.data)
  const copy = {
    subject,
    data,
    reply,
    header: (name: string) => headers[name],
    headerNames: () => Object.keys(headers),
  }
  return { message: copy, headers }
}

const decoder = new TextDecoder('latin1')

function keyOf(message: BusMessage): string {
  if (message.reply) return message.reply
  return ` ${message.header('Nats-Msg-Id') ?? ''} ${decoder.decode(message.data)}`
}

/** Bytes of the payload (also in its key, where there is no reply subject) and of the rest. */
function sizeOf(message: BusMessage): number {
  const payloads = message.reply ? 1 : 2
  return payloads * message.data.length + keptBytes(message, kept) + 256
}

/**
 * Forwards a held write. `nonce` is that of the handover's record, which writers cannot read and
 * therefore not forge.
 */
export function forward(
  wire: NodeConnection,
  subject: string,
  { message, headers }: HeldWrite,
  nonce: string,
): void {
  wire.publish(subject, message.data, {
    reply: message.reply,
    headers: { ...headers, [forwardedHeader]: `write ${nonce}` },
  })
}

/** Marks the end of the forwarded writes. */
export function forwardEnd(wire: NodeConnection, subject: string, nonce: string): void {
  wire.publish(subject, new Uint8Array(0), { headers: { [forwardedHeader]: `end ${nonce}` } })
}
