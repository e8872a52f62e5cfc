/** One time series chart of uPlot. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { Unit } from '../../model/ticks.js'
import { clockText } from '../../model/words.js'
import { colour, theme } from '../theme.js'

export interface PlotLine {
  readonly name: string
  /** A CSS variable. */
  readonly colour: string
  readonly values: readonly (number | null)[]
  readonly isFilled?: boolean
}

interface PlotProps {
  readonly title: string
  /** Seconds since 1970. */
  readonly times: readonly number[]
  readonly lines: readonly PlotLine[]
  readonly range: { readonly fromS: number; readonly toS: number }
  readonly unit: Unit
  /** Drawn as a line that is always visible. */
  readonly threshold?: { readonly value: number; readonly text: string } | null
  /** If set, the scale is linear up to this value and logarithmic beyond. */
  readonly linearTo?: number
  /** True if the scale begins at the lowest value instead of 0. */
  readonly isFromData?: boolean
}

const height = 170

export function Plot(props: PlotProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props
  const names = props.lines.map(({ name }) => name).join()
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const made = new uPlot(optionsOf(latest, element.clientWidth), dataOf(props), element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const redraw = (): void => made.redraw()
    scheme.addEventListener('change', redraw)
    return () => {
      scheme.removeEventListener('change', redraw)
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [names, props.title, theme.value])
  useEffect(() => {
    plot.current?.setData(dataOf(props))
  }, [props.times.length, props.times.at(-1), props.range.toS, props.range.fromS,
    props.threshold?.value])
  return (
    <figure class="plot" data-plot={props.title}>
      <figcaption>
        <b>{props.title}</b>
        <span class="values">
          {props.lines.map(({ name, colour: of, values }) => (
            <span key={name}>
              <i class="dot" style={{ background: `var(${of})` }} aria-hidden="true" />
              {name} <b class="number">{lastOf(values, props.unit)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} role="img" aria-label={labelOf(props)} />
    </figure>
  )
}

function labelOf({ title, lines, threshold, unit }: PlotProps): string {
  const values = lines.map(({ name, values: of }) => `${name} ${lastOf(of, unit)}`)
  const line = threshold ? [`${threshold.text} at ${unit.text(threshold.value)}`] : []
  return `${title}: ${[...values, ...line].join(', ')}`
}

function lastOf(values: readonly (number | null)[], { text }: Unit): string {
  const last = values.at(-1) ?? null
  return last === null ? '–' : text(last)
}

function dataOf({ times, lines }: PlotProps): uPlot.AlignedData {
  return [[...times], ...lines.map(({ values }) => [...values])] as uPlot.AlignedData
}

interface Latest {
  readonly current: PlotProps
}

function optionsOf(latest: Latest, width: number): uPlot.Options {
  const { lines, linearTo, isFromData, unit } = latest.current
  const axis = {
    stroke: () => colour('--muted'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => colour('--grid'), width: 1 },
    ticks: { show: false },
  }
  return {
    width,
    height,
    legend: { show: false },
    pxAlign: false,
    padding: [8, 26, 0, 0],
    cursor: { y: false, points: { size: 5 } },
    scales: {
      x: { time: false, range: () => [latest.current.range.fromS, latest.current.range.toS] },
      y: {
        ...(linearTo === undefined ? {} : { distr: 4 as const, asinh: linearTo }),
        range: (_, min, max) => rangeOf(latest.current, min ?? 0, max ?? 0, isFromData ?? false),
      },
    },
    axes: [
      {
        ...axis,
        size: 22,
        space: 90,
        values: (_, values) => values.map((seconds) => clockText(seconds * 1_000, 0)),
      },
      {
        ...axis,
        size: 62,
        gap: 4,
        space: 30,
        incrs: [...unit.steps],
        values: (_, values) => values.map((value) => value === null ? '' : unit.text(value)),
        ...(linearTo === undefined ? {} : {
          filter: (_: uPlot, splits: number[]) => splits,
          splits: (_: uPlot, __: number, ___: number, max: number) => decades(linearTo, max),
        }),
      },
    ],
    series: [{}, ...lines.map(({ colour: of, isFilled }) => ({
      stroke: () => colour(of),
      width: 1.75,
      points: { show: false },
      spanGaps: false,
      ...(isFilled ? { fill: () => `color-mix(in srgb, ${colour(of)} 16%, transparent)` } : {}),
    }))],
    hooks: { draw: [(made) => drawThreshold(made, latest.current)] },
  }
}

function rangeOf(
  { threshold }: PlotProps,
  min: number,
  max: number,
  isFromData: boolean,
): [number, number] {
  const top = Math.max(max, (threshold?.value ?? 0) * 1.6, 1)
  if (!isFromData) return [0, threshold ? top : top * 1.15]
  const room = Math.max(1, (max - min) * 0.1)
  return [Math.max(0, min - room), max + room]
}

/** 0, 1, 10, 100 …, thinned out if they are many. */
function decades(first: number, max: number): number[] {
  const all = [0]
  for (let value = first; value <= max; value *= 10) all.push(value)
  const every = Math.ceil(all.length / 5)
  return all.filter((_, index) => index === 0 || (all.length - 1 - index) % every === 0)
}

function drawThreshold(made: uPlot, { threshold }: PlotProps): void {
  if (!threshold) return
  const { ctx, bbox } = made
  const y = Math.round(made.valToPos(threshold.value, 'y', true))
  ctx.save()
  ctx.strokeStyle = colour('--dead')
  ctx.fillStyle = colour('--dead')
  ctx.setLineDash([6, 4])
  ctx.lineWidth = devicePixelRatio
  ctx.beginPath()
  ctx.moveTo(bbox.left, y)
  ctx.lineTo(bbox.left + bbox.width, y)
  ctx.stroke()
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`
  ctx.textAlign = 'right'
  ctx.textBaseline = 'top'
  ctx.fillText(threshold.text, bbox.left + bbox.width - 4, y + 4 * devicePixelRatio)
  ctx.restore()
}
