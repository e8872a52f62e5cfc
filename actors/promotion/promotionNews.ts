import type { Member } from '../member/member.js'

/** What one promotion tells: the log, the member's status, alerts. */
export class PromotionNews {
  private told = ''
  /** Monotonic time since which the arbiter is waited for, or null. */
  private waitsSinceMs: number | null = null

  constructor(private readonly member: Member) {}

  /**
   * What is entered again and again for one reason is logged once. `obstacle`: why nothing can be
   * written to the record; until that has changed, trying again is no progress.
   */
  progressed(state: string, reason: string, obstacle: string | null): void {
    const { member } = this
    const isWaiting = state === 'blocked' || state === 'held' || state === 'waitingForArbiter'
    if (isWaiting) member.blocked = reason
    else if (obstacle === null) member.blocked = null
    const isAgain = this.told === `${state}: ${reason}`
    const isTold = isAgain || (obstacle !== null && !isWaiting)
      || (state === 'blocked' && member.loggedBlocked === reason)
    if (!isTold) {
      this.told = `${state}: ${reason}`
      member.context.ports.logger.info({ space: member.space, state }, `promotion: ${reason}`)
    }
    if (this.isAlarming(state, isAgain) && member.loggedBlocked !== reason) {
      member.loggedBlocked = reason
      member.alert('blocked', {}, reason)
    }
  }

  /** Alerts at once about what only operators can mend, about the rest when it lasts. */
  private isAlarming(state: string, isAgain: boolean): boolean {
    if (state === 'blocked') return true
    // Another member, which is not held, may take over within the same second.
    if (state === 'held') return isAgain
    return this.waitsTooLong(state)
  }

  /** For the arbiter: longer than an election of its leader, as a rule. Told once. */
  private waitsTooLong(state: string): boolean {
    const { member } = this
    const { ports: { clock }, settings: { grantMs } } = member.context
    if (state !== 'waitingForArbiter') {
      this.waitsSinceMs = null
      return false
    }
    const nowMs = clock.monotonicMs()
    this.waitsSinceMs ??= nowMs
    return member.loggedBlocked === null && nowMs - this.waitsSinceMs > 2 * grantMs
  }
}
