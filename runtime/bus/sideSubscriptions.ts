import type { NatsConnection } from 'nats'
import type { BusSubscription } from '../../actors/ports/bus.js'
import type { AsideListener } from './aside.js'

interface Entry {
  open(nats: NatsConnection): BusSubscription
  subscription: BusSubscription | null
}

/**
 * Subscriptions to what clients may ask for at any rate: they are moved to the connection beside
 * the first one, so that heartbeats and frames do not wait behind a flood of requests, and a server
 * that finds this node too slow for them closes that connection alone. While it is dialled again
 * nobody is subscribed (who asks gets 503 at once, and asks again); the first connection does the
 * work only until the other one stands, and where it cannot be made.
 */
export class SideSubscriptions implements AsideListener {
  readonly #entries = new Set<Entry>()
  /** Where they are; null: nowhere for now. */
  #place: NatsConnection | null

  constructor(private readonly first: NatsConnection) {
    this.#place = first
  }

  /** @param open subscribes on that connection */
  add(open: (nats: NatsConnection) => BusSubscription): BusSubscription {
    const entry: Entry = { open, subscription: this.#place && open(this.#place) }
    this.#entries.add(entry)
    return {
      unsubscribe: () => {
        this.#entries.delete(entry)
        entry.subscription?.unsubscribe()
      },
    }
  }

  stands(nats: NatsConnection): void {
    this.#move(nats)
  }

  gone(): void {
    if (this.#place !== this.first) this.#move(null)
  }

  failed(): void {
    if (this.#place !== this.first && !this.first.isClosed()) this.#move(this.first)
  }

  /** The new place first: a request in between is answered twice rather than never. */
  #move(place: NatsConnection | null): void {
    const left = this.#place
    this.#place = place
    const former = [...this.#entries].map((entry) => {
      const { subscription } = entry
      entry.subscription = place && entry.open(place)
      return subscription
    })
    const leave = (): void => {
      for (const subscription of former) subscription?.unsubscribe()
    }
    if (place === null || left === null) return leave()
    // Then what came to the former place alone has been handled, too.
    place.flush().then(() => left.flush()).then(leave, leave)
  }
}
