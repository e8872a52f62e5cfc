/**
 * Epochs as the client knows them. An answer of a lower epoch comes from a node that is no longer
 * primary. Announcements of epochs arrive sooner than answers, and start the resending of writes
 * that were lost with the old primary. Without the permission to hear them, the client uses timers.
 */
import { decode } from '@msgpack/msgpack'
import type { NatsConnection, Subscription } from 'nats'
import type { EpochSpan } from '../../machines/base/ids.js'
import { historyFault } from '../../machines/log/invariants.js'
import { subjects } from '../../machines/protocol/subjects.js'

export interface EpochListener {
  /** A new epoch is open. */
  opened(space: string): void
  /**
   * An announcement of an open epoch, perhaps a repeated one, listed its history. Before `opened`.
   */
  historyHeard(space: string, epoch: number, history: readonly EpochSpan[]): void
  /** Another space has the name: its epochs count from the start. */
  renewed(space: string): void
}

interface Known {
  epoch: number
  /** Uuid of the space, once an announcement has it. Another one means that epochs start again. */
  uuid: string | null
}

/** Enough for any client. Beyond it, announcements are not subscribed to; answers suffice. */
const subscriptionsMax = 1024

export class EpochWatch {
  readonly #known = new Map<string, Known>()
  readonly #subscriptions = new Map<string, Subscription>()

  constructor(
    readonly connection: NatsConnection,
    readonly listener: EpochListener,
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

  /** Notes the epoch of an answer. Returns false when a higher one is known. */
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
    const { epoch, uuid, history } = announced
    const known = this.#known.get(space)
    const renewed = known?.uuid != null && known.uuid !== uuid
    if (!renewed && epoch < (known?.epoch ?? 0)) return
    this.#known.set(space, { epoch, uuid })
    if (renewed) this.listener.renewed(space)
    if (!announced.open) return
    this.listener.historyHeard(space, epoch, history)
    if (epoch > (known?.epoch ?? 0)) this.listener.opened(space)
  }
}

interface Announced {
  readonly epoch: number
  readonly uuid: string
  readonly open: boolean
  /** Empty if there is none, or none that can be read. */
  readonly history: readonly EpochSpan[]
}

function readAnnouncement(data: Uint8Array): Announced | null {
  try {
    const value: unknown = data[0] === 0x7b
      ? JSON.parse(Buffer.from(data).toString())
      : decode(data)
    const message = value as {
      kind?: unknown
      history?: unknown
      assignment?: { epoch?: unknown; uuid?: unknown; state?: unknown }
    } | null
    const { epoch, uuid, state } = message?.assignment ?? {}
    if (!Number.isSafeInteger(epoch) || typeof uuid !== 'string') return null
    return {
      epoch: epoch as number,
      uuid,
      open: message?.kind === 'changed' && state === 'open',
      history: historyOf(message?.history),
    }
  } catch {
    return null
  }
}

/** Returns an empty history for anything else. */
export function historyOf(value: unknown): readonly EpochSpan[] {
  if (!Array.isArray(value)) return []
  const spans = value as readonly EpochSpan[]
  const areNumbers = spans.every((span) =>
    Number.isSafeInteger(span?.epoch) && Number.isSafeInteger(span.last)
  )
  return areNumbers && historyFault(spans) === null ? spans : []
}
