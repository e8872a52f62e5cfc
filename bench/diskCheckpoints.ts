/**
 * The cost of checkpoints, in pairs: two clusters that differ in one option, each measured under
 * the same load right after the other.
 */
import { metricOf } from './diskKit.js'
import type { Finding, Progress } from './diskKit.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measure } from './load.js'
import type { LoadResult } from './load.js'
import { ownGoesFirst, ratioOf } from './pairs.js'
import type { Pair, Values } from './pairs.js'

const MiB = 2 ** 20
/** State of some 5 MB: at 5,000/s, twice of that is written in about 10 s. */
const ids = 20_000
const shared = { segmentBytes: 8 * MiB, checkpointRatio: 2 }
const often = { ...shared, checkpointBytes: 2 * MiB, retainBytes: 64 * MiB }
/** A journal that should be given up would make one due. */
const hardlyEver = { ...shared, checkpointBytes: 1e12, retainBytes: 1e12 }
const warmSeconds = 10
const scenes = {
  closed: { inFlight: 256, seconds: 8 },
  /** Long enough for a checkpoint or two in each. */
  open: { rate: 5000, seconds: 20 },
} as const
type Scene = keyof typeof scenes

export async function measureCheckpoints(pairs: number, progress: Progress): Promise<Finding[]> {
  const own = await startEngram('often', { config: often })
  const other = await startEngram('never', { config: hardlyEver })
  for (const cluster of [own, other]) await load(cluster, 'closed', warmSeconds)
  const results: Record<Scene, Pair[]> = { closed: [], open: [] }
  const taken: Record<Scene, number> = { closed: 0, open: 0 }
  for (let number = 0; number < pairs; number++) {
    for (const scene of ['closed', 'open'] as const) {
      const before = await checkpointsOf(own)
      const values = new Map<EngramCluster, Values>()
      for (const cluster of ownGoesFirst(number) ? [own, other] : [other, own]) {
        values.set(cluster, valuesOf(await load(cluster, scene)))
      }
      taken[scene] += await checkpointsOf(own) - before
      const pair = { own: values.get(own)!, other: values.get(other)! }
      results[scene].push(pair)
      progress(
        `checkpoints: ${scene}, often ${JSON.stringify(pair.own)}, never ${
          JSON.stringify(pair.other)
        }`,
      )
    }
  }
  const uncalled = await checkpointsOf(other)
  await own.stop()
  await other.stop()
  if (uncalled > 0) throw new Error(`${uncalled} checkpoints of the cluster that takes none`)
  return [...closedFindings(results.closed, taken.closed),
    ...openFindings(results.open, taken.open)]
}

function load(
  cluster: EngramCluster,
  scene: Scene,
  seconds: number = scenes[scene].seconds,
): Promise<LoadResult> {
  return measure({ ...cluster.target.endpoint, ...scenes[scene], seconds, warmupSeconds: 1, ids })
}

function valuesOf({ perSecond, p99Ms }: LoadResult): Values {
  return { perSecond, p99Ms }
}

/** Checkpoints that its nodes have taken so far, all together. */
async function checkpointsOf(cluster: EngramCluster): Promise<number> {
  let sum = 0
  for (const { node } of await cluster.reports()) {
    const count = await metricOf(node.http, 'engram_checkpoints_total')
    if (Number.isFinite(count)) sum += count
  }
  return sum
}

function closedFindings(pairs: readonly Pair[], taken: number): Finding[] {
  const { own, other, median, low, high } = ratioOf(pairs, 'perSecond')
  const lost = (ratio: number): number => (1 - ratio) * 100
  return [
    { what: '256 in flight: checkpoints taken meanwhile, on three nodes', value: taken, unit: '' },
    { what: '256 in flight, checkpoints often', value: own, unit: '/s' },
    { what: '256 in flight, checkpoints hardly ever', value: other, unit: '/s' },
    { what: '256 in flight: throughput lost, median of the pairs', value: lost(median), unit: '%',
      goal: { most: 5 } },
    { what: 'the same, lower quartile', value: lost(high), unit: '%' },
    { what: 'the same, upper quartile', value: lost(low), unit: '%' },
    ...noneTaken(taken),
  ]
}

function openFindings(pairs: readonly Pair[], taken: number): Finding[] {
  const { own, other, median, low, high } = ratioOf(pairs, 'p99Ms')
  const moved = (ratio: number): number => (ratio - 1) * 100
  return [
    { what: '5,000/s: checkpoints taken meanwhile, on three nodes', value: taken, unit: '' },
    { what: '5,000/s: p99, checkpoints often', value: own, unit: 'ms' },
    { what: '5,000/s: p99, checkpoints hardly ever', value: other, unit: 'ms' },
    { what: '5,000/s: p99 moved, median of the pairs', value: moved(median), unit: '%',
      goal: { most: 20 } },
    { what: 'the same, lower quartile', value: moved(low), unit: '%' },
    { what: 'the same, upper quartile', value: moved(high), unit: '%' },
    ...noneTaken(taken),
  ]
}

/** Without any, the pair compares two equal clusters. */
function noneTaken(taken: number): Finding[] {
  return taken > 0
    ? []
    : [{ what: 'nothing was measured: no checkpoint was taken', value: NaN, unit: '',
      goal: { least: 1 } }]
}
