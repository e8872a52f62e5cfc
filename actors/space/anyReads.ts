import { isMember } from '../../machines/protocol/members.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { Member } from '../member/member.js'
import type { BusMessage, BusSubscription } from '../ports/bus.js'

/**
 * The subscription to reads that any member may answer. A learner, a node that was taken out, a
 * damaged member, and one whose store is being loaded have none.
 */
export class AnyReads {
  private subscription: BusSubscription | null = null
  private isOver = false

  constructor(
    private readonly member: Member,
    private readonly onRead: (message: BusMessage) => void,
  ) {}

  /** Called when the connection, the record, the log or the store has changed. */
  update(): void {
    const { member, member: { context: { wire } } } = this
    const record = member.known.record?.assignment
    const isWanted = !this.isOver && wire.isOpen && member.damage === null
      && !member.rebuild.isLoading
      && (record === undefined || isMember(record, member.self))
    if (!isWanted) return this.end()
    this.subscription ??= wire.subscribeSide(subjects.readAny(member.space), this.onRead, {
      queue: 'members',
    })
  }

  /** The space has left this node. */
  close(): void {
    this.isOver = true
    this.end()
  }

  end(): void {
    this.subscription?.unsubscribe()
    this.subscription = null
  }
}
