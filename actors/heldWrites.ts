import type { BusMessage } from './ports.js'
import type { Wire } from './wire.js'

/** A write kept while no decision about it can be made; its bytes are copied. */
export interface HeldWrite {
  readonly message: BusMessage
  readonly headers: Readonly<Record<string, string>>
}

/** Set on a write that the former primary passes on, and on the last of them. */
export const forwardedHeader = 'Engram-Forwarded'

const kept = ['Nats-Msg-Id', 'Engram-Ack', 'Content-Type', 'Engram-Origin'] as const

/**
 * Writes held during a handover (DESIGN section 5): by the old primary until the new one has
 * announced itself, and by the new one until the old has passed its own on, so that the order of
 * each connection is kept. While both subscribe, a write reaches both: its reply subject, which
 * is unique to the request, tells that it is the same one.
 */
export class HeldWrites {
  /** By reply subject, in order of arrival; a write without one has a key of its own. */
  private readonly writes = new Map<string | symbol, HeldWrite>()
  private bytes = 0

  constructor(private readonly bytesMax: number) {}

  /** False: there is no room. A write that is held already is not held twice. */
  hold(message: BusMessage): boolean {
    const key = message.reply ?? Symbol('no reply')
    if (this.writes.has(key)) return true
    const size = sizeOf(message)
    if (this.bytes + size > this.bytesMax) return false
    this.bytes += size
    const headers: Record<string, string> = {}
    for (const name of kept) {
      const value = message.header(name)
      if (value) headers[name] = value
    }
    const copy: BusMessage = {
      subject: message.subject,
      // Not data.slice(): of a Buffer that is a view.
      data: new Uint8Array(message.data),
      reply: message.reply,
      header: (name) => headers[name],
    }
    this.writes.set(key, { message: copy, headers })
    return true
  }

  /** Drops the write with that reply: it came another way. */
  drop(reply: string | undefined): void {
    const held = reply ? this.writes.get(reply) : undefined
    if (!reply || !held) return
    this.writes.delete(reply)
    this.bytes -= sizeOf(held.message)
  }

  release(): HeldWrite[] {
    const writes = [...this.writes.values()]
    this.writes.clear()
    this.bytes = 0
    return writes
  }
}

/** The payload, and what the rest of a message may take. */
function sizeOf(message: BusMessage): number {
  return message.data.length + 256
}

/** Passes held writes on, in order, and tells where they end. */
export function forward(wire: Wire, subject: string, held: readonly HeldWrite[]): void {
  for (const { message, headers } of held) {
    wire.publish(subject, message.data, {
      reply: message.reply, headers: { ...headers, [forwardedHeader]: 'write' },
    })
  }
  wire.publish(subject, new Uint8Array(0), { headers: { [forwardedHeader]: 'end' } })
}
