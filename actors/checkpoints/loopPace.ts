import type { Pace } from '../ports/checkpoints.js'
import type { Clock } from '../ports/system.js'
import { pause } from '../structures/pause.js'

export interface LoopPaceOptions {
  readonly clock: Clock
  /** Share of the event loop's time; read at each slice. */
  readonly duty: () => number
  readonly bytesPerSecond: number
  /** Called at each rest: a rejection ends the work. */
  readonly check: () => Promise<void>
}

/** Longest rest after one slice, however long it took. */
const restMsMax = 20
/** Shorter rests are added up: timers are whole milliseconds. */
const restMsMin = 1

/** Leaves the event loop to writes and heartbeats between slices of long work. */
export class LoopPace implements Pace {
  private begunMs = 0
  private workedMs = 0
  private owedMs = 0

  constructor(private readonly options: LoopPaceOptions) {}

  begin(): void {
    this.begunMs = this.options.clock.monotonicMs()
  }

  end(): void {
    this.workedMs = this.options.clock.monotonicMs() - this.begunMs
  }

  async rest(bytes: number): Promise<void> {
    const { clock, duty, bytesPerSecond, check } = this.options
    await check()
    const passedMs = clock.monotonicMs() - this.begunMs
    const byDuty = Math.min(this.workedMs * (1 / duty() - 1), restMsMax)
    this.owedMs += Math.max(byDuty, bytes * 1000 / bytesPerSecond - passedMs)
    if (this.owedMs < restMsMin) return await new Promise((resolve) => clock.nextTurn(resolve))
    const owedMs = Math.floor(this.owedMs)
    this.owedMs -= owedMs
    await pause(clock, owedMs)
  }
}
