import type { MemberChange } from '../../machines/protocol/memberChange.js'
import { showChange, type MemberOrder } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { rebalancing } from '../../machines/protocol/rebalance.js'
import type { MemberMove } from '../../machines/protocol/rebalance.js'
import { doubled } from '../structures/backoff.js'
import { Streak } from '../structures/streak.js'
import { OwnOrders } from './ownOrders.js'
import type { OwnOrdersOptions } from './ownOrders.js'
import { isUsual } from './usual.js'

/** Who orders these changes, as the record names it. */
export const memberBalancer = 'auto-balance'

const nothingDue = { what: '', sinceMs: 0 }

/** A learner that gets no further for so many times `balanceAfterMs` is given up. */
const stuckTimes = 10

/**
 * Moves members to where the space would be placed if it were created now, on the nodes that live
 * and are fit, one after the other. A space with a member that is not such a node stays as it is. A
 * move is ordered when it was the next one for `balanceAfterMs`, and taken back when its learner is
 * gone for as long, or gets no further for ten times as long. Each time that a move was taken back,
 * it has to be the next one for twice as long before it is ordered again.
 */
export class MemberBalance {
  /** What would be ordered, or taken back, and since when. */
  private due: typeof nothingDue = nothingDue
  /** Moves that were taken back. */
  private readonly takenBack = new Streak()
  private readonly orders: OwnOrders

  constructor(private readonly options: OwnOrdersOptions) {
    this.orders = new OwnOrders(options, 'a member could not be moved yet')
  }

  get isOrdering(): boolean {
    return this.orders.isUnderWay
  }

  /** Called once per heartbeat while nothing speaks against a change. */
  tick({ space, members }: Assignment): void {
    const { member: { self, context: { peers, moving } } } = this.options
    const nodes = peers.living().filter((node) => peers.unfitOf(node) === null)
    const names = members.map(({ node }) => node)
    const moves = names.every((node) => nodes.includes(node))
      ? rebalancing([{ space, members: names, primary: self }], nodes, (node) => peers.zoneOf(node))
      : []
    const move = moves.find((one): one is MemberMove => one.type === 'member')
    if (!move) return this.beginAnew()
    const { add, remove } = move
    const what = showChange(move)
    if (!this.isDue(what, this.takenBack.of(what)) || !moving.take(space)) return
    void this.order({ add, remove, by: memberBalancer })
  }

  /** Called instead while a change is under way. */
  underWay(assignment: Assignment, change: MemberChange): void {
    const { member, member: { context: { peers, settings } }, learner } = this.options
    const { add, by } = change
    if (by !== memberBalancer || add === undefined || !isUsual(member, assignment)) {
      return this.beginAnew()
    }
    const isGone = !peers.isLiving(add) || peers.unfitOf(add) !== null
    if (!isGone) this.beginAnew()
    const isStuck = learner.isStuckFor(stuckTimes * settings.balanceAfterMs)
    if (isGone ? this.isDue(`cancel ${add}`) : isStuck && this.orders.mayBegin)
      this.takeBack(change)
  }

  private takeBack(change: MemberChange): void {
    this.takenBack.count(showChange(change))
    void this.order(null, change)
  }

  /** Called instead while something else speaks against a change. */
  beginAnew(): void {
    this.due = nothingDue
  }

  private isDue(what: string, times = 0): boolean {
    const { ports: { clock }, settings: { balanceAfterMs } } = this.options.member.context
    const nowMs = clock.monotonicMs()
    if (this.due.what !== what) this.due = { what, sinceMs: nowMs }
    return this.orders.mayBegin && nowMs - this.due.sinceMs >= doubled(balanceAfterMs, times)
  }

  private async order(order: MemberOrder | null, only?: MemberChange): Promise<void> {
    await this.orders.send(order, only)
    this.beginAnew()
  }
}
