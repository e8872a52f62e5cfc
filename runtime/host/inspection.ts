import type { AnyActor, AnyActorRef, InspectionEvent } from 'xstate'
import type { Logger } from '../../actors/ports/system.js'
import type { HostEvent, InspectionObserver } from './types.js'
import { snapshotOf } from './xstate.js'

/**
 * The inspection stream. Actors get XState's hook only while somebody observes. An actor that is
 * spawned unobserved has none and costs nothing; the first observer hooks into all living actors.
 * A later observer first gets an event for each living actor, in XState's own terms
 * (`@xstate.actor`, `@xstate.snapshot`), so that it can draw them. An actor born under observation
 * keeps its hook until it ends; without observers the hook returns at once.
 */
export class Inspection {
  private readonly observers = new Set<InspectionObserver>()
  private readonly hooked = new Map<AnyActor, (() => void) | null>()
  private readonly living = new Map<AnyActor, string>()

  constructor(private readonly node: string, private readonly logger: Logger) {}

  get isObserved(): boolean {
    return this.observers.size > 0
  }

  /** For createActor's `inspect`: undefined while nobody observes. */
  hookFor(actorId: string): ((event: InspectionEvent) => void) | undefined {
    return this.isObserved ? (event) => this.notify(event, actorId) : undefined
  }

  born(actor: AnyActor, actorId: string, withHook: boolean): void {
    this.living.set(actor, actorId)
    if (withHook) this.hooked.set(actor, null)
    else if (this.isObserved) this.hook(actor, actorId)
  }

  gone(actor: AnyActor): void {
    this.living.delete(actor)
    this.hooked.delete(actor)
  }

  observe(observer: InspectionObserver): () => void {
    this.observers.add(observer)
    for (const [actor, actorId] of this.living) {
      if (!this.hooked.has(actor)) this.hook(actor, actorId)
      this.introduce(actor, actor.sessionId, actorId, observer)
    }
    return () => {
      this.observers.delete(observer)
      if (!this.isObserved) this.unhookAll()
    }
  }

  notify(event: InspectionEvent | HostEvent, actor: string): void {
    for (const observer of this.observers) this.callObserver(observer, event, actor)
  }

  private hook(actor: AnyActor, actorId: string): void {
    const subscription = actor.system.inspect((event) => this.notify(event, actorId))
    this.hooked.set(actor, () => subscription.unsubscribe())
  }

  private unhookAll(): void {
    for (const [actor, unhook] of this.hooked) {
      if (unhook === null) continue
      unhook()
      this.hooked.delete(actor)
    }
  }

  private introduce(
    actorRef: AnyActorRef,
    rootId: string,
    actorId: string,
    observer: InspectionObserver,
  ): void {
    const snapshot = actorRef.getSnapshot()
    const event = { type: 'xstate.init' }
    this.callObserver(observer, { type: '@xstate.actor', actorRef, rootId }, actorId)
    this.callObserver(
      observer,
      { type: '@xstate.snapshot', actorRef, rootId, event, snapshot },
      actorId,
    )
    for (const child of Object.values(snapshotOf(actorRef).children ?? {})) {
      if (child !== undefined) this.introduce(child, rootId, actorId, observer)
    }
  }

  // XState does not catch errors of its inspectors: they would fail the transition.
  private callObserver(
    observer: InspectionObserver,
    event: InspectionEvent | HostEvent,
    actor: string,
  ): void {
    try {
      observer(event, { node: this.node, actor })
    } catch (error) {
      this.logger.error({ error, actor, event: event.type }, 'an inspection observer threw')
    }
  }
}
