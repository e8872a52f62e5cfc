/**
 * An actor host for programs of their own: XState v5 actors under supervision, that reach each
 * other over NATS. docs/actor-host.md teaches it.
 */
export { createActorHost } from './actorHost.js'
export type { ActorHostSettings, StandaloneActorHost } from './actorHost.js'
export { ActorFailedError, ActorKilledError, AskError, defaultMailbox, MailboxOverflowError,
  reply } from '../host/index.js'
export type { ActorHostRuntime, ActorReport, AskFailure, DeadLetter, DeadLetterReason, ExitKind,
  HostEvent, HostReport, InspectionObserver, InspectionSource, RemoteExit, RemoteRef, Reply,
  ReplyTo, Sender } from '../host/index.js'
export { hosted } from '../../actors/host/invokeHosted.js'
export type { HostedReports } from '../../actors/host/invokeHosted.js'
export type { ActorDeath, ActorExit, ActorHost, ActorSpec, HostedActor, MailboxPolicy, Supervision,
  UndeliveredEvent } from '../../actors/host/actorHost.js'
export type { BusConnection, BusMessage, BusSubscription } from '../../actors/ports/bus.js'
export type { Clock, Logger, Telemetry, TimerHandle } from '../../actors/ports/system.js'
export type { NatsOptions, TlsOptions } from '../bus/natsOptions.js'
