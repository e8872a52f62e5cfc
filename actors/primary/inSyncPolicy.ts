import type { NodeId } from '../../machines/base/ids.js'
import { sendAlert } from '../member/alerts.js'
import type { Member } from '../member/member.js'
import type { ReplicaStream } from './replicaStream.js'

export interface MembershipChange {
  readonly type: 'memberLost' | 'memberCaughtUp' | 'memberLeaves'
  readonly node: NodeId
  readonly reason: string
}

/**
 * Decides which members may be in sync: those that grant the primary its lease, have the disk that
 * the record lists, and lack nothing that was written long ago.
 */
export class InSyncPolicy {
  /** Ends of the log, and since when, as seen at heartbeats: a member may lag by `inSyncLagMs`. */
  private pastEnds: { atMs: number; end: number }[] = []
  /** Members that are listed in sync and lack entries that they must hold: they do not count. */
  private readonly lacking = new Map<NodeId, string>()

  /** Members that are listed in sync, and have to be installed: they leave the set first. */
  private readonly leaving = new Map<NodeId, string>()

  constructor(private readonly member: Member, private readonly epochStart: number) {}

  /** Called once per heartbeat. */
  tick(): void {
    const { log, context: { ports, settings } } = this.member
    const nowMs = ports.clock.monotonicMs()
    const end = log.end.sequence
    if (this.pastEnds.at(-1)?.end !== end) this.pastEnds.push({ atMs: nowMs, end })
    const limit = nowMs - settings.inSyncLagMs
    while (this.pastEnds.length > 1 && this.pastEnds[1]!.atMs <= limit) this.pastEnds.shift()
  }

  /**
   * Checks a member that is listed in sync and has joined with entries up to `has`. It must hold
   * everything committed, and everything that this disk acknowledged before, up to `acked`.
   */
  joined(node: NodeId, has: number, acked: number): void {
    const { context, log, space } = this.member
    const wanted = Math.max(log.commitSequence, acked)
    if (has >= wanted) return
    const reason = `${node} is listed in sync and has entries up to ${has} only, though those up `
      + `to ${wanted} are committed or were acknowledged by it; it does not count until it has them`
    if (!this.lacking.has(node)) sendAlert(context, space, 'entriesLost', { member: node }, reason)
    this.lacking.set(node, reason)
    context.ports.telemetry.count('entriesLost', 1, { space })
  }

  lacks(node: NodeId): boolean {
    return this.lacking.has(node)
  }

  /**
   * Notes that a member that is listed in sync has to be installed. It lowers what it acknowledged
   * only when no commit counts on it any more, so it is taken out first.
   */
  hasToLeave(node: NodeId, reason: string): void {
    this.leaving.set(node, `${node} has to be installed: ${reason}`)
  }

  /** A member that left the set may enter again like any other: when it has everything. */
  adopted(inSync: readonly NodeId[]): void {
    for (const nodes of [this.lacking, this.leaving]) {
      for (const node of nodes.keys()) if (!inSync.includes(node)) nodes.delete(node)
    }
  }

  /** Returns why an in-sync member must leave the set, or null. */
  removalReason(node: NodeId, shipping: ReplicaStream, isListed: boolean): string | null {
    const { peers, settings, ports } = this.member.context
    const over = peers.goneReason(node) ?? this.lacking.get(node) ?? this.leaving.get(node)
    if (over) return over
    if (peers.grantLeftMs(node) < settings.grantMs / 2) {
      return `the grant of ${node} is older than ${settings.grantMs / 2} ms`
    }
    if (!peers.isRegistered(node)) return `the arbiter does not know this start of ${node} yet`
    if (shipping.isJoined && !isListed) return `${node} came back with another disk`
    const nowMs = ports.clock.monotonicMs()
    const limit = nowMs - settings.inSyncLagMs
    const past = this.pastEnds.findLast((p) => p.atMs <= limit)
    // A member that has just joined has acknowledged nothing in this session, whatever it holds.
    const isNew = shipping.isJoined && nowMs - shipping.joinedAtMs < settings.grantMs / 2
    if (past && !isNew && shipping.acked < past.end) {
      return `${node} lacks what was written ${settings.inSyncLagMs} ms ago`
    }
    return null
  }

  /**
   * Whether a member may enter the set: it has joined in this epoch, its grant is held, its store
   * is not being rebuilt (so that it could be promoted), and it is durable up to the commit
   * sequence and to the epoch-start entry. A new primary may know a lower commit sequence than its
   * predecessor did, but all that was committed is below that entry.
   */
  isEligible(node: NodeId, shipping: ReplicaStream): boolean {
    return this.entryObstacle(node, shipping) === null
  }

  /** Returns why a member may not enter the set now, or null. */
  entryObstacle(node: NodeId, shipping: ReplicaStream): string | null {
    const { log, context: { peers, settings } } = this.member
    const gone = peers.goneReason(node)
    if (gone !== null) return gone
    if (!shipping.isJoined) {
      const isHeard = peers.silenceMs(node) < settings.grantMs
      return isHeard ? `${node} has not joined yet` : `${node} is not heard`
    }
    if (shipping.isRebuilding) return `${node} is rebuilding its store`
    if (!peers.isRegistered(node)) return `the arbiter does not know this start of ${node} yet`
    if (peers.grantLeftMs(node) <= settings.grantMs / 2) return `${node} has not granted the lease`
    const wanted = Math.max(log.commitSequence, this.epochStart)
    return shipping.acked >= wanted
      ? null
      : `${node} has entries up to ${shipping.acked} and needs those up to ${wanted}`
  }
}
