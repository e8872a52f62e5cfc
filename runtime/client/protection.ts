/**
 * Keeps every write that was acknowledged until it is safe, within a bound, and sends again what a
 * failover left behind. Past the bound writes ask for `committed`: then the client is slowed down
 * to the pace of the replicas, and grows no further.
 */
import type { NatsConnection } from 'nats'
import type { WriteAnswer } from '../../actors/ports/clientApi.js'
import type { EpochSpan } from '../../machines/base/ids.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { NotSafeError } from './errors.js'
import { SpaceGuard } from './guard.js'
import type { GuardOptions } from './guard.js'

/** Acknowledged writes that one lost disk could still take away. */
export interface Unsafe {
  readonly writes: number
  /** Of their requests, as kept here. */
  readonly bytes: number
  /** Since the oldest was acknowledged; 0 without any. */
  readonly oldestMs: number
}

/** One write from its call until it is settled: refused, unknown, or safe. */
export interface Ticket {
  readonly number: number
  readonly key: string
  readonly data: Uint8Array
  /** What it may come to occupy; 0 at level `committed`, which is not kept. */
  readonly bytes: number
  readonly guard: SpaceGuard
}

export interface ProtectionOptions extends Omit<GuardOptions, 'space' | 'onSafe'> {
  readonly connection: NatsConnection
  readonly unsafeBytesMax: number
}

interface Flush {
  /** null: all of them. */
  readonly guard: SpaceGuard | null
  /** Writes with a lower number count. */
  readonly before: number
  left: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** What a kept write takes besides its request: objects, map entries, its key. Measured. */
const overheadBytes = 512
const pollMs = 20
/** While somebody waits for `flush`. */
const flushPollMs = 20

export class Protection {
  readonly #guards = new Map<string, SpaceGuard>()
  readonly #flushes = new Set<Flush>()
  #bytes = 0
  #next = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(readonly options: ProtectionOptions) {
    void this.#watch()
  }

  /** The level that a write has to ask for: `committed` where it may not be kept any more. */
  levelFor(data: Uint8Array, level: AckLevel | undefined): AckLevel | undefined {
    return this.#bytes + sizeOf(data) > this.options.unsafeBytesMax ? 'committed' : level
  }

  /** A write begins; `settle` or `answered` ends it. */
  begin(space: string, key: string, data: Uint8Array, level: AckLevel | undefined): Ticket {
    const guard = this.#guard(space)
    guard.pending += 1
    const bytes = level === 'committed' ? 0 : sizeOf(data)
    this.#bytes += bytes
    return { number: this.#next++, key, data, bytes, guard }
  }

  /** Taken at a level. */
  answered(ticket: Ticket, answer: WriteAnswer): void {
    if (ticket.guard.answered(ticket, answer)) this.#arm()
    else this.settle(ticket)
  }

  /** Refused, of unknown outcome, or safe. */
  settle(ticket: Ticket): void {
    this.#settle(ticket.guard, ticket.number, ticket.bytes)
  }

  #settle(guard: SpaceGuard, number: number, bytes: number): void {
    guard.pending -= 1
    this.#bytes -= bytes
    if (this.#flushes.size === 0) return
    for (const flush of this.#flushes) {
      if (number >= flush.before || (flush.guard && flush.guard !== guard)) continue
      flush.left -= 1
      if (flush.left === 0) flush.resolve()
    }
  }

  /**
   * The epoch that a write asks for: only there may it be taken. Null where nothing is kept that
   * would have to be sent again first.
   */
  fence(space: string): number | null {
    const keeper = this.#guards.get(space)?.keeper
    return keeper && keeper.writes > 0 && keeper.epoch > 0 ? keeper.epoch : null
  }

  heard(space: string, epoch: number): void {
    this.#guards.get(space)?.heard(epoch)
  }

  told(space: string, epoch: number, history: readonly EpochSpan[]): void {
    this.#guards.get(space)?.told(epoch, history)
  }

  renewed(space: string): void {
    this.#guards.get(space)?.renewed()
  }

  /** Of one space, or of all. */
  unsafe(space?: string): Unsafe {
    const now = performance.now()
    const sum = { writes: 0, bytes: 0, oldestMs: 0 }
    for (const { keeper } of this.#chosen(space)) {
      sum.writes += keeper.writes
      sum.bytes += keeper.bytes
      sum.oldestMs = Math.max(sum.oldestMs, now - (keeper.oldestAtMs ?? now))
    }
    return sum
  }

  /** @throws NotSafeError */
  flush(space: string | undefined, timeoutMs: number): Promise<void> {
    const guards = this.#chosen(space)
    const left = guards.reduce((sum, guard) => sum + guard.pending, 0)
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
        guard: space === undefined ? null : guards[0] ?? null, before: this.#next, left,
        resolve: () => ended(resolve), reject: (error) => ended(() => reject(error)),
      }
      this.#flushes.add(flush)
      this.#arm()
    })
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const guard of this.#guards.values()) guard.close()
    for (const flush of this.#flushes) flush.reject(this.#notSafe('CLOSED'))
  }

  #chosen(space: string | undefined): SpaceGuard[] {
    if (space === undefined) return [...this.#guards.values()]
    const guard = this.#guards.get(space)
    return guard ? [guard] : []
  }

  #guard(space: string): SpaceGuard {
    const known = this.#guards.get(space)
    if (known) return known
    const guard: SpaceGuard = new SpaceGuard({
      ...this.options, space, onSafe: ({ number, bytes }) => this.#settle(guard, number, bytes),
    })
    this.#guards.set(space, guard)
    return guard
  }

  #notSafe(code: 'NOT_SAFE' | 'CLOSED', space?: string): NotSafeError {
    const { writes, bytes } = this.unsafe(space)
    const what = `${writes} acknowledged writes (${bytes} bytes) are not yet on a second disk`
    const text = code === 'CLOSED' ? `the client was closed: ${what}`
      : `${what}, and perhaps others in flight: are enough members in sync? (engram status)`
    return new NotSafeError(code, text, writes, bytes)
  }

  async #watch(): Promise<void> {
    for await (const status of this.options.connection.status()) {
      // Announcements went by meanwhile.
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
    for (const { keeper } of this.#guards.values()) if (keeper.writes > 0) return true
    return false
  }

  #poll(atMostMs?: number): void {
    const now = performance.now()
    for (const guard of this.#guards.values()) guard.poll(now, atMostMs)
  }
}

function sizeOf(data: Uint8Array): number {
  return data.length + overheadBytes
}
