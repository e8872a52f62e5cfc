import type { NodeId } from '../../machines/base/ids.js'
import type { FailureDetectorEffect } from '../../machines/failureDetector.js'
import type { NodePorts } from '../ports/node.js'
import type { Clock } from '../ports/system.js'

type EffectOf<T extends FailureDetectorEffect['type']> = FailureDetectorEffect & { type: T }

/** Deaths of a peer that are remembered. */
const deathsMax = 8

/**
 * Records in this node's events which peers were lost, and which of those came back; remembers when
 * they died.
 */
export class LostPeers {
  /** Peers that are gone or have left, and are not back. */
  private readonly lost = new Set<NodeId>()
  /** When each one died since this node's start, monotonic; the latest last. */
  private readonly deaths = new Map<NodeId, number[]>()

  constructor(
    private readonly events: NodePorts['events'],
    private readonly clock: Pick<Clock, 'monotonicMs'>,
  ) {}

  noteLost(effect: EffectOf<'peerDied' | 'peerLeft'>): void {
    const { peer, life, reason } = effect
    // A 503 after the grant ran out is no news: the peer is already lost.
    if (this.lost.has(peer)) return
    this.lost.add(peer)
    const isGone = effect.type === 'peerDied'
    if (isGone) {
      const times = [...this.deaths.get(peer) ?? [], this.clock.monotonicMs()]
      this.deaths.set(peer, times.slice(-deathsMax))
    }
    this.events.note({
      type: 'peer',
      peer,
      state: isGone ? 'gone' : 'left',
      life,
      reason,
      vacancy: isGone ? effect.vacancy : null,
    })
  }

  forget(peer: NodeId): void {
    this.lost.delete(peer)
    this.deaths.delete(peer)
  }

  /** How often the peer died within that time. One that has left did not die. */
  deathsOf(peer: NodeId, withinMs: number): number {
    const sinceMs = this.clock.monotonicMs() - withinMs
    return (this.deaths.get(peer) ?? []).filter((atMs) => atMs >= sinceMs).length
  }

  /** Records the return of a peer that was lost. An ended suspicion is no return. */
  noteBack({ peer, life, reason }: EffectOf<'peerReturned' | 'peerRestarted'>): void {
    if (!this.lost.delete(peer)) return
    this.events.note({ type: 'peer', peer, state: 'back', vacancy: null, life, reason })
  }
}
