import type { NodeId } from '../../machines/base/ids.js'
import { signed, withInSync, withSettings } from '../../machines/protocol/assignments.js'
import type { Assignment, SpaceSettings } from '../../machines/protocol/messages.js'
import { isSameSettings } from '../../machines/protocol/spaceSettings.js'
import type { Settlement } from '../arbiter/assignmentStore.js'
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

/** Returns the new settings, given the present ones when its turn comes. Throws AdminRefusal. */
export type SettingsChange = (present: SpaceSettings) => SpaceSettings

/** An operator's command. Commands are handled one after the other. */
interface SettingsCommand {
  readonly change: SettingsChange
  /** Its turn has come: the change may be written at any moment. */
  isBegun: boolean
  settled: { readonly settings: SpaceSettings } | { readonly refusal: unknown } | null
}

/** Commands that may wait for their turn; one more is refused. */
const commandsMax = 16

const pollMs = 20

/**
 * Writes the record of a primary's epoch, by compare-and-set: changes of the in-sync set and of the
 * settings of the space. Its chart ensures that one is in flight at a time.
 */
export class AssignmentWriter {
  private commands: SettingsCommand[] = []

  constructor(private readonly options: AssignmentWriterOptions) {}

  async inSync(inSync: readonly NodeId[], reason: string): Promise<void> {
    const { member, epoch, epoch: { lease }, followers } = this.options
    const { assignment } = epoch.record
    followers.propose(inSync)
    lease.need(this.options.inSync.union())
    const diskOf = (node: NodeId) => followers.diskOf(node)
    if (!await this.settle(withInSync(assignment, inSync, diskOf, member.signature()))) return
    lease.need(inSync)
    followers.adopt(inSync)
    epoch.send({ type: 'inSyncChanged', inSync })
    epoch.announce('changed', reason)
    member.context.ports.telemetry.count('inSyncChanges', 1, { space: member.space })
    member.alert(inSync.length < assignment.inSync.length ? 'inSyncShrunk' : 'inSyncGrown', {
      inSync,
    }, `in sync: ${inSync.join(', ')} (${reason})`)
    this.alertIfAlone(inSync)
  }

  /**
   * Asks the chart for a turn; resolves with the settings that the record has afterwards. Rejects
   * with AdminRefusal, also when the change is not settled in time.
   */
  async ask(change: SettingsChange): Promise<SpaceSettings> {
    if (this.commands.length >= commandsMax) {
      throw new AdminRefusal('OVERLOADED',
        `${commandsMax} changes of the settings wait for their turn; try again soon`, true)
    }
    const { epoch, member } = this.options
    const { ports: { clock }, settings: { ackTimeoutMs } } = member.context
    const limit = clock.monotonicMs() + ackTimeoutMs
    const command: SettingsCommand = { change, isBegun: false, settled: null }
    this.commands.push(command)
    while (!command.settled) {
      if (epoch.isOver || clock.monotonicMs() > limit) return this.giveUp(command)
      if (!command.isBegun) {
        epoch.send({ type: 'settingsRequested', reason: 'an operator changes the settings' })
      }
      await pause(clock, pollMs)
    }
    if ('refusal' in command.settled) throw command.settled.refusal
    return command.settled.settings
  }

  /** Cancels a change that is queued. One in flight may still be applied. */
  private giveUp(command: SettingsCommand): never {
    this.commands = this.commands.filter((one) => one !== command)
    if (command.isBegun) {
      throw new AdminRefusal('ACK_TIMEOUT',
        'the change of the settings was not settled in time; it may still be applied', true)
    }
    if (this.options.epoch.isOver) {
      throw new AdminRefusal('NOT_PRIMARY', 'this node is no longer primary; nothing was changed',
        true)
    }
    throw new AdminRefusal('ACK_TIMEOUT',
      'the settings were not changed in time; nothing was changed', true)
  }

  /** Handles the oldest command. */
  async settings(): Promise<void> {
    const { epoch } = this.options
    const { inSync } = epoch.record.assignment
    const command = this.commands.shift()
    if (command && !await this.handle(command)) return
    epoch.send({ type: 'inSyncChanged', inSync })
  }

  /** False: the epoch is over, or ends now. */
  private async handle(command: SettingsCommand): Promise<boolean> {
    const { member, epoch } = this.options
    const { assignment } = epoch.record
    command.isBegun = true
    let settings: SpaceSettings
    try {
      settings = command.change(assignment.settings)
    } catch (refusal) {
      command.settled = { refusal }
      return true
    }
    if (!isSameSettings(assignment.settings, settings)) {
      const next = withSettings(assignment, settings, member.signature())
      if (!await this.settle(next)) return false
      epoch.announce('changed', 'the settings were changed')
      member.alert('settingsChanged', { settings }, 'the settings of the space were changed')
    }
    command.settled = { settings }
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
    const settlement = await this.settled(next, wanted)
    if (settlement.kind === 'rejected') member.known.rejected(settlement.reason)
    return settlement.kind === 'applied'
  }

  /** Writes the record. False: the epoch is over, or ends now. */
  private async settle(next: Assignment): Promise<boolean> {
    const { member } = this.options
    const settlement = await this.settled(next, () => true,
      (reason) => member.known.rejected(reason))
    return settlement.kind === 'applied'
  }

  /** `applied`: the epoch goes on, and the record is what was written. */
  private async settled(
    next: Assignment,
    wanted: () => boolean,
    onRejected?: (reason: string) => void,
  ): Promise<Settlement> {
    const { epoch, member, member: { context: { records, wire } } } = this.options
    const { assignment: madeOf, revision } = epoch.record
    const settlement = await records.settle(next, revision,
      () => wanted() && !epoch.isOver && wire.isOpen, { madeOf, ...(onRejected && { onRejected }) })
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
