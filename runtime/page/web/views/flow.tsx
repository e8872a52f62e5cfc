import type { ClusterSpace } from '../../../status/status.js'
import { seriesOf } from '../../model/series.js'
import type { SpaceSeries } from '../../model/series.js'
import { inBytes, inCounts, inTime } from '../../model/ticks.js'
import type { Unit } from '../../model/ticks.js'
import { lossText } from '../../model/words.js'
import { amend, route } from '../route.js'
import { recording, shownMs, state } from '../store.js'
import { Plot } from './plot.js'
import type { PlotLine } from './plot.js'

const spans = [60, 300, 900] as const
/** Colours of replicas, in the order of their names. */
const lines = ['--line-1', '--line-2', '--line-3', '--line-4', '--line-5'] as const

function linesOf(
  nodes: readonly string[],
  values: readonly (readonly (number | null)[])[],
): PlotLine[] {
  return nodes.map((name, index) => ({
    name,
    colour: lines[index % lines.length] ?? lines[0],
    values: values[index] ?? [],
  }))
}

function alertAt(value: number | undefined) {
  return value === undefined ? null : { value, text: 'alert' }
}

interface LossPlot {
  readonly title: string
  readonly name: string
  readonly values: readonly (number | null)[]
  /** Limit above which acknowledgements are delayed. */
  readonly most: number | undefined
  readonly unit: Unit
}

/** Plots of the loss window: in writes, and in each unit in which the space limits it. */
function lossPlots({ maxLoss }: ClusterSpace, series: SpaceSeries['status']): LossPlot[] {
  const bytes: LossPlot = {
    title: 'Loss window, bytes',
    name: 'bytes',
    values: series.lossBytes,
    most: maxLoss?.bytes,
    unit: inBytes,
  }
  const age: LossPlot = {
    title: 'Loss window, age',
    name: 'oldest',
    values: series.lossMs,
    most: maxLoss?.ms,
    unit: inTime,
  }
  return [
    {
      title: 'Loss window',
      name: 'writes',
      values: series.lossEntries,
      most: maxLoss?.entries,
      unit: inCounts,
    },
    ...[bytes, age].filter(({ most }) => most !== undefined),
  ]
}

export function FlowView() {
  const { status, start } = state.value
  const { query } = route.value
  const ids = status?.spaces.map(({ id }) => id) ?? []
  const id = query['space'] ?? ids[0] ?? null
  const space = status?.spaces.find((one) => one.id === id)
  if (id === null || space === undefined) return <p class="empty">No space at this moment.</p>
  const seconds = Number(query['seconds'] ?? 60)
  const toMs = shownMs.value
  const { nodes, status: series, flow } = seriesOf(recording().measured, id, toMs - seconds * 1_000,
    toMs)
  const range = { fromS: toMs / 1_000 - seconds, toS: toMs / 1_000 }
  const thresholds = start?.thresholds
  return (
    <div class="flow">
      <div class="tools">
        <label>
          Space{' '}
          <select value={id} onChange={(event) => amend({ space: event.currentTarget.value })}>
            {ids.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
        </label>
        <label>
          Last{' '}
          <select value={String(seconds)}
            onChange={(event) => amend({ seconds: event.currentTarget.value })}
          >
            {spans.map((one) => (
              <option key={one} value={one}>{one < 120 ? `${one} s` : `${one / 60} min`}</option>
            ))}
          </select>
        </label>
        <p class="loss" data-loss>{lossText(space)}</p>
      </div>
      <div class="plots">
        <Plot title="Replica lag, time" times={series.times} range={range} unit={inTime}
          linearTo={1} threshold={alertAt(thresholds?.lagAlertMs)}
          lines={linesOf(nodes, series.lagMs)} />
        <Plot title="Replica lag, bytes" times={series.times} range={range} unit={inBytes}
          linearTo={1_000} threshold={alertAt(thresholds?.lagAlertBytes)}
          lines={linesOf(nodes, series.lagBytes)} />
        <Plot title="Durable writes per second" times={flow.times} range={range} unit={inCounts}
          lines={[{ name: 'writes/s', colour: '--primary', values: flow.writesPerSecond,
            isFilled: true }]} />
        <Plot title="Time to the durable answer" times={flow.times} range={range} unit={inTime}
          lines={[{ name: 'p50', colour: '--line-1', values: flow.p50 }, { name: 'p99',
            colour: '--line-3', values: flow.p99 }]} />
        <Plot title="Sequences" times={series.times} range={range} unit={inCounts} isFromData
          lines={[{ name: 'durable', colour: '--primary', values: series.durable }, {
            name: 'commit',
            colour: '--replica',
            values: series.commit,
          }, { name: 'safe', colour: '--promoting', values: series.safe }]} />
        {lossPlots(space, series).map(({ title, name, values, most, unit }) => (
          <Plot key={title} title={title} times={series.times} range={range} unit={unit}
            threshold={most === undefined ? null : { value: most, text: 'maxLoss' }}
            lines={[{ name, colour: '--lagging', values, isFilled: true }]} />
        ))}
      </div>
    </div>
  )
}
