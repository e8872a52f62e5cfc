/**
 * The store's file is never synced while it is open (store.ts): the kernel writes its pages back by
 * itself, some half a minute later. A disk that does not take them says so to the next one who
 * syncs, and to nobody else; the page is dropped, and what is read in its place later is older.
 * So somebody has to ask: when nothing was written for long enough that all is written back, which
 * costs next to nothing, or once an hour where that never happens.
 */

/** After so long without a write the kernel has written back what there was (30 s, then 5 s). */
const quietMs = 40_000
/** A store that is written all the time is asked all the same. */
const busyMs = 3_600_000

export interface WritebackOptions {
  /** Rejects with what became of earlier writes. */
  readonly sync: () => Promise<void>
  /** Monotonic. */
  readonly nowMs: () => number
  readonly onFailed: (reason: string) => void
}

export class Writeback {
  private isDirty = false
  private isSyncing = false
  private wroteAtMs = 0
  private askedAtMs: number

  constructor(private readonly options: WritebackOptions) {
    this.askedAtMs = options.nowMs()
  }

  /** Something was written to the file. */
  wrote(): void {
    this.isDirty = true
    this.wroteAtMs = this.options.nowMs()
  }

  /** Now and then. */
  async tick(): Promise<void> {
    const { sync, nowMs, onFailed } = this.options
    const now = nowMs()
    const isDue = now - this.wroteAtMs >= quietMs || now - this.askedAtMs >= busyMs
    if (!this.isDirty || this.isSyncing || !isDue) return
    this.isSyncing = true
    this.isDirty = false
    this.askedAtMs = now
    try {
      await sync()
    } catch (error) {
      onFailed('the disk did not take what was written to it: '
        + (error instanceof Error ? error.message : String(error)))
    } finally {
      this.isSyncing = false
    }
  }
}
