import type { NodeId } from '../../machines/base/ids.js'
import type { Clock } from '../ports/system.js'

/** Grants of the peers to this node. */
export interface HeldGrants {
  /** Time that the grant of a peer still lasts, ms; 0 or less: it ran out, or there is none. */
  grantLeftMs(peer: NodeId): number
  /** Number of the peer's unbroken stretch of grants; another one after each gap. */
  grantStretch(peer: NodeId): number
}

interface Needed {
  readonly node: NodeId
  readonly stretch: number
}

/**
 * Lease of one epoch: the grants of all in-sync members, of both sets while a change is in flight.
 * Checked when a write is taken and when its answer is sent, so a check is two clock reads: grants
 * are looked at only when those that were seen last have run out. Nothing has to be done for it at
 * a heartbeat. A lapse is final, also one that nobody looked at: the stretch of grants is another
 * one then.
 */
export class Lease {
  private untilMonotonicMs = -Infinity
  private untilWallMs = -Infinity
  private isLapsed = false
  private needed: readonly Needed[] = []

  constructor(
    private readonly self: NodeId,
    private readonly clock: Clock,
    private readonly grants: HeldGrants,
    private readonly onLapse: (reason: string) => void,
  ) {}

  /** Sets the members whose grants are needed from now on. */
  need(members: Iterable<NodeId>): void {
    const isHeld = this.valid()
    this.note(members)
    // If a grant is missing, the next check finds the lapse.
    if (isHeld && !this.extend()) this.untilMonotonicMs = this.clock.monotonicMs()
  }

  /** Begins the lease. Returns false, without a lease, when a grant is missing. */
  begin(members: Iterable<NodeId>): boolean {
    this.note(members)
    return this.extend()
  }

  valid(): boolean {
    if (this.isLapsed) return false
    // Both clocks: the monotonic one stops while the machine is suspended.
    if (this.clock.monotonicMs() < this.untilMonotonicMs
      && this.clock.wallMs() < this.untilWallMs) return true
    if (this.untilMonotonicMs === -Infinity) return false
    if (this.extend()) return true
    this.lapse(this.missingReason())
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
    this.extend()
    return Math.max(0, Math.min(
      this.untilMonotonicMs - this.clock.monotonicMs(),
      this.untilWallMs - this.clock.wallMs(),
    ))
  }

  missing(): NodeId[] {
    return this.needed.map(({ node }) => node).filter((node) => this.grants.grantLeftMs(node) <= 0)
  }

  private note(members: Iterable<NodeId>): void {
    const peers = [...new Set(members)].filter((node) => node !== this.self)
    this.needed = peers.map((node) => ({ node, stretch: this.grants.grantStretch(node) }))
  }

  /** Extends the lease to the end of the shortest grant. False: one is missing, or was. */
  private extend(): boolean {
    let restMs = Number.MAX_SAFE_INTEGER
    for (const { node, stretch } of this.needed) {
      if (this.grants.grantStretch(node) !== stretch) return false
      restMs = Math.min(restMs, this.grants.grantLeftMs(node))
    }
    if (restMs <= 0) return false
    this.untilMonotonicMs = this.clock.monotonicMs() + restMs
    this.untilWallMs = this.clock.wallMs() + restMs
    return true
  }

  private missingReason(): string {
    const missing = this.missing()
    return missing.length > 0
      ? `the lease lapsed: no valid grant from ${missing.join(', ')}`
      : 'the lease lapsed: it was not renewed in time'
  }
}
