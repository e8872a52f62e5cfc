import type { InstallReport } from '../../machines/protocol/installMessages.js'
import type { AckMessage, JoinRequest, ReconcileAnswer,
  ReconcileMessage } from '../../machines/protocol/messages.js'
import type { Member } from '../member/member.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { PrimaryRole } from '../primary/primary.js'
import { installRefused, joinRefused, reconcileRefused } from './statelessAnswers.js'

/** Handles what members send to their primary; `primary` is null where there is none. */
export function onAckMessage(
  member: Member,
  primary: PrimaryRole | null,
  ack: AckMessage,
  asker: ReplyTarget,
): void {
  if (ack.kind === 'join') onJoin(member, primary, ack, asker)
  else if (ack.kind === 'install') onInstall(member, primary, ack, asker)
  else if (ack.kind === 'offer' || ack.kind === 'slice') onReconcile(member, primary, ack, asker)
  else if (primary?.isPrimary) primary.onAckMessage(ack)
  // The sender follows an epoch that is over, and did not hear the announcement.
  else member.sendSession(ack.node, ack.epoch, 0)
}

function onJoin(
  member: Member,
  primary: PrimaryRole | null,
  request: JoinRequest,
  asker: ReplyTarget,
): void {
  const { ports, answers } = member.context
  const answer = primary?.join(request) ?? joinRefused(member, request)
  answers.answer(asker, ports.control.encode(answer))
}

function onInstall(
  member: Member,
  primary: PrimaryRole | null,
  report: InstallReport,
  asker: ReplyTarget,
): void {
  const { ports, answers } = member.context
  const answer = primary?.installReported(report) ?? installRefused(member, report)
  answers.answer(asker, ports.control.encode(answer))
}

function onReconcile(
  member: Member,
  primary: PrimaryRole | null,
  message: ReconcileMessage,
  asker: ReplyTarget,
): void {
  if (asker.reply === undefined) return
  const { ports, answers } = member.context
  const answer = (said: ReconcileAnswer) => answers.answer(asker, ports.control.encode(said))
  if (primary?.isPrimary) primary.forks.onMessage(message, answer)
  else answer(reconcileRefused(member, message))
}
