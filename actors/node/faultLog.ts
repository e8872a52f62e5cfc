import type { Clock, Logger } from '../ports/system.js'

/** Interval at which a lasting fault is logged again. */
const pauseMs = 30_000

/** Logs repeated failures: the first of equal ones, then one in half a minute. */
export class FaultLog {
  private last = ''
  private loggedMs = 0

  constructor(private readonly clock: Clock, private readonly logger: Logger) {}

  log(error: string, what: string): void {
    const nowMs = this.clock.monotonicMs()
    const isNew = error !== this.last || nowMs - this.loggedMs >= pauseMs
    if (isNew) {
      this.last = error
      this.loggedMs = nowMs
    }
    this.logger[isNew ? 'warn' : 'debug']({ error }, what)
  }

  /** The next fault is another one, even if it looks the same. */
  over(): void {
    this.last = ''
  }
}
