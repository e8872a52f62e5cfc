import type { Clock, Logger } from '../ports/system.js'

/** How often a lasting fault is told. */
const pauseMs = 30_000

/** Of attempts that end alike, some a second, the first one is told, and one in half a minute. */
export class FaultLog {
  private last = ''
  private toldMs = 0

  constructor(private readonly clock: Clock, private readonly logger: Logger) {}

  tell(error: string, what: string): void {
    const nowMs = this.clock.monotonicMs()
    const isNew = error !== this.last || nowMs - this.toldMs >= pauseMs
    if (isNew) {
      this.last = error
      this.toldMs = nowMs
    }
    this.logger[isNew ? 'warn' : 'debug']({ error }, what)
  }

  /** The next fault is another one, even if it looks the same. */
  over(): void {
    this.last = ''
  }
}
