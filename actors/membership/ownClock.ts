import type { NodeId } from '../../machines/base/ids.js'
import { ClockWatch } from '../../machines/protocol/clockWatch.js'
import type { Logger } from '../ports/system.js'

/** Compares this node's wall clock with those of its peers. */
export class OwnClock {
  private readonly watch = new ClockWatch()
  private isOff = false
  private latestOffsetMs: number | null = null

  constructor(private readonly node: NodeId, private readonly logger: Logger) {}

  /** Offset behind (positive) or ahead of most peers' clocks, ms; null: not known. */
  get offsetMs(): number | null {
    return this.latestOffsetMs
  }

  /** See ClockWatch.heard. */
  heard(peer: NodeId, peerWallMs: number | undefined, wallMs: number, roundTripMs: number): void {
    this.watch.heard(peer, peerWallMs, wallMs, roundTripMs)
  }

  forget(peer: NodeId): void {
    this.watch.forget(peer)
  }

  /** Called once per heartbeat; `peers`: those that are alive. */
  judge(peers: readonly NodeId[]): void {
    this.latestOffsetMs = this.watch.offsetMs(peers)
    const isOff = this.watch.judge(this.offsetMs)
    if (isOff === this.isOff) return
    this.isOff = isOff
    const offsetMs = Math.round(this.offsetMs ?? 0)
    if (isOff) this.logger.error({ offsetMs }, this.fault ?? '')
    else this.logger.info({ offsetMs }, 'the clock agrees with those of the peers again')
  }

  /** Text for operators; null: the clock agrees with those of the peers, or it is not known. */
  get fault(): string | null {
    if (!this.isOff || this.offsetMs === null) return null
    const seconds = (Math.abs(this.offsetMs) / 1000).toFixed(1)
    return `the clock of ${this.node} is ${seconds} s `
      + `${this.offsetMs > 0 ? 'behind' : 'ahead of'} those of its peers, so that entries get `
      + 'wrong timestamps. Check its time synchronisation'
  }
}
