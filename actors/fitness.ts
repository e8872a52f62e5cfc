import type { NodeId } from '../machines/protocol.js'
import type { Member } from './member.js'
import type { Shipping } from './shipping.js'

/**
 * Which members are fit to be in sync (DESIGN section 4.3): who holds a grant, has the disk that
 * the record lists, and lacks nothing that was written long ago.
 */
export class Fitness {
  /** Ends of the log at past heartbeats: who lacks what was there 5 s ago is out of sync. */
  private pastEnds: { atMs: number; end: number }[] = []

  constructor(private readonly member: Member, private readonly epochStart: number) {}

  /** Once per heartbeat. */
  tick(): void {
    const { log, context: { ports, settings } } = this.member
    const nowMs = ports.clock.monotonicMs()
    this.pastEnds.push({ atMs: nowMs, end: log.end.sequence })
    const limit = nowMs - settings.inSyncLagMs
    while (this.pastEnds.length > 1 && this.pastEnds[1]!.atMs <= limit) this.pastEnds.shift()
  }

  /** Why an in-sync member must leave the set, or null. */
  lossOf(node: NodeId, shipping: Shipping, isListed: boolean): string | null {
    const { peers, settings, ports } = this.member.context
    if (peers.isProvenDead(node)) return `${node} is proven dead`
    if (peers.grantLeftMs(node) < settings.grantMs / 2) {
      return `the grant of ${node} is older than ${settings.grantMs / 2} ms`
    }
    if (!peers.isRegistered(node)) return `the arbiter does not know this start of ${node} yet`
    if (shipping.isJoined && !isListed) return `${node} came back with another disk`
    const nowMs = ports.clock.monotonicMs()
    const limit = nowMs - settings.inSyncLagMs
    const past = this.pastEnds.findLast((p) => p.atMs <= limit)
    // Who has just joined has acknowledged nothing in this session, whatever it holds.
    const isNew = shipping.isJoined && nowMs - shipping.joinedAtMs < settings.grantMs / 2
    if (past && !isNew && shipping.acked < past.end) {
      return `${node} lacks what was written ${settings.inSyncLagMs} ms ago`
    }
    return null
  }

  /**
   * A member may come in: joined this reign, grant held, durable up to the commit sequence and to
   * the epoch-start entry. Without the latter, an entry of an older reign could be committed
   * twice over (hole 4 of the model's scenarios).
   */
  mayComeIn(node: NodeId, shipping: Shipping): boolean {
    const { log, context: { peers, settings } } = this.member
    return shipping.isJoined && peers.isRegistered(node)
      && peers.grantLeftMs(node) > settings.grantMs / 2
      && !peers.isProvenDead(node)
      && shipping.acked >= Math.max(log.commitSequence, this.epochStart)
  }
}
