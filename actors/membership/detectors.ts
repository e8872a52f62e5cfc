import type { Life, NodeId } from '../../machines/base/ids.js'
import { topState } from '../../machines/base/stateName.js'
import { isIndirect } from '../../machines/election/failureDetectorSetup.js'
import type { Grants } from '../../machines/election/grants.js'
import { compareLives } from '../../machines/election/vacancy.js'
import { failureDetectorMachine } from '../../machines/failureDetector.js'
import type { FailureDetectorEffect } from '../../machines/failureDetector.js'
import type { Heartbeat } from '../../machines/protocol/messages.js'
import type { HostedActor } from '../host/actorHost.js'
import type { NodeConnection } from '../messaging/connection.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { NodePorts } from '../ports/node.js'
import type { BusSubscription } from '../ports/bus.js'
import { LostPeers } from './lostPeers.js'
import type { CheckOutcome, Probes } from './probes.js'
import type { TiltEvent } from './tilt.js'

interface Peer {
  readonly detector: HostedActor<typeof failureDetectorMachine>
  /** Its latest heartbeat; null: its first one is being processed. */
  said: Heartbeat | null
  isWatched: boolean
  /** Since when its silence counts, and when its chart last had a heartbeat; monotonic. */
  observedFromMs: number
  chartHeardMs: number
}

export interface DetectorsOptions {
  readonly ports: NodePorts
  readonly settings: ActorSettings
  readonly wire: NodeConnection
  readonly grants: Grants
  readonly probes: Probes
  /** Returns the nodes to check at every heartbeat: the primaries of the spaces held here. */
  readonly watched: () => Set<NodeId>
  /** Whether this node's last grant to the peer is older than the lease, margin included. */
  readonly isGrantExpired: (peer: NodeId) => boolean
  /** Called with evidence that may end an epoch. */
  readonly onEvidence: (peer: NodeId) => void
}

/** Heartbeats that change nothing are given to a chart this often. */
const newsMs = 1000
/** States of the chart in which a peer is found silent. */
const suspicions: ReadonlySet<string> = new Set(['suspect', 'probing', 'unreachable', 'dead'])
/** Intervals of silence after which a heartbeat is missed, and the chart counts the rest. */
const overdueIntervals = 1.5

/**
 * Failure detectors of all peers. Their charts have each edge: the first heartbeat of a life, one
 * that says something new, one after others were missed, and that one is missed. Of the others,
 * which change nothing, one a second.
 */
export class Detectors {
  private readonly peers = new Map<NodeId, Peer>()
  private readonly lostPeers: LostPeers
  private isIsolated = true

  constructor(private readonly options: DetectorsOptions) {
    this.lostPeers = new LostPeers(options.ports.events, options.ports.clock)
  }

  /** Subscribes to what checks find, on a new connection; the peers are observed anew. */
  rejoined(ownServer: string): BusSubscription {
    this.isIsolated = false
    this.observeAnew()
    this.all({ type: 'rejoined', ownServer })
    return this.options.probes.listen((peer, life, outcome) => this.found(peer, life, outcome))
  }

  isolated(): void {
    this.isIsolated = true
    this.all({ type: 'isolated' })
  }

  tilted(doubt: TiltEvent): void {
    if (doubt.type === 'tiltEnded') this.observeAnew()
    this.all(doubt)
  }

  stop(): void {
    for (const { detector } of this.peers.values()) detector.stop()
  }

  private all(event: Parameters<Peer['detector']['send']>[0]): void {
    for (const { detector } of this.peers.values()) detector.send(event)
  }

  private observeAnew(): void {
    const nowMs = this.options.ports.clock.monotonicMs()
    for (const peer of this.peers.values()) peer.observedFromMs = nowMs
  }

  /** Drops all that is known of the peer. */
  forget(node: NodeId): void {
    this.peers.get(node)?.detector.stop()
    this.peers.delete(node)
    this.lostPeers.forget(node)
  }

  /** Peers heard since the start that were not forgotten. */
  names(): Iterable<NodeId> {
    return this.peers.keys()
  }

  /** Latest heartbeat of the peer. */
  saidBy(peer: NodeId): Heartbeat | null {
    return this.peers.get(peer)?.said ?? null
  }

  goneLife(peer: NodeId): Life | null {
    return this.peers.get(peer)?.detector.snapshot()?.context.goneLife ?? null
  }

  /** Newest life that was heard by heartbeat or answered a probe. */
  heardLife(peer: NodeId): Life | null {
    return this.peers.get(peer)?.detector.snapshot()?.context.life ?? null
  }

  /** Returns why the peer is certainly gone; null: it may be there. */
  goneReason(peer: NodeId): string | null {
    const { life, leftLife, goneLife } = this.peers.get(peer)?.detector.snapshot()?.context ?? {}
    const isOver = (over?: Life | null) => over && life && compareLives(over, life) >= 0
    if (isOver(leftLife)) return `${peer} has left`
    return isOver(goneLife) ? `${peer} is proven dead` : null
  }

  /** How often the peer died within that time, since this node's start. */
  deathsOf(peer: NodeId, withinMs: number): number {
    return this.lostPeers.deathsOf(peer, withinMs)
  }

  /** Whether the peer is silent, or gone; not while this node doubts itself. */
  isSuspect(peer: NodeId): boolean {
    return suspicions.has(topState(this.peers.get(peer)?.detector.snapshot()?.value ?? 'unknown'))
  }

  status(): Record<NodeId, { state: string; silenceMs: number | null; reason: string }> {
    const status: ReturnType<Detectors['status']> = {}
    for (const [peer, { detector }] of this.peers) {
      const snapshot = detector.snapshot()
      status[peer] = {
        state: topState(snapshot?.value ?? 'unknown'),
        silenceMs: Math.round(this.silenceMs(peer)),
        reason: snapshot?.context.lastReason ?? '',
      }
    }
    return status
  }

  /** Notes a heartbeat that was received in order. */
  heard(heartbeat: Heartbeat): void {
    const { node, number, server, leaving, incarnation, connection } = heartbeat
    const peer = this.peerFor(node)
    peer.said = heartbeat
    const nowMs = this.options.ports.clock.monotonicMs()
    const snapshot = peer.detector.snapshot()
    const known = snapshot?.context
    // A chart that was restarted knows nothing.
    const isKnown = snapshot?.matches({ alive: { listening: 'waiting' } }) && known?.life
      && compareLives(known.life, heartbeat) === 0 && known.server === server
      && known.isHeardOnConnection
    if (isKnown && !leaving && nowMs - peer.chartHeardMs < newsMs) return
    peer.chartHeardMs = nowMs
    const life = { incarnation, connection }
    peer.detector.send({ type: 'heartbeatReceived', life, number, server, leaving })
  }

  /** Called once per heartbeat interval, in the turn of the own heartbeat. */
  tick(canJudge: boolean): void {
    const { ports: { clock }, settings: { heartbeatMs } } = this.options
    const watched = this.options.watched()
    for (const [node, peer] of this.peers) {
      const on = watched.has(node)
      if (on !== peer.isWatched) {
        peer.isWatched = on
        peer.detector.send({ type: 'closelyWatched', on })
      }
      if (on) this.check(node, peer)
      const silenceMs = Math.min(this.silenceMs(node), clock.monotonicMs() - peer.observedFromMs)
      if (silenceMs >= heartbeatMs * overdueIntervals
        && peer.detector.snapshot()?.matches({ alive: { listening: 'waiting' } }))
      {
        peer.detector.send({ type: 'heartbeatOverdue', silenceMs })
      }
      if (canJudge && this.options.isGrantExpired(node))
        peer.detector.send({ type: 'grantExpired' })
    }
  }

  /** Has NATS say whether the life that is watched closely has gone. */
  private check(node: NodeId, { detector }: Peer): void {
    const snapshot = detector.snapshot()
    if (this.isIsolated || !snapshot?.matches({ alive: { watch: 'close' } })) return
    const { life, server } = snapshot.context
    if (!life) return
    if (isIndirect(snapshot.context)) void this.probe(node, life, true, server)
    else this.options.probes.check(node, life)
  }

  private silenceMs(peer: NodeId): number {
    const { clock } = this.options.ports
    return this.options.grants.silenceMs(peer, {
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
    })
  }

  private peerFor(node: NodeId): Peer {
    const known = this.peers.get(node)
    if (known) return known
    const { ports, settings, wire, watched } = this.options
    const detector = ports.host.spawn({
      id: `detector.${node}`,
      logic: failureDetectorMachine,
      input: () => ({
        peer: node,
        heartbeatMs: settings.heartbeatMs,
        probeMs: settings.probeMs,
        ownServer: wire.serverId,
        closelyWatched: watched().has(node),
      }),
      effects: (effect) => this.perform(effect),
      supervision: { maxRestarts: 10, withinMs: 10_000, backoffMs: 10, backoffMaxMs: 1000 },
    })
    const isWatched = watched().has(node)
    const observedFromMs = ports.clock.monotonicMs()
    const peer = { detector, said: null, isWatched, observedFromMs, chartHeardMs: -Infinity }
    this.peers.set(node, peer)
    return peer
  }

  private perform(effect: FailureDetectorEffect): void {
    const { logger, telemetry } = this.options.ports
    switch (effect.type) {
      case 'probe':
        void this.probe(effect.peer, effect.life, effect.indirect, effect.server)
        return
      case 'peerSuspected':
        telemetry.count('peersSuspected')
        logger.info({ peer: effect.peer }, effect.reason)
        return
      case 'peerDied':
      case 'peerLeft':
        // The end of one that has left is expected.
        logger[this.status()[effect.peer]?.state === 'left' ? 'info' : 'warn'](
          { peer: effect.peer },
          effect.reason,
        )
        this.lostPeers.noteLost(effect)
        this.options.onEvidence(effect.peer)
        return
      case 'peerReturned':
      case 'peerRestarted':
        logger.info({ peer: effect.peer }, effect.reason)
        this.lostPeers.noteBack(effect)
        this.options.onEvidence(effect.peer)
        return
      case 'ignored':
        logger.debug({ peer: effect.peer }, effect.reason)
    }
  }

  private async probe(
    peer: NodeId,
    life: Life,
    indirect: boolean,
    server: string | null,
  ): Promise<void> {
    const detector = this.peers.get(peer)?.detector
    if (!detector || this.isIsolated) return
    const { probes } = this.options
    const outcome = indirect
      ? await probes.askWitness(peer, life, server, this.witnessOf(peer, server))
      : await probes.ping(peer)
    if (this.isIsolated) return
    if (outcome === 'unknown') return
    if (outcome === 'silent') detector.send({ type: 'probeSilent' })
    else this.found(peer, life, outcome)
  }

  /** `life`: the one that was asked about. */
  private found(peer: NodeId, life: Life, outcome: CheckOutcome): void {
    const detector = this.peers.get(peer)?.detector
    if (outcome === 'gone') detector?.send({ type: 'probeGone', life })
    else detector?.send({ type: 'probeAnswered', life: outcome, server: outcome.server })
  }

  /** Returns a node on that server, not known to be gone, that can be asked about the peer. */
  private witnessOf(peer: NodeId, server: string | null): NodeId | null {
    const there = [...this.peers].filter(([node, other]) =>
      node !== peer && other.said?.server === server && server !== null
      && this.goneReason(node) === null
    )
    // The one heard most recently: another may hang.
    const [latest] = there.map(([node]) => node)
      .toSorted((a, b) => this.silenceMs(a) - this.silenceMs(b))
    return latest ?? null
  }
}
