/** A statechart as SVG, with the positions that elkjs computed. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ChartState } from '../../../charts/chart.js'
import type { RunningTimer } from '../../../inspect/schema.js'
import { edgeId, rootId, rowHeight, rowsOf } from '../../model/chartGraph.js'
import type { ChartGraph, Edge, GraphEdge, GraphNode } from '../../model/chartGraph.js'
import { activePaths } from '../../model/state.js'
import type { ActorView } from '../../model/state.js'
import { passedOf } from '../../model/timers.js'
import { msText } from '../../model/words.js'
import { shownMs } from '../store.js'

interface DrawingProps {
  readonly graph: ChartGraph
  readonly root: GraphNode
  readonly actor: ActorView | null
  readonly title: string
}

export function ChartDrawing({ graph, root, actor, title }: DrawingProps) {
  const active = new Set(actor === null || actor.exit !== null && actor.status !== 'done'
    ? []
    : activePaths(actor.state))
  const last = lastEdges(graph, actor)
  const width = (root.width ?? 0) + 2
  const height = (root.height ?? 0) + 2
  const nodes = nodesOf(root)
  const text = [...active].join(', ')
  const [box, zoom, zoomButtons] = useZoom(width, height)
  useEffect(() => {
    // Scrolls to the active state when another chart is drawn.
    const lit = box.current?.querySelectorAll('[data-active=true]')
    lit?.item(lit.length - 1)?.scrollIntoView({ block: 'center', inline: 'center' })
  }, [graph, title, zoom])
  return (
    <div class="drawing">
      {zoomButtons}
      <div class="paper" tabIndex={0} role="region" aria-label="Statechart" ref={box}>
        <svg viewBox={`-1 -1 ${width} ${height}`} width={width * zoom} height={height * zoom}
          role="img" data-chart={title}
          aria-label={`Statechart of ${title}; active: ${text || 'nothing'}`}
        >
          <defs>
            {['', 'last'].map((kind) => (
              <marker key={kind} id={`arrow${kind}`} viewBox="0 0 8 8" refX="7.5" refY="4"
                markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"
              >
                <path class={`arrow ${kind}`} d="M0,0.5 L8,4 L0,7.5 Z" />
              </marker>
            ))}
          </defs>
          {nodes.map((node) => (
            <StateBox key={node.id} node={node} graph={graph} active={active}
              timers={actor?.timers ?? []} />
          ))}
          {(root.edges ?? []).map((edge) => (
            <EdgeLine key={edge.id} edge={edge} of={graph.edges.get(edge.id)}
              isLast={last.has(edge.id)}
              isFrom={active.has(graph.edges.get(edge.id)?.source ?? '?')} />
          ))}
        </svg>
      </div>
    </div>
  )
}

/** Labels are unreadable below this zoom, so the drawing scrolls instead. */
const zoomMin = 0.6

/** The chosen zoom, or the one that fits. */
function useZoom(width: number, height: number) {
  const box = useRef<HTMLDivElement | null>(null)
  const [fit, setFit] = useState(1)
  const [chosen, setChosen] = useState<number | null>(null)
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const observer = new ResizeObserver(() => {
      const room = Math.min((element.clientWidth - 24) / width,
        (element.clientHeight - 24) / height)
      setFit(Math.max(zoomMin, Math.min(1.15, room)))
    })
    observer.observe(element)
    return () => observer.disconnect()
  }, [width, height])
  const zoom = chosen ?? fit
  const by = (factor: number) => () => setChosen(Math.max(0.3, Math.min(3, zoom * factor)))
  const buttons = (
    <div class="zoom" role="group" aria-label="Size of the drawing">
      <button type="button" class="quiet" onClick={by(1 / 1.25)} aria-label="Smaller">−</button>
      <button type="button" class="quiet" onClick={() => setChosen(null)}>Fit</button>
      <button type="button" class="quiet" onClick={by(1.25)} aria-label="Larger">+</button>
    </div>
  )
  return [box, zoom, buttons] as const
}

/** The edges of the last change of state. */
function lastEdges(graph: ChartGraph, actor: ActorView | null): ReadonlySet<string> {
  const taken = actor?.last?.taken ?? []
  return new Set(taken.flatMap(({ source, targets }) => targets.map((to) => edgeId(source, to)))
    .filter((id) => graph.edges.has(id)))
}

/** All nodes below the root, outermost first. Positions are relative to the root. */
function nodesOf(node: GraphNode): GraphNode[] {
  return (node.children ?? []).flatMap((child) => [child, ...nodesOf(child)])
}

interface BoxProps {
  readonly node: GraphNode
  readonly graph: ChartGraph
  readonly active: ReadonlySet<string>
  readonly timers: readonly RunningTimer[]
}

function StateBox({ node, graph, active, timers }: BoxProps) {
  const { id, x = 0, y = 0, width = 0, height = 0 } = node
  if (id === rootId) return null
  if (id.startsWith('start:')) {
    return <circle class="start" cx={x + width / 2} cy={y + height / 2} r={4} />
  }
  if (id.startsWith('any:')) {
    return (
      <g class="any" transform={`translate(${x},${y})`}>
        <rect width={width} height={height} rx={height / 2} />
        <text x={width / 2} y={height / 2 + 4}>any state</text>
      </g>
    )
  }
  const state = graph.states.get(id)
  if (state === undefined) return null
  const isActive = active.has(id)
  const kind = `${state.kind} ${isActive ? 'active' : ''}`
  return (
    <g class={`box ${kind}`} transform={`translate(${x},${y})`} data-state-path={id}
      data-active={isActive ? 'true' : undefined}
    >
      <rect width={width} height={height} rx={8} />
      {state.kind === 'final'
        && <rect class="inner" x={3} y={3} width={width - 6} height={height - 6} rx={6} />}
      <Title state={state} width={width} />
      {timers.filter((timer) => timer.state === id).slice(0, 1).map((timer) => (
        <TimerRing key={timer.name} timer={timer} x={width - 13} />
      ))}
    </g>
  )
}

function Title({ state, width }: { readonly state: ChartState; readonly width: number }) {
  const isInner = state.states.length === 0
  return (
    <>
      {isInner
        ? <text class="name" x={width / 2} y={20}>{state.key}</text>
        : (
          <text class="name outer" x={12} y={21}>
            {state.key}
            {state.kind === 'parallel' && <tspan class="kind">parallel</tspan>}
          </text>
        )}
      {isInner
        && rowsOf(state).map((row, index) => (
          <text key={row} class="row" x={width / 2} y={20 + rowHeight * (index + 1)}>{row}</text>
        ))}
    </>
  )
}

/** Elapsed share of a delay. */
function TimerRing({ timer, x }: { readonly timer: RunningTimer; readonly x: number }) {
  const passedMs = passedOf(timer, shownMs.value)
  const share = timer.delayMs <= 0 ? 1 : passedMs / timer.delayMs
  const round = 2 * Math.PI * 7
  return (
    <g class="timer" transform={`translate(${x},14)`} data-timer={timer.name}>
      <title>{`after ${timer.name}: ${msText(passedMs)} of ${msText(timer.delayMs)}`}</title>
      <circle r={7} class="track" />
      <circle r={7} class="passed" stroke-dasharray={`${share * round} ${round}`}
        transform="rotate(-90)" />
    </g>
  )
}

interface LineProps {
  readonly edge: GraphEdge
  readonly of: Edge | undefined
  readonly isLast: boolean
  readonly isFrom: boolean
}

function EdgeLine({ edge, of, isLast, isFrom }: LineProps) {
  const d = (edge.sections ?? []).map(({ startPoint, bendPoints = [], endPoint }) =>
    rounded([startPoint, ...bendPoints, endPoint])
  ).join(' ')
  const label = edge.labels?.[0]
  const kind = `edge ${isLast ? 'last' : ''} ${isFrom ? 'possible' : ''}`
  return (
    <g class={kind} data-last={isLast ? 'true' : undefined}>
      {of !== undefined && <title>{`${of.source || 'any state'} → ${of.target}`}</title>}
      <path d={d} marker-end={`url(#arrow${isLast ? 'last' : ''})`} />
      {label !== undefined
        && label.text.split('\n').map((line, index) => (
          <text key={line} x={(label.x ?? 0) + 4} y={(label.y ?? 0) + 12 + index * 14}>{line}</text>
        ))}
    </g>
  )
}

interface Point {
  readonly x: number
  readonly y: number
}

/** A path along the points, its corners rounded. */
function rounded(points: readonly Point[]): string {
  const parts: string[] = []
  for (const [index, point] of points.entries()) {
    const before = points[index - 1]
    const next = points[index + 1]
    if (before === undefined) parts.push(`M${point.x},${point.y}`)
    else if (next === undefined) parts.push(`L${point.x},${point.y}`)
    else {
      const into = towards(point, before)
      const out = towards(point, next)
      parts.push(`L${into.x},${into.y} Q${point.x},${point.y} ${out.x},${out.y}`)
    }
  }
  return parts.join(' ')
}

function towards(from: Point, to: Point): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y)
  const share = length === 0 ? 0 : Math.min(6, length / 2) / length
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share }
}
