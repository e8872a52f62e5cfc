import { Overlay } from '../overlay/overlay.js'
import type { Clock } from '../ports/system.js'
import { expectedEntries } from './pendingWrite.js'
import type { PendingWrite } from './pendingWrite.js'

/** Kept up for this long after it was asked for last, ms: nothing is paid for it otherwise. */
const keptMs = 1000

/**
 * What a primary has taken and its overlay does not have yet, read as if it had: who judges a
 * write has to see all that comes before it in the log.
 */
export class PendingView {
  private kept: { readonly overlay: Overlay; usedAtMs: number } | null = null

  /** `requests`: those that are pending, in order. */
  constructor(
    private readonly clock: Clock, private readonly epoch: number,
    private readonly requests: () => readonly PendingWrite[],
  ) {}

  /** Whoever adds to it drops that again before anything else is taken. */
  pending(): Overlay {
    const usedAtMs = this.clock.monotonicMs()
    if (this.kept) {
      this.kept.usedAtMs = usedAtMs
      return this.kept.overlay
    }
    const overlay = new Overlay()
    for (const request of this.requests()) overlay.add(expectedEntries(request, this.epoch), 0, 0)
    this.kept = { overlay, usedAtMs }
    return overlay
  }

  taken(request: PendingWrite): void {
    this.kept?.overlay.add(expectedEntries(request, this.epoch), 0, 0)
  }

  /** Up to there it is in the primary's overlay. */
  durable(upTo: number): void {
    this.kept?.overlay.applied(upTo)
  }

  /** Something that was taken will not be written. */
  drop(): void {
    this.kept = null
  }

  /** Once per heartbeat. */
  tick(): void {
    if (this.kept && this.clock.monotonicMs() - this.kept.usedAtMs > keptMs) this.kept = null
  }
}
