import type { PendingEntries } from '../forks/appender.js'
import type { SpaceLog } from '../log/spaceLog.js'
import { Overlay } from '../overlay/overlay.js'
import type { Clock } from '../ports/system.js'
import { expectedEntries } from './pendingWrite.js'
import type { PendingWrite } from './pendingWrite.js'
import type { WriteBuffer } from './writeBuffer.js'

/** Time that the view is kept up after its last use, ms; otherwise it costs nothing. */
const keptMs = 1000

/**
 * View of the writes that a primary has taken and its overlay does not have yet, as if it had them.
 * A write is judged by everything that comes before it in the log.
 */
export class PendingView implements PendingEntries {
  private kept: { readonly overlay: Overlay; usedAtMs: number } | null = null

  constructor(
    private readonly clock: Clock,
    private readonly epoch: number,
    private readonly log: SpaceLog,
    private readonly buffer: WriteBuffer,
  ) {}

  /** Sequence of the next entry that is taken. */
  get nextSequence(): number {
    return this.log.end.sequence + this.buffer.openEntries + 1
  }

  /** Returns the view. A caller that adds to it drops that again before another write is taken. */
  overlay(): Overlay {
    const usedAtMs = this.clock.monotonicMs()
    if (this.kept) {
      this.kept.usedAtMs = usedAtMs
      return this.kept.overlay
    }
    const overlay = new Overlay()
    for (const request of this.buffer.requests()) {
      overlay.add(expectedEntries(request, this.epoch), 0, 0)
    }
    this.kept = { overlay, usedAtMs }
    return overlay
  }

  taken(request: PendingWrite): void {
    this.kept?.overlay.add(expectedEntries(request, this.epoch), 0, 0)
  }

  /** Forgets entries up to there: they are in the primary's overlay. */
  durable(upTo: number): void {
    this.kept?.overlay.applied(upTo)
  }

  /** Forgets the view: something that was taken will not be written. */
  drop(): void {
    this.kept = null
  }

  /** Called once per heartbeat. */
  tick(): void {
    if (this.kept && this.clock.monotonicMs() - this.kept.usedAtMs > keptMs) this.kept = null
  }
}
