import type { NodeId } from '../../machines/base/ids.js'
import { stateName } from '../../machines/base/stateName.js'
import type { primaryMachine, PrimaryEvent } from '../../machines/primary.js'
import { isSameButPaused } from '../../machines/protocol/assignments.js'
import { isSameChange, showChange } from '../../machines/protocol/members.js'
import type { Announcement, AssignmentAt, SpaceSettings } from '../../machines/protocol/messages.js'
import type { HostedActor } from '../host/actorHost.js'
import type { Member } from '../member/member.js'
import type { StartedEpoch } from '../member/startedEpoch.js'
import type { Lease } from '../membership/lease.js'

/** The epoch of a primary, as its data path needs it. */
export interface EpochFacts {
  readonly space: string
  readonly node: NodeId
  readonly number: number
  readonly lease: Lease
  readonly started: Pick<StartedEpoch, 'atMs' | 'clock' | 'component' | 'timestamp'>
  /** Settings of the space now. */
  readonly settings: SpaceSettings
  /** This node is no longer primary. */
  deposed(reason: string): void
}

/** The data path, as far as the end of its epoch concerns it. */
export interface DataPath {
  /** From here on nothing is answered positively. */
  end(code: 'LEASE_LAPSED' | 'NOT_PRIMARY', reason: string): void
}

/**
 * The epoch of one primary: its facts, its record, whether it is over, and the way to its chart.
 * Shared by the parts of the primary.
 */
export class PrimaryEpoch implements EpochFacts {
  readonly space: string
  readonly node: NodeId
  readonly number: number
  readonly lease: Lease
  readonly started: StartedEpoch
  private current: AssignmentAt
  private givenAway = false
  private hasEnded = false
  private chart: HostedActor<typeof primaryMachine> | null = null
  private dataPath: DataPath | null = null
  private onAdopted: (() => void) | null = null

  constructor(private readonly member: Member, record: AssignmentAt | null) {
    const { lease, started } = member.own
    if (!record || !lease || !started) {
      throw new Error('a primary needs a record, a lease and an epoch that has begun')
    }
    this.space = member.space
    this.node = member.self
    this.number = record.assignment.epoch
    this.lease = lease
    this.started = started
    this.current = record
  }

  /** The record as this primary wrote or read it last. */
  get record(): AssignmentAt {
    return this.current
  }

  get settings(): SpaceSettings {
    return this.current.assignment.settings
  }

  get isOver(): boolean {
    return this.hasEnded
  }

  /** Set once the compare-and-set in favour of another node was sent: it may be primary, too. */
  get isGivenAway(): boolean {
    return this.givenAway
  }

  giveAway(): void {
    this.givenAway = true
  }

  /** State of the chart. */
  get state(): string {
    return stateName(this.chart?.snapshot()?.value ?? 'opening')
  }

  /** Names the chart that gets the events. */
  follow(chart: HostedActor<typeof primaryMachine>): void {
    this.chart = chart
  }

  /** Names the data path, which ends with the epoch. */
  stops(dataPath: DataPath): void {
    this.dataPath = dataPath
  }

  /** `onAdopted`: called when the record is another one. */
  adopts(onAdopted: () => void): void {
    this.onAdopted = onAdopted
  }

  send(event: PrimaryEvent): void {
    this.chart?.send(event)
  }

  /** Ends the data path at once, before any event is processed. */
  lapsed(reason: string): void {
    this.endAnswers(reason)
    if (!this.hasEnded) this.send({ type: 'leaseLapsed', reason })
  }

  /** The same: this node is no longer primary. */
  deposed(reason: string): void {
    this.endAnswers(reason)
    if (!this.hasEnded) this.send({ type: 'deposed', reason })
  }

  /** The same: the record is another one than this primary wrote last; null: it is gone. */
  refused(current: AssignmentAt | null): void {
    const reason = current
      ? `the record is at epoch ${current.assignment.epoch} of `
        + `${current.assignment.primary?.node ?? 'nobody'}`
      : 'the record is gone'
    this.endAnswers(reason)
    this.send({ type: 'compareAndSetRefused', reason })
  }

  end(reason: string): void {
    this.hasEnded = true
    this.endAnswers(reason)
  }

  private endAnswers(reason: string): void {
    this.dataPath?.end('LEASE_LAPSED', reason)
  }

  /** Notes the record that was written, or one that was found to be the same but newer. */
  adopt(record: AssignmentAt): void {
    if (record.revision < this.current.revision) return
    const { change: before } = this.current.assignment
    const { change } = record.assignment
    this.current = record
    this.member.known.learned(record)
    this.member.stir()
    this.onAdopted?.()
    if (isSameChange(before, change)) return
    const reason = change ? `ordered: ${showChange(change)}` : 'no change of the members is ordered'
    this.send({ type: 'changeSeen', change: change ?? null, reason })
  }

  /** Adopts a record that was read since: an operator may have paused or resumed the space. */
  recordSeen(record: AssignmentAt): void {
    const isNewer = record.revision > this.current.revision
    if (isNewer && isSameButPaused(record.assignment, this.current.assignment)) this.adopt(record)
  }

  /** Announces the record to all members. */
  announce(kind: Announcement['kind'], reason: string): void {
    const { assignment, revision } = this.current
    this.member.announce({ kind, assignment, revision, reason })
  }
}
