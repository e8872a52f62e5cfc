/**
 * The few places where the host needs more of XState 5.33 than its public types offer.
 * test/runtime/host/xstate.test.ts fails when a newer version changes one of them.
 */
import type { AnyActorRef, AnyEventObject } from 'xstate'

interface Internals {
  readonly mailbox?: { readonly _current: unknown }
  _stop?: () => unknown
}

interface MachineLike {
  getTransitionData(snapshot: unknown, event: AnyEventObject): readonly unknown[] | undefined
}

interface SnapshotLike {
  readonly status?: string
  readonly children?: Readonly<Record<string, AnyActorRef | undefined>>
  readonly machine?: MachineLike
}

export function snapshotOf(actor: AnyActorRef): SnapshotLike {
  return (actor.getSnapshot() ?? {}) as SnapshotLike
}

/** Whether an event of this actor is being processed further up the stack: a send would queue. */
export function isBusy(actor: AnyActorRef): boolean {
  const { mailbox } = actor as unknown as Internals
  return mailbox !== undefined && mailbox._current !== null
}

/**
 * XState ignores an event silently when no transition is enabled, and then keeps the very same
 * snapshot. So only an unchanged snapshot needs the expensive check. A transition that does nothing
 * (`on: { ping: {} }`) is the author's decision to ignore, and counts as handled.
 */
export function wasIgnored(
  before: SnapshotLike,
  after: SnapshotLike,
  event: AnyEventObject,
): boolean {
  if (before !== after || before.machine === undefined || before.status !== 'active') return false
  const enabled = before.machine.getTransitionData(before, event)
  return enabled === undefined || enabled.length === 0
}

/** Ends a root actor without exit actions (XState runs none on stop), and its children. */
export function dispose(actor: AnyActorRef): void {
  // XState does not stop the children of an actor that has failed: it leaves them running.
  if (snapshotOf(actor).status === 'error') disposeChildren(actor)
  else stopAny(actor)
}

/** Stops everything that an errored actor has left running, at any depth. */
export function disposeChildren(actor: AnyActorRef): void {
  for (const child of Object.values(snapshotOf(actor).children ?? {})) {
    if (child === undefined) continue
    if (snapshotOf(child).status === 'error') disposeChildren(child)
    else stopAny(child)
  }
}

// The public stop() refuses to stop children.
function stopAny(actor: AnyActorRef): void {
  const internals = actor as unknown as Internals
  if (internals._stop !== undefined) internals._stop()
  else actor.send({ type: 'xstate.stop' })
}

/**
 * A child that throws while its parent handles the error leaves the grandchildren running:
 * follows the children of a live actor, and disposes of those of a failed one.
 */
export class ChildGuard {
  /** Only for actors that have had children: most never have any. */
  private known: WeakSet<object> | null = null
  private seen: WeakMap<object, unknown> | null = null

  /** Call it on each snapshot. Costs a comparison unless the set of children changed. */
  scan(actor: AnyActorRef): void {
    const children = snapshotOf(actor).children
    if (children === undefined || this.seen?.get(actor) === children) return
    if (this.seen === null && isEmpty(children)) return
    this.seen ??= new WeakMap()
    this.known ??= new WeakSet()
    this.seen.set(actor, children)
    for (const child of Object.values(children)) {
      if (child === undefined || this.known.has(child)) continue
      this.known.add(child)
      child.subscribe({
        next: () => this.scan(child),
        error: () => disposeChildren(child),
      })
      this.scan(child)
    }
  }
}

function isEmpty(children: object): boolean {
  for (const _ in children) return false
  return true
}
