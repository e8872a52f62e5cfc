import type { KeyRetention } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import { assertInvariant, assertStoreCommitted } from '../../machines/log/invariants.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { Overlay } from '../overlay/overlay.js'
import type { FrameCodec } from '../ports/frames.js'
import type { SpaceImage, SpaceStore } from '../ports/store.js'
import type { Clock, Logger, TimerHandle } from '../ports/system.js'
import { isRetryable } from '../structures/untilTaken.js'
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
/** An image of the store at the end of a frame, and what the log says about the entry there. */
export interface AlignedImage {
  readonly image: SpaceImage
  /** Of the last entry; null: it was applied before this start. */
  readonly entry: Pick<LogEntry, 'vectorClock' | 'timestamp'> | null
}

/** Time that entries are gathered before a transaction that nobody waits for. */
const gatherMs = 20
/** Pause before a store that could not be written is tried again. */
const retryMs = 500
/** A store that stays full is logged again after this. */
const saidMs = 60_000

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
  /** Set until the store is tried again. */
  private retry: TimerHandle | null = null
  private saidAtMs = -Infinity
  private lastEntry: LogEntry | null = null
  /** The store is being replaced. */
  private isHeld = false
  /** Takes the next image; while it is set, transactions end with frames. */
  private imaged: ((image: AlignedImage) => void) | null = null
  /** Last entry of the frame that is being applied while an image is awaited. */
  private frameEnd = -1

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
    if (this.retry || this.running || this.stopped || this.isHeld || !this.isBehind()) return
    if (this.waiters.size > 0) return this.begin()
    if (this.target() - this.options.store.applied.sequence >= batchEntriesMax) this.begin()
    else this.timer ??= this.options.clock.setTimeout(() => this.begin(), gatherMs)
  }

  private begin(): void {
    if (this.timer) this.options.clock.clearTimeout(this.timer)
    this.timer = null
    if (this.running || this.stopped || this.isHeld || !this.isBehind()) return
    this.running = true
    this.settled = this.run()
  }

  private isBehind(): boolean {
    return this.target() > this.options.store.applied.sequence
  }

  /** Whether the store holds the sequence. */
  covers(sequence: number): boolean {
    return !this.isHeld && this.options.store.applied.sequence >= sequence
  }

  /** `done` is called when the store holds the sequence, or with false after `waitMs`. */
  whenCovers(sequence: number, waitMs: number, done: (covered: boolean) => void): void {
    if (this.covers(sequence)) return done(true)
    this.waiters.add(sequence, waitMs, done)
    this.wake()
  }

  /**
   * Calls `taken` with an image at the end of a frame: now, or after one of the next transactions.
   * One image at a time; a later call replaces an earlier one that is not served.
   */
  takeImage(taken: (image: AlignedImage) => void): void {
    this.imaged = taken
    if (!this.running) this.serveImage()
    this.wake()
  }

  /** Applies nothing until `release`: the store is being replaced. */
  hold(): void {
    this.isHeld = true
    this.lastEntry = null
    this.frameEnd = -1
    // The next state may be an older one.
    this.waiters.fallBack()
  }

  release(): void {
    this.isHeld = false
    this.lastEntry = null
    this.waiters.reach(this.options.store.applied.sequence)
    this.wake()
  }

  /** Nobody waits for an image any more. */
  cancelImage(): void {
    this.imaged = null
  }

  private serveImage(): void {
    const { imaged, options: { store, log } } = this
    const { applied } = store
    if (!imaged || this.stopped || this.isHeld) return
    if (applied.sequence !== this.frameEnd && !log.endsFrame(applied.sequence)) return
    const image = store.image(applied)
    if (!image) return
    this.imaged = null
    const entry = this.lastEntry?.sequence === applied.sequence ? this.lastEntry : null
    imaged({ image, entry })
  }

  async stop(): Promise<void> {
    this.stopped = true
    if (this.timer) this.options.clock.clearTimeout(this.timer)
    await this.settled
    if (this.retry) this.options.clock.clearTimeout(this.retry)
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
        const entries = await this.next(store.applied.sequence + 1, this.target())
        if (entries.length === 0) break
        const last = entries[entries.length - 1]!.sequence
        const { commitSequence, durable } = this.options.log
        assertStoreCommitted(last, commitSequence, durable.sequence)
        await store.apply(entries, this.options.keyRetention())
        this.obstacle = null
        assertInvariant('I9', store.applied.sequence === last, () =>
          `the store was given entries up to ${last}, and holds ${store.applied.sequence}`)
        overlay.applied(last)
        this.lastEntry = entries[entries.length - 1]!
        this.waiters.reach(last)
        this.serveImage()
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
    if (isRetryable(error)) {
      this.obstacle = messageOf(error)
      const nowMs = clock.monotonicMs()
      if (nowMs - this.saidAtMs >= saidMs) {
        this.saidAtMs = nowMs
        logger.error({ error: this.obstacle }, 'the store cannot be written')
      }
      if (this.stopped) return
      this.retry = clock.setTimeout(() => {
        this.retry = null
        this.wake()
      }, retryMs)
      return
    }
    // Until the store is replaced, if ever.
    this.hold()
    this.options.onFailed(error)
  }

  private async next(from: number, upTo: number): Promise<LogEntry[]> {
    const { overlay, log, codec } = this.options
    const end = this.imaged ? await this.endOfFrame(from, upTo) : upTo
    const { firstSequence, lastSequence } = overlay
    if (firstSequence > 0 && from >= firstSequence && from <= lastSequence) {
      return overlay.entries(from, Math.min(batchEntriesMax, end - from + 1))
    }
    const entries: LogEntry[] = []
    for (const frame of await log.framesFrom(from, batchBytesMax)) {
      if (frame.first > end) break
      for (const entry of codec.entries(frame)) {
        if (entry.sequence >= from && entry.sequence <= end) entries.push(entry)
      }
      if (entries.length >= batchEntriesMax) break
    }
    return entries
  }

  /** Returns the end of the frame with that entry, or `upTo` if it lies beyond. */
  private async endOfFrame(from: number, upTo: number): Promise<number> {
    if (this.frameEnd < from) {
      const [frame] = await this.options.log.framesFrom(from, 1)
      if (frame && frame.last <= upTo) this.frameEnd = frame.last
    }
    return this.frameEnd < from ? upTo : Math.min(upTo, this.frameEnd)
  }
}
