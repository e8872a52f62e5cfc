import type { NatsConnection } from 'nats'
import type { BusSubscription } from '../../actors/ports/bus.js'
import type { SideListener } from './sideConnection.js'

interface Entry {
  open(nats: NatsConnection): BusSubscription
  subscription: BusSubscription | null
}

/**
 * Subscriptions to requests that clients may send at any rate. They are moved to the further
 * connection, so that heartbeats and frames do not wait behind a flood of requests, and a server
 * that finds this node too slow for them closes only that connection. While it is dialled again
 * nobody is subscribed: clients get 503 at once, and try again. The first connection is used only
 * until the other one is open, and if it cannot be opened.
 */
export class SideSubscriptions implements SideListener {
  readonly #entries = new Set<Entry>()
  /** Connection that has the subscriptions; null: none has them now. */
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

  /** Subscribes at the new place first: a request in between is answered twice and not never. */
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
    // By then, requests that only the former place received have been handled, too.
    place.flush().then(() => left.flush()).then(leave, leave)
  }
}
