/** Commands that make another member primary: by handover, forced, or while paused. */
import type { NodeId } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { Assignment, SurveyAnswer } from '../../machines/protocol/messages.js'
import { AdminRefusal, patienceMs, refusedByArbiter, spaceNameOf } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import { survey } from '../member/survey.js'
import type { SpaceActor } from '../space/space.js'
import { pause } from '../structures/pause.js'
import type { AdminNode } from './adminNode.js'
import { byOf } from './maintenance.js'

/** Time that a target that may not be promoted has to become fit, and pause between questions. */
const unfitMs = 2000
const askPauseMs = 100

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
    const role = space?.primaryRole
    if (!role) throw new AdminRefusal('NOT_PRIMARY', `${name} has no primary`, true)
    const to = wanted ?? space.successor()
    if (!to) throw new AdminRefusal('NOT_ENOUGH_IN_SYNC', 'no replica is in sync', true)
    if (to === self.node) {
      await role.chosen(by)
      const { epoch } = space.member.own
      return { ok: true, primary: to, epoch, message: 'it is primary already' }
    }
    await this.askFirst(space, to)
    const { context: { peers }, known, own: { epoch } } = space.member
    let isBegun = false
    await this.admin.until(() => {
      isBegun ||= role.handOver(to, `${by} hands over`, by)
      return isBegun || !role.isPrimary || peers.isSuspect(to)
    })
    if (!isBegun) {
      throw refusedByArbiter(known.rejection) ?? (role.isPrimary
        ? new AdminRefusal('NOT_ENOUGH_IN_SYNC',
          `${to} is not ${peers.isSuspect(to) ? 'heard' : 'in sync'}; `
            + 'nothing was changed', true)
        : new AdminRefusal('NOT_PRIMARY', `${name} has another primary since`, true))
    }
    const isDone = () =>
      (known.record?.assignment.epoch ?? 0) > epoch && known.record?.assignment.state === 'open'
      && (!space.primaryRole || space.serves)
    await this.admin.until(() => isDone() || role.handoverGaveUp !== null)
    const now = known.record?.assignment
    if (!now || now.epoch <= epoch) {
      const why = role.handoverGaveUp ?? `${to} has not taken over in time`
      throw refusedByArbiter(known.rejection)
        ?? new AdminRefusal('ACK_TIMEOUT', role.isTransferring
          ? `${why}; it may still be handed over: look at the status before you try again`
          : `${why}; nothing was changed`, true)
    }
    if (now.state !== 'open') {
      throw new AdminRefusal('ACK_TIMEOUT',
        `the record names ${to}, and it does not serve yet; see engram status`, true)
    }
    if (now.primary?.node !== to) {
      throw new AdminRefusal('NOT_PRIMARY',
        `${now.primary?.node ?? 'nobody'} is primary of ${name} `
          + `now, and not ${to}, which may have died or hung before it had taken over`, true)
    }
    return { ok: true, primary: now.primary?.node ?? null, epoch: now.epoch }
  }

  /**
   * Asks the target before writes are held for it: one that hangs is heard for a while yet. It has
   * half a lease to answer, perhaps because it is starting; one that is silent for longer is not in
   * sync any more.
   */
  private async askFirst({ member }: SpaceActor, to: NodeId): Promise<void> {
    const { ports: { clock }, settings: { grantMs } } = member.context
    const begunMs = clock.monotonicMs()
    let endMs = begunMs + grantMs / 2
    for (;;) {
      const timeoutMs = Math.max(Math.ceil(endMs - clock.monotonicMs()), askPauseMs)
      const question = survey(member, to, member.own.epoch, { timeoutMs, confirm: true })
      const answer = await question.catch((error: unknown) => messageOf(error))
      const nowMs = clock.monotonicMs()
      if (typeof answer === 'string') {
        if (nowMs + askPauseMs >= endMs) throw silent(to, answer)
      } else {
        if (answer.whole) return
        if (nowMs - begunMs > unfitMs) throw unfit(to, answer)
        endMs = nowMs + grantMs / 2
      }
      await pause(clock, askPauseMs)
    }
  }

  private async force(name: string): Promise<Answer> {
    const space = this.held(name)
    const before = space.member.own.epoch
    space.member.known.forgetRejection()
    space.forcePromotion('an operator forces it')
    return await this.through(space, () => space.serves && space.member.own.epoch > before)
  }
}

function silent(to: NodeId, reason: string): AdminRefusal {
  return new AdminRefusal('NOT_ENOUGH_IN_SYNC',
    `${to} does not answer, so nothing was changed. Promote another member, or restart ${to} `
      + `(${reason})`, true)
}

function unfit(to: NodeId, { unfit: reason = 'it does not say why' }: SurveyAnswer): AdminRefusal {
  const text = `${to} cannot be primary now, so nothing was changed: ${reason}`
  return new AdminRefusal('INVALID_OPERATION', text, true, 'unfit')
}
