/** The goals of speed, and how far a run has reached them. */
import { mainWakesPerNode, serversCpu } from './account.js'
import type { Account } from './account.js'
import { cpuPerWrite, poolWakesPerBatch, wakesPerWrite } from './measured.js'
import type { LoadName, Measured } from './measured.js'
import { ofIdle, ofLoad } from './results.js'
import type { Results } from './results.js'
import { markdownTable, median } from './table.js'

interface Goal {
  readonly measure: string
  readonly atMost?: number
  readonly atLeast?: number
  readonly unit: string
  /** Shown after the point; default 2. */
  readonly digits?: number
  readonly now: (figures: Figures) => number
}

/** Medians of the repeats; NaN for what was not measured. */
class Figures {
  constructor(readonly results: Results) {}

  of(system: string, load: LoadName, value: (measured: Measured) => number): number {
    return ofLoad(this.results, system, load, value)
  }

  /** Within each repeat, since the machine is another one a minute later. */
  ratio(
    [system, load]: [string, LoadName],
    [other, otherLoad]: [string, LoadName],
    value: (measured: Measured) => number,
  ): number {
    const beside = this.results.loads[other]?.[otherLoad] ?? []
    return median((this.results.loads[system]?.[load] ?? []).flatMap((measured, n) => {
      const reference = beside[n]
      return reference ? [value(measured) / value(reference)] : []
    }))
  }

  /** A call that only syncs: what one batch cannot do without. */
  get oneSync(): number {
    return this.results.oneSyncWakes ?? NaN
  }

  idle(value: (account: Account) => number): number {
    return ofIdle(this.results, 'engram', value)
  }
}

const p50 = ({ p50Ms }: Measured): number => p50Ms
const p99 = ({ p99Ms }: Measured): number => p99Ms
const rate = ({ perSecond }: Measured): number => perSecond

const speed: readonly Goal[] = [
  {
    measure: 'one in flight, `durable`, median',
    atMost: 1.5,
    unit: '× floor',
    now: (f) => f.ratio(['engram', 'one'], ['floor', 'one'], p50),
  },
  {
    measure: '5,000/s, p99',
    atMost: 2.5,
    unit: '× floor',
    now: (f) => f.ratio(['engram', 'open'], ['floor', 'open'], p99),
  },
  {
    measure: '256 in flight, `durable`, writes per second',
    atLeast: 0.45,
    unit: '× floor',
    now: (f) => f.ratio(['engram', 'closed'], ['floor', 'closed'], rate),
  },
  {
    measure: '256 in flight, `durable`, writes per second',
    atLeast: 1,
    unit: '× Redis over 256 connections',
    now: (f) => f.ratio(['engram', 'closed'], ['redis', 'apart'], rate),
  },
  {
    measure: '256 in flight, `durable`, writes per second',
    atLeast: 1,
    unit: '× Redis over one connection, pipelined',
    now: (f) => f.ratio(['engram', 'closed'], ['redis', 'closed'], rate),
  },
  {
    measure: '256 in flight, a key on every write, writes per second',
    atLeast: 0.9,
    unit: '× without',
    now: (f) => f.ratio(['engram', 'keyed'], ['engram', 'closed'], rate),
  },
  {
    measure: '256 in flight, `committed`, writes per second',
    atLeast: 0.85,
    unit: '× `durable`',
    now: (f) => f.ratio(['engram', 'committed'], ['engram', 'closed'], rate),
  },
]

const processor: readonly Goal[] = [
  {
    measure: 'CPU per write of all servers, 256 in flight',
    atMost: 50,
    unit: 'µs',
    digits: 0,
    now: (f) => f.of('engram', 'closed', cpuPerWrite),
  },
  {
    measure: 'CPU per write of all servers, 256 in flight',
    atMost: 1,
    unit: '× JetStream R3',
    now: (f) => f.ratio(['engram', 'closed'], ['jetstream', 'closed'], (m) => cpuPerWrite(m)),
  },
  {
    measure: 'CPU per write of all servers, one in flight',
    atMost: 1800,
    unit: 'µs',
    digits: 0,
    now: (f) => f.of('engram', 'one', cpuPerWrite),
  },
  {
    measure: 'CPU per write of all servers, 200/s',
    atMost: 3000,
    unit: 'µs',
    digits: 0,
    now: (f) => f.of('engram', 'paced', cpuPerWrite),
  },
  {
    measure: 'CPU of all servers, idle, one space',
    atMost: 5,
    unit: '% of a core',
    digits: 1,
    now: (f) => f.idle((account) => serversCpu(account) / 10),
  },
]

const wakes: readonly Goal[] = [
  {
    measure: 'wakes of a node\'s main thread, idle (mean of three)',
    atMost: 45,
    unit: 'per second',
    digits: 0,
    now: (f) => f.idle(mainWakesPerNode),
  },
  {
    measure: 'wakes of the primary\'s main thread, 200/s',
    atMost: 2.5,
    unit: 'per write',
    now: (f) => f.of('engram', 'paced', (m) => wakesPerWrite(m, 'primary', 'main')),
  },
  {
    measure: 'wakes of a replica\'s main thread, 200/s',
    atMost: 2.1,
    unit: 'per write',
    now: (f) => f.of('engram', 'paced', (m) => wakesPerWrite(m, 'replicas', 'main')),
  },
  {
    measure: 'wakes of the primary\'s thread pool per batch, 200/s',
    atMost: 1,
    unit: '× one fdatasync',
    digits: 1,
    now: (f) => f.of('engram', 'paced', (m) => poolWakesPerBatch(m, 'primary')) / f.oneSync,
  },
  {
    measure: 'wakes of a replica\'s thread pool per batch, 200/s',
    atMost: 1,
    unit: '× one fdatasync',
    digits: 1,
    now: (f) => f.of('engram', 'paced', (m) => poolWakesPerBatch(m, 'replicas')) / f.oneSync,
  },
]

const failover: Goal = {
  measure: 'kill -9 of the primary to the first positive answer, median',
  atMost: 180,
  unit: 'ms',
  digits: 0,
  now: ({ results }) => results.failover.find(({ fault }) => fault === 'kill')?.medianMs ?? NaN,
}

export interface Reached {
  readonly measure: string
  readonly goal: string
  readonly now: string
  readonly verdict: 'ok' | 'missed' | 'not measured'
}

export function goalsReached(results: Results): Reached[] {
  const figures = new Figures(results)
  return [...speed, ...processor, ...wakes, failover].map((goal) => {
    const { measure, atMost = Infinity, atLeast = -Infinity, unit, digits = 2 } = goal
    // As it is shown: 1.50 is not above 1.5.
    const value = Number(goal.now(figures).toFixed(digits))
    const [sign, bound] = Number.isFinite(atMost) ? ['≤', atMost] : ['≥', atLeast]
    const shown = (n: number, places: number): string =>
      n.toLocaleString('en-US', {
        minimumFractionDigits: places,
        maximumFractionDigits: places,
      })
    const isKnown = Number.isFinite(value)
    return {
      measure,
      goal: `${sign} ${bound.toLocaleString('en-US')} ${unit}`,
      now: isKnown ? shown(value, digits) : '–',
      verdict: !isKnown ? 'not measured' : value <= atMost && value >= atLeast ? 'ok' : 'missed',
    }
  })
}

/** Empty when a run has measured none of it. */
export function goalsTable(results: Results): string {
  const reached = goalsReached(results)
  if (reached.every(({ verdict }) => verdict === 'not measured')) return ''
  return markdownTable(['measure', 'goal', 'now', ''],
    reached.map(({ measure, goal, now, verdict }) => [measure, goal, now, verdict]))
}
