/**
 * The store's file is never synced while it is open (store.ts): the kernel writes its pages back by
 * itself, about half a minute later. A disk that fails then reports that to the next caller of
 * sync, and to nobody else; the page is dropped, and a later read gets older contents. So somebody
 * has to sync: when nothing was written for so long that everything is written back, which costs
 * next to nothing, or once an hour if that never happens.
 */

import { messageOf } from '../../machines/base/thrown.js'

/** After this long without a write the kernel has written everything back (30 s, then 5 s). */
const quietMs = 40_000
/** A store that is written all the time is synced after this time. */
const busyMs = 3_600_000

export interface WritebackOptions {
  /** Rejects with the error of earlier writes. */
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

  /** Called when something was written to the file. */
  wrote(): void {
    this.isDirty = true
    this.wroteAtMs = this.options.nowMs()
  }

  /** Called now and then. */
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
      onFailed('the disk lost earlier writes of the store: '
        + messageOf(error))
    } finally {
      this.isSyncing = false
    }
  }
}
