import type { Life, NodeId } from '../../machines/base/ids.js'
import { missedHeartbeatsMax } from '../../machines/election/failureDetectorSetup.js'
import { Grants } from '../../machines/election/grants.js'
import type { Instant } from '../../machines/election/grants.js'
import { compareLives } from '../../machines/election/vacancy.js'
import { installVersion } from '../../machines/protocol/messages.js'
import type { Heartbeat, PrimaryLife } from '../../machines/protocol/messages.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Answers } from '../messaging/answers.js'
import type { NodeConnection } from '../messaging/connection.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'
import type { NodeIdentityInput, NodePorts } from '../ports/node.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { TimerHandle } from '../ports/system.js'
import { Detectors } from './detectors.js'
import { OwnClock } from './ownClock.js'
import { Probes } from './probes.js'
import { Tilt } from './tilt.js'

export interface HeartbeatDuty {
  /** Why no space should be handed to this node or placed on it, or null. */
  readonly unfit: string | null
  /** Whether other nodes are to take its place in all spaces. */
  readonly evacuates: boolean
}

export interface HeartbeatsOptions {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly self: NodeIdentityInput
  readonly wire: NodeConnection
  readonly answers: Answers
  /** Called after a heartbeat renewed a grant: a candidate may have waited for it. */
  readonly onGrants: () => void
  /** Called with evidence that may end an epoch. */
  readonly onEvidence: (peer: NodeId) => void
  /** Called once per heartbeat interval, whether connected or not. */
  readonly onTick: () => void
  /** Called with the incarnation in a heartbeat of this node's own name; usually it is its own. */
  readonly onOwnName: (incarnation: number) => void
  /** Whether the arbiter knows this start. */
  readonly isRegistered: () => boolean
  /** Returns the nodes to check at every heartbeat: the primaries of the spaces held here. */
  readonly watched: () => Set<NodeId>
  readonly duty: HeartbeatDuty
}

/** Characters of a reason in a heartbeat; a peer refuses more. */
const unfitCharsMax = 256

/**
 * Heartbeats, grants and failure detectors. A heartbeat lists the peers that its sender has heard:
 * being listed there is the grant.
 */
export class Heartbeats {
  private readonly grants: Grants
  private readonly probes: Probes
  private readonly detectors: Detectors
  private subscriptions: BusSubscription[] = []
  private timer: TimerHandle | null = null
  private number = 0
  private lastSent: Uint8Array = new Uint8Array(0)
  private isolated = true
  private leaving = false
  private connectedAtMs = Infinity
  private tickedAtMs = 0
  private readonly tilt: Tilt
  readonly ownClock: OwnClock

  constructor(private readonly options: HeartbeatsOptions) {
    const { clock, logger, telemetry } = options.ports
    this.tilt = new Tilt({ clock, logger, telemetry, settings: options.settings })
    this.ownClock = new OwnClock(options.self.node, logger)
    this.grants = new Grants(options.settings, this.now())
    this.probes = new Probes({
      ...options,
      mayWitness: (target, life) => this.mayWitness(target, life),
    })
    this.detectors = new Detectors({
      ...options,
      grants: this.grants,
      probes: this.probes,
      isGrantExpired: (peer) => this.isGrantExpired(peer),
    })
    this.armTick()
  }

  now(): Instant {
    const { clock } = this.options.ports
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  }

  get isTilted(): boolean {
    return this.tilt.isOn
  }

  get loopDelayMs(): number {
    return this.tilt.loopDelayMs
  }

  /** Starts on a new connection: the ping subject is subscribed to before the first heartbeat. */
  connected(): void {
    const { wire, self } = this.options
    this.grants.reset()
    this.isolated = false
    this.connectedAtMs = this.now().monotonicMs
    this.subscriptions = [
      wire.subscribe(subjects.ping(self.node), (m) => this.probes.answerPing(m)),
      wire.subscribe(subjects.pingRequest(self.node), (m) => void this.probes.answerPingRequest(m)),
      wire.subscribe(subjects.heartbeat('*'), (m) => this.onHeartbeat(m)),
      this.detectors.rejoined(wire.serverId ?? ''),
    ]
    this.beat()
  }

  disconnected(): void {
    this.isolated = true
    this.subscriptions = []
    this.detectors.isolated()
  }

  /** Sends a heartbeat at once, since something in it has changed. */
  beatNow(): void {
    if (!this.isolated) this.beat()
  }

  /** Sends the last heartbeat of a clean stop, and unsubscribes from the ping subject last. */
  leave(): void {
    this.leaving = true
    this.beatNow()
  }

  stop(): void {
    if (this.timer) this.options.ports.clock.clearTimeout(this.timer)
    this.timer = null
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.subscriptions = []
    this.detectors.stop()
  }

  /** Time that the peer's grant to this node still lasts, ms; negative: there is none. */
  grantLeftMs(peer: NodeId): number {
    return this.grants.remainingMs(peer, this.now())
  }

  /** Number of the peer's unbroken stretch of grants; another one after each gap. */
  grantStretch(peer: NodeId): number {
    return this.grants.stretchOf(peer)
  }

  goneLife(peer: NodeId): Life | null {
    return this.detectors.goneLife(peer)
  }

  heardLife(peer: NodeId): Life | null {
    return this.detectors.heardLife(peer) ?? this.grants.lastHeardLife(peer)
  }

  /** Returns why the peer is certainly gone; null: it may be there. */
  goneReason(peer: NodeId): string | null {
    return this.detectors.goneReason(peer)
  }

  /** Whether the peer's newest known life was proven gone by a 503, or has left. */
  isProvenDead(peer: NodeId): boolean {
    return this.goneReason(peer) !== null
  }

  /** How often the peer died within that time, since this node's start. */
  deathsOf(peer: NodeId, withinMs: number): number {
    return this.detectors.deathsOf(peer, withinMs)
  }

  /** Whether this node's last grant to the peer is older than the lease, margin included. */
  isGrantExpired(peer: NodeId): boolean {
    const { grantMs, grantMargin } = this.options.settings
    return this.grants.expired(peer, this.now(), grantMs * grantMargin)
  }

  /** Own time before which the peer's latest heartbeat was not sent; null: none lists this node. */
  grantedAt(peer: NodeId): Instant | null {
    return this.grants.grantedAt(peer)
  }

  silenceMs(peer: NodeId): number {
    return this.grants.silenceMs(peer, this.now())
  }

  /** Time since the primary was last heard in the life that the record names, ms. */
  silenceOfMs({ node, ...life }: PrimaryLife): number {
    return this.grants.silenceOfMs(node, life, this.now())
  }

  /** Time without a word of the peer, ms; counted from the opening of the own connection on. */
  quietMs(peer: NodeId): number {
    return Math.min(this.silenceMs(peer), this.now().monotonicMs - this.connectedAtMs)
  }

  diskOf(peer: NodeId): string | null {
    return this.detectors.saidBy(peer)?.disk ?? null
  }

  /** Whether the peer says that the arbiter knows its start; else its disk may be an old copy. */
  isRegistered(peer: NodeId): boolean {
    return this.detectors.saidBy(peer)?.registered ?? false
  }

  /** Whether the peer takes part in installs: as a primary, as a source, as a member. */
  knowsInstalls(peer: NodeId): boolean {
    return (this.detectors.saidBy(peer)?.checkpoints ?? 0) > 0
  }

  /** Returns why no space should be handed to the peer, as it said last, or null. */
  unfitOf(peer: NodeId): string | null {
    return peer === this.options.self.node
      ? this.options.duty.unfit
      : this.detectors.saidBy(peer)?.unfit ?? null
  }

  /** Failure domain of the node, as it said last; `''`: none. */
  zoneOf(node: NodeId): string {
    const { self } = this.options
    return (node === self.node ? self.zone : this.detectors.saidBy(node)?.zone) ?? ''
  }

  /** Whether other nodes are to take the node's place in all spaces, as it said last. */
  isEvacuating(node: NodeId): boolean {
    return node === this.options.self.node
      ? this.options.duty.evacuates
      : this.detectors.saidBy(node)?.evacuates === true
  }

  /** Nodes heard since the start that have not left, this one included. */
  names(): Iterable<NodeId> {
    const stay = [...this.detectors.names()].filter((peer) =>
      this.detectors.saidBy(peer)?.leaving !== true
    )
    return new Set([this.options.self.node, ...stay])
  }

  /** Drops all that was heard of a node that is gone. Returns why it is not done, or null. */
  forget(node: NodeId): string | null {
    const { self } = this.options
    if (node === self.node || this.isLiving(node)) return `${node} is alive`
    if (!this.isKnown(node)) return null
    if (!this.isGrantExpired(node)) return `${self.node} heard ${node} a moment ago`
    this.detectors.forget(node)
    this.grants.forget(node)
    this.ownClock.forget(node)
    return null
  }

  /** Whether the node was heard since the start, and is not forgotten. */
  isKnown(node: NodeId): boolean {
    return this.detectors.saidBy(node) !== null
  }

  /** Whether no heartbeat of the peer is overdue for so long that it is a suspect. */
  isHeard(peer: NodeId): boolean {
    return this.silenceMs(peer) <= this.options.settings.heartbeatMs * missedHeartbeatsMax
  }

  /**
   * Whether its failure detector has found it silent. Unlike `isHeard`, not for a moment after this
   * node's own loop stalled, when the heartbeats of meanwhile are not read yet.
   */
  isSuspect(peer: NodeId): boolean {
    return this.detectors.isSuspect(peer)
  }

  /** Whether the node was heard lately, and is not known to be gone; this one lives. */
  isLiving(node: NodeId): boolean {
    const { self, settings } = this.options
    if (node === self.node) return true
    return this.detectors.saidBy(node) !== null && !this.isProvenDead(node)
      && this.silenceMs(node) < settings.grantMs
  }

  /** Nodes that live, this one included. */
  living(): NodeId[] {
    const living = [...this.detectors.names()].filter((peer) => this.isLiving(peer))
    return [this.options.self.node, ...living].toSorted()
  }

  /** All that spaces decide by of the peers and of the own clock, as text. */
  condition(): string {
    const { grantMs } = this.options.settings
    const own = [this.isTilted, this.ownClock.fault]
    const peers = [...this.detectors.names()].map((peer) => {
      const { disk, registered, checkpoints, unfit } = this.detectors.saidBy(peer) ?? {}
      const leftMs = this.grantLeftMs(peer)
      const life = this.heardLife(peer)
      return [peer, disk, registered, checkpoints, unfit, life?.incarnation, life?.connection,
        this.goneReason(peer), this.isGrantExpired(peer), this.grantStretch(peer), leftMs > 0,
        leftMs >= grantMs / 2]
    })
    return [...own, ...peers].join()
  }

  status(): ReturnType<Detectors['status']> {
    return this.detectors.status()
  }

  private armTick(): void {
    const { clock } = this.options.ports
    if (this.timer) clock.clearTimeout(this.timer)
    this.tickedAtMs = clock.monotonicMs()
    this.timer = clock.setTimeout(() => this.tick(), this.options.settings.heartbeatMs)
  }

  private tick(): void {
    this.armTick()
    const doubt = this.tilt.tick()
    if (doubt) this.detectors.tilted(doubt)
    this.ownClock.judge(this.living().filter((node) => node !== this.options.self.node))
    if (!this.isolated) this.beat()
    this.detectors.tick(!this.isolated && !this.isTilted)
    this.options.onTick()
  }

  private beat(): void {
    const { wire, self, ports } = this.options
    const unfit = this.options.duty.unfit
    this.number += 1
    this.grants.sent(this.number, this.now())
    const heartbeat: Heartbeat = {
      node: self.node,
      disk: self.disk,
      number: this.number,
      ...wire.life,
      server: wire.serverId ?? '',
      loopDelayMs: Math.round(this.loopDelayMs),
      leaving: this.leaving,
      http: self.http,
      registered: this.options.isRegistered(),
      ...(unfit !== null && { unfit: unfit.slice(0, unfitCharsMax) }),
      wallMs: Math.floor(ports.clock.wallMs()),
      checkpoints: installVersion,
      ...(self.zone !== null && { zone: self.zone }),
      ...(this.options.duty.evacuates && { evacuates: true }),
      heard: this.grants.heardList(),
    }
    this.lastSent = ports.control.encode(heartbeat)
    wire.publish(subjects.heartbeat(self.node), this.lastSent)
  }

  private onHeartbeat(message: BusMessage): void {
    // Each heartbeat comes back to its sender. Others of this node's name are looked at.
    if (Buffer.compare(message.data, this.lastSent) === 0) return
    const decoded = this.options.ports.control.heartbeat(message.data)
    if (!decoded.ok) {
      this.options.ports.telemetry.count('badMessages', 1, { kind: 'heartbeat' })
      return
    }
    const { node, number, heard, incarnation, connection } = decoded.value
    if (node === this.options.self.node) return this.options.onOwnName(incarnation)
    const life = { incarnation, connection }
    const now = this.now()
    if (this.grants.received(node, life, number, now) !== null) return
    this.detectors.heard(decoded.value)
    const mine = heard[this.options.self.node]
    if (mine && this.grants.listed(node, mine, this.options.wire.life, now) === null) {
      const roundTripMs = now.monotonicMs - this.grants.grantedAt(node)!.monotonicMs
      this.ownClock.heard(node, decoded.value.wallMs, now.wallMs, roundTripMs)
      this.options.onGrants()
    }
    this.tickWith(now)
  }

  /**
   * The own heartbeat answers the first one of a peer in the later half of an interval. So all
   * nodes are woken once for it and not at times of their own, and the grants are younger.
   */
  private tickWith({ monotonicMs }: Instant): void {
    if (!this.timer) return
    if (monotonicMs - this.tickedAtMs >= this.options.settings.heartbeatMs / 2) this.tick()
  }

  /** Whether that life is the latest one heard, on this connection and on the own server. */
  private mayWitness(target: NodeId, life: Life): boolean {
    const heard = this.grants.lastHeardLife(target)
    return heard !== null && compareLives(heard, life) === 0
      && this.grants.heardOnThisConnection(target)
      && this.detectors.saidBy(target)?.server === this.options.wire.serverId
  }
}
