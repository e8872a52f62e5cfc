import type { Instant } from '../../machines/election/grants.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { Clock, Logger, Telemetry } from '../ports/system.js'

export type TiltEvent =
  | { readonly type: 'tiltStarted'; readonly reason: string }
  | { readonly type: 'tiltEnded' }

export interface TiltOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Telemetry
  readonly settings: Pick<ActorSettings, 'heartbeatMs' | 'stallMs'>
}

/** Heartbeat intervals without a stall before this node judges others again. */
const calmIntervals = 10

/**
 * Detects tilt: the own loop stalled, or the clock jumped. In tilt a node observes and does not
 * act, since its judgement of others may be wrong (Sentinel's tilt, memberlist's awareness).
 */
export class Tilt {
  private delayMs = 0
  /** Monotonic; null: there is no tilt. */
  private calmAtMs: number | null = null
  private last: Instant
  private lastCpuMs: number

  constructor(private readonly options: TiltOptions) {
    this.last = this.now()
    this.lastCpuMs = options.clock.cpuMs()
  }

  /** Delay of the latest heartbeat by the own event loop, ms. */
  get loopDelayMs(): number {
    return this.delayMs
  }

  get isOn(): boolean {
    return this.calmAtMs !== null
  }

  /** Called once per heartbeat. Returns an event for the failure detectors. */
  tick(): TiltEvent | null {
    const { logger, telemetry } = this.options
    const reason = this.doubt()
    if (reason !== null) {
      logger.warn({}, `tilt: ${reason}`)
      telemetry.count('tilts')
      this.calmAtMs = this.last.monotonicMs + calmIntervals * this.options.settings.heartbeatMs
      return { type: 'tiltStarted', reason }
    }
    if (this.calmAtMs === null || this.last.monotonicMs < this.calmAtMs) return null
    this.calmAtMs = null
    return { type: 'tiltEnded' }
  }

  private now(): Instant {
    const { clock } = this.options
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
  }

  /** Why this node should not judge others, or null. */
  private doubt(): string | null {
    const { clock, settings: { heartbeatMs, stallMs } } = this.options
    const [now, cpuMs] = [this.now(), clock.cpuMs()]
    const passedMs = now.monotonicMs - this.last.monotonicMs
    const jumpMs = Math.abs(now.wallMs - this.last.wallMs - passedMs)
    const ranMs = cpuMs - this.lastCpuMs
    this.last = now
    this.lastCpuMs = cpuMs
    this.delayMs = Math.max(0, passedMs - heartbeatMs)
    if (jumpMs > stallMs) return `own clock jumped by ${Math.round(jumpMs)} ms`
    if (this.loopDelayMs <= stallMs) return null
    const stalled = `own loop stalled for ${Math.round(this.loopDelayMs)} ms`
    // A process that is busy itself runs for most of that time.
    return ranMs >= passedMs / 2 ? stalled : `${stalled}, of which this process ran `
      + `${Math.round(ranMs)} ms: it was stopped, or the machine is too busy`
  }
}
