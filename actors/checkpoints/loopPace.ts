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
/** Of work in one turn of the loop. */
const turnMsMax = 3

/**
 * Leaves the event loop to writes and heartbeats between slices of long work. On a busy loop a rest
 * takes much longer than it should. The next slices make up for it: some are taken in one turn.
 */
export class LoopPace implements Pace {
  private begunMs = 0
  private workedMs = 0
  /** Of work since the last rest. */
  private turnMs = 0
  /** Of rest; negative: that much was too long. */
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
    const nowMs = clock.monotonicMs()
    const passedMs = nowMs - this.begunMs
    const byDuty = Math.min(this.workedMs * (1 / duty() - 1), restMsMax)
    this.owedMs += Math.max(byDuty, bytes * 1000 / bytesPerSecond - passedMs)
    this.turnMs += this.workedMs
    if (this.owedMs <= 0 && this.turnMs + this.workedMs <= turnMsMax) return
    if (this.owedMs < restMsMin) await new Promise<void>((resolve) => clock.nextTurn(resolve))
    else await pause(clock, Math.floor(this.owedMs))
    this.turnMs = 0
    this.owedMs = Math.max(this.owedMs - (clock.monotonicMs() - nowMs), -restMsMax)
  }
}
