/**
 * A chart in the manner of SCXML (W3C Recommendation 2015), for tools that read its structure. It
 * is well-formed XML with SCXML's elements, not a document to execute: guards and actions are
 * names, and a delay is a name where the product computes it.
 */
import type { Chart, ChartState, ChartTransition } from './chart.js'

/** The text of one document, without a final newline. */
export function scxmlOf(chart: Chart): string {
  const id = escaped(chart.id)
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0" name="${id}" datamodel="null"`,
    `  initial="${id}">`,
    // SCXML's root has no transitions of its own.
    ...element({ ...chart.root, path: chart.id }, '  ', true),
    '</scxml>',
  ].join('\n')
}

const tags = {
  atomic: 'state',
  compound: 'state',
  parallel: 'parallel',
  final: 'final',
  history: 'history',
} as const

function element(state: ChartState, indent: string, isRoot = false): string[] {
  const tag = tags[state.kind]
  const initial = state.initial === null ? '' : ` initial="${escaped(state.initial)}"`
  const head = `${indent}<${tag} id="${escaped(state.path)}"${initial}`
  const lines = inner(state, isRoot, `${indent}  `)
  return lines.length === 0 ? [`${head}/>`] : [`${head}>`, ...lines, `${indent}</${tag}>`]
}

function inner(state: ChartState, isRoot: boolean, indent: string): string[] {
  const delays = [...new Set(state.transitions
    .filter(({ trigger }) => trigger === 'after').map(({ name }) => name))]
  const sends = delays.map((name) => {
    const event = escaped(delayEvent(state, name))
    return `<send id="${event}" event="${event}" delay="${escaped(name.replace(/ ms$/, 'ms'))}"/>`
  })
  const cancels = delays.map((name) => `<cancel sendid="${escaped(delayEvent(state, name))}"/>`)
  return [
    ...content('onentry', [...state.entry.map(performed), ...sends], indent),
    ...content('onexit', [...cancels, ...state.exit.map(performed)], indent),
    ...state.invokes.map(({ id, src }) =>
      `${indent}<invoke id="${escaped(id)}" src="${escaped(src)}"/>`
    ),
    ...state.transitions.flatMap((one) => transitionElement(state, one, isRoot, indent)),
    ...state.states.flatMap((child) => element(child, indent)),
  ]
}

function transitionElement(
  state: ChartState,
  transition: ChartTransition,
  isRoot: boolean,
  indent: string,
): string[] {
  const { guard, targets, reenter, actions } = transition
  const isInner = (target: string): boolean =>
    isRoot || target === state.path || target.startsWith(`${state.path}.`)
  const event = eventOf(state, transition)
  const head = [
    `${indent}<transition`,
    ...(event === null ? [] : [`event="${escaped(event)}"`]),
    ...(guard === null ? [] : [`cond="${escaped(guard)}"`]),
    ...(targets.length === 0 ? [] : [`target="${escaped(targets.join(' '))}"`]),
    // On a transition to a state within, SCXML re-enters the source by default.
    ...(reenter || !targets.some(isInner) ? [] : ['type="internal"']),
  ].join(' ')
  if (actions.length === 0) return [`${head}/>`]
  return [`${head}>`, ...actions.map((action) => `${indent}  ${performed(action)}`),
    `${indent}</transition>`]
}

function eventOf(state: ChartState, { trigger, name }: ChartTransition): string | null {
  switch (trigger) {
    case 'event':
      return name
    case 'after':
      return delayEvent(state, name)
    case 'always':
      return null
    case 'done':
      return `done.invoke.${name}`
    case 'error':
      return `error.platform.${name}`
    case 'stateDone':
      return `done.state.${state.path}`
  }
}

const delayEvent = (state: ChartState, name: string): string =>
  ['after', name.replaceAll(' ', ''), state.path].join('.')

const performed = (action: string): string => `<log label="action" expr="${escaped(action)}"/>`

function content(tag: string, lines: readonly string[], indent: string): string[] {
  if (lines.length === 0) return []
  return [`${indent}<${tag}>`, ...lines.map((line) => `${indent}  ${line}`), `${indent}</${tag}>`]
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
