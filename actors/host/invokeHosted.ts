/** Invocation of hosted actors by a supervising chart. */
import { fromCallback } from 'xstate'
import type { AnyActorLogic, AnyActorRef, AnyEventObject, CallbackActorLogic, EventFromLogic,
  NonReducibleUnknown } from 'xstate'
import type { ActorExit, ActorHost, ActorSpec, HostedActor } from './actorHost.js'

/** An addition to ActorSpec that hosts support: another party answers for the actor's failure. */
export interface Escalating {
  /**
   * Called when the actor has given up, after `onExit`. True: the failure is handled. False, or no
   * function: the parent fails, or the host's `onEscalation` is called.
   */
  readonly onGivenUp?: (error: unknown) => boolean
}

/** Types of the events that the invoking chart gets. */
export interface HostedReports {
  /** `{ type, output }` when the hosted actor is done. */
  readonly doneType: string
  /** `{ type, error }` when it failed and is not restarted any more. */
  readonly failedType: string
}

/** Living actors by invoking chart: a chart may invoke the same id again at once. */
const invokedBy = new WeakMap<object, Map<string, HostedActor<AnyActorLogic>>>()

/**
 * Actor logic for `invoke`: runs the actor under the host while the invoking state is active,
 * and forwards what the chart sends to it.
 *
 * If the chart cannot take `failedType` in its present state, the failure is escalated as usual
 * (`spec.parent`, then the host's `onEscalation`), so that it never vanishes. An error thrown by
 * `toSpec` or `host.spawn` is an error of the invocation (`onError`).
 */
export function hosted<
  TLogic extends AnyActorLogic,
  TInput extends NonReducibleUnknown = undefined,
>(
  host: ActorHost,
  toSpec: (args: { readonly input: TInput }) => ActorSpec<TLogic>,
  reports: HostedReports,
): CallbackActorLogic<EventFromLogic<TLogic>, TInput> {
  return fromCallback<EventFromLogic<TLogic>, TInput>(({ input, self, sendBack, receive }) => {
    const chart = self._parent
    const spec = toSpec({ input })
    let isStopped = false
    const report = (event: AnyEventObject): void => {
      if (!isStopped) sendBack(event)
    }
    const living = livingOf(chart ?? self)
    // XState starts the new invocation before the former is disposed of when the chart re-enters
    // while the former is on the stack. The chart has left it, so it may go.
    living.get(spec.id)?.stop()
    const supervised: ActorSpec<TLogic> & Escalating = {
      ...spec,
      onExit: (exit: ActorExit<TLogic>) => {
        spec.onExit?.(exit)
        if (exit.kind === 'done') report({ type: reports.doneType, output: exit.output })
      },
      onGivenUp: (error) => {
        const event = { type: reports.failedType, error }
        if (isStopped) return true
        if (!canTake(chart, event)) return false
        report(event)
        return true
      },
    }
    const actor = host.spawn(supervised)
    living.set(spec.id, actor as unknown as HostedActor<AnyActorLogic>)
    receive((event) => actor.send(event))
    return () => {
      isStopped = true
      if (living.get(spec.id)?.send === actor.send) living.delete(spec.id)
      actor.stop()
    }
  })
}

function livingOf(chart: object): Map<string, HostedActor<AnyActorLogic>> {
  const known = invokedBy.get(chart)
  if (known !== undefined) return known
  const living = new Map<string, HostedActor<AnyActorLogic>>()
  invokedBy.set(chart, living)
  return living
}

function canTake(chart: AnyActorRef | undefined, event: AnyEventObject): boolean {
  const snapshot: unknown = chart?.getSnapshot()
  if (typeof snapshot !== 'object' || snapshot === null) return false
  if (!('can' in snapshot) || typeof snapshot.can !== 'function') return true
  return snapshot.can(event) === true
}
