/** Commands that make another member primary: by handover, forced, or while paused. */
import type { Assignment } from '../../machines/protocol/messages.js'
import { AdminRefusal, patienceMs, refusedByArbiter, spaceNameOf } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import type { SpaceActor } from '../space/space.js'
import type { AdminNode } from './adminNode.js'
import { byOf } from './maintenance.js'

/** The parts of the node's admin service that these commands need. */
export interface PromotionAdmin {
  readonly node: AdminNode
  recordOf(name: string): Promise<Assignment>
  /** Forwards the command to another node. */
  passOn(node: string, command: AdminCommand): Promise<Answer>
  /** False: not done within `patienceMs`. */
  until(isDone: () => boolean): Promise<boolean>
}

export class PromoteCommands {
  constructor(private readonly admin: PromotionAdmin) {}

  async promote(command: AdminCommand): Promise<Answer> {
    const { self, duty, peers } = this.admin.node.context!
    const name = spaceNameOf(command)
    const record = await this.admin.recordOf(name)
    const { primary, members } = record
    const to = typeof command['to'] === 'string' ? command['to'] : null
    if (to !== null && !members.some((m) => m.node === to)) {
      throw new AdminRefusal('INVALID_OPERATION',
        `${to} is no member of ${name}; its members are ${members.map((m) => m.node).join(', ')}`)
    }
    const unfit = to === null ? null : to === self.node ? duty.drained : peers.unfitOf(to)
    if (unfit !== null) throw new AdminRefusal('INVALID_OPERATION', unfit, true, 'unfit')
    if (command['force'] === true) {
      if (!to) throw new AdminRefusal('INVALID_OPERATION', 'force needs "to"')
      return to === self.node ? await this.force(name) : await this.admin.passOn(to, command)
    }
    if (record.paused && this.isVacant(record)) return await this.promotePaused(command, record, to)
    if (!primary) throw new AdminRefusal('NOT_PRIMARY', `${name} has no primary`, true)
    if (primary.node !== self.node) return await this.admin.passOn(primary.node, command)
    return await this.handOver(name, to, byOf(command))
  }

  /** As far as this node can tell; the member that is promoted proves it. */
  private isVacant({ space, primary }: Assignment): boolean {
    const { self, peers } = this.admin.node.context!
    if (!primary) return true
    if (primary.node === self.node) return !this.admin.node.spaces.get(space)?.primaryRole
    return peers.isProvenDead(primary.node) || peers.isGrantExpired(primary.node)
  }

  /** No member takes over by itself: the named one does, by the rules of a failover. */
  private async promotePaused(
    command: AdminCommand,
    { space: name, inSync, epoch }: Assignment,
    to: string | null,
  ): Promise<Answer> {
    if (to === null || !inSync.includes(to)) {
      throw new AdminRefusal('INVALID_OPERATION', `${name} has no primary, and its failover is `
        + `paused: resume it, or name a member that is in sync (${inSync.join(', ')}) to promote`)
    }
    if (to !== this.admin.node.context!.self.node) return await this.admin.passOn(to, command)
    const space = this.held(name)
    space.member.fitness.commanded(byOf(command), patienceMs)
    return await this.through(space, () => space.serves && space.member.own.epoch > epoch)
  }

  private held(name: string): SpaceActor {
    const space = this.admin.node.spaces.get(name)
    if (!space) throw new AdminRefusal('UNKNOWN_SPACE', `this node does not hold ${name}`)
    if (space.member.damage) {
      throw new AdminRefusal('INVALID_OPERATION', `its log is damaged: ${space.member.damage}`)
    }
    return space
  }

  /** Waits for the promotion of this node. */
  private async through(space: SpaceActor, isDone: () => boolean): Promise<Answer> {
    const { member } = space
    const { known, blockage } = member
    await this.admin.until(() => isDone() || known.rejection !== null)
    if (space.serves) return { ok: true, primary: member.self, epoch: member.own.epoch }
    throw refusedByArbiter(known.rejection)
      ?? new AdminRefusal('ACK_TIMEOUT',
        `the promotion has not finished${blockage.reason ? `: ${blockage.reason}` : ''}`, true)
  }

  private async handOver(name: string, wanted: string | null, by: string): Promise<Answer> {
    const { self } = this.admin.node.context!
    const space = this.admin.node.spaces.get(name)
    if (!space?.primaryRole) throw new AdminRefusal('NOT_PRIMARY', `${name} has no primary`, true)
    const to = wanted ?? space.successor()
    if (!to) throw new AdminRefusal('NOT_ENOUGH_IN_SYNC', 'no replica is in sync', true)
    if (to === self.node) {
      await space.primaryRole.chosen(by)
      const { epoch } = space.member.own
      return { ok: true, primary: to, epoch, message: 'it is primary already' }
    }
    const { known, own: { epoch } } = space.member
    if (!await this.admin.until(() => space.handOver(to, `${by} hands over`, by))) {
      throw refusedByArbiter(known.rejection)
        ?? new AdminRefusal('NOT_ENOUGH_IN_SYNC', `${to} is not in sync`, true)
    }
    const isDone = () =>
      (known.record?.assignment.epoch ?? 0) > epoch
      && !space.primaryRole && known.record?.assignment.state === 'open'
    await this.admin.until(() => isDone() || (space.serves && known.rejection !== null))
    const now = known.record?.assignment
    if (!now || now.epoch <= epoch) {
      throw refusedByArbiter(known.rejection) ?? new AdminRefusal(
        'ACK_TIMEOUT',
        `${to} has not caught up in time; nothing was changed`,
        true,
      )
    }
    return { ok: true, primary: now.primary?.node ?? null, epoch: now.epoch }
  }

  private async force(name: string): Promise<Answer> {
    const space = this.held(name)
    const before = space.member.own.epoch
    space.member.known.forgetRejection()
    space.forcePromotion('an operator forces it')
    return await this.through(space, () => space.serves && space.member.own.epoch > before)
  }
}
