import type { NodeId } from '../../machines/base/ids.js'
import { sendAlert } from '../member/alerts.js'
import type { Member } from '../member/member.js'
import type { ReplicaStream } from './replicaStream.js'

/**
 * Which members are fit to be in sync (DESIGN section 4.3): who holds a grant, has the disk that
 * the record lists, and lacks nothing that was written long ago.
 */
export class InSyncPolicy {
  /** Ends of the log at past heartbeats: who lacks what was there 5 s ago is out of sync. */
  private pastEnds: { atMs: number; end: number }[] = []
  /** Listed in sync, without what they must hold: they do not count. */
  private readonly lacking = new Map<NodeId, string>()

  constructor(private readonly member: Member, private readonly epochStart: number) {}

  /** Once per heartbeat. */
  tick(): void {
    const { log, context: { ports, settings } } = this.member
    const nowMs = ports.clock.monotonicMs()
    this.pastEnds.push({ atMs: nowMs, end: log.end.sequence })
    const limit = nowMs - settings.inSyncLagMs
    while (this.pastEnds.length > 1 && this.pastEnds[1]!.atMs <= limit) this.pastEnds.shift()
  }

  /**
   * A member that is listed in sync has joined with entries up to `has`. It must hold what is
   * committed, and what it acknowledged before with this disk, up to `acked`.
   */
  joined(node: NodeId, has: number, acked: number): void {
    const { context, log, space } = this.member
    const wanted = Math.max(log.commitSequence, acked)
    if (has >= wanted) return
    const reason = `${node} is listed in sync, and has entries up to ${has}, where those up to `
      + `${wanted} are committed or were acknowledged by it: it does not count until it has them`
    if (!this.lacking.has(node)) sendAlert(context, space, 'entriesLost', { member: node }, reason)
    this.lacking.set(node, reason)
    context.ports.telemetry.count('entriesLost', 1, { space })
  }

  lacks(node: NodeId): boolean {
    return this.lacking.has(node)
  }

  /** Who is out of the set comes in again as any other: when it has everything. */
  adopted(inSync: readonly NodeId[]): void {
    for (const node of this.lacking.keys()) if (!inSync.includes(node)) this.lacking.delete(node)
  }

  /** Why an in-sync member must leave the set, or null. */
  removalReason(node: NodeId, shipping: ReplicaStream, isListed: boolean): string | null {
    const { peers, settings, ports } = this.member.context
    const over = peers.goneReason(node) ?? this.lacking.get(node)
    if (over) return over
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
  isEligible(node: NodeId, shipping: ReplicaStream): boolean {
    const { log, context: { peers, settings } } = this.member
    return shipping.isJoined && peers.isRegistered(node)
      && peers.grantLeftMs(node) > settings.grantMs / 2
      && !peers.isProvenDead(node)
      && shipping.acked >= Math.max(log.commitSequence, this.epochStart)
  }
}
