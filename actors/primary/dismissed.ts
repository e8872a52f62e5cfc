import type { NodeId } from '../../machines/base/ids.js'
import type { Member } from '../member/member.js'

/**
 * Nodes that were taken out of the members in this epoch. They hear that their session is over,
 * again and again until they ask to join or are gone: while a node takes itself for a follower, it
 * calls what it has fresh.
 */
export class Dismissed {
  private readonly nodes = new Set<NodeId>()

  constructor(private readonly member: Member, private readonly epoch: number) {}

  add(node: NodeId): void {
    this.nodes.add(node)
    this.member.sendSession(node, this.epoch, 0)
  }

  /** It knows, or it holds the space again. */
  delete(node: NodeId): void {
    this.nodes.delete(node)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { context: { peers } } = this.member
    for (const node of this.nodes) {
      if (peers.isProvenDead(node)) this.nodes.delete(node)
      else this.member.sendSession(node, this.epoch, 0)
    }
  }
}
