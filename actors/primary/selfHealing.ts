import type { NodeId } from '../../machines/base/ids.js'
import { msText } from '../../machines/base/units.js'
import { learnerOf } from '../../machines/protocol/members.js'
import type { MemberOrder } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { nextPlace } from '../../machines/protocol/spacePlacement.js'
import type { Member } from '../member/member.js'

/** Who orders these changes, as the record names it. */
export const selfHealing = 'self-healing'

export interface SelfHealingOptions {
  readonly member: Member
  readonly order: (order: MemberOrder | null) => Promise<unknown>
}

/**
 * Replaces a member that has been gone for `replaceAfterMs` by the best spare node; 0: never. Not
 * while the arbiter or half of the known nodes are missing, or the space is paused: then it is not
 * the member that is wrong. A change that was begun here is taken back when the member is in sync
 * again, or when the learner is gone as long.
 */
export class SelfHealing {
  private readonly goneSinceMs = new Map<NodeId, number>()
  private isOrdering = false

  constructor(private readonly options: SelfHealingOptions) {}

  /** Called once per heartbeat. */
  tick(): void {
    const { member, member: { known: { record }, context: { settings } } } = this.options
    if (!record || settings.replaceAfterMs === 0) return
    const { assignment } = record
    this.notice(assignment)
    if (this.isOrdering || !this.isUsual(assignment)) return
    const { change } = assignment
    if (change) {
      if (change.by === selfHealing && this.isIdle(assignment)) void this.order(null)
      return
    }
    const gone = assignment.members.find(({ node }) => this.isLongGone(node))?.node
    if (gone === undefined) return
    const spare = this.spareFor(assignment, gone)
    if (spare === null) return
    const forText = msText(settings.replaceAfterMs)
    member.alert('memberGone', { member: gone, replacedBy: spare },
      `${gone} has been gone for ${forText}: ${spare} takes its place`)
    void this.order({ add: spare, remove: gone, by: selfHealing })
  }

  /** Notes since when each member, and the learner, is gone. */
  private notice(assignment: Assignment): void {
    const { self, context: { peers, ports: { clock } } } = this.options.member
    const nodes = assignment.members.map(({ node }) => node)
    const learner = learnerOf(assignment)
    if (learner !== null) nodes.push(learner)
    const living = new Set(peers.living())
    for (const node of this.goneSinceMs.keys()) {
      if (living.has(node) || !nodes.includes(node)) this.goneSinceMs.delete(node)
    }
    for (const node of nodes) {
      if (node === self || living.has(node) || this.goneSinceMs.has(node)) continue
      this.goneSinceMs.set(node, clock.monotonicMs())
    }
  }

  private isLongGone(node: NodeId): boolean {
    const { ports: { clock }, settings } = this.options.member.context
    const since = this.goneSinceMs.get(node)
    return since !== undefined && clock.monotonicMs() - since >= settings.replaceAfterMs
  }

  private isUsual({ members, paused }: Assignment): boolean {
    const { known, context: { peers } } = this.options.member
    if (known.arbiter !== 'reachable' || known.rejection !== null || paused) return false
    const all = new Set([...peers.names(), ...members.map(({ node }) => node)])
    return peers.living().length * 2 > all.size
  }

  /** Nothing is gained by going on with the change that was ordered here. */
  private isIdle(assignment: Assignment): boolean {
    const { change, inSync } = assignment
    const learner = learnerOf(assignment)
    if (learner !== null && this.isLongGone(learner)) return true
    return learner !== null && change?.remove !== undefined && inSync.includes(change.remove)
  }

  private spareFor({ space, members }: Assignment, gone: NodeId): NodeId | null {
    const { peers } = this.options.member.context
    const stay = members.map(({ node }) => node).filter((node) => node !== gone)
    const spares = peers.living()
      .filter((node) => node !== gone && !stay.includes(node) && peers.unfitOf(node) === null)
    return nextPlace(space, spares, stay, (node) => peers.zoneOf(node))
  }

  /** `null`: takes the change back. A refusal is no matter: it is judged again. */
  private async order(order: MemberOrder | null): Promise<void> {
    const { member: { space, context: { ports: { logger } } } } = this.options
    this.isOrdering = true
    try {
      await this.options.order(order)
    } catch (error) {
      logger.warn({ space, error: String(error) }, 'a member could not be replaced yet')
    } finally {
      this.isOrdering = false
    }
  }
}
