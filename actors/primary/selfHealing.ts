import type { NodeId } from '../../machines/base/ids.js'
import { msText } from '../../machines/base/units.js'
import { holdersOf } from '../../machines/protocol/members.js'
import type { MemberChange } from '../../machines/protocol/memberChange.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { nextPlace } from '../../machines/protocol/spacePlacement.js'
import { Since } from '../structures/since.js'
import { OwnOrders } from './ownOrders.js'
import type { OwnOrdersOptions } from './ownOrders.js'
import { isUsual } from './usual.js'

/** Who orders these changes, as the record names it. */
const selfHealing = 'self-healing'
const evacuation = 'evacuation'

/**
 * Replaces a member that has been gone for `replaceAfterMs` by the best spare node (0: never), and
 * one that is being evacuated, while all else is as usual: else it is not the member that is wrong.
 * A change that was begun here is taken back when its reason is gone, when the learner is gone for
 * as long, and when it gets no further for as long and another spare node is there.
 */
export class SelfHealing {
  private readonly gone: Since<NodeId>
  /** Members that operators were told of, until they are back. */
  private readonly told = new Set<NodeId>()
  /** Learners that got no further, with their start: others come first in this epoch. */
  private readonly passedOver = new Map<NodeId, number | undefined>()
  private readonly orders: OwnOrders

  constructor(private readonly options: OwnOrdersOptions) {
    this.gone = new Since(options.member.context.ports.clock)
    this.orders = new OwnOrders(options, 'a member could not be replaced yet')
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { space, known: { record }, context: { replacing, peers } } = this.options.member
    if (!record) return
    const { assignment, assignment: { change } } = record
    // The learner, too.
    const gone = holdersOf(assignment).filter((node) => !peers.isLiving(node))
    this.gone.update(gone)
    for (const node of this.told) if (!gone.includes(node)) this.told.delete(node)
    if (this.orders.isUnderWay) return
    if (!change || !isOwn(change)) replacing.giveBack(space)
    if (!this.orders.mayBegin) return
    if (!change) return this.replaceOne(assignment)
    if (!isOwn(change) || !isUsual(this.options.member, assignment)) return
    const isStuck = this.isStuck(assignment, change)
    if (isStuck) this.passedOver.set(change.add!, peers.heardLife(change.add!)?.incarnation)
    if (isStuck || this.isIdle(assignment, change)) void this.orders.send(null, change)
  }

  private replaceOne(assignment: Assignment): void {
    const { space, context: { peers, replacing } } = this.options.member
    const nodes = assignment.members.map(({ node }) => node)
    const gone = nodes.find((node) => this.isLongGone(node))
    const remove = gone ?? nodes.find((node) => peers.isEvacuating(node))
    if (remove === undefined || !isUsual(this.options.member, assignment)) return
    const add = this.spareFor(assignment, remove, (node) => this.isPassedOver(node))
      ?? this.spareFor(assignment, remove)
    if (add === null || !replacing.take(space)) return
    if (gone !== undefined) this.tell(gone, add)
    void this.orders.send({ add, remove, by: gone === undefined ? evacuation : selfHealing })
  }

  /** Whatever becomes of the order, and of those after it. */
  private tell(gone: NodeId, replacedBy: NodeId): void {
    const { member, member: { context: { settings } } } = this.options
    if (this.told.has(gone)) return
    this.told.add(gone)
    member.alert('memberGone', { member: gone, replacedBy },
      `${gone} has been gone for ${msText(settings.replaceAfterMs)}: ${replacedBy} takes its place`)
  }

  /** The epoch is over: the next primary goes on. */
  end(): void {
    const { member: { space, context } } = this.options
    context.replacing.giveBack(space)
  }

  private isLongGone(node: NodeId): boolean {
    const { replaceAfterMs } = this.options.member.context.settings
    return replaceAfterMs > 0 && this.gone.lasts(node, replaceAfterMs)
  }

  /** Nothing is gained by going on with a change that was ordered here. */
  private isIdle({ inSync }: Assignment, change: MemberChange): boolean {
    const { add, remove, by } = change
    if (add === undefined || remove === undefined) return false
    if (this.isLongGone(add)) return true
    const { peers } = this.options.member.context
    return inSync.includes(remove) && (by === selfHealing || !peers.isEvacuating(remove))
  }

  /** The learner gets no further, and a node that was not tried yet can have its place. */
  private isStuck(assignment: Assignment, { add, remove }: MemberChange): boolean {
    const { replaceAfterMs } = this.options.member.context.settings
    const isTried = (node: NodeId) => node === add || this.isPassedOver(node)
    return add !== undefined && remove !== undefined && replaceAfterMs > 0
      && this.options.learner.isStuckFor(replaceAfterMs)
      && this.spareFor(assignment, remove, isTried) !== null
  }

  private spareFor(
    { space, members }: Assignment,
    gone: NodeId,
    isLeftOut: (node: NodeId) => boolean = () => false,
  ): NodeId | null {
    const { peers } = this.options.member.context
    const stay = members.map(({ node }) => node).filter((node) => node !== gone)
    const spares = peers.living().filter((node) =>
      node !== gone && !stay.includes(node) && peers.unfitOf(node) === null && !isLeftOut(node)
    )
    return nextPlace(space, spares, stay, (node) => peers.zoneOf(node))
  }

  /** Once it was started again, it has another chance. */
  private isPassedOver(node: NodeId): boolean {
    return this.passedOver.has(node)
      && this.passedOver.get(node)
        === this.options.member.context.peers.heardLife(node)?.incarnation
  }
}

function isOwn({ by }: MemberChange): boolean {
  return by === selfHealing || by === evacuation
}
