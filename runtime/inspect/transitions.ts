/** Transitions that were taken and delays that run, from XState's inspection and scheduler. */
import type { AnyActorRef, AnyStateNode } from 'xstate'
import { pathOf, transitionOf } from '../charts/chart.js'
import type { Definition } from '../charts/chart.js'
import type { RunningTimer, TakenTransition } from './schema.js'

export type TakenDefinition = Definition & { readonly source: AnyStateNode }

/** Transitions noted of one event, since `always` transitions could form a loop. */
const takenMax = 16

const translated = new WeakMap<TakenDefinition, TakenTransition>()

/** Adds the transitions of one microstep. */
export function noteTaken(taken: TakenDefinition[], transitions: readonly unknown[]): void {
  for (const transition of transitions as readonly TakenDefinition[]) {
    if (taken.length < takenMax) taken.push(transition)
  }
}

/** A transition as the chart shows it. Each definition is translated once. */
export function takenOf(definition: TakenDefinition): TakenTransition {
  const found = translated.get(definition)
  if (found !== undefined) return found
  const { trigger, name, guard, targets } = transitionOf(definition)
  const taken = {
    source: pathOf(definition.source),
    trigger,
    name,
    guard,
    targets: [...targets],
  }
  translated.set(definition, taken)
  return taken
}

/** An entry of XState's scheduler (5.33), which its public types leave out. */
interface Scheduled {
  readonly source: AnyActorRef
  readonly event: { readonly type: string }
  readonly delay: number
  /** `Date.now()` at its start. */
  readonly startedAt: number
}

interface System {
  getSnapshot?(): { readonly _scheduledEvents?: Readonly<Record<string, Scheduled>> }
}

const ofAfter = /^xstate\.after\.([^.]+)\.[^.]+(?:\.(.*))?$/

/** Running delays (`after`) of an actor's chart. */
export function timersOf(ref: AnyActorRef): RunningTimer[] {
  const scheduled = (ref.system as System | undefined)?.getSnapshot?.()._scheduledEvents ?? {}
  return Object.values(scheduled).flatMap(({ source, event, delay, startedAt }) => {
    const [, name, state] = ofAfter.exec(event.type) ?? []
    if (source !== ref || name === undefined) return []
    const shown = /^\d+$/.test(name) ? `${name} ms` : name
    return [{ name: shown, state: state ?? '', startedAtMs: startedAt, delayMs: delay }]
  })
}
