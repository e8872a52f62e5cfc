import type { NodeId } from '../base/ids.js'

/** Bounds of a peer's wall clock offset, ms: ahead of the own clock (positive) or behind it. */
export interface ClockOffset {
  readonly leastMs: number
  readonly mostMs: number
}

/** Offsets above which a clock fault is raised, and below which it is cleared. */
export const clockFaultMs = { raised: 5000, cleared: 2500 } as const

/**
 * Wall clocks of a node's peers, by their heartbeats. A heartbeat was sent between the sending of
 * the latest own one that it lists and its receipt. So the offset is within an interval, and a
 * heartbeat that was late, or received by a process that was stopped, raises no false alarm.
 */
export class ClockWatch {
  private readonly offsets = new Map<NodeId, ClockOffset>()
  private isRaised = false

  /**
   * Notes a heartbeat of the peer, sent at `peerWallMs` by its clock and received at `wallMs` by
   * the own one; the own one that it lists was sent `roundTripMs` before. Older nodes send no
   * time: those are ignored.
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
   * Lower bound of this node's offset behind (positive) or ahead of (negative) its peers, ms; null:
   * not known. One of two peers, or half of many, that agree with it clear it.
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
