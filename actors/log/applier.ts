import type { KeyRetention } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { assertInvariant, assertStoreCommitted } from '../../machines/log/invariants.js'
import type { Overlay } from '../overlay/overlay.js'
import type { FrameCodec } from '../ports/frames.js'
import type { SpaceStore } from '../ports/store.js'
import type { Clock, Logger, TimerHandle } from '../ports/system.js'
import { SequenceWaiters } from './sequenceWaiters.js'
import type { SpaceLog } from './spaceLog.js'

export interface ApplierOptions {
  readonly log: SpaceLog
  readonly store: SpaceStore
  readonly overlay: Overlay
  readonly codec: FrameCodec
  readonly clock: Clock
  readonly logger: Logger
  readonly keyRetention: () => KeyRetention
  readonly onFailed: (error: unknown) => void
}

/** Entries of one store transaction: many enough to be cheap, few enough for the loop (4 ms). */
const batchEntriesMax = 512
const batchBytesMax = 1024 * 1024
/** Time that entries are gathered before a transaction that nobody waits for. */
const gatherMs = 20
/** Pause before a store that could not be written is tried again. */
const retryMs = 500

/**
 * Applies committed entries from the log to the store, in order, one transaction at a time. Never
 * goes past min(commit sequence, own durable sequence): a store holds nothing uncommitted.
 */
export class Applier {
  private running = false
  private stopped = false
  private timer: TimerHandle | null = null
  private readonly waiters: SequenceWaiters
  private settled: Promise<void> = Promise.resolve()
  private obstacle: string | null = null

  constructor(private readonly options: ApplierOptions) {
    this.waiters = new SequenceWaiters(options.clock)
  }

  /** Why the store cannot be written now, or null. It is tried again automatically. */
  get hindrance(): string | null {
    return this.obstacle
  }

  /**
   * Called when the commit or the durable sequence has moved. A transaction costs the same for one
   * entry as for many, so entries are gathered for a while, unless somebody waits for one.
   */
  wake(): void {
    if (this.running || this.stopped || !this.isBehind()) return
    if (this.waiters.size > 0) return this.begin()
    if (this.target() - this.options.store.applied.sequence >= batchEntriesMax) this.begin()
    else this.timer ??= this.options.clock.setTimeout(() => this.begin(), gatherMs)
  }

  private begin(): void {
    if (this.timer) this.options.clock.clearTimeout(this.timer)
    this.timer = null
    if (this.running || this.stopped || !this.isBehind()) return
    this.running = true
    this.settled = this.run()
  }

  private isBehind(): boolean {
    return this.target() > this.options.store.applied.sequence
  }

  /** Whether the store holds the sequence. */
  covers(sequence: number): boolean {
    return this.options.store.applied.sequence >= sequence
  }

  /** `done` is called when the store holds the sequence, or with false after `waitMs`. */
  whenCovers(sequence: number, waitMs: number, done: (covered: boolean) => void): void {
    if (this.covers(sequence)) return done(true)
    this.waiters.add(sequence, waitMs, done)
    this.wake()
  }

  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer) this.options.clock.clearTimeout(this.timer)
    await this.settled
    this.waiters.stop()
  }

  /** Resolves when no transaction is under way, so that the log may be cut. */
  async quiet(): Promise<void> {
    while (this.running) await this.settled
  }

  private target(): number {
    const { log } = this.options
    return Math.min(log.commitSequence, log.durable.sequence)
  }

  private async run(): Promise<void> {
    const { store, overlay } = this.options
    try {
      while (!this.stopped && store.applied.sequence < this.target()) {
        const upTo = this.target()
        const entries = await this.next(store.applied.sequence + 1, upTo)
        if (entries.length === 0) break
        const last = entries[entries.length - 1]!.sequence
        const { commitSequence, durable } = this.options.log
        assertStoreCommitted(last, commitSequence, durable.sequence)
        await store.apply(entries, this.options.keyRetention())
        this.obstacle = null
        assertInvariant('I9', store.applied.sequence === last, () =>
          `the store was given entries up to ${last}, and holds ${store.applied.sequence}`)
        overlay.applied(last)
        this.waiters.reach(last)
      }
    } catch (error) {
      this.failed(error)
    } finally {
      this.running = false
    }
  }

  /** Retries after a full disk. Anything else is a defect, or a store that cannot be trusted. */
  private failed(error: unknown): void {
    const { clock, logger } = this.options
    if (error instanceof Error && 'retryable' in error && error.retryable === true) {
      this.obstacle = error.message
      logger.error({ error: error.message }, 'the store cannot be written')
      clock.setTimeout(() => this.wake(), retryMs)
      return
    }
    this.stopped = true
    this.options.onFailed(error)
  }

  private async next(from: number, upTo: number): Promise<LogEntry[]> {
    const { overlay, log, codec } = this.options
    if (overlay.firstSequence > 0 && from >= overlay.firstSequence
      && from <= overlay.lastSequence)
    {
      return overlay.entries(from, Math.min(batchEntriesMax, upTo - from + 1))
    }
    const frames = await log.framesFrom(from, batchBytesMax)
    const entries: LogEntry[] = []
    for (const frame of frames) {
      if (frame.first > upTo) break
      for (const entry of codec.entries(frame)) {
        if (entry.sequence >= from && entry.sequence <= upTo) entries.push(entry)
      }
      if (entries.length >= batchEntriesMax) break
    }
    return entries
  }
}
