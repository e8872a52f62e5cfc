/** The actor host beyond the contract of actorHost.ts, and its reports. */
import type { AnyActorLogic, AnyEventObject, EventObject, InspectionEvent } from 'xstate'
import type { ActorHost } from '../../actors/host/actorHost.js'
import type { BusConnection } from '../../actors/ports/bus.js'
import type { Clock, Logger, Telemetry } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'

/** Why an event reached nobody. Stable: part of the counters' names. */
export const deadLetterReasons = [
  'noSuchActor',
  'actorOver',
  'overflow',
  'reservedEvent',
  'refused',
  'stale',
  'malformed',
  'tooLarge',
  'unencodable',
  'detached',
  'noSuchNode',
] as const
export type DeadLetterReason = (typeof deadLetterReasons)[number]

export interface Sender {
  readonly node: string
  /** null: not an actor, but other code of that node. */
  readonly actor: string | null
}

export interface DeadLetter {
  readonly reason: DeadLetterReason
  /** The reason as a sentence, with the particulars. */
  readonly detail: string
  readonly to: { readonly node: string; readonly actor: string }
  readonly from: Sender | null
  /** undefined when the bytes could not be read. */
  readonly event: AnyEventObject | undefined
}

export type ExitKind = 'done' | 'stopped' | 'failed'

/** Host events of the inspection stream, beside the XState events of the actors. */
export type HostEvent =
  | { readonly type: 'engram.spawn'; readonly parent: string | null }
  | { readonly type: 'engram.exit'; readonly kind: ExitKind }
  | { readonly type: 'engram.kill'; readonly reason: string }
  | {
    readonly type: 'engram.restart'
    /** Restarts within the period, this one included. */
    readonly attempt: number
    readonly delayMs: number
    readonly error: string
  }
  | { readonly type: 'engram.escalation'; readonly to: string | null; readonly error: string }
  | { readonly type: 'engram.deadLetter'; readonly letter: DeadLetter }

/** Source of an event. Session ids come from a process-wide counter, so rely on these instead. */
export interface InspectionSource {
  readonly node: string
  /** Id of the hosted actor; the XState event may concern a child of it (`actorRef.id`). */
  readonly actor: string
}

export type InspectionObserver = (
  event: InspectionEvent | HostEvent,
  source: InspectionSource,
) => void

export interface ActorHostOptions {
  /** Name of this node: a token of subjects. */
  readonly node: string
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry?: Telemetry
  readonly inspect?: InspectionObserver
  /** An actor without a parent gave up. The node's process should end non-zero. */
  readonly onEscalation: (error: Error) => void
  readonly bus?: BusConnection
  /**
   * Grows with every start of the node; receivers refuse envelopes of an earlier one.
   * Without it the wall clock at creation is taken, which is good as long as it does not go back.
   */
  readonly incarnation?: () => number
  /** Larger envelopes are neither sent nor read. Bytes; 256 KiB unless set. */
  readonly envelopeBytesMax?: number
  /** Interval at which a remote watch is renewed, to make up for lost notices. ms; 1,000. */
  readonly watchRenewalMs?: number
  /**
   * A watched node that answers nothing for so long is down. Time without a connection of this
   * host's own does not count. ms; without it `nodeDown` has to be called.
   */
  readonly nodeSilentMs?: number
  /** For actors without a `refuseRemote` of their own, which otherwise take nothing from afar. */
  readonly refuseRemote?: (event: AnyEventObject, logic: AnyActorLogic) => string | null
}

/** `nodeDown`: silent for too long, or reported by `nodeDown()`; the actor may still be running. */
export interface RemoteExit {
  readonly node: string
  readonly id: string
  readonly kind: ExitKind | 'unknown' | 'nodeDown'
}

/** Destination of the answer to an ask. Plain data: it may be passed on to another actor. */
export interface ReplyTo {
  readonly node: string
  readonly ask: number
  /** Incarnation of the asking host: a later one has asked nothing. */
  readonly life: number
}

/** Emitted by an actor to answer; see `reply`. */
export interface Reply {
  readonly type: 'engram.reply'
  /** undefined: the event was sent, not asked, and nobody waits. */
  readonly to: ReplyTo | undefined
  readonly value: unknown
}

export interface RemoteRef<TEvent extends EventObject> {
  readonly node: string
  readonly id: string
  /** At most once. Never throws: an event that cannot be sent is a dead letter. */
  send(event: TEvent): void
  /**
   * Sends the event with a `replyTo`, and resolves with what the actor answers (`reply`).
   * `timeoutMs`: 5,000 unless set. Rejects with AskError: as soon as it is known that nobody got
   * the event, or that the node is down; else when time is up.
   */
  ask<TAnswer = unknown>(event: TEvent, options?: { readonly timeoutMs?: number }): Promise<TAnswer>
}

export interface ActorReport {
  readonly id: string
  readonly parent: string | null
  readonly state: 'starting' | 'running' | 'restarting' | 'ending'
  readonly restarts: number
  readonly waiting: number
  /** Events per type that the actor could not handle in the state it was in. */
  readonly unhandled: Readonly<Record<string, number>>
}

export interface HostReport {
  readonly node: string
  readonly actors: readonly ActorReport[]
  readonly restarts: number
  readonly escalations: number
  readonly deadLetters: { readonly total: number } & Partial<Record<DeadLetterReason, number>>
}

export interface ActorHostRuntime extends ActorHost {
  readonly node: string
  /** A reference to a local or remote actor; local ones do not use the bus. */
  ref<TEvent extends EventObject = AnyEventObject>(
    node: string,
    id: string,
    from?: string,
  ): RemoteRef<TEvent>
  /** For code that is no actor; an actor emits what `reply` returns. */
  reply(answer: Reply): void
  /** Takes part in `engram.v1.actor.<node>.>`; leaves a former connection first. */
  attachBus(connection: BusConnection): void
  detachBus(): void
  /**
   * Death watch over nodes, called once; returns a function that ends it. Survives lost messages
   * and re-attachment; a newer incarnation of the node counts as `failed`.
   */
  watchRemote(node: string, id: string, onDeath: (exit: RemoteExit) => void): () => void
  /** Reports a dead node: its watched actors are reported, its watches here forgotten. */
  nodeDown(node: string): void
  /** Every XState event of every actor, and host events. Returns a function that ends it. */
  inspect(observer: InspectionObserver): () => void
  onDeadLetter(listener: (letter: DeadLetter) => void): () => void
  /** undefined when there is no such actor, or it is between two lives. */
  snapshotOf(id: string): unknown
  report(): HostReport
  /** Stops all actors, children before parents, and leaves the bus. */
  shutdown(): void
}

/** An actor that gave up, as its parent or `onEscalation` gets it. */
export class ActorFailedError extends Error {
  readonly code = 'ACTOR_FAILED'
  constructor(readonly actor: string, cause: unknown) {
    super(`actor ${actor} gave up: ${messageOf(cause)}`, { cause })
    this.name = 'ActorFailedError'
  }
}

/** The error of a killed actor, see `ActorHost.kill`. */
export class ActorKilledError extends Error {
  readonly code = 'ACTOR_KILLED'
  constructor(actor: string, reason: string) {
    super(`actor ${actor} was killed: ${reason}`)
    this.name = 'ActorKilledError'
  }
}

/** The error of an actor whose mailbox policy is `fail`. */
export class MailboxOverflowError extends Error {
  readonly code = 'MAILBOX_OVERFLOW'
  constructor(actor: string, capacity: number) {
    super(`the mailbox of actor ${actor} holds ${capacity} events and is full`)
    this.name = 'MailboxOverflowError'
  }
}
