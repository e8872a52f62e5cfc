/**
 * A chart as a Mermaid state diagram (`stateDiagram-v2`), in its documented syntax only: ids of
 * letters, digits and underscores, labels in quotes, `--` between parallel regions.
 *
 * Mermaid has no edges between states of different composite states. Such a transition is drawn
 * between the two siblings that contain its ends, and its label names the ends:
 * `alive --> dead : (listening.waiting) probeGone [isEvidence] to gone`. A transition of the whole
 * chart, or of a composite state to a state within, starts from a state "any". Transitions that
 * keep their state are not drawn.
 */
import { flatten } from './chart.js'
import type { Chart, ChartState, ChartTransition } from './chart.js'

interface Edge {
  readonly from: string
  readonly to: string
  readonly label: string
}

/** The text of one diagram, without a final newline. */
export function mermaidOf(chart: Chart): string {
  const edges = edgesByScope(chart)
  return ['stateDiagram-v2', ...block(chart, chart.root, edges, '    ')].join('\n')
}

/** Id, unique within a page of several diagrams. Underscores of keys are doubled. */
function idOf(chart: Chart, path: string): string {
  const parts = path === '' ? [] : path.split('.')
  return [chart.id, ...parts].map((part) =>
    part.replaceAll('_', '__').replace(/[^A-Za-z0-9_]/g, '_x')
  ).join('_')
}

const anyOf = (chart: Chart, scope: string): string => `${idOf(chart, scope)}_any_`

function block(
  chart: Chart,
  state: ChartState,
  edges: ReadonlyMap<string, Edge[]>,
  indent: string,
): string[] {
  const own = edges.get(state.path) ?? []
  const any = anyOf(chart, state.path)
  if (state.kind === 'parallel') {
    return state.states.flatMap((region, index) => [
      ...(index > 0 ? [`${indent}--`] : []),
      ...declared(chart, region, edges, indent),
    ])
  }
  return [
    ...(own.some(({ from }) => from === any) ? [`${indent}state "any" as ${any}`] : []),
    ...state.states.flatMap((child) => declared(chart, child, edges, indent)),
    ...(state.initial === null
      ? []
      : [`${indent}[*] --> ${idOf(chart, childToward(state.path, state.initial))}`]),
    ...own.map(({ from, to, label }) => `${indent}${from} --> ${to} : ${label}`),
    ...state.states.filter(({ kind }) => kind === 'final')
      .map(({ path }) => `${indent}${idOf(chart, path)} --> [*]`),
  ]
}

function declared(
  chart: Chart,
  state: ChartState,
  edges: ReadonlyMap<string, Edge[]>,
  indent: string,
): string[] {
  const head = `${indent}state "${labelOf(state)}" as ${idOf(chart, state.path)}`
  if (state.states.length === 0) return [head]
  return [`${head} {`, ...block(chart, state, edges, `${indent}    `), `${indent}}`]
}

/** The key, with the invoked actor if it has another name. */
function labelOf({ key, invokes }: ChartState): string {
  const others = invokes.map(({ src }) => src).filter((src) => src !== key)
  return plain(others.length > 0 ? `${key} (${others.join(', ')})` : key)
}

/** Edges by the path of the state whose block contains them. */
function edgesByScope(chart: Chart): Map<string, Edge[]> {
  const parallel = new Set(
    flatten(chart.root).filter(({ kind }) => kind === 'parallel').map(({ path }) => path),
  )
  const scopes = new Map<string, Edge[]>()
  for (const state of flatten(chart.root)) {
    for (const transition of state.transitions) {
      for (const target of transition.targets) {
        const { scope, edge } = placed(chart, parallel, state.path, transition, target)
        const edges = scopes.get(scope) ?? []
        if (!edges.some((other) => isSame(other, edge))) edges.push(edge)
        scopes.set(scope, edges)
      }
    }
  }
  return scopes
}

function isSame(a: Edge, b: Edge): boolean {
  return a.from === b.from && a.to === b.to && a.label === b.label
}

function placed(
  chart: Chart,
  parallel: ReadonlySet<string>,
  source: string,
  transition: ChartTransition,
  target: string,
): { scope: string; edge: Edge } {
  // To itself, or from within to itself: an edge from the outside.
  let scope = isWithin(source, target) ? parentOf(target) : commonOf(source, target)
  // Regions are not connected: within the target's, from any of its states.
  if (parallel.has(scope) && !isWithin(source, target)) scope = childToward(scope, target)
  const end = childToward(scope, target)
  const isInside = source !== scope && isWithin(source, scope)
  const begin = isInside ? childToward(scope, source) : ''
  const from = isInside ? idOf(chart, begin) : anyOf(chart, scope)
  const inner = isInside && source !== begin ? `(${source.slice(begin.length + 1)}) ` : ''
  const ending = target === end ? '' : ` to ${target.slice(end.length + 1)}`
  const label = `${inner}${triggerText(transition)}${ending}`
  return { scope, edge: { from, to: idOf(chart, end), label: plain(label) } }
}

function triggerText({ trigger, name, guard }: ChartTransition): string {
  const what = {
    event: name,
    after: `after ${name}`,
    always: 'always',
    done: `${name} is done`,
    error: `${name} has failed`,
    stateDone: 'done',
  }[trigger]
  return guard === null ? what : `${what} [${guard}]`
}

/** A label without characters that would end it or begin another token. */
function plain(text: string): string {
  return text.replace(/[:;{}"#<>%\n]+/g, ' ').replace(/ {2,}/g, ' ').trim()
}

function parentOf(path: string): string {
  return path.split('.').slice(0, -1).join('.')
}

function isWithin(path: string, ancestor: string): boolean {
  return ancestor === '' || path === ancestor || path.startsWith(`${ancestor}.`)
}

/** The innermost state that contains both, or is one of them. */
function commonOf(a: string, b: string): string {
  let common = a
  while (!isWithin(b, common)) common = parentOf(common)
  return common
}

/** The child of `scope` that is or contains `path`. */
function childToward(scope: string, path: string): string {
  const depth = scope === '' ? 0 : scope.split('.').length
  return path.split('.').slice(0, depth + 1).join('.')
}
