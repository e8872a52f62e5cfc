import { isNoResponders } from '../../actors/ports/bus.js'
import type { BusConnection, BusMessage, BusSubscription } from '../../actors/ports/bus.js'
import type { Sender } from './types.js'

export interface SentEvent {
  readonly node: string
  readonly actor: string
  readonly from: Sender
  readonly type: string
  /** Set for an ask. */
  readonly replyTo: unknown
}

interface Slot {
  readonly number: number
  readonly event: SentEvent
}

/** Remembered events. The server answers within a round trip, so later ones rarely displace one. */
const sentMax = 4_096

/**
 * The events sent last. Each has a reply subject at which nobody answers but the NATS server: with
 * 503, if nobody subscribes to the event's subject, so that no host of that name is connected to
 * this system. Silence proves nothing: the event may have arrived, or a gateway may be between.
 */
export class SentEvents {
  private readonly slots: (Slot | undefined)[] = []
  private connection: BusConnection | null = null
  private subscription: BusSubscription | null = null
  private last = 0

  /** `onUnheard`: nobody subscribes; `event` is null if it has been displaced. */
  constructor(
    private readonly node: string,
    private readonly onUnheard: (node: string, event: SentEvent | null) => void,
  ) {}

  /** Remembers the event; returns the reply subject with which it is to be published. */
  replySubject(connection: BusConnection, event: SentEvent): string {
    const inbox = `${connection.inboxPrefix}.sent_${this.node}`
    if (connection !== this.connection) {
      this.detach()
      this.connection = connection
      this.subscription = connection.subscribe(`${inbox}.*`, (message) => {
        if (this.connection === connection) this.receive(message)
      })
    }
    const number = (this.last += 1)
    this.slots[number % sentMax] = { number, event }
    return `${inbox}.${number}-${event.node}`
  }

  detach(): void {
    if (this.connection?.isClosed === false) this.subscription?.unsubscribe()
    this.connection = null
    this.subscription = null
    this.slots.length = 0
  }

  private receive(message: BusMessage): void {
    const [, text = '', node = ''] = /\.(\d+)-([^.]+)$/.exec(message.subject) ?? []
    if (node === '' || !isNoResponders(message)) return
    const number = Number(text)
    const slot = this.slots[number % sentMax]
    if (slot?.number !== number) return this.onUnheard(node, null)
    this.slots[number % sentMax] = undefined
    this.onUnheard(node, slot.event)
  }
}
