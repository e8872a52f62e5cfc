/** What each node would know of the others, some time after one of them has failed. */
import type { NodeId, Vacancy } from '../base/ids.js'
import type { PeerView } from '../election/claiming.js'
import { isIndirect, missedHeartbeatsMax } from '../election/failureDetectorSetup.js'
import { vacancyOf } from '../election/vacancy.js'
import type { Assignment, PrimaryLife } from '../protocol/messages.js'
import type { Costs, Failure, RehearsedNode, Situation } from './situation.js'

/** Nothing was ever heard of it. */
const unheard = { silenceMs: Infinity, isAlive: false, isGone: false }

export class Outlook {
  constructor(
    private readonly situation: Pick<Situation, 'nodes' | 'record' | 'absent'>,
    private readonly lost: NodeId,
    private readonly failure: Failure,
    private readonly costs: Costs,
  ) {}

  private heard(node: RehearsedNode, peer: NodeId) {
    return node.heard.get(peer) ?? unheard
  }

  /** Whether heartbeats, requests and answers pass between the two, both ways. */
  areConnected(node: RehearsedNode, peer: NodeId): boolean {
    const other = this.situation.nodes.get(peer)
    return other !== undefined && peer !== this.lost && node.node !== this.lost
      && this.heard(node, peer).isAlive && this.heard(other, node.node).isAlive
  }

  /** Whether a grant of the peer to the node has not run out. */
  isGranted(node: RehearsedNode, peer: NodeId, atMs: number): boolean {
    return this.peerOf(node, peer, atMs).quietMs < node.times.grantMs
  }

  peerOf(node: RehearsedNode, peer: NodeId, atMs: number): PeerView {
    const { silenceMs, isAlive, isGone } = this.heard(node, peer)
    const { grantMs, grantMargin } = node.times
    const isHeard = isAlive && peer !== this.lost && this.situation.nodes.has(peer)
    const quietMs = isHeard ? 0 : silenceMs + atMs
    return {
      isProvenDead: isGone || atMs >= this.proofMs(node, peer),
      isGrantExpired: quietMs >= grantMs * grantMargin,
      quietMs,
    }
  }

  /** Whether NATS says, to who asks for it, that the node is not connected. */
  isAbsent(peer: NodeId): boolean {
    return this.situation.absent.has(peer) || (peer === this.lost && this.failure === 'gone')
  }

  /** When NATS has told the node that the connection of the peer is gone; Infinity: never. */
  proofMs(node: RehearsedNode, peer: NodeId): number {
    if (!this.isAbsent(peer)) return Infinity
    const checkedMs = this.checkedMs(node, peer)
    if (!this.isIndirect(node, peer)) return checkedMs + 2 * this.costs.messageMs
    const hasWitness = [...this.situation.nodes.values()].some((other) =>
      other !== node && this.areConnected(node, other.node) && !this.isIndirect(other, peer)
    )
    return hasWitness ? checkedMs + 4 * this.costs.messageMs : Infinity
  }

  /** Members check their primary at every heartbeat, and other nodes when they suspect them. */
  private checkedMs(node: RehearsedNode, peer: NodeId): number {
    const { silenceMs, isAlive } = this.heard(node, peer)
    const { heartbeatMs, probeMs } = node.times
    if (!isAlive) return probeMs
    if (this.situation.record.primary?.node === peer) return this.beatAfter(node, 0)
    return Math.max(0, missedHeartbeatsMax * heartbeatMs - silenceMs)
  }

  /** The server of a node that does not answer is not known: it is taken for the same one. */
  private isIndirect(node: RehearsedNode, peer: NodeId): boolean {
    const other = this.situation.nodes.get(peer)
    if (!other) return false
    const isHeardOnConnection = this.heard(node, peer).isAlive
    return isIndirect({ server: other.server, ownServer: node.server, isHeardOnConnection })
  }

  /** When the node finds that its last grant to the lost one has run out. */
  expiryMs(node: RehearsedNode): number {
    const { grantMs, grantMargin } = node.times
    const { silenceMs } = this.heard(node, this.lost)
    const runsOutMs = grantMs * grantMargin - silenceMs
    return runsOutMs <= 0 ? 0 : this.beatAfter(node, runsOutMs)
  }

  /** Nodes beat together, so the last heartbeat of the lost one tells when this one's are due. */
  private beatAfter(node: RehearsedNode, afterMs: number): number {
    const { times: { heartbeatMs } } = node
    const { silenceMs } = this.heard(node, this.lost)
    const firstMs = Number.isFinite(silenceMs) ? heartbeatMs - silenceMs % heartbeatMs : 0
    return firstMs + Math.max(0, Math.ceil((afterMs - firstMs) / heartbeatMs)) * heartbeatMs
  }

  /** Proof, to the node, that the epoch in the record is over; null: there is none yet. */
  vacancyOf(node: RehearsedNode, record: Assignment, atMs: number): Vacancy | null {
    const holder: PrimaryLife | null = record.primary
    const isLost = holder?.node === this.lost
    return vacancyOf(record, {
      self: node.node,
      life: { incarnation: 0, connection: 0 },
      primaryEpoch: 0,
      heardLife: holder,
      goneLife: isLost && atMs >= this.proofMs(node, this.lost) ? holder : null,
      resignedEpoch: 0,
      grantExpired: isLost && atMs >= this.expiryMs(node),
    })
  }
}
