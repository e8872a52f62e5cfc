import type { NodeId } from '../../machines/base/ids.js'
import { certainlyInSync, isUnderReplicated, unionOf } from '../../machines/log/commit.js'
import { leavingOf, removalObstacle } from '../../machines/protocol/members.js'
import type { Member } from '../member/member.js'

/** The in-sync set of one epoch, and the one that is being written to the record, if any. */
export class InSyncSet {
  private proposed: readonly NodeId[] | null = null
  /** Of the record that has the proposed set. */
  private proposedMinInSync = Infinity

  constructor(
    private readonly member: Pick<Member, 'known'>,
    private inSync: readonly NodeId[],
  ) {}

  /** Both in-sync sets while a change is in flight: commits and the lease need all of them. */
  union(): ReadonlySet<NodeId> {
    return unionOf(this.inSync, this.proposed)
  }

  /** Members that are in both sets while a change is in flight. */
  certain(): ReadonlySet<NodeId> {
    return certainlyInSync(this.inSync, this.proposed)
  }

  /** Number of members that are in sync for certain. */
  get count(): number {
    return this.certain().size
  }

  /**
   * Fewer members are in sync than `minInSync` of the record, or than that of the record in flight.
   * Taking a member out may lower it: then three of three are enough before, and two of two after,
   * whatever the arbiter has by now.
   */
  isBelow(minInSync: number): boolean {
    const { inSync, proposed, proposedMinInSync } = this
    return inSync.length < minInSync
      || (proposed !== null && proposed.length < Math.min(minInSync, proposedMinInSync))
  }

  /** Fewer than min(2, RF) are in sync for certain: no write becomes safe. */
  get isUnderReplicated(): boolean {
    return isUnderReplicated(this.count, this.replicationFactor)
  }

  get replicationFactor(): number {
    return this.member.known.record?.assignment.members.length ?? 1
  }

  /** No change of the set is in flight. */
  get isSettled(): boolean {
    return this.proposed === null
  }

  /** Whether the member is in the set that the record has. */
  has(node: NodeId): boolean {
    return this.inSync.includes(node)
  }

  /** The member that is to leave and may be taken out now, maybe this one; null: none. */
  leaver(): NodeId | null {
    const record = this.member.known.record?.assignment
    const node = record ? leavingOf(record) : null
    if (!record || node === null) return null
    return removalObstacle(record, node, this.certain()) === null ? node : null
  }

  /** `minInSync`: of the record with that set. */
  propose(inSync: readonly NodeId[], minInSync = Infinity): void {
    this.proposed = inSync
    this.proposedMinInSync = minInSync
  }

  adopt(inSync: readonly NodeId[]): void {
    this.inSync = inSync
    this.proposed = null
  }
}
