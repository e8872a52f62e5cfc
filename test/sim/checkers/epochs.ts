/** I1 and I2: who answers, and who could. */
import type { Lease } from '../../../actors/membership/lease.js'
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { SimNode } from '../../support/simNode.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'

export class EpochChecks {
  /** The holder that answered positively in an epoch: node, life and connection. */
  private readonly holders = new Map<number, string>()
  private latest = 0

  constructor(private readonly world: CheckedWorld) {}

  /** A positive answer leaves a node, over a connection that the broker holds. */
  answered(node: SimNode, { epoch, sequence, ack }: WriteAnswer): void {
    const life = node.life!
    const holder = `${node.id}, life ${life.number}, `
      + `connection ${life.actor.context?.wire.life.connection}`
    const known = this.holders.get(epoch)
    if (known === undefined) this.holders.set(epoch, holder)
    else if (known !== holder) {
      this.world.violate('I1', `epoch ${epoch} is answered by ${known}, and by ${holder}`)
    }
    if (epoch < this.latest && !this.world.checks.record.isExempt(epoch, this.latest)) {
      this.world.violate('I2', `${holder} answers ${ack} at sequence ${sequence} in epoch `
        + `${epoch}, after an answer of epoch ${this.latest} by ${this.holders.get(this.latest)}`)
    }
    this.latest = Math.max(this.latest, epoch)
  }

  /** Also stopped processes, as they would decide if they went on right now. */
  afterStep(): void {
    let first: SimNode | null = null
    for (const node of this.world.cluster.nodes.values()) {
      if (!wouldServe(node)) continue
      if (first) return this.two(first, node)
      first = node
    }
  }

  private two(one: SimNode, other: SimNode): void {
    const epochs = [one, other].map((node) => node.space(space).member.own.epoch)
    if (this.world.checks.record.isExempt(Math.min(...epochs), Math.max(...epochs))) return
    this.world.violate('I2', `${one.id} (epoch ${epochs[0]}) and ${other.id} (epoch ${epochs[1]}) `
      + 'would both answer writes positively')
  }
}

/** Looks without touching: the product's own check would lapse a lease that has run out. */
export function wouldServe(node: SimNode): boolean {
  const actor = node.life?.actor.spaces.get(space)
  const role = actor?.primaryRole
  if (!actor || !role || node.life!.connection?.isClosed !== false) return false
  return !role['epoch'].isOver && role['handover'].to === null && role['gate'].isSubscribed
    && !role['replies'].isOver && isValid(actor.member.own.lease)
}

function isValid(lease: Lease | null): boolean {
  if (lease === null) return false
  const look = Object.create(lease, { lapse: { value: () => undefined } }) as Lease
  return look.valid()
}
