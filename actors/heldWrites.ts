import type { BusMessage } from './ports.js'

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
  private writes: HeldWrite[] = []
  private bytes = 0
  private readonly replies = new Set<string>()

  constructor(private readonly bytesMax: number) {}

  /** False: there is no room. A write that is held already is not held twice. */
  hold(message: BusMessage): boolean {
    if (message.reply && this.replies.has(message.reply)) return true
    const size = message.data.length + 256
    if (this.bytes + size > this.bytesMax) return false
    this.bytes += size
    if (message.reply) this.replies.add(message.reply)
    const headers: Record<string, string> = {}
    for (const name of kept) {
      const value = message.header(name)
      if (value) headers[name] = value
    }
    const copy: BusMessage = {
      subject: message.subject,
      data: message.data.slice(),
      reply: message.reply,
      header: (name) => headers[name],
    }
    this.writes.push({ message: copy, headers })
    return true
  }

  /** Drops the write with that reply: it came another way. */
  drop(reply: string | undefined): void {
    if (!reply || !this.replies.delete(reply)) return
    this.writes = this.writes.filter(({ message }) => message.reply !== reply)
  }

  release(): HeldWrite[] {
    const { writes } = this
    this.writes = []
    this.bytes = 0
    this.replies.clear()
    return writes
  }
}
