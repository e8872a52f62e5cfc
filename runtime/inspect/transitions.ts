/** Of XState's inspection and scheduler: transitions that were taken, and delays that run. */
import type { AnyActorRef, AnyStateNode } from 'xstate'
import { pathOf, transitionOf } from '../charts/chart.js'
import type { Definition } from '../charts/chart.js'
import type { RunningTimer, TakenTransition } from './schema.js'

export type TakenDefinition = Definition & { readonly source: AnyStateNode }

/** Of one event: `always` transitions in a circle would have no end. */
const takenMax = 16

const translated = new WeakMap<TakenDefinition, TakenTransition>()

/** The transitions of one microstep, added to those of the steps before. */
export function noteTaken(taken: TakenDefinition[], transitions: readonly unknown[]): void {
  for (const transition of transitions as readonly TakenDefinition[]) {
    if (taken.length < takenMax) taken.push(transition)
  }
}

/** As the chart shows it; a definition is translated once. */
export function takenOf(definition: TakenDefinition): TakenTransition {
  const found = translated.get(definition)
  if (found !== undefined) return found
  const { trigger, name, guard, targets } = transitionOf(definition)
  const taken = {
    source: pathOf(definition.source), trigger, name, guard, targets: [...targets],
  }
  translated.set(definition, taken)
  return taken
}

/** An entry of XState's scheduler (5.33), which its public types leave out. */
interface Scheduled {
  readonly source: AnyActorRef
  readonly event: { readonly type: string }
  readonly delay: number
  /** `Date.now()` then. */
  readonly startedAt: number
}

interface System {
  getSnapshot?(): { readonly _scheduledEvents?: Readonly<Record<string, Scheduled>> }
}

const ofAfter = /^xstate\.after\.([^.]+)\.[^.]+(?:\.(.*))?$/

/** The delays (`after`) of an actor's chart that run. */
export function timersOf(ref: AnyActorRef): RunningTimer[] {
  const scheduled = (ref.system as System | undefined)?.getSnapshot?.()._scheduledEvents ?? {}
  return Object.values(scheduled).flatMap(({ source, event, delay, startedAt }) => {
    const [, name, state] = ofAfter.exec(event.type) ?? []
    if (source !== ref || name === undefined) return []
    const shown = /^\d+$/.test(name) ? `${name} ms` : name
    return [{ name: shown, state: state ?? '', startedAtMs: startedAt, delayMs: delay }]
  })
}
