import type { Member } from '../member/member.js'

/** Reports on one promotion: in the log, in the member's status, as alerts. */
export class PromotionNews {
  private logged = ''
  /** Monotonic time since which the arbiter is waited for, or null. */
  private waitsSinceMs: number | null = null

  constructor(private readonly member: Member) {}

  /**
   * Logs repeated entries into the same state with the same reason only once. `obstacle`: the
   * reason why nothing can be written to the record; until it changes, another attempt is no
   * progress.
   */
  progressed(state: string, reason: string, obstacle: string | null): void {
    const { member } = this
    const isWaiting = state === 'blocked' || state === 'held' || state === 'waitingForArbiter'
    if (isWaiting) member.blockage.because(reason)
    else if (obstacle === null) member.blockage.clear()
    const isAgain = this.logged === `${state}: ${reason}`
    const isKnown = isAgain || (obstacle !== null && !isWaiting)
      || (state === 'blocked' && member.blockage.alerted === reason)
    if (!isKnown) {
      this.logged = `${state}: ${reason}`
      member.context.ports.logger.info({ space: member.space, state }, `promotion: ${reason}`)
    }
    if (this.isAlarming(state, isAgain)) member.blockage.alert(reason)
  }

  /** Alerts at once if only an operator can help, otherwise if the state lasts. */
  private isAlarming(state: string, isAgain: boolean): boolean {
    if (state === 'blocked') return true
    // Another member, which is not held, may take over within the same second.
    if (state === 'held') return isAgain
    return this.waitsTooLong(state)
  }

  /** Usually longer than an election of the arbiter's leader. Reported once. */
  private waitsTooLong(state: string): boolean {
    const { member } = this
    const { ports: { clock }, settings: { grantMs } } = member.context
    if (state !== 'waitingForArbiter') {
      this.waitsSinceMs = null
      return false
    }
    const nowMs = clock.monotonicMs()
    this.waitsSinceMs ??= nowMs
    return member.blockage.alerted === null && nowMs - this.waitsSinceMs > 2 * grantMs
  }
}
