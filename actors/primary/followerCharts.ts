import type { NodeId } from '../../machines/base/ids.js'
import { topState } from '../../machines/base/stateName.js'
import { lagMonitorMachine } from '../../machines/lagMonitor.js'
import type { LagMonitorEffect } from '../../machines/lagMonitor.js'
import { streamMachine } from '../../machines/stream.js'
import type { StreamEffect } from '../../machines/stream.js'
import type { HostedActor } from '../host/actorHost.js'
import type { Member } from '../member/member.js'
import type { ReplicaStream } from './replicaStream.js'

export interface FollowerChartsOptions {
  readonly member: Member
  readonly epoch: number
  readonly peer: NodeId
  readonly shipping: ReplicaStream
  /** Nothing is heard of an install any more. */
  readonly onSilent: () => void
}

/** Time between two measurements of a replica that is away. */
const awayMs = 1000
/** Heartbeats without progress before a stream is rewound. */
const stalledMax = 10
/** Time between two measurements of a stream that flows: its chart decides nothing by them. */
const measuredMs = 25

const supervision = { maxRestarts: 5, withinMs: 10_000, backoffMs: 10, backoffMaxMs: 500 }

/**
 * The charts of one replica, below the primary's: its stream and its lag. They hear of edges at
 * once, and of progress now and then; values that they had are not sent again.
 */
export class FollowerCharts {
  private readonly stream: HostedActor<typeof streamMachine>
  private readonly lagMonitor: HostedActor<typeof lagMonitorMachine>
  /** Values that the charts had last. */
  private acked = -1
  private sent = -1
  private end = -1
  private windowFull = false
  private measuredAtMs = -Infinity
  private lagBytes = -1
  private lagMs = -1
  private lagAtMs = -Infinity

  constructor(private readonly options: FollowerChartsOptions) {
    const { member, member: { space, context: { ports, settings } }, peer } = options
    const parent = `space.${space}.primary`
    this.stream = ports.host.spawn({
      id: `space.${space}.stream.${peer}`,
      logic: streamMachine,
      input: () => {
        this.streamStarts()
        return { space, peer, stalledMax }
      },
      effects: (effect) => this.performStream(effect),
      parent,
      supervision,
    })
    this.lagMonitor = ports.host.spawn({
      id: `space.${space}.lag.${peer}`,
      logic: lagMonitorMachine,
      input: () => {
        this.lagMs = -1
        return { peer, lagBytesMax: settings.lagAlertBytes, lagMsMax: settings.lagAlertMs }
      },
      effects: ({ type, peer: replica, reason, ...lag }: LagMonitorEffect) =>
        member.alert(type === 'lagRaised' ? 'replicaLag' : 'replicaLagCleared', { replica, ...lag },
          reason),
      parent,
      supervision,
    })
  }

  /** Name of the stream's state. */
  get state(): string {
    return topState(this.stream.snapshot()?.value ?? 'joining')
  }

  joined(session: number, common: number, end: number): void {
    this.acked = -1
    this.stream.send({ type: 'memberJoined', session, common, end })
  }

  /** `session` 0: it cannot be installed, and waits. */
  snapshotNeeded(session: number, minimum: number, reason: string): void {
    this.stream.send({ type: 'snapshotNeeded', session, minimum, reason })
  }

  installReported(source: NodeId | null, doneBytes: number, totalBytes: number): void {
    this.stream.send({ type: 'installReported', source, doneBytes, totalBytes })
  }

  nacked(sequence: number, reason: string): void {
    this.stream.send({ type: 'nacked', sequence, reason })
  }

  peerDied(reason: string): void {
    this.stream.send({ type: 'peerDied', reason })
  }

  /** Notes an ack. While frames flow, acks are measured together. */
  progressed(): void {
    const { shipping } = this.options
    const isDue = this.state !== 'streaming' || shipping.windowFull !== this.windowFull
      || this.now() - this.measuredAtMs >= measuredMs
    if (isDue) this.measure()
  }

  measure(): void {
    const { shipping: { acked, sent, windowFull }, member } = this.options
    const end = member.log.end.sequence
    const isNew = acked !== this.acked || sent !== this.sent || end !== this.end
    // Repeated while frames are in flight: a stream without progress has stalled.
    if (!isNew && acked >= sent) return
    Object.assign(this, { acked, sent, end, windowFull, measuredAtMs: this.now() })
    this.stream.send({ type: 'measured', acked, sent, end, windowFull })
  }

  /**
   * Measures also a replica that is away: the alert is due while it lags, not on its return. This
   * costs the more the longer it is away, so it is done now and then; `isTurn` spreads the spaces.
   */
  measureLag(isTurn: boolean): void {
    const { shipping } = this.options
    if (!shipping.isJoined && !isTurn && this.now() - this.lagAtMs < awayMs) return
    this.lagAtMs = this.now()
    const { bytes: lagBytes, ms } = shipping.lag()
    const lagMs = Math.round(ms)
    if (lagBytes === this.lagBytes && lagMs === this.lagMs) return
    Object.assign(this, { lagBytes, lagMs })
    this.lagMonitor.send({ type: 'measured', lagBytes, lagMs, isAway: !shipping.isJoined })
  }

  /** Tells a member that it has no session, in case that it believes to have one. */
  remind(): void {
    const { member, peer, epoch } = this.options
    if (this.state === 'snapshotting' || member.context.peers.goneReason(peer) !== null) return
    member.sendSession(peer, epoch, 0)
  }

  stop(): void {
    this.options.shipping.stop()
    this.stream.stop()
    this.lagMonitor.stop()
  }

  /** A restarted stream knows no session: the member has to join again. */
  private streamStarts(): void {
    const { member, peer, epoch, shipping } = this.options
    if (shipping.isJoined) member.sendSession(peer, epoch, 0)
    shipping.stop()
    this.acked = -1
  }

  private performStream(effect: StreamEffect): void {
    const { member: { space, context: { ports } }, peer, shipping } = this.options
    switch (effect.type) {
      case 'startShipping':
        return shipping.pump()
      case 'rewind':
        ports.telemetry.count('rewinds', 1, { peer })
        ports.logger.info({ peer, to: effect.to }, `stream rewound: ${effect.reason}`)
        return shipping.rewind(effect.to)
      case 'stopShipping':
        return shipping.stop()
      case 'releasePin':
        return this.options.onSilent()
      case 'progressed':
        ports.logger.info({ space, peer, state: effect.state },
          `stream: ${effect.reason || effect.state}`)
    }
  }

  private now(): number {
    return this.options.member.context.ports.clock.monotonicMs()
  }
}
