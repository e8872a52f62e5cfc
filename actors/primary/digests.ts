import type { NodeId } from '../../machines/base/ids.js'
import type { Ack } from '../../machines/protocol/messages.js'
import { sendAlert } from '../member/alerts.js'
import type { Member } from '../member/member.js'

/** Compares the stores of the replicas with that of the primary, at the same sequence. */
export class Digests {
  /** Members whose store was last seen to differ: the alert is raised once. */
  private readonly diverged = new Set<NodeId>()

  constructor(private readonly member: Member) {}

  compare({ node, digest, appliedSequence: sequence }: Ack): void {
    const { store, space, context } = this.member
    if (!digest || sequence !== store.applied.sequence) return
    if (digest === store.digest) {
      this.diverged.delete(node)
      return
    }
    context.ports.telemetry.count('divergences', 1, { space })
    if (this.diverged.has(node)) return
    this.diverged.add(node)
    sendAlert(context, space, 'divergence', { member: node, sequence },
      `the store of ${node} differs from this primary's at the same sequence (digests)`)
  }
}
