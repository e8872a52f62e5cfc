/**
 * What the client knows of reigns: an answer of a lower epoch comes from a primary that is one no
 * longer. Announcements make it know sooner, and tell when to send again what was lost with the
 * old primary; without the permission to hear them, the client does with its timers.
 */
import { decode } from '@msgpack/msgpack'
import type { NatsConnection, Subscription } from 'nats'
import { subjects } from '../../machines/subjects.js'

interface Known {
  epoch: number
  /** Of the space, once an announcement told it: another one begins to count epochs anew. */
  uuid: string | null
}

/** Enough for any client; past it announcements are not listened to, answers suffice. */
const subscriptionsMax = 1024

export class ReignWatch {
  readonly #known = new Map<string, Known>()
  readonly #subscriptions = new Map<string, Subscription>()

  constructor(
    readonly connection: NatsConnection,
    /** A new reign is open. */
    readonly onOpen: (space: string) => void,
  ) {}

  watch(space: string): void {
    if (this.#subscriptions.has(space) || this.#subscriptions.size >= subscriptionsMax) return
    if (this.connection.isClosed()) return
    this.#subscriptions.set(space, this.connection.subscribe(subjects.assignment(space), {
      callback: (error, message) => {
        if (!error) this.#announced(space, message.data)
      },
    }))
  }

  /** Highest epoch known of the space; 0 when none is. */
  epoch(space: string): number {
    return this.#known.get(space)?.epoch ?? 0
  }

  /** Notes the epoch of an answer; false when a higher one is known. */
  admit(space: string, epoch: number): boolean {
    const known = this.#known.get(space)
    if (!known) this.#known.set(space, { epoch, uuid: null })
    else if (epoch < known.epoch) return false
    else known.epoch = epoch
    return true
  }

  close(): void {
    for (const subscription of this.#subscriptions.values()) subscription.unsubscribe()
    this.#subscriptions.clear()
  }

  #announced(space: string, data: Uint8Array): void {
    const announced = readAnnouncement(data)
    if (!announced) return
    const known = this.#known.get(space)
    const renewed = known?.uuid != null && known.uuid !== announced.uuid
    if (!renewed && announced.epoch < (known?.epoch ?? 0)) return
    this.#known.set(space, { epoch: announced.epoch, uuid: announced.uuid })
    if (announced.open && announced.epoch > (known?.epoch ?? 0)) this.onOpen(space)
  }
}

function readAnnouncement(
  data: Uint8Array,
): { epoch: number; uuid: string; open: boolean } | null {
  try {
    const value: unknown = data[0] === 0x7b ? JSON.parse(Buffer.from(data).toString())
      : decode(data)
    const message = value as {
      kind?: unknown
      assignment?: { epoch?: unknown; uuid?: unknown; state?: unknown }
    } | null
    const { epoch, uuid, state } = message?.assignment ?? {}
    if (!Number.isSafeInteger(epoch) || typeof uuid !== 'string') return null
    return {
      epoch: epoch as number, uuid, open: message?.kind === 'changed' && state === 'open',
    }
  } catch {
    return null
  }
}
