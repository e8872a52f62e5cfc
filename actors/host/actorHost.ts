/** The actor host as actors/ need it; runtime/host implements it for any XState v5 machine. */
import type { AnyActorLogic, AnyEventObject, EmittedFrom, EventFromLogic, InputFrom, OutputFrom,
  SnapshotFrom } from 'xstate'

export interface Supervision {
  /** More restarts than this within the period: give up and escalate to the parent. */
  readonly maxRestarts: number
  readonly withinMs: number
  /** First pause before a restart; doubled each time, up to the maximum. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
}

export interface MailboxPolicy {
  /** Limit of the events that wait for a busy or restarting actor (I11). */
  readonly capacity: number
  /** dropNewest and dropOldest make dead letters; fail makes the actor fail. */
  readonly overflow: 'dropNewest' | 'dropOldest' | 'fail'
}

export type ActorExit<TLogic extends AnyActorLogic> =
  | { readonly kind: 'done'; readonly output: OutputFrom<TLogic> }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly error: unknown }

export interface ActorSpec<TLogic extends AnyActorLogic> {
  /** Unique on the node: `space.demo.primary`. Tokens of [A-Za-z0-9_-], joined by dots. */
  readonly id: string
  readonly logic: TLogic
  /** Evaluated at each start and restart. */
  readonly input: () => InputFrom<TLogic>
  /** Performs the effects that the logic emits. A throw fails the actor. */
  readonly effects?: (effect: EmittedFrom<TLogic>, self: HostedActor<TLogic>) => void
  readonly onSnapshot?: (snapshot: SnapshotFrom<TLogic>) => void
  /** Id of the actor that fails when this one gives up. Default: the host's `onEscalation`. */
  readonly parent?: string
  /** Without it a failure escalates at once. */
  readonly supervision?: Supervision
  readonly mailbox?: MailboxPolicy
  /**
   * Decides on events from other nodes: a reason to refuse, or null. Default: none are accepted.
   */
  readonly refuseRemote?: (event: unknown) => string | null
  /** Called when an event that this actor sent, by a reference in its name, reached nobody. */
  readonly onUndelivered?: (letter: UndeliveredEvent) => void
  /** Called once, when the actor is over and will not be restarted. */
  readonly onExit?: (exit: ActorExit<TLogic>) => void
}

export interface UndeliveredEvent {
  /** Why, for programs; `detail` says it in words. */
  readonly reason: string
  readonly detail: string
  readonly to: { readonly node: string; readonly actor: string }
  /** Only its type when it was another node that could not deliver it. */
  readonly event: AnyEventObject | undefined
}

export interface HostedActor<TLogic extends AnyActorLogic> {
  readonly id: string
  send(event: EventFromLogic<TLogic>): void
  /** undefined while the actor is between two lives. */
  snapshot(): SnapshotFrom<TLogic> | undefined
  /** Ends it, and everything below it, without a restart. Idempotent. */
  stop(): void
}

export interface ActorDeath {
  readonly id: string
  readonly kind: 'done' | 'stopped' | 'failed' | 'unknown'
}

export interface ActorHost {
  spawn<TLogic extends AnyActorLogic>(spec: ActorSpec<TLogic>): HostedActor<TLogic>
  /**
   * Ends it abruptly, as if it had thrown: supervision decides. False if there is no such actor.
   */
  kill(id: string, reason?: string): boolean
  /** Death watch: called once when the actor fails, stops or is done (not at restarts). */
  watch(id: string, onDeath: (exit: ActorDeath) => void): () => void
  ids(): string[]
  /** False between two lives, and when there is no such actor. */
  isRunning(id: string): boolean
}
