/**
 * A machine as a configuration of plain data for XState's `createMachine`: the same states,
 * transitions, guards, delays and invoked actors, with names in place of functions. Stately Studio
 * reads it. It draws the same graph; to run it, implementations of the names are needed.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { inline, invoked, nameOf, ownActions, pathOf } from './chart.js'
import type { Definition } from './chart.js'

/** A guard or an action: its name, with parameters when these are plain values. */
type Reference = string | { readonly type: string; readonly params: object }

interface TransitionConfig {
  readonly guard?: Reference
  readonly target?: readonly string[]
  readonly reenter?: true
  readonly actions?: readonly Reference[]
}

type Transitions = Readonly<Record<string, readonly TransitionConfig[]>>

interface InvokeConfig {
  readonly id: string
  readonly src: string
  readonly onDone?: readonly TransitionConfig[]
  readonly onError?: readonly TransitionConfig[]
}

export interface StateConfig {
  readonly id?: string
  readonly type?: 'parallel' | 'final' | 'history'
  readonly history?: 'shallow' | 'deep'
  readonly target?: string
  readonly initial?: string
  readonly entry?: readonly Reference[]
  readonly exit?: readonly Reference[]
  readonly invoke?: readonly InvokeConfig[]
  readonly on?: Transitions
  readonly onDone?: readonly TransitionConfig[]
  readonly always?: readonly TransitionConfig[]
  readonly after?: Transitions
  readonly states?: Readonly<Record<string, StateConfig>>
}

/** The configuration of the whole machine. */
export function configOf(machine: AnyStateMachine): StateConfig {
  return { id: machine.id, ...stateConfig(machine.root) }
}

function stateConfig(node: AnyStateNode): StateConfig {
  const { type } = node
  const states = Object.entries(node.states)
    .map(([key, state]) => [key, stateConfig(state as AnyStateNode)] as const)
  return {
    ...(type === 'atomic' || type === 'compound' ? {} : { type }),
    ...(type === 'history' ? historyOf(node) : {}),
    ...(type === 'compound' ? { initial: node.initial.target[0]?.key } : {}),
    ...some('entry', ownActions(node.entry).map(reference)),
    ...some('exit', ownActions(node.exit).map(reference)),
    ...some('invoke', node.invoke.map((actor) => invokeConfig(node, actor))),
    ...triggersOf(node),
    ...some('always', (node.always ?? []).map(transitionConfig)),
    ...(states.length === 0 ? {} : { states: Object.fromEntries(states) }),
  }
}

function historyOf(node: AnyStateNode): Pick<StateConfig, 'history' | 'target'> {
  const target: unknown = node.config.target
  return {
    history: node.history === 'deep' ? 'deep' : 'shallow',
    ...(typeof target === 'string' ? { target } : {}),
  }
}

/** Transitions on events, delays and the end of the state; those of invoked actors are theirs. */
function triggersOf(node: AnyStateNode): Pick<StateConfig, 'on' | 'after' | 'onDone'> {
  const on: Record<string, TransitionConfig[]> = {}
  const after: Record<string, TransitionConfig[]> = {}
  const onDone: TransitionConfig[] = []
  const own = new Set(node.invoke.map(({ id }) => id))
  for (const definition of [...node.transitions.values()].flat() as Definition[]) {
    const { eventType, delay } = definition
    const config = transitionConfig(definition)
    if (own.has(invoked.exec(eventType)?.[2] ?? '')) continue
    if (eventType.startsWith('xstate.done.state.')) onDone.push(config)
    else if (!eventType.startsWith('xstate.after.')) (on[eventType] ??= []).push(config)
    else {
      const name = typeof delay === 'number' || typeof delay === 'string' ? String(delay) : inline
      ;(after[name] ??= []).push(config)
    }
  }
  return {
    ...(Object.keys(on).length > 0 ? { on } : {}),
    ...some('onDone', onDone),
    ...(Object.keys(after).length > 0 ? { after } : {}),
  }
}

function invokeConfig(
  node: AnyStateNode,
  { id, src }: { readonly id: string; readonly src: unknown },
): InvokeConfig {
  const ofActor = (how: 'done' | 'error'): TransitionConfig[] =>
    ((node.transitions.get(`xstate.${how}.actor.${id}`) ?? []) as Definition[])
      .map(transitionConfig)
  return {
    id,
    src: typeof src === 'string' ? src : inline,
    ...some('onDone', ofActor('done')),
    ...some('onError', ofActor('error')),
  }
}

function transitionConfig(definition: Definition): TransitionConfig {
  const targets = (definition.target ?? []).map((state) => {
    const path = pathOf(state)
    return path === '' ? `#${state.machine.id}` : `#${state.machine.id}.${path}`
  })
  return {
    ...(definition.guard === undefined ? {} : { guard: reference(definition.guard) }),
    ...some('target', targets),
    ...(definition.reenter ? { reenter: true as const } : {}),
    ...some('actions', definition.actions.map(reference)),
  }
}

function reference(of: unknown): Reference {
  if (typeof of !== 'object' || of === null) return nameOf(of)
  const { type, params } = of as { readonly type: string; readonly params?: unknown }
  if (typeof params !== 'object' || params === null) return type
  return { type, params: JSON.parse(JSON.stringify(params)) as object }
}

/** Nothing where there is none: the configuration is read by people, too. */
function some<TKey extends string, T>(
  key: TKey,
  list: readonly T[],
): { readonly [K in TKey]?: readonly T[] } {
  return list.length === 0 ? {} : { [key]: list } as { readonly [K in TKey]: readonly T[] }
}
