import type { NodeContext } from '../member/context.js'

const MiB = 1024 * 1024
/** Without a setting: as fast as this, and slower while the node is late with other things. */
const adaptiveMax = 32 * MiB
const adaptiveMin = 4 * MiB
const loopDelayMsMax = 5
const bufferedBytesMax = MiB
const judgedMs = 1000

/** How fast this node sends checkpoints, over all members that it serves. */
export class SendRate {
  private bytesPerSecond: number
  private freeAtMs = -Infinity
  private judgedAtMs = -Infinity

  constructor(
    private readonly context: {
      readonly ports: { readonly clock: Pick<NodeContext['ports']['clock'], 'monotonicMs'> }
      readonly settings: Pick<NodeContext['settings'], 'installBytesPerSecond'>
      readonly peers: Pick<NodeContext['peers'], 'loopDelayMs'>
      readonly wire: Pick<NodeContext['wire'], 'bufferedBytes'>
    },
  ) {
    this.bytesPerSecond = context.settings.installBytesPerSecond || adaptiveMax
  }

  /** Bytes in a second, now. */
  get now(): number {
    return this.bytesPerSecond
  }

  /** Reserves time for so many bytes. Returns after how long they may be sent, ms. */
  take(bytes: number): number {
    const nowMs = this.context.ports.clock.monotonicMs()
    const atMs = Math.max(nowMs, this.freeAtMs)
    this.freeAtMs = atMs + bytes * 1000 / this.bytesPerSecond
    return Math.round(atMs - nowMs)
  }

  /** Called once per heartbeat: slower at once, faster step by step. */
  tick(): void {
    const { ports, settings, peers, wire } = this.context
    if (settings.installBytesPerSecond > 0) return
    const nowMs = ports.clock.monotonicMs()
    if (nowMs - this.judgedAtMs < judgedMs) return
    this.judgedAtMs = nowMs
    const isLate = peers.loopDelayMs > loopDelayMsMax || wire.bufferedBytes > bufferedBytesMax
    this.bytesPerSecond = isLate
      ? Math.max(adaptiveMin, this.bytesPerSecond / 2)
      : Math.min(adaptiveMax, this.bytesPerSecond * 1.1)
  }
}
