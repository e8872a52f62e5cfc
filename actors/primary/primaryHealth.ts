import type { Member } from '../member/member.js'
import type { Followers } from './followers.js'
import type { Ingest } from './ingest.js'
import type { InSyncSet } from './inSyncSet.js'
import type { PrimaryEpoch } from './primaryEpoch.js'
import { AutoHandover } from './autoHandover.js'
import type { AutoHandoverPrimary } from './autoHandover.js'

export interface PrimaryHealthOptions {
  readonly member: Member
  readonly ingest: Ingest
  readonly followers: Followers
  readonly inSync: InSyncSet
  readonly epoch: PrimaryEpoch
  readonly primary: AutoHandoverPrimary
}

/** Health of a primary, checked once per heartbeat, for its chart and for operators. */
export class PrimaryHealth {
  private isBufferFull = false
  private clockFault: string | null = null
  private throttled = false
  private readonly autoHandover: AutoHandover

  constructor(private readonly options: PrimaryHealthOptions) {
    this.autoHandover = new AutoHandover(options)
  }

  /** Answers wait for room in the loss window, or did within the last heartbeat. */
  get isThrottled(): boolean {
    return this.throttled
  }

  /** Called last in a heartbeat: it may begin a handover. */
  relieve(): void {
    this.autoHandover.tick()
  }

  tick(): void {
    const { member, ingest, epoch } = this.options
    const { settings } = member.context
    const isFull = ingest.bufferedBytes > settings.unflushedBytesMax
    if (isFull || this.isBufferFull) {
      epoch.send(isFull
        ? { type: 'bufferFull', reason: 'the disk does not keep up' }
        : { type: 'bufferDrained' })
    }
    this.isBufferFull = isFull
    this.reportThrottled(ingest.takeThrottled())
    this.reportClock()
  }

  private reportThrottled(isThrottled: boolean): void {
    // Sent each time: the chart forgets it during a handover.
    if (isThrottled || this.throttled) {
      this.options.epoch.send(isThrottled
        ? { type: 'lossWindowFilled', reason: 'the loss window is as large as it may be' }
        : { type: 'lossWindowCleared', reason: 'there is room in the loss window' })
    }
    this.throttled = isThrottled
  }

  /** Clears the alert that was raised: this node is no longer primary. */
  end(): void {
    if (this.clockFault === null) return
    this.clockFault = null
    this.options.member.alert('clockCleared', {}, 'the node is no longer primary')
  }

  private reportClock(): void {
    const { member } = this.options
    const { ownClock } = member.context.peers
    const { fault } = ownClock
    if ((fault === null) === (this.clockFault === null)) return
    this.clockFault = fault
    const offsetMs = ownClock.offsetMs === null ? null : Math.round(ownClock.offsetMs)
    if (fault !== null) return member.alert('clock', { offsetMs }, fault)
    member.alert('clockCleared', { offsetMs }, 'the clock agrees with those of the peers again')
  }
}
