import { performance } from 'node:perf_hooks'
import type { Clock, TimerHandle } from '../../actors/ports/system.js'

/** setTimeout takes a signed 32-bit number of ms, and fires at once for larger ones. */
const timeoutMsMax = 2 ** 31 - 1

/** The clock of this machine. */
export class SystemClock implements Clock {
  wallMs(): number {
    return Date.now()
  }

  monotonicMs(): number {
    return performance.now()
  }

  cpuMs(): number {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }

  /** Delays above 24 days are shortened to that. */
  setTimeout(run: () => void, ms: number): TimerHandle {
    return setTimeout(run, Math.min(ms, timeoutMsMax))
  }

  clearTimeout(timer: TimerHandle): void {
    clearTimeout(timer as NodeJS.Timeout)
  }

  nextTurn(run: () => void): void {
    setImmediate(run)
  }
}
