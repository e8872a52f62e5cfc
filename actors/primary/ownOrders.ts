import type { MemberChange } from '../../machines/protocol/memberChange.js'
import type { MemberOrder } from '../../machines/protocol/members.js'
import type { Member } from '../member/member.js'

export interface OwnOrdersOptions {
  readonly member: Member
  readonly order: (order: MemberOrder | null, only?: MemberChange) => Promise<unknown>
}

/** Changes of the members that a primary orders without an operator, one at a time. */
export class OwnOrders {
  private isWaiting = false

  /** `failure`: for the log. */
  constructor(private readonly options: OwnOrdersOptions, private readonly failure: string) {}

  get isUnderWay(): boolean {
    return this.isWaiting
  }

  /** `null`: takes the change back. Never rejects: what is refused is judged again. */
  async send(order: MemberOrder | null, only?: MemberChange): Promise<void> {
    const { member: { space, context: { ports: { logger } } } } = this.options
    this.isWaiting = true
    try {
      await this.options.order(order, only)
    } catch (error) {
      logger.warn({ space, error: String(error) }, this.failure)
    } finally {
      this.isWaiting = false
    }
  }
}
