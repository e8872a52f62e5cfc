/** An actor host for XState v5 over NATS: supervision, bounded mailboxes, remote references. */
export { createActorHost } from './host.js'
export { ActorFailedError, ActorKilledError, MailboxOverflowError } from './types.js'
export { AskError, reply } from './asks.js'
export type { AskFailure } from './asks.js'
export { defaultMailbox } from './mailbox.js'
export type { ActorHostOptions, ActorHostRuntime, ActorReport, DeadLetter, DeadLetterReason,
  ExitKind, HostEvent, HostReport, InspectionObserver, InspectionSource, RemoteExit, RemoteRef,
  Reply, ReplyTo, Sender } from './types.js'
