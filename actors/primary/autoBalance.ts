import type { NodeId } from '../../machines/base/ids.js'
import { msText } from '../../machines/base/units.js'
import { handoverPatienceMs } from '../../machines/primary.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { preferredPrimary } from '../../machines/protocol/spacePlacement.js'
import { doubled, longest } from '../structures/backoff.js'
import { Since } from '../structures/since.js'
import { Streak } from '../structures/streak.js'
import type { Followers } from './followers.js'
import type { InSyncSet } from './inSyncSet.js'
import { MemberBalance, memberBalancer } from './memberBalance.js'
import type { OwnOrdersOptions } from './ownOrders.js'
import { unfitNow } from './unfitNow.js'
import { isUsual } from './usual.js'

export interface AutoBalanceOptions extends OwnOrdersOptions {
  readonly followers: Pick<Followers, 'lagMs'>
  readonly inSync: Pick<InSyncSet, 'certain'>
  readonly primary: {
    /** It takes writes, and does not hand over. */
    readonly serves: boolean
    handOver(to: NodeId, reason: string): boolean
  }
}

/** The target may be behind by one part in so many of the time for which a handover waits. */
const lagShare = 4

/**
 * Brings the space back to its preferred primary, the heaviest member in sync, once that was well
 * for `balanceAfterMs`; with `autoBalance` all, its members to where they would be placed now, too.
 * That time is twice as long for each handover in a row that came to nothing, and for each time
 * that the member died lately, the first one aside: a handover that fails holds writes for nothing.
 * An operator who promoted another member is not overruled. Every other reason not to act begins
 * that time anew, and so does each attempt: there are never two within it.
 */
export class AutoBalance {
  private readonly well: Since<NodeId>
  private readonly members: MemberBalance
  private isAsking = false
  /** Handovers that came to nothing, by the start of their target. */
  private readonly failed = new Streak()
  /** Whether this primary is not the heaviest member, by the record that was looked at last. */
  private looked: { readonly record: Assignment; readonly isAway: boolean } | null = null

  constructor(private readonly options: AutoBalanceOptions) {
    this.well = new Since(options.member.context.ports.clock)
    this.members = new MemberBalance(options)
  }

  /** Called once per heartbeat. */
  tick(): void {
    const { member, primary } = this.options
    const { space, known: { record }, context: { duty, balancing, moving } } = member
    if (!record || this.isAsking || !primary.serves) return
    const { assignment, assignment: { change } } = record
    balancing.giveBack(space)
    if (change?.by !== memberBalancer && !this.members.isOrdering) moving.giveBack(space)
    if (change) {
      this.well.clear()
      return this.members.underWay(assignment, change)
    }
    // In this order: most spaces are where they belong, and cost nothing more.
    if (!this.hasAim(assignment) || duty.unfit !== null || !isUsual(member, assignment)) {
      this.well.clear()
      return this.members.beginAnew()
    }
    this.well.update(assignment.members.map(({ node }) => node).filter((node) => this.isWell(node)))
    if (member.context.settings.autoBalance === 'all') this.members.tick(assignment)
    if (!this.members.isOrdering && this.isToMove(assignment)) this.balance(assignment)
  }

  /** The epoch is over: the next primary goes on. */
  end(): void {
    const { space, context: { balancing, moving } } = this.options.member
    balancing.giveBack(space)
    moving.giveBack(space)
  }

  private hasAim(assignment: Assignment): boolean {
    const { autoBalance } = this.options.member.context.settings
    return autoBalance === 'all' || (autoBalance === 'primaries' && this.isToMove(assignment))
  }

  /** Another member is heavier, and no operator chose this one. */
  private isToMove(record: Assignment): boolean {
    if (this.looked?.record !== record) {
      const { space, members, forced, promotedBy } = record
      const isChosen = forced || promotedBy !== undefined
      const heaviest = preferredPrimary(space, members.map(({ node }) => node))
      this.looked = { record, isAway: !isChosen && heaviest !== this.options.member.self }
    }
    return this.looked.isAway
  }

  private balance({ space, members }: Assignment): void {
    const { member: { self, context: { balancing } } } = this.options
    // One that is well for a shorter time is waited for: no other one takes its place meanwhile.
    const able = members.map(({ node }) => node)
      .filter((node) => node === self || this.isAble(node))
    const to = preferredPrimary(space, able)
    if (to === null || to === self) return
    const wellMs = this.wellMs(to)
    if (!this.well.lasts(to, wellMs) || !balancing.take(space)) return
    this.well.clear()
    void this.handOver(to, wellMs)
  }

  /** For how long it has to be well. */
  private wellMs(node: NodeId): number {
    const { peers, settings: { balanceAfterMs } } = this.options.member.context
    const failures = this.failed.of(this.startOf(node))
    const deaths = peers.deathsOf(node, longest(balanceAfterMs))
    return doubled(balanceAfterMs, failures + Math.max(0, deaths - 1))
  }

  private startOf(node: NodeId): string {
    return `${node} ${this.options.member.context.peers.heardLife(node)?.incarnation}`
  }

  private async handOver(to: NodeId, wellMs: number): Promise<void> {
    const { member, primary } = this.options
    const { space, context: { ports: { logger } } } = member
    this.isAsking = true
    const unfit = await unfitNow(member, to)
    this.isAsking = false
    const record = member.known.record?.assignment
    // Much may have changed while it was asked.
    const isStill = record && !record.change && this.isToMove(record) && isUsual(member, record)
    if (unfit === null && isStill) {
      // If it does not come to nothing, the epoch is over, and this with it.
      const start = this.startOf(to)
      const isBegun = primary.handOver(to,
        `${to} is its preferred primary, and was well for ${msText(wellMs)}`)
      if (isBegun) this.failed.count(start)
    } else if (unfit !== null) {
      logger.info({ space, to }, `not handed back to ${to}: ${unfit}`)
    }
  }

  /** Not drained, and all that it needs to be primary. */
  private isAble(node: NodeId): boolean {
    const { member: { context: { peers } }, inSync } = this.options
    return inSync.certain().has(node) && peers.isLiving(node) && peers.unfitOf(node) === null
  }

  /** Able, and so close behind that writes would not have to wait for it. */
  private isWell(node: NodeId): boolean {
    const { member: { context: { settings } }, followers } = this.options
    return this.isAble(node)
      && followers.lagMs(node) <= handoverPatienceMs(settings.grantMs) / lagShare
  }
}
