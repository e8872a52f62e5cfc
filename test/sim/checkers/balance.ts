/** What a primary hands over for balance, held against the record and the time since it began. */
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'

/** As the primary's chart gives the reason. */
const handedBack = /^primary: (\S+) is its preferred primary/
/** Clocks of nodes run faster than the world's by less than this. */
const fastest = 1.06

export class BalanceChecks {
  constructor(private readonly world: CheckedWorld) {}

  logged(node: SimNode, message: string): void {
    const [, to] = handedBack.exec(message) ?? []
    if (to === undefined) return
    const { checks } = this.world
    const { current, epochSinceMs } = checks.record
    // One of an epoch that is over may not have heard: what it gives away is not its own.
    if (!current || current.state !== 'open' || current.primary?.node !== node.id) return
    checks.saw('primaries handed back')
    const known = node.space(space).member.known.record?.assignment
    const lastedMs = this.world.now - epochSinceMs
    const leastMs = (this.world.plan.balanceAfterMs ?? Infinity) / fastest
    const fault = current.change
      ? 'a change of the members is under way'
      : current.forced || current.promotedBy !== undefined
      ? 'an operator chose the primary'
      : known?.paused
      ? 'the space is paused'
      : !current.inSync.includes(to)
      ? `in sync are ${current.inSync.join(', ')}`
      : lastedMs < leastMs
      ? `its epoch began ${lastedMs} ms ago`
      : null
    if (fault !== null) {
      this.world.violate('balance', `${node.id} hands over to ${to}, and ${fault}`)
    }
  }
}
