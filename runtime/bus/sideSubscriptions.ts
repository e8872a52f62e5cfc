import type { NatsConnection } from 'nats'
import type { BusSubscription } from '../../actors/ports/bus.js'
import type { SideListener } from './sideConnection.js'

interface Entry {
  open(nats: NatsConnection): BusSubscription
  /** One as a rule, none while nobody is subscribed, and two during a move. */
  readonly subscriptions: Set<BusSubscription>
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
    const entry: Entry = { open, subscriptions: new Set() }
    if (this.#place) entry.subscriptions.add(open(this.#place))
    this.#entries.add(entry)
    return {
      unsubscribe: () => {
        this.#entries.delete(entry)
        for (const subscription of entry.subscriptions) subscription.unsubscribe()
      },
    }
  }

  stands(nats: NatsConnection): void {
    if (!nats.isClosed()) this.#move(nats)
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
    const former = [...this.#entries].flatMap(({ open, subscriptions }) => {
      const before = [...subscriptions]
      if (place) subscriptions.add(open(place))
      return before.map((subscription) => ({ subscription, subscriptions }))
    })
    const leave = (): void => {
      for (const { subscription, subscriptions } of former) {
        subscriptions.delete(subscription)
        subscription.unsubscribe()
      }
    }
    if (place === null || left === null) return leave()
    // By then, requests that only the former place received have been handled, too.
    place.flush().then(() => left.flush()).then(leave, leave)
  }
}
