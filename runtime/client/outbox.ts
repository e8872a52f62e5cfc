/**
 * Keeps every acknowledged write until it is safe, within a bound, and sends it again after a
 * failover that left it behind. Beyond the bound writes use `committed`: that slows the client down
 * to the pace of the replicas, and the outbox grows no further.
 */
import type { NatsConnection } from 'nats'
import type { WriteAnswer } from '../../actors/ports/clientApi.js'
import type { EpochSpan } from '../../machines/base/ids.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { NotSafeError } from './errors.js'
import { SpaceOutbox } from './spaceOutbox.js'
import type { SpaceOutboxOptions } from './spaceOutbox.js'

/** Acknowledged writes that one lost disk could still take away. */
export interface Unsafe {
  readonly writes: number
  /** Size of their requests, as kept here. */
  readonly bytes: number
  /** Time since the oldest was acknowledged; 0 if there is none. */
  readonly oldestMs: number
}

/** One write from its call until it is settled: refused, unknown, or safe. */
export interface Ticket {
  readonly number: number
  readonly key: string
  readonly data: Uint8Array
  /** Memory that it may take; 0 at level `committed`, which is not kept. */
  readonly bytes: number
  readonly outbox: SpaceOutbox
}

export interface OutboxOptions extends Omit<SpaceOutboxOptions, 'space' | 'onSafe'> {
  readonly connection: NatsConnection
  readonly unsafeBytesMax: number
}

interface Flush {
  /** null: all spaces. */
  readonly outbox: SpaceOutbox | null
  /** Only writes with a lower number count. */
  readonly before: number
  left: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Memory of a kept write besides its request: objects, map entries, its key. Measured. */
const overheadBytes = 512
const pollMs = 20
/** Poll interval during `flush`. */
const flushPollMs = 20

export class Outbox {
  readonly #outboxes = new Map<string, SpaceOutbox>()
  readonly #flushes = new Set<Flush>()
  #bytes = 0
  #next = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(readonly options: OutboxOptions) {
    void this.#watch()
  }

  /** Level for a new write: `committed` if it may no longer be kept. */
  levelFor(data: Uint8Array, level: AckLevel | undefined): AckLevel | undefined {
    return this.#bytes + sizeOf(data) > this.options.unsafeBytesMax ? 'committed' : level
  }

  /** Begins a write; `settle` or `answered` ends it. */
  begin(space: string, key: string, data: Uint8Array, level: AckLevel | undefined): Ticket {
    const outbox = this.#outboxOf(space)
    outbox.pending += 1
    const bytes = level === 'committed' ? 0 : sizeOf(data)
    this.#bytes += bytes
    return { number: this.#next++, key, data, bytes, outbox }
  }

  /** Called when the write was acknowledged at a level. */
  answered(ticket: Ticket, answer: WriteAnswer): void {
    if (ticket.outbox.answered(ticket, answer)) this.#arm()
    else this.settle(ticket)
  }

  /** Called when the write is refused, safe, or of unknown outcome. */
  settle(ticket: Ticket): void {
    this.#settle(ticket.outbox, ticket.number, ticket.bytes)
  }

  #settle(outbox: SpaceOutbox, number: number, bytes: number): void {
    outbox.pending -= 1
    this.#bytes -= bytes
    if (this.#flushes.size === 0) return
    for (const flush of this.#flushes) {
      if (number >= flush.before || (flush.outbox && flush.outbox !== outbox)) continue
      flush.left -= 1
      if (flush.left === 0) flush.resolve()
    }
  }

  /**
   * The epoch in which alone a write may be taken, since kept writes would have to be sent again
   * first in another one. Null if no write is kept.
   */
  fence(space: string): number | null {
    const kept = this.#outboxes.get(space)?.kept
    return kept && kept.writes > 0 && kept.epoch > 0 ? kept.epoch : null
  }

  heard(space: string, epoch: number): void {
    this.#outboxes.get(space)?.heard(epoch)
  }

  historyHeard(space: string, epoch: number, history: readonly EpochSpan[]): void {
    this.#outboxes.get(space)?.historyHeard(epoch, history)
  }

  renewed(space: string): void {
    this.#outboxes.get(space)?.renewed()
  }

  /** Unsafe writes of one space, or of all. */
  unsafe(space?: string): Unsafe {
    const now = performance.now()
    const sum = { writes: 0, bytes: 0, oldestMs: 0 }
    for (const { kept } of this.#chosen(space)) {
      sum.writes += kept.writes
      sum.bytes += kept.bytes
      sum.oldestMs = Math.max(sum.oldestMs, now - (kept.oldestAtMs ?? now))
    }
    return sum
  }

  /** @throws NotSafeError */
  flush(space: string | undefined, timeoutMs: number): Promise<void> {
    const outboxes = this.#chosen(space)
    const left = outboxes.reduce((sum, outbox) => sum + outbox.pending, 0)
    if (left === 0) return Promise.resolve()
    if (this.#isClosed) return Promise.reject(this.#notSafe('CLOSED', space))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => flush.reject(this.#notSafe('NOT_SAFE', space)), timeoutMs)
      const ended = (end: () => void): void => {
        clearTimeout(timer)
        this.#flushes.delete(flush)
        end()
      }
      const flush: Flush = {
        outbox: space === undefined ? null : outboxes[0] ?? null,
        before: this.#next,
        left,
        resolve: () => ended(resolve),
        reject: (error) => ended(() => reject(error)),
      }
      this.#flushes.add(flush)
      this.#arm()
    })
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const outbox of this.#outboxes.values()) outbox.close()
    for (const flush of this.#flushes) flush.reject(this.#notSafe('CLOSED'))
  }

  #chosen(space: string | undefined): SpaceOutbox[] {
    if (space === undefined) return [...this.#outboxes.values()]
    const outbox = this.#outboxes.get(space)
    return outbox ? [outbox] : []
  }

  #outboxOf(space: string): SpaceOutbox {
    const known = this.#outboxes.get(space)
    if (known) return known
    const outbox: SpaceOutbox = new SpaceOutbox({
      ...this.options,
      space,
      onSafe: ({ number, bytes }) => this.#settle(outbox, number, bytes),
    })
    this.#outboxes.set(space, outbox)
    return outbox
  }

  #notSafe(code: 'NOT_SAFE' | 'CLOSED', space?: string): NotSafeError {
    const { writes, bytes } = this.unsafe(space)
    const what = `${writes} acknowledged writes (${bytes} bytes) are not yet on a second disk`
    const text = code === 'CLOSED'
      ? `the client was closed: ${what}`
      : `${what}; others may be in flight. Check that enough members are in sync: engram status`
    return new NotSafeError(code, text, writes, bytes)
  }

  async #watch(): Promise<void> {
    for await (const status of this.options.connection.status()) {
      // Announcements may have been missed meanwhile.
      if (status.type === 'reconnect') this.#poll(0)
    }
  }

  #arm(): void {
    if (this.#timer || this.#isClosed) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#poll(this.#flushes.size > 0 ? flushPollMs : undefined)
      if (this.#flushes.size > 0 || this.#hasKept()) this.#arm()
    }, pollMs)
  }

  #hasKept(): boolean {
    for (const { kept } of this.#outboxes.values()) if (kept.writes > 0) return true
    return false
  }

  #poll(atMostMs?: number): void {
    const now = performance.now()
    for (const outbox of this.#outboxes.values()) outbox.poll(now, atMostMs)
  }
}

function sizeOf(data: Uint8Array): number {
  return data.length + overheadBytes
}
