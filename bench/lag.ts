/**
 * Replica lag, as the primary's status shows it, while 5,000 writes/s come in.
 * Alone: `node dist/bench/lag.js [seconds]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { asStatusReport } from '../runtime/status/status.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measure } from './load.js'
import { runProgram } from './processes.js'
import { median, percentile } from './table.js'

export interface LagResult {
  readonly rate: number
  readonly samples: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Age of the oldest entry above the safe sequence, at the 99th percentile. */
  readonly lossWindowP99Ms: number
}

const sampleEveryMs = 10

export async function measureLag(
  cluster: EngramCluster,
  seconds: number,
  rate = 5000,
): Promise<LagResult> {
  const { primary } = await cluster.awaitInSync()
  const lags: number[] = []
  const windows: number[] = []
  const load = measure({ ...cluster.target.endpoint, rate, seconds, warmupSeconds: 0.5 })
  // The load's process needs a moment to start, and then warms up.
  await delay(1000)
  const until = performance.now() + seconds * 1000 - 500
  while (performance.now() < until) {
    const message = await cluster.connection.request(
      `engram.v1.status.${primary}`,
      new Uint8Array(),
      { timeout: 2000 },
    )
    const report = asStatusReport(JSON.parse(Buffer.from(message.data).toString()))
    const space = report?.spaces.find((member) => member.space === cluster.options.space)
    for (const { lagMs } of Object.values(space?.lag ?? {})) if (lagMs !== null) lags.push(lagMs)
    if (space) windows.push(space.lossWindow.ms)
    await delay(sampleEveryMs)
  }
  await load
  return {
    rate,
    samples: lags.length,
    p50Ms: median(lags),
    p99Ms: percentile(lags, 0.99),
    maxMs: Math.max(0, ...lags),
    lossWindowP99Ms: percentile(windows, 0.99),
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    const cluster = await startEngram('bench')
    console.log(JSON.stringify(await measureLag(cluster, Number(process.argv[2] ?? 5))))
    await cluster.stop()
    return 0
  })
}
