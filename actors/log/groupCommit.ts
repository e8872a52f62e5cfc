import { isNoSpace } from '../ports/fileSystem.js'
import { JournalFullError } from '../ports/journal.js'
import type { Journal, JournalRecord } from '../ports/journal.js'
import type { Clock, Logger, Telemetry, TimerHandle } from '../ports/system.js'
import { pause } from '../structures/pause.js'

/** One record on its way to the disk, with a callback for each step. */
export interface FlushItem {
  readonly record: JournalRecord
  readonly bytes: number
  /** Number of requests that wait for it. Default 0. */
  readonly requests?: number
  /** The record is in the file and not yet durable: from here on it may be sent. */
  readonly written?: () => void
  /** The record survives a crash: from here on it may be acknowledged (I4). */
  readonly durable?: () => void
  /** The record was neither written nor sent: its sequences are free again. */
  readonly failed?: (error: JournalFullError) => void
}

/** A source of records to write: open batches, received frames, a control record. */
export interface FlushSource {
  /** Returns up to about `maxBytes`, in order; called when a flush begins. */
  take(maxBytes: number): FlushItem[]
  /** Called after a flush of any source's items failed, before the next one begins. */
  flushFailed?(error: JournalFullError): void
}

export interface GroupCommitOptions {
  readonly journal: Journal
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly flushBytesMax: number
  readonly idleConfirmMs: number
  /** fdatasync failed: nothing that was written since can be trusted; the process must end. */
  readonly onSyncFailed: (error: unknown) => void
  readonly onFull: (error: JournalFullError) => void
  readonly onHealed: () => void
  /**
   * Resolves with whether the disk has room for a flush of so many bytes; called before a journal
   * that lacked it counts as healed.
   */
  readonly hasRoom: (bytes: number) => Promise<boolean>
}

const healProbeMs = 250

/**
 * With some writers at work, a flush waits until this long after the last one began: one batch then
 * costs all processes of the cluster half as often. A lone writer would only wait, and a crowd
 * fills its batches anyway.
 */
const gatherMs = 2
const gatherRequestsMin = 4
const gatherRequestsMax = 64

const isCheckpoint = ({ record }: FlushItem): boolean => record.type === 'checkpoint'

/**
 * Adaptive group commit over all spaces of a node. A flush starts as soon as none is running and a
 * source has records (with some writers at work, a little later: see `gatherMs`). Records that
 * arrive meanwhile form the next one. There is one write and one fdatasync at a time, whatever the
 * number of spaces.
 */
export class GroupCommit {
  private readonly dirty = new Set<FlushSource>()
  private running = false
  private full = false
  /** The disk is short of room. Small records may still fit, so only free room clears this. */
  private isShort = false
  /** Of the largest flush that found no room. */
  private lackedBytes = 0
  /** What room there is, or comes, is not for entries: replicas take none, either. */
  private held = false
  /** The last write that failed found no room. */
  private noRoom = false
  private stopped = false
  private unconfirmed = false
  private lastBeganMs = -Infinity
  private lastRequests = 0
  private bytesFlushed = 0
  private idleTimer: TimerHandle | null = null
  private healTimer: TimerHandle | null = null
  private idle: Promise<void> = Promise.resolve()

  constructor(private readonly options: GroupCommitOptions) {}

  /** Written since the start, bytes. */
  get flushedBytes(): number {
    return this.bytesFlushed
  }

  /** Set while the disk takes no records: such a node is no candidate for a promotion. */
  get isFull(): boolean {
    return this.full
  }

  /** Set while it does so for want of room, and not for another fault. */
  get lacksRoom(): boolean {
    return this.full && (this.isShort || this.noRoom)
  }

  /** Set while the room that is left is needed for something that makes more of it. */
  get isHeld(): boolean {
    return this.held
  }

  /** Notes that the source has records. A flush begins after the present burst of messages. */
  mark(source: FlushSource): void {
    this.dirty.add(source)
    if (this.running || this.stopped) return
    this.running = true
    this.cancelIdle()
    this.idle = Promise.resolve().then(() => this.run())
  }

  /** Writes one record of its own. Rejects with JournalFullError when it was not written. */
  submit(record: JournalRecord, written?: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const source: FlushSource = {
        take: () => [{ record, bytes: 0, written, durable: resolve, failed: reject }],
      }
      this.mark(source)
    })
  }

  /** Resolves when all sources marked so far are flushed (or have failed). */
  async drained(): Promise<void> {
    while (this.running) await this.idle
  }

  async stop(): Promise<void> {
    await this.drained()
    this.stopped = true
    this.cancelIdle()
    if (this.healTimer) this.options.clock.clearTimeout(this.healTimer)
  }

  private async run(): Promise<void> {
    try {
      while (this.dirty.size > 0 && !this.stopped) {
        const waitMs = this.gatherMs()
        if (waitMs > 0) await pause(this.options.clock, waitMs)
        await this.flush()
      }
    } catch (error) {
      // Only a failed sync, or a defect, comes here: both end the node.
      this.stopped = true
      this.options.onSyncFailed(error)
    } finally {
      this.running = false
    }
    if (this.unconfirmed && !this.stopped) this.armIdle()
  }

  /** Time to wait for more requests, ms. */
  private gatherMs(): number {
    const { lastRequests, lastBeganMs, options: { clock } } = this
    if (lastRequests < gatherRequestsMin || lastRequests > gatherRequestsMax) return 0
    return Math.round(lastBeganMs + gatherMs - clock.monotonicMs())
  }

  private async flush(): Promise<void> {
    const { journal, flushBytesMax, telemetry, clock } = this.options
    const items: FlushItem[] = []
    let bytes = 0
    let requests = 0
    const sources = [...this.dirty]
    for (const source of sources) {
      if (bytes >= flushBytesMax) break
      this.dirty.delete(source)
      for (const item of source.take(flushBytesMax - bytes)) {
        items.push(item)
        bytes += item.bytes
        requests += item.requests ?? 0
      }
    }
    if (items.length === 0) return
    // They are about entries that were there before, and come before others of their space.
    if (items.some(isCheckpoint)) items.sort((a, b) => +isCheckpoint(b) - +isCheckpoint(a))
    const begun = clock.monotonicMs()
    this.lastBeganMs = begun
    this.lastRequests = requests
    try {
      await journal.write(items.map((item) => item.record))
    } catch (error) {
      if (!(error instanceof JournalFullError)) throw error
      this.failed(items, sources, error, bytes)
      return
    }
    if (this.full && !this.isShort) this.healed()
    // The disk works while the frames go out.
    const synced = journal.sync()
    try {
      for (const item of items) item.written?.()
    } finally {
      await synced
    }
    this.unconfirmed = items.some((item) => item.record.type !== 'confirm')
    for (const item of items) item.durable?.()
    this.bytesFlushed += bytes
    telemetry.count('journalFlushes')
    telemetry.count('journalFlushedBytes', bytes)
    telemetry.observe('journalFlushMs', clock.monotonicMs() - begun)
  }

  private failed(
    items: readonly FlushItem[],
    sources: readonly FlushSource[],
    error: JournalFullError,
    bytes: number,
  ): void {
    this.options.telemetry.count('journalWriteFailures')
    if (isNoSpace(error)) {
      this.isShort = true
      this.lackedBytes = Math.max(this.lackedBytes, bytes, 1)
    }
    for (const item of items) item.failed?.(error)
    // Also sources marked meanwhile: their records may continue those that were not written.
    for (const source of new Set([...sources, ...this.dirty])) source.flushFailed?.(error)
    this.becomeFull(error)
  }

  /** Reports a disk without room: nothing new is taken until it has some. */
  runShort(): void {
    if (this.stopped) return
    this.isShort = true
    this.becomeFull(new JournalFullError('the disk is full'))
  }

  /** The same, and replicas take no entries, which may still fit. */
  hold(): void {
    if (this.stopped) return
    this.held = true
    this.runShort()
  }

  private becomeFull(error: JournalFullError): void {
    this.noRoom = isNoSpace(error)
    if (!this.full) {
      this.full = true
      this.options.logger.error({ error: error.message }, 'the journal cannot be written')
      this.options.onFull(error)
    }
    this.healTimer ??= this.options.clock.setTimeout(() => void this.probe(), healProbeMs)
  }

  /** Tests whether the disk takes a record again. */
  private async probe(): Promise<void> {
    this.healTimer = null
    if (this.isShort && !this.stopped) {
      const hasRoom = await this.options.hasRoom(this.lackedBytes)
      // What became short meanwhile has a probe of its own: the answer is from before.
      if (this.healTimer) return
      this.isShort = !hasRoom
    }
    if (!this.full || this.stopped) return
    if (this.isShort) return this.runShort()
    this.held = false
    this.submit({ type: 'confirm' }).catch(() => undefined)
  }

  private healed(): void {
    this.full = false
    this.lackedBytes = 0
    this.options.logger.info({}, 'the journal can be written again')
    this.options.onHealed()
  }

  /**
   * Writes a record soon after the last flush. The end of the journal may be damaged in a crash;
   * with a later record behind it, an acknowledged flush is not mistaken for a torn one.
   */
  private armIdle(): void {
    this.cancelIdle()
    this.idleTimer = this.options.clock.setTimeout(() => {
      this.idleTimer = null
      if (!this.running && !this.stopped) this.submit({ type: 'confirm' }).catch(() => undefined)
    }, this.options.idleConfirmMs)
  }

  private cancelIdle(): void {
    if (this.idleTimer) this.options.clock.clearTimeout(this.idleTimer)
    this.idleTimer = null
  }
}
