import { withInSync, withSettings } from '../machines/assignments.js'
import type { PrimaryEvent } from '../machines/primary.js'
import type { Assignment, AssignmentAt, NodeId, SpaceSettings } from '../machines/protocol.js'
import type { Followers } from './followers.js'
import type { Lease } from './lease.js'
import type { Member } from './member.js'

export interface RecordChangesOptions {
  readonly member: Member
  readonly record: AssignmentAt
  readonly lease: Lease
  readonly followers: () => Followers
  readonly isOver: () => boolean
  readonly send: (event: PrimaryEvent) => void
  readonly announce: (reason: string) => void
  readonly alert: (kind: string, fields: object, message: string) => void
  readonly onRefused: (current: AssignmentAt | null) => void
}

/**
 * The changes that a reigning primary makes to its record, by compare-and-set: the in-sync set,
 * the settings of the space. Its chart sees to it that one is in flight at a time.
 */
export class RecordChanges {
  record: AssignmentAt
  private wanted: SpaceSettings | null = null

  constructor(private readonly options: RecordChangesOptions) {
    this.record = options.record
  }

  async inSync(inSync: readonly NodeId[], reason: string): Promise<void> {
    const { member, lease, send, announce, alert } = this.options
    const followers = this.options.followers()
    const { assignment } = this.record
    followers.propose(inSync)
    lease.need(followers.union())
    const diskOf = (node: NodeId) => followers.diskOf(node)
    if (!await this.settle(withInSync(assignment, inSync, diskOf, member.signature()))) return
    lease.need(inSync)
    followers.adopt(inSync)
    send({ type: 'inSyncChanged', inSync })
    announce(reason)
    member.context.ports.telemetry.count('inSyncChanges', 1, { space: member.space })
    alert(inSync.length < assignment.inSync.length ? 'inSyncShrunk' : 'inSyncGrown',
      { inSync }, `in sync: ${inSync.join(', ')} (${reason})`)
    this.alertIfAlone(inSync)
  }

  /** Asks the chart for its turn; resolves with whether the record has the settings in time. */
  async ask(settings: SpaceSettings): Promise<boolean> {
    const { clock } = this.options.member.context.ports
    const limit = clock.monotonicMs() + this.options.member.context.settings.ackTimeoutMs
    this.wanted = settings
    while (this.wanted === settings) {
      if (this.options.isOver() || clock.monotonicMs() > limit) return false
      this.options.send({ type: 'settingsRequested', reason: 'an operator changes the settings' })
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 20))
    }
    return !this.options.isOver()
  }

  /** What was asked for last. */
  async settings(): Promise<void> {
    const { member, send, announce, alert } = this.options
    const { wanted } = this
    const { assignment } = this.record
    const isApplied = wanted === null
      || await this.settle(withSettings(assignment, wanted, member.signature()))
    if (!isApplied) return
    if (this.wanted === wanted) this.wanted = null
    send({ type: 'inSyncChanged', inSync: assignment.inSync })
    if (wanted === null) return
    announce('the settings were changed')
    alert('settingsChanged', { settings: wanted }, 'the settings of the space were changed')
  }

  /** False: the reign is over, or ends now. */
  private async settle(next: Assignment): Promise<boolean> {
    const { member, isOver, onRefused } = this.options
    const { records, wire } = member.context
    const settlement = await records.settle(next, this.record.revision, () =>
      !isOver() && wire.isOpen)
    if (isOver()) return false
    if (settlement.kind === 'refused') onRefused(settlement.current)
    if (settlement.kind !== 'applied') return false
    this.record = settlement.record
    member.record = settlement.record
    return true
  }

  /** What is written from now on may be lost with one disk: said loudly, whatever follows. */
  alertIfAlone(inSync: readonly NodeId[]): void {
    if (!this.options.followers().isUnderReplicated) return
    const { whenUnderReplicated: then = 'accept' } = this.record.assignment.settings
    const what = { accept: 'are accepted', wait: 'wait for their answer', refuse: 'are refused' }
    this.options.alert('underReplicated', { inSync, whenUnderReplicated: then },
      `only ${inSync.join(', ')} in sync: writes ${what[then]}, and none becomes safe`)
  }
}
