/**
 * A chart as a graph for elkjs, with states as nested nodes and transitions as labelled edges. It
 * works for any machine.
 */
import type { Chart, ChartState, ChartTransition } from '../../charts/chart.js'

/** Input and output of elkjs. Sizes are set before, and elkjs adds the positions. */
export interface GraphNode {
  readonly id: string
  readonly width?: number
  readonly height?: number
  readonly x?: number
  readonly y?: number
  readonly labels?: readonly GraphLabel[]
  readonly children?: readonly GraphNode[]
  readonly edges?: readonly GraphEdge[]
  readonly layoutOptions?: Readonly<Record<string, string>>
}
export interface GraphLabel {
  readonly text: string
  readonly width: number
  readonly height: number
  readonly x?: number
  readonly y?: number
}
interface Point {
  readonly x: number
  readonly y: number
}
export interface GraphEdge {
  readonly id: string
  readonly sources: readonly string[]
  readonly targets: readonly string[]
  readonly labels?: readonly GraphLabel[]
  readonly container?: string
  readonly sections?: readonly {
    readonly startPoint: Point
    readonly endPoint: Point
    readonly bendPoints?: readonly Point[]
  }[]
}

/** An edge represents all transitions from one state to another. */
export interface Edge {
  readonly id: string
  /** Path of the state that defines them. */
  readonly source: string
  readonly target: string
  readonly transitions: readonly ChartTransition[]
}

export interface ChartGraph {
  readonly graph: GraphNode
  readonly edges: ReadonlyMap<string, Edge>
  readonly states: ReadonlyMap<string, ChartState>
}

/** Width of a text in pixels, in the font of the drawing, or of its labels if `small`. */
export type Measure = (text: string, small: boolean) => number

export const rootId = '(root)'
/** Id of "any state", the source of transitions that a compound state defines for its children. */
export const anyId = (path: string): string => `any:${path}`
/** The dot from which the first state is entered. */
export const startId = (path: string): string => `start:${path}`
/** Height of an additional line in a state. */
export const rowHeight = 18
const stateHeight = 30
const labelHeight = 14
/** Label lines of an edge. Further transitions are shown as a number. */
const labelLinesMax = 4

/** Ids of states are their paths. */
export function chartGraph(chart: Chart, measure: Measure): ChartGraph {
  const states = new Map<string, ChartState>()
  const edges = edgesOf(chart.root)
  const needsAny = new Set(
    [...edges.values()].flatMap((edge) =>
      nodeOf(edge.source, edge.target) === edge.source ? [] : [edge.source]
    ),
  )
  const node = (state: ChartState): GraphNode => {
    states.set(state.path, state)
    const isRoot = state.path === ''
    const id = isRoot ? rootId : state.path
    if (state.states.length === 0) {
      const lines = [state.key, ...rowsOf(state)]
      const width = Math.max(...lines.map((line, index) => measure(line, index > 0)))
        + (hasDelay(state) ? 56 : 28)
      const height = stateHeight + rowHeight * (lines.length - 1)
      return { id, width: Math.max(64, Math.ceil(width)), height }
    }
    const pseudo: GraphNode[] = []
    if (state.initial !== null) {
      pseudo.push({ id: startId(state.path), width: 10, height: 10 })
    }
    if (needsAny.has(state.path)) {
      const width = Math.ceil(measure('any state', true)) + 18
      pseudo.push({ id: anyId(state.path), width, height: 22 })
    }
    const inner = [...pseudo, ...state.states.map(node)]
    if (isRoot) return { id, children: inner, layoutOptions: withPadding(12) }
    const width = Math.ceil(measure(state.key, false))
    return {
      id,
      children: inner,
      labels: [{ text: state.key, width, height: 16 }],
      layoutOptions: {
        ...withPadding(34),
        'elk.nodeSize.constraints': 'MINIMUM_SIZE',
        'elk.nodeSize.minimum': `(${width + 60}, 40)`,
      },
    }
  }
  const root = node(chart.root)
  const starts = [...states.values()].flatMap(({ path, initial }) =>
    initial === null
      ? []
      : [{ id: `start-${path}`, sources: [startId(path)], targets: [initial] }]
  )
  const drawn = [...edges.values()].map((edge) => ({
    id: edge.id,
    sources: [nodeOf(edge.source, edge.target)],
    targets: [edge.target],
    labels: labelsOf(edge, measure),
  }))
  const graph = {
    ...root,
    layoutOptions: { ...ofGraph, ...root.layoutOptions },
    edges: [...starts, ...drawn],
  }
  return { graph, edges, states }
}

function withPadding(top: number): Readonly<Record<string, string>> {
  return { 'elk.padding': `[top=${top},left=14,bottom=14,right=14]` }
}

const ofGraph: Readonly<Record<string, string>> = {
  'elk.algorithm': 'layered',
  'elk.direction': 'DOWN',
  'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
  'elk.edgeRouting': 'ORTHOGONAL',
  'elk.layered.spacing.nodeNodeBetweenLayers': '26',
  'elk.layered.spacing.edgeNodeBetweenLayers': '14',
  'elk.spacing.nodeNode': '26',
  'elk.spacing.edgeNode': '14',
  'elk.spacing.edgeLabel': '4',
  // Edges against the order of the definition lead back. Set for the whole graph only, since elkjs
  // 0.12.1 fails on nested states that have these options.
  'elk.layered.cycleBreaking.strategy': 'MODEL_ORDER',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.nodePlacement.strategy': 'LINEAR_SEGMENTS',
  'elk.layered.compaction.postCompaction.strategy': 'EDGE_LENGTH',
  'elk.json.edgeCoords': 'ROOT',
  'elk.json.shapeCoords': 'ROOT',
}

/** Source node of a transition's edge: "any state" if it leads into the defining state. */
function nodeOf(source: string, target: string): string {
  const isWithin = source === '' || target.startsWith(`${source}.`)
  return isWithin ? anyId(source) : source
}

/** Edges of all transitions with a target. */
function edgesOf(root: ChartState): Map<string, Edge> {
  const edges = new Map<string, Edge>()
  const walk = (state: ChartState): void => {
    for (const transition of state.transitions) {
      for (const target of transition.targets) {
        const id = edgeId(state.path, target)
        const transitions = [...edges.get(id)?.transitions ?? [], transition]
        edges.set(id, { id, source: state.path, target, transitions })
      }
    }
    for (const inner of state.states) walk(inner)
  }
  walk(root)
  return edges
}

export function edgeId(source: string, target: string): string {
  return `${source}→${target}`
}

/** True if a delay is drawn beside the state's name. */
function hasDelay(state: ChartState): boolean {
  return state.transitions.some(({ trigger }) => trigger === 'after')
}

/** Lines of an atomic state: its invoked actors. */
export function rowsOf(state: ChartState): string[] {
  return state.invokes.map(({ src }) => `runs ${src}`)
}

/** `event [guard]`, `after delay`. */
export function transitionText({ trigger, name, guard }: ChartTransition): string {
  const what = {
    event: name,
    after: `after ${name}`,
    always: 'at once',
    done: `${name} done`,
    error: `${name} failed`,
    stateDone: 'done',
  }[trigger]
  return guard === null ? what : `${what} [${guard}]`
}

/** Puts a long guard on its own line. */
function wrapped(text: string): string[] {
  const guard = text.indexOf(' [')
  return text.length <= 26 || guard === -1
    ? [text]
    : [text.slice(0, guard), `  ${text.slice(guard + 1)}`]
}

function labelsOf({ transitions }: Edge, measure: Measure): GraphLabel[] {
  const texts = [...new Set(transitions.map(transitionText))]
  const shown = (texts.length <= labelLinesMax
    ? texts
    : [...texts.slice(0, labelLinesMax - 1), `and ${texts.length - labelLinesMax + 1} more`])
    .flatMap(wrapped)
  // Labels of the last transition are bold, and wider.
  const width = Math.max(...shown.map((text) => measure(text, true))) * 1.08 + 8
  const height = labelHeight * shown.length + 4
  return [{ text: shown.join('\n'), width: Math.ceil(width), height }]
}
