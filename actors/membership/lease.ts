import type { NodeId } from '../../machines/base/ids.js'
import type { Clock } from '../ports/system.js'

/** Time that the grant of a peer still lasts, ms; 0 or less: it ran out, or there is none. */
export type GrantRemaining = (peer: NodeId) => number

/**
 * Lease of one epoch: the grants of all in-sync members, of both sets while a change is in flight.
 * Checked when a write is taken and when its answer is sent, so a check is two clock reads. Grants
 * are evaluated when a heartbeat arrives. A lapse is final.
 */
export class Lease {
  private untilMonotonicMs = -Infinity
  private untilWallMs = -Infinity
  private isLapsed = false
  private members: readonly NodeId[] = []

  constructor(
    private readonly self: NodeId,
    private readonly clock: Clock,
    private readonly remaining: GrantRemaining,
    private readonly onLapse: (reason: string) => void,
  ) {}

  /** Sets the members whose grants are needed from now on. */
  need(members: Iterable<NodeId>): void {
    this.members = [...new Set(members)].filter((node) => node !== this.self)
    this.renew()
  }

  /** Extends the lease after heartbeats. A lease that ran out before stays lapsed. */
  renew(): void {
    if (!this.valid()) return
    const rest = this.restMs()
    this.untilMonotonicMs = this.clock.monotonicMs() + rest
    this.untilWallMs = this.clock.wallMs() + rest
  }

  /** Begins the lease. Returns false, without a lease, when a grant is missing. */
  begin(members: Iterable<NodeId>): boolean {
    this.members = [...new Set(members)].filter((node) => node !== this.self)
    const rest = this.restMs()
    if (rest <= 0) return false
    this.untilMonotonicMs = this.clock.monotonicMs() + rest
    this.untilWallMs = this.clock.wallMs() + rest
    return true
  }

  valid(): boolean {
    if (this.isLapsed) return false
    // Both clocks: the monotonic one stops while the machine is suspended.
    if (this.clock.monotonicMs() < this.untilMonotonicMs
      && this.clock.wallMs() < this.untilWallMs) return true
    if (this.untilMonotonicMs > -Infinity) this.lapse(this.missingReason())
    return false
  }

  lapse(reason: string): void {
    if (this.isLapsed) return
    this.isLapsed = true
    this.onLapse(reason)
  }

  get lapsed(): boolean {
    return this.isLapsed
  }

  /** Time left, ms; for the status. */
  leftMs(): number {
    if (this.isLapsed) return 0
    return Math.max(0, Math.min(
      this.untilMonotonicMs - this.clock.monotonicMs(),
      this.untilWallMs - this.clock.wallMs(),
    ))
  }

  missing(): NodeId[] {
    return this.members.filter((node) => this.remaining(node) <= 0)
  }

  private restMs(): number {
    let rest = Number.MAX_SAFE_INTEGER
    for (const node of this.members) rest = Math.min(rest, this.remaining(node))
    return rest
  }

  private missingReason(): string {
    const missing = this.missing()
    return missing.length > 0
      ? `the lease lapsed: no valid grant from ${missing.join(', ')}`
      : 'the lease lapsed: it was not renewed in time'
  }
}
