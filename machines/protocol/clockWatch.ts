import type { NodeId } from '../base/ids.js'

/** A peer's wall clock against the own, ms: ahead (positive) by no less and no more than this. */
export interface ClockOffset {
  readonly leastMs: number
  readonly mostMs: number
}

/** A node whose clock differs from its peers' by more says so, until it differs by less. */
export const clockFaultMs = { raised: 5000, cleared: 2500 } as const

/**
 * The wall clocks of a node's peers, as their heartbeats tell them. A heartbeat was sent between
 * the sending of the latest of mine that it lists and its receipt: so the offset lies within an
 * interval, and what was late on its way, or received by a process that stood still, accuses
 * nobody.
 */
export class ClockWatch {
  private readonly offsets = new Map<NodeId, ClockOffset>()
  private isRaised = false

  /**
   * A heartbeat of the peer, sent at `peerWallMs` by its clock, came at `wallMs` by mine; the one
   * of mine that it lists was sent `roundTripMs` before. Without a time (an older node): nothing.
   */
  heard(peer: NodeId, peerWallMs: number | undefined, wallMs: number, roundTripMs: number): void {
    if (peerWallMs === undefined) this.offsets.delete(peer)
    else {
      const leastMs = peerWallMs - wallMs
      this.offsets.set(peer, { leastMs, mostMs: leastMs + roundTripMs })
    }
  }

  forget(peer: NodeId): void {
    this.offsets.delete(peer)
  }

  /**
   * How far this node's clock is behind (positive) or ahead of (negative) its peers', at least;
   * null: nobody tells. One of two, or half of many, that agree with it clear it.
   */
  offsetMs(peers: readonly NodeId[]): number | null {
    const known = peers.flatMap((peer) => this.offsets.get(peer) ?? [])
      .map(({ leastMs, mostMs }) => (leastMs > 0 ? leastMs : Math.min(mostMs, 0)))
      .toSorted((a, b) => Math.abs(a) - Math.abs(b))
    return known[Math.floor((known.length - 1) / 2)] ?? null
  }

  /** Whether that is a fault now. */
  judge(offsetMs: number | null): boolean {
    const off = Math.abs(offsetMs ?? 0)
    this.isRaised = off > (this.isRaised ? clockFaultMs.cleared : clockFaultMs.raised)
    return this.isRaised
  }
}
