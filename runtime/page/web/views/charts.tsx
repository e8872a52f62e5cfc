import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Chart } from '../../../charts/chart.js'
import { byName } from '../../../status/names.js'
import { chartGraph } from '../../model/chartGraph.js'
import type { ChartGraph, GraphNode } from '../../model/chartGraph.js'
import { stateText } from '../../model/state.js'
import type { ActorView } from '../../model/state.js'
import { layOut } from '../layout.js'
import { amend, route } from '../route.js'
import { state } from '../store.js'
import { ActorPanel } from './actorPanel.js'
import { ChartDrawing } from './chartDrawing.js'
import { ListBox } from './listBox.js'

/** Actors listed. Others are found with the filter. */
const actorsMax = 300

export function ChartsView() {
  const { nodes, charts } = state.value
  const { query } = route.value
  const [filter, setFilter] = useState('')
  const ids = [...nodes.keys()].toSorted(byName)
  const node = query['node'] ?? ids.find((id) => (nodes.get(id)?.actors.size ?? 0) > 0) ?? null
  const actors = [...nodes.get(node ?? '')?.actors.values() ?? []]
    .filter(({ state: value }) => value !== null).toSorted(byRank)
  const chosen = query['actor'] ?? first(actors)?.actor ?? null
  const actor = actors.find((one) => one.actor === chosen) ?? null
  const listed = actors.filter((one) => one.actor.includes(filter.trim()))
  const [lastChart, setLastChart] = useState<string | null>(null)
  useEffect(() => {
    if (actor?.chart) setLastChart(actor.chart)
  }, [actor?.chart])
  const chart = charts[actor?.chart ?? lastChart ?? ''] ?? null
  return (
    <div class="charts">
      <div class="picker">
        <label>
          Node{' '}
          <select value={node ?? ''} data-choose-node
            onChange={(event) => amend({ node: event.currentTarget.value })}
          >
            {node !== null && !ids.includes(node) && <option value={node}>{node} (gone)</option>}
            {ids.map((id) => <option key={id} value={id}>{id}</option>)}
          </select>
        </label>
        <input type="search" placeholder="Filter actors" aria-label="Filter actors" value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)} />
        <ListBox label="Actors" chosen={chosen} onChoose={(id) => amend({ actor: id, node })}
          options={listed.slice(0, actorsMax).map((one) => ({
            id: one.actor,
            text: one.actor,
            note: stateText(one.state),
            isWeak: one.exit !== null,
          }))} />
        {listed.length > actorsMax
          && <p class="facts">and {listed.length - actorsMax} more; use the filter</p>}
      </div>
      <Drawing chart={chart} actor={actor} name={chosen} node={node} />
      <ActorPanel actor={actor} chart={chart} />
    </div>
  )
}

interface DrawingProps {
  readonly chart: Chart | null
  readonly actor: ActorView | null
  readonly name: string | null
  readonly node: string | null
}

function Drawing({ chart, actor, name, node }: DrawingProps) {
  const graph = useMemo(() => (chart === null ? null : chartGraph(chart, measure)), [chart])
  const [laidOut, setLaidOut] = useState<{ of: ChartGraph; root: GraphNode } | null>(null)
  const [error, setError] = useState<string | null>(null)
  useEffect(() => {
    if (graph === null) return
    let isOver = false
    layOut(graph.graph).then((root) => {
      if (!isOver) setLaidOut({ of: graph, root })
      setError(null)
    }, (reason: unknown) => {
      if (!isOver) setError(String(reason))
    })
    return () => {
      isOver = true
    }
  }, [graph])
  const title = `${node}/${name}`
  if (error !== null) return <p class="empty">The chart cannot be drawn: {error}</p>
  if (graph === null || laidOut === null || laidOut.of !== graph) {
    const text = chart === null ? `No actor ${title} at this moment.` : 'Drawing…'
    return <p class="empty">{text}</p>
  }
  return <ChartDrawing graph={graph} root={laidOut.root} actor={actor} title={title} />
}

let context: CanvasRenderingContext2D | null = null
function measure(text: string, small: boolean): number {
  context ??= document.createElement('canvas').getContext('2d')
  if (context === null) return text.length * 7
  const family = getComputedStyle(document.body).fontFamily
  context.font = small ? `11px ${family}` : `600 13px ${family}`
  return context.measureText(text).width + 2
}

/** The actor chosen first: the role of a member, which is of most interest. */
function first(actors: readonly ActorView[]): ActorView | undefined {
  return actors.find(({ actor }) => /^space\.[^.]+$/.test(actor)) ?? actors[0]
}

function byRank(a: ActorView, b: ActorView): number {
  return Number(a.exit !== null) - Number(b.exit !== null) || byName(a.actor, b.actor)
}
