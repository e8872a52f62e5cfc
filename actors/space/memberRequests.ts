import type { AckMessage } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { PrimaryRole } from '../primary/primary.js'
import { installRefused, joinRefused, reconcileRefused } from './statelessAnswers.js'

/** The space that is asked. */
export interface AskedSpace {
  readonly member: Member
  /** null: this node is not its primary. */
  readonly primaryRole: PrimaryRole | null
  /** Reads the record again. */
  refresh(): void
}

/** Handles what members send to their primary. */
export function onAckMessage(space: AskedSpace, message: AckMessage, asker: ReplyTarget): void {
  const { member, primaryRole: primary } = space
  const { ports, answers } = member.context
  // Its sender has read a later record, and the announcement of that may have been lost. If it
  // names this node, all others wait.
  if (message.epoch > member.known.epoch) space.refresh()
  const answer = (said: object) => answers.answer(asker, ports.control.encode(said))
  switch (message.kind) {
    case 'join':
      return answer(primary?.join(message) ?? joinRefused(member, message))
    case 'install':
      return answer(primary?.installReported(message) ?? installRefused(member, message))
    case 'offer':
    case 'slice':
      if (asker.reply === undefined) return
      if (primary?.isPrimary) primary.forks.onMessage(message, answer)
      else answer(reconcileRefused(member, message))
      return
    case 'ack':
    case 'nack':
      if (primary?.isPrimary) primary.onAckMessage(message)
      // The sender follows an epoch that is over, and did not hear the announcement.
      else member.sendSession(message.node, message.epoch, 0)
  }
}
