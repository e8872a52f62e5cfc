import type { Frame } from '../ports/frames.js'
import type { Account, Budget } from '../structures/budget.js'

/** Frames that came from a primary and are not yet durable. */
export class ReceivedFrames {
  private waiting: Frame[] = []
  private unflushed = 0
  private waiters: (() => void)[] = []
  private readonly account: Account

  constructor(private readonly budget: Budget) {
    this.account = budget.account('received')
  }

  get isFlushing(): boolean {
    return this.unflushed > 0
  }

  /** Returns false when the node has no memory for a frame. There is always room for one. */
  hasRoom(): boolean {
    return this.account.bytes === 0 || this.budget.allows('received')
  }

  push(frame: Frame): void {
    this.waiting.push(frame)
    this.account.set(this.account.bytes + frame.bytes.length)
  }

  /** Returns all waiting frames for a flush. */
  take(): Frame[] {
    const frames = this.waiting
    this.waiting = []
    this.unflushed += frames.length
    return frames
  }

  /** Forgets a frame of a flush: it is durable, or was not written. */
  done(frame: Frame): void {
    this.unflushed -= 1
    this.forget(frame)
  }

  /** Forgets frames that no flush has taken. */
  drop(): void {
    for (const frame of this.waiting.splice(0)) this.forget(frame)
  }

  private forget(frame: Frame): void {
    this.account.set(this.account.bytes - frame.bytes.length)
  }

  /** Resolves `settled` if nothing is left. */
  release(): void {
    if (this.waiting.length > 0 || this.unflushed > 0) return
    for (const resolve of this.waiters.splice(0)) resolve()
  }

  /** Resolves when all frames are durable (or failed). */
  async settled(): Promise<void> {
    while (this.waiting.length > 0 || this.unflushed > 0) {
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }
}
