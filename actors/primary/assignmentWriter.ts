import type { NodeId } from '../../machines/base/ids.js'
import { isoTime } from '../../machines/election/pause.js'
import { signed, withInSync } from '../../machines/protocol/assignments.js'
import { isMember, learnerOf, withoutMember } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import type { Settlement, SettleOptions } from '../arbiter/assignmentStore.js'
import type { Member } from '../member/member.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { Followers } from './followers.js'
import type { InSyncSet } from './inSyncSet.js'
import type { PrimaryEpoch } from './primaryEpoch.js'
import { pause } from '../structures/pause.js'

export interface AssignmentWriterOptions {
  readonly member: Member
  readonly epoch: PrimaryEpoch
  readonly inSync: InSyncSet
  readonly followers: Followers
}

/** An operator's change of the record. */
export interface RecordCommand {
  /** Named in errors: `the settings`. */
  readonly what: string
  /** Returns the new record, or the present one if nothing is to do. Throws AdminRefusal. */
  readonly change: (present: Assignment) => Assignment
  /** Called when another record was written: sends the alert, and returns why, for members. */
  readonly written: (record: Assignment) => string
}

/** Commands are handled one after the other. */
interface GivenCommand extends RecordCommand {
  /** Its turn has come: the change may be written at any moment. */
  isBegun: boolean
  settled: { readonly record: Assignment } | { readonly refusal: unknown } | null
}

/** Commands that may wait for their turn; one more is refused. */
const commandsMax = 16

const pollMs = 20

/**
 * Writes the record of a primary's epoch, by compare-and-set: changes of the in-sync set, of the
 * members and of the settings. Its chart ensures that one is in flight at a time.
 */
export class AssignmentWriter {
  private commands: GivenCommand[] = []

  constructor(private readonly options: AssignmentWriterOptions) {}

  async inSync(inSync: readonly NodeId[], reason: string): Promise<void> {
    const { member, epoch, followers } = this.options
    const { assignment } = epoch.record
    const learner = learnerOf(assignment)
    const diskOf = (node: NodeId) => followers.diskOf(node)
    followers.propose(inSync)
    const next = withInSync(assignment, inSync, diskOf, member.signature())
    if (!await this.changeSet(next, reason)) return
    const { inSync: now } = next
    member.alert(now.length < assignment.inSync.length ? 'inSyncShrunk' : 'inSyncGrown', {
      inSync: now,
    }, `in sync: ${now.join(', ')} (${reason})`)
    this.alertIfAlone(now)
    if (learner === null || !isMember(next, learner)) return
    const members = next.members.map(({ node }) => node)
    member.alert('memberAdded', { member: learner, members },
      `${learner} is a member now; members: ${members.join(', ')}`)
  }

  /** Takes the member out of the in-sync set and of the members, in one step. */
  async removeMember(node: NodeId, reason: string): Promise<void> {
    const { member, epoch, followers } = this.options
    const at = isoTime(member.context.ports.clock.wallMs())
    const next = withoutMember(epoch.record.assignment, node, at, member.signature())
    followers.propose(next.inSync, next.settings.minInSync)
    if (!await this.changeSet(next, reason)) return
    const members = next.members.map((one) => one.node)
    member.alert('memberRemoved', { member: node, members },
      `${node} is no member any more; members: ${members.join(', ')}`)
    this.alertIfAlone(next.inSync)
  }

  /** Writes a record whose in-sync set was proposed. False: the epoch is over, or ends now. */
  private async changeSet(next: Assignment, reason: string): Promise<boolean> {
    const { member, epoch, epoch: { lease }, followers } = this.options
    const { inSync } = next
    lease.need(this.options.inSync.union())
    if (!await this.settle(next)) return false
    lease.need(inSync)
    followers.adopt(inSync)
    epoch.send({ type: 'inSyncChanged', inSync })
    epoch.announce('changed', reason)
    member.context.ports.telemetry.count('inSyncChanges', 1, { space: member.space })
    return true
  }

  /**
   * Asks the chart for a turn; resolves with the record as it is afterwards. Rejects with
   * AdminRefusal, also when the change is not settled in time.
   */
  async ask(asked: RecordCommand): Promise<Assignment> {
    if (this.commands.length >= commandsMax) {
      throw new AdminRefusal('OVERLOADED',
        `${commandsMax} changes of the record wait for their turn; try again soon`, true)
    }
    const { epoch, member } = this.options
    const { ports: { clock }, settings: { ackTimeoutMs } } = member.context
    const limit = clock.monotonicMs() + ackTimeoutMs
    const command: GivenCommand = { ...asked, isBegun: false, settled: null }
    this.commands.push(command)
    while (!command.settled) {
      if (epoch.isOver || clock.monotonicMs() > limit) return this.giveUp(command)
      if (!command.isBegun) {
        epoch.send({ type: 'changeRequested', reason: `an operator changes ${command.what}` })
      }
      await pause(clock, pollMs)
    }
    if ('refusal' in command.settled) throw command.settled.refusal
    return command.settled.record
  }

  /** Cancels a change that is queued. One in flight may still be applied. */
  private giveUp(command: GivenCommand): never {
    this.commands = this.commands.filter((one) => one !== command)
    const { what, isBegun } = command
    if (isBegun) {
      throw new AdminRefusal('ACK_TIMEOUT',
        `the change of ${what} was not settled in time; it may still be applied`, true)
    }
    if (this.options.epoch.isOver) {
      throw new AdminRefusal('NOT_PRIMARY', 'this node is no longer primary; nothing was changed',
        true)
    }
    throw new AdminRefusal('ACK_TIMEOUT',
      `${what} could not be changed in time; nothing was changed`, true)
  }

  /** Handles the oldest command. */
  async next(): Promise<void> {
    const { epoch } = this.options
    const { inSync } = epoch.record.assignment
    const command = this.commands.shift()
    if (command && !await this.handle(command)) return
    epoch.send({ type: 'inSyncChanged', inSync })
  }

  /** False: the epoch is over, or ends now. */
  private async handle(command: GivenCommand): Promise<boolean> {
    const { epoch } = this.options
    const { assignment } = epoch.record
    command.isBegun = true
    let next: Assignment
    try {
      next = command.change(assignment)
    } catch (refusal) {
      command.settled = { refusal }
      return true
    }
    if (next !== assignment) {
      if (!await this.settle(next)) return false
      epoch.announce('changed', command.written(next))
    }
    command.settled = { record: next }
    return true
  }

  /**
   * Writes the record unchanged. This shows that the arbiter takes changes, before a handover sends
   * one that cannot be taken back. False: it does not, or nobody waits for it any more. The write
   * may be applied later, which changes nothing but the revision.
   */
  async touch(wanted: () => boolean): Promise<boolean> {
    const { member, epoch } = this.options
    const next = signed(epoch.record.assignment, member.signature())
    const settlement = await this.settled(next, wanted, { urgency: 'promotion' })
    if (settlement.kind === 'rejected') member.known.rejected(settlement.reason)
    return settlement.kind === 'applied'
  }

  /** Writes the record. False: the epoch is over, or ends now. */
  private async settle(next: Assignment): Promise<boolean> {
    const { member } = this.options
    const settlement = await this.settled(next, () => true, {
      onRejected: (reason) => member.known.rejected(reason),
    })
    return settlement.kind === 'applied'
  }

  /** `applied`: the epoch goes on, and the record is what was written. */
  private async settled(
    next: Assignment,
    wanted: () => boolean,
    more: SettleOptions,
  ): Promise<Settlement> {
    const { epoch, member, member: { context: { records, wire } } } = this.options
    const { assignment: madeOf, revision } = epoch.record
    const settlement = await records.settle(next, revision,
      () => wanted() && !epoch.isOver && wire.isOpen, { madeOf, ...more })
    if (epoch.isOver) return { kind: 'abandoned', reason: 'this node is no longer primary' }
    if (settlement.kind === 'applied') {
      member.known.accepted()
      epoch.adopt(settlement.record)
    }
    if (settlement.kind === 'refused') epoch.refused(settlement.current)
    return settlement
  }

  /** Raises an alert when writes from now on may be lost with one disk. */
  alertIfAlone(inSync: readonly NodeId[]): void {
    const { epoch, member } = this.options
    if (!this.options.inSync.isUnderReplicated) return
    const { whenUnderReplicated: then = 'accept' } = epoch.settings
    const what = { accept: 'are accepted', wait: 'wait for their answer', refuse: 'are refused' }
    member.alert('underReplicated', { inSync, whenUnderReplicated: then },
      `only ${inSync.join(', ')} in sync: writes ${what[then]}, and none becomes safe`)
  }
}
