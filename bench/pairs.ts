/** Two builds side by side: measures of pairs, their ratios, and a table of them. */
import type { Account } from './account.js'
import { mainWakesPerNode, serversCpu } from './account.js'
import { cpuPerWrite, poolWakesPerBatch, wakesPerWrite } from './measured.js'
import type { Measured } from './measured.js'
import type { Scene } from './options.js'
import { markdownTable, median } from './table.js'

/** Names of measures, and their values. */
export type Values = Readonly<Record<string, number>>

/** Measured one right after the other. */
export interface Pair {
  readonly own: Values
  readonly other: Values
}

export interface Comparison {
  /** Abbreviated, with its subject. */
  readonly commit: string
  readonly seconds: number
  readonly warmSeconds: number
  readonly scenes: Partial<Record<Scene, Pair[]>>
}

export interface Ratio {
  readonly own: number
  readonly other: number
  /** Ratio of this checkout to the other commit: median and quartiles over the pairs. */
  readonly median: number
  readonly low: number
  readonly high: number
  /** Pairs in which this checkout's value was the lower one, of those that are known. */
  readonly lower: number
  readonly pairs: number
}

const titles: Readonly<Record<Scene, string>> = {
  idle: 'idle',
  paced: '200/s',
  one: 'one in flight',
  open: '5,000/s',
  closed: '256 in flight',
  committed: '256 in flight, `committed`',
  keyed: '256 in flight, keys',
  apart: '256 in flight, a connection each',
}

export function valuesOfIdle(account: Account): Values {
  return {
    'CPU of all servers, % of a core': serversCpu(account) / 10,
    'wakes of a node\'s main thread, per second': mainWakesPerNode(account),
  }
}

export function valuesOf(scene: Exclude<Scene, 'idle'>, measured: Measured): Values {
  const isPaced = scene === 'paced' || scene === 'open'
  return {
    'CPU per write of all servers, µs': cpuPerWrite(measured),
    'CPU per write of the primary, µs': cpuPerWrite(measured, 'primary'),
    'CPU per write of both replicas, µs': cpuPerWrite(measured, 'replicas'),
    'CPU per write of the broker, µs': cpuPerWrite(measured, 'broker'),
    'median, ms': measured.p50Ms,
    'p99, ms': measured.p99Ms,
    // A paced load has the rate that it was given.
    ...isPaced ? {} : { 'writes per second': measured.perSecond },
    ...scene === 'paced' || scene === 'one'
      ? {
        'wakes of the primary\'s main thread, per write': wakesPerWrite(measured, 'primary',
          'main'),
        'wakes of a replica\'s main thread, per write': wakesPerWrite(measured, 'replicas', 'main'),
        'wakes of the primary\'s pool, per batch': poolWakesPerBatch(measured, 'primary'),
        'wakes of a replica\'s pool, per batch': poolWakesPerBatch(measured, 'replicas'),
      }
      : { 'most entries above the safe sequence': measured.windowMax },
  }
}

/** Order of the two in a pair: A B, B A, …, so that a drift of the machine hits both alike. */
export function ownGoesFirst(pair: number): boolean {
  return pair % 2 === 0
}

export function ratioOf(pairs: readonly Pair[], name: string): Ratio {
  const known = pairs
    .map(({ own, other }) => ({ own: own[name] ?? NaN, other: other[name] ?? NaN }))
    .filter(({ own, other }) => Number.isFinite(own / other))
  const ratios = known.map(({ own, other }) => own / other)
  return {
    own: median(known.map(({ own }) => own)),
    other: median(known.map(({ other }) => other)),
    median: median(ratios),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
    lower: known.filter(({ own, other }) => own < other).length,
    pairs: known.length,
  }
}

/** Between the two values beside it, as most programs have it. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const [below = NaN, above = NaN] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]]
  return below + (above - below) * (at - Math.floor(at))
}

/** More digits for what is small. */
function shown(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
}

export function comparisonTable(comparison: Comparison): string {
  const scenes = Object.entries(comparison.scenes) as [Scene, Pair[]][]
  const rows = scenes.flatMap(([scene, pairs]) =>
    Object.keys(pairs[0]?.own ?? {}).map((name) => {
      const { own, other, median: middle, low, high, lower, pairs: count } = ratioOf(pairs, name)
      return [
        `${titles[scene]}: ${name}`,
        shown(own),
        shown(other),
        shown(middle),
        count === 0 ? '–' : `${shown(low)}–${shown(high)}`,
        `${lower} of ${count}`,
      ]
    })
  )
  return [
    `This checkout against ${comparison.commit}; each measured for ${comparison.seconds} s at a `
    + `time, after ${comparison.warmSeconds} s of warm-up. Ratios are medians over the pairs.`,
    markdownTable(['', 'this', 'other', 'ratio', 'quartiles', 'lower in'], rows),
  ].join('\n\n')
}
