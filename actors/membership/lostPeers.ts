import type { NodeId } from '../../machines/base/ids.js'
import type { FailureDetectorEffect } from '../../machines/failureDetector.js'
import type { NodePorts } from '../ports/node.js'

type EffectOf<T extends FailureDetectorEffect['type']> = FailureDetectorEffect & { type: T }

/** Records in this node's events which peers were lost, and which of those came back. */
export class LostPeers {
  /** Peers that are gone or have left, and are not back. */
  private readonly lost = new Set<NodeId>()

  constructor(private readonly events: NodePorts['events']) {}

  noteLost(effect: EffectOf<'peerDied' | 'peerLeft'>): void {
    const { peer, life, reason } = effect
    // A 503 after the grant ran out is no news: the peer is already lost.
    if (this.lost.has(peer)) return
    this.lost.add(peer)
    const isGone = effect.type === 'peerDied'
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
  }

  /** Records the return of a peer that was lost. An ended suspicion is no return. */
  noteBack({ peer, life, reason }: EffectOf<'peerReturned' | 'peerRestarted'>): void {
    if (!this.lost.delete(peer)) return
    this.events.note({ type: 'peer', peer, state: 'back', vacancy: null, life, reason })
  }
}
