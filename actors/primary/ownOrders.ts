import type { MemberChange } from '../../machines/protocol/memberChange.js'
import type { MemberOrder } from '../../machines/protocol/members.js'
import type { Member } from '../member/member.js'
import { Backoff } from '../structures/backoff.js'
import type { LearnerProgress } from './learnerProgress.js'

export interface OwnOrdersOptions {
  readonly member: Member
  readonly order: (order: MemberOrder | null, only?: MemberChange) => Promise<unknown>
  readonly learner: Pick<LearnerProgress, 'isStuckFor'>
}

/** Pauses after orders that were refused: the first and the longest. */
const retryMs = 1000
const retryMostMs = 60_000

/** Changes of the members that a primary orders without an operator, one at a time. */
export class OwnOrders {
  private isWaiting = false
  private dueMs = -Infinity
  private readonly backoff: Backoff

  /** `failure`: for the log. */
  constructor(private readonly options: OwnOrdersOptions, private readonly failure: string) {
    this.backoff = new Backoff(options.member.context.ports.random, retryMs, retryMostMs)
  }

  get isUnderWay(): boolean {
    return this.isWaiting
  }

  /** None is under way, and the pause after one that was refused is over. */
  get mayBegin(): boolean {
    return !this.isWaiting && this.nowMs() >= this.dueMs
  }

  /** `null`: takes the change back. Never rejects: what is refused is judged again. */
  async send(order: MemberOrder | null, only?: MemberChange): Promise<void> {
    const { member: { space, context: { ports: { logger } } } } = this.options
    this.isWaiting = true
    try {
      await this.options.order(order, only)
      this.backoff.reset()
    } catch (error) {
      this.dueMs = this.nowMs() + this.backoff.next()
      logger.warn({ space, error: String(error) }, this.failure)
    } finally {
      this.isWaiting = false
    }
  }

  private nowMs(): number {
    return this.options.member.context.ports.clock.monotonicMs()
  }
}
