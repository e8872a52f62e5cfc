/** Observes a space while faults go on: its epochs, its in-sync set, its status. */
import type { Subscription } from 'nats'
import { subjects } from '../../machines/protocol/subjects.js'
import type { EngramClient } from '../client/client.js'
import { controlCodec } from '../codec/controlCodec.js'
import type { ClusterSpace, ClusterStatus } from '../status/status.js'
import type { Excuse, InSyncAt } from './outage.js'

export interface PrimarySeen {
  readonly epoch: number
  readonly primary: string
  /** First heard of, ms since the run began. */
  readonly atMs: number
  /** As announced. null if it is known from the status only. */
  readonly reason: string | null
}

const pollMs = 250
/** A timer this late shows that this process, or the machine, stood still. */
const stallMs = 500
const tickMs = 100

export class Watch {
  /** Primaries by epoch. */
  readonly epochs = new Map<number, PrimarySeen>()
  readonly inSync: InSyncAt[] = []
  /** Periods in which this process stood still, so that its own measurements are in doubt. */
  readonly stalls: Excuse[] = []
  /** The latest status. null before the first. */
  status: ClusterStatus | null = null
  readonly #codec = controlCodec()
  readonly #subscription: Subscription
  readonly #ticker: NodeJS.Timeout
  #isClosed = false
  #polling: Promise<void>

  constructor(
    private readonly client: EngramClient,
    private readonly space: string,
    private readonly nowMs: () => number,
  ) {
    this.#subscription = client.connection.subscribe(subjects.assignment(space), {
      callback: (error, message) => {
        if (!error) this.#announced(message.data)
      },
    })
    let expectedMs = nowMs() + tickMs
    this.#ticker = setInterval(() => {
      const now = nowMs()
      if (now - expectedMs > stallMs) {
        const fromMs = expectedMs - tickMs
        this.stalls.push({ fromMs, toMs: now, why: 'this process stood still' })
      }
      expectedMs = now + tickMs
    }, tickMs)
    this.#polling = this.#poll()
  }

  /** The space in the latest status. */
  get found(): ClusterSpace | null {
    return this.status?.spaces.find(({ id }) => id === this.space) ?? null
  }

  /** Asks all nodes for their status now. */
  async look(): Promise<ClusterSpace | null> {
    const status = await this.client.status()
    this.status = status
    const found = this.found
    if (!found) return null
    if (found.primary !== null) this.#sawPrimary(found.epoch, found.primary, null)
    // A member that lags may report an old set. The primary reports the present one.
    if (found.members.some((member) => member.role === 'primary')) this.#sawInSync(found.inSync)
    return found
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#ticker)
    this.#subscription.unsubscribe()
    await this.#polling
  }

  async #poll(): Promise<void> {
    while (!this.#isClosed) {
      await this.look()
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  #announced(data: Uint8Array): void {
    const decoded = this.#codec.announcement(data)
    if (!decoded.ok) return
    const { assignment, kind, reason } = decoded.value
    if (kind !== 'changed') return
    this.#sawInSync(assignment.inSync)
    if (assignment.state !== 'open' || !assignment.primary) return
    this.#sawPrimary(assignment.epoch, assignment.primary.node, reason)
  }

  #sawPrimary(epoch: number, primary: string, reason: string | null): void {
    const known = this.epochs.get(epoch)
    if (known && (known.reason !== null || reason === null)) return
    this.epochs.set(epoch, { epoch, primary, atMs: known?.atMs ?? this.nowMs(), reason })
  }

  #sawInSync(inSync: readonly string[]): void {
    const last = this.inSync.at(-1)
    if (last && last.inSync.toSorted().join() === inSync.toSorted().join()) return
    this.inSync.push({ atMs: this.nowMs(), inSync })
  }
}
