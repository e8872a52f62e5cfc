/**
 * A statechart as plain data, read from the machine that runs, so that drawings and exports cannot
 * differ from the code. States are named by paths such as `serving.ingest.open`, the root by ''.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'

export type StateKind = 'atomic' | 'compound' | 'parallel' | 'final' | 'history'

export interface ChartTransition {
  /**
   * Kind of trigger: an event, an elapsed delay, at once if the guard holds, the end or failure of
   * an invoked actor, or a final state reached within.
   */
  readonly trigger: 'event' | 'after' | 'always' | 'done' | 'error' | 'stateDone'
  /** Name of the event, delay or invoked actor. Empty for `always` and `stateDone`. */
  readonly name: string
  readonly guard: string | null
  /** Paths of targets. Empty if the state is kept and only actions run. */
  readonly targets: readonly string[]
  /** True if the state is left and entered again, even if it is its own target. */
  readonly reenter: boolean
  readonly actions: readonly string[]
}

export interface ChartState {
  readonly key: string
  readonly path: string
  readonly kind: StateKind
  /** Path of the initial state. null unless compound. */
  readonly initial: string | null
  readonly entry: readonly string[]
  readonly exit: readonly string[]
  readonly invokes: readonly { readonly id: string; readonly src: string }[]
  /** Transitions in the order in which they are tried. */
  readonly transitions: readonly ChartTransition[]
  readonly states: readonly ChartState[]
}

export interface Chart {
  readonly id: string
  readonly root: ChartState
}

/** The chart of a machine, in the order of its definition. */
export function chartOf(machine: AnyStateMachine): Chart {
  return { id: machine.id, root: stateOf(machine.root) }
}

/** The state and all within it, outermost first. */
export function flatten(state: ChartState): ChartState[] {
  return [state, ...state.states.flatMap(flatten)]
}

function stateOf(node: AnyStateNode): ChartState {
  const always: Definition[] = node.always ?? []
  const triggered = [...node.transitions.values()].flat() as Definition[]
  return {
    key: node.key,
    path: pathOf(node),
    kind: node.type,
    initial: node.type === 'compound' ? pathOf(node.initial.target[0]) : null,
    entry: actionNames(node.entry),
    exit: actionNames(node.exit),
    invokes: node.invoke.map(({ id, src }) => ({ id,
      src: typeof src === 'string' ? src : inline })
    ),
    transitions: [...always, ...triggered].map(transitionOf),
    states: Object.values(node.states).map(stateOf),
  }
}

/** Fields read of xstate's TransitionDefinition. Only `after` has a `delay`. */
export interface Definition {
  readonly eventType: string
  readonly guard?: unknown
  readonly target: readonly AnyStateNode[] | undefined
  readonly reenter: boolean
  readonly actions: readonly unknown[]
  readonly delay?: unknown
}

/** One transition as its chart shows it. */
export function transitionOf(definition: Definition): ChartTransition {
  return {
    ...triggerOf(definition),
    guard: definition.guard === undefined ? null : nameOf(definition.guard),
    targets: (definition.target ?? []).map(pathOf),
    reenter: definition.reenter,
    actions: actionNames(definition.actions),
  }
}

/** Events that XState raises when an invoked actor ends: how, and its id. */
export const invoked = /^xstate\.(done|error)\.actor\.(.*)$/

function triggerOf({ eventType, delay }: Definition): Pick<ChartTransition, 'trigger' | 'name'> {
  if (eventType === '') return { trigger: 'always', name: '' }
  if (eventType.startsWith('xstate.after.')) {
    const name = typeof delay === 'number'
      ? `${delay} ms`
      : typeof delay === 'string'
      ? delay
      : inline
    return { trigger: 'after', name }
  }
  if (eventType.startsWith('xstate.done.state.')) return { trigger: 'stateDone', name: '' }
  const [, how, id] = invoked.exec(eventType) ?? []
  if (how && id !== undefined) return { trigger: how === 'done' ? 'done' : 'error', name: id }
  return { trigger: 'event', name: eventType }
}

/** Name shown for an anonymous function. Charts use named ones. */
export const inline = '(inline)'

function actionNames(actions: readonly unknown[]): string[] {
  return ownActions(actions).map(nameOf)
}

export function ownActions(actions: readonly unknown[]): unknown[] {
  return actions.filter((action) => !isTimer(action))
}

/** XState's own actions, which start and cancel the timers of `after`. */
function isTimer(action: unknown): boolean {
  if (typeof action !== 'function') return false
  const { type, id, sendId } = action as { type?: string; id?: unknown; sendId?: unknown }
  const timer = type === 'xstate.raise' ? id : type === 'xstate.cancel' ? sendId : null
  return typeof timer === 'string' && timer.startsWith('xstate.after.')
}

/** `isSteady`, `progress(state: readOnly)`, `assign`: parameters where they are plain values. */
export function nameOf(of: unknown): string {
  if (typeof of === 'string') return of
  if (typeof of === 'function') {
    const { type } = of as { type?: unknown }
    if (typeof type === 'string') return type.replace(/^xstate\./, '')
    return of.name || inline
  }
  const { type, params } = of as { type: string; params?: unknown }
  const shown = paramsOf(params)
  return shown === '' ? type : `${type}(${shown})`
}

function paramsOf(params: unknown): string {
  if (typeof params !== 'object' || params === null) return ''
  return Object.entries(params).flatMap(([name, value]) => {
    const inner = typeof value === 'object' && value !== null ? paramsOf(value) : ''
    if (inner !== '') return [`${name}: {${inner}}`]
    return ['string', 'number', 'boolean'].includes(typeof value) ? [`${name}: ${value}`] : []
  }).join(', ')
}

/** Keys from the root, joined by dots; '' for the root itself. */
export function pathOf(node: AnyStateNode | undefined): string {
  return node?.path.join('.') ?? ''
}
