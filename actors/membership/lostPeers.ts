import type { NodeId } from '../../machines/base/ids.js'
import type { FailureDetectorEffect } from '../../machines/failureDetector.js'
import type { NodePorts } from '../ports/node.js'

type EffectOf<T extends FailureDetectorEffect['type']> = FailureDetectorEffect & { type: T }

/** Keeps in the events of this node which peers were lost, and which of those came back. */
export class LostPeers {
  /** Gone or left, and not back since. */
  private readonly lost = new Set<NodeId>()

  constructor(private readonly events: NodePorts['events']) {}

  noteLost(effect: EffectOf<'peerDied' | 'peerLeft'>): void {
    const { peer, life, reason } = effect
    // A 503 after the grant ran out says no more than that it is gone still.
    if (this.lost.has(peer)) return
    this.lost.add(peer)
    const isGone = effect.type === 'peerDied'
    this.events.note({
      type: 'peer', peer, state: isGone ? 'gone' : 'left', life, reason,
      vacancy: isGone ? effect.vacancy : null,
    })
  }

  /** Suspicions come and go: only who was lost is back. */
  noteBack({ peer, life, reason }: EffectOf<'peerReturned' | 'peerRestarted'>): void {
    if (!this.lost.delete(peer)) return
    this.events.note({ type: 'peer', peer, state: 'back', vacancy: null, life, reason })
  }
}
