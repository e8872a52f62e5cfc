/**
 * The cost of being looked at: throughput of `durable` writes without a viewer of the page of
 * `engram up`, with one that reads, and with one that hangs; by turns, in one run.
 * Alone: `node dist/bench/inspection.js [seconds] [repeats]`.
 */
import { get } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measure } from './load.js'
import type { LoadResult } from './load.js'
import { cpuMsOf } from './proc.js'
import { runProgram, startScript } from './processes.js'
import type { Proc } from './processes.js'

const modes = ['off', 'reading', 'hanging'] as const
type Mode = typeof modes[number]

/** With the CPU time of all nodes and of the page's server per write, µs. */
export interface InspectedLoad extends LoadResult {
  readonly cpuUs: number
}

/** One result per repeat. */
export type InspectionResult = Readonly<Record<Mode, InspectedLoad[]>>

interface ViewerSpec {
  readonly url: string
  readonly isHanging: boolean
}

const inFlight = 256
const warmupSeconds = 0.5
/** Until the link of a page without a viewer is let go, and the leases of the nodes with it. */
const restMs = 6_000
const readyMs = 10_000

export async function measureInspection(
  cluster: EngramCluster,
  seconds: number,
  repeats: number,
  progress: (text: string) => void,
): Promise<InspectionResult> {
  const results: Record<Mode, InspectedLoad[]> = { off: [], reading: [], hanging: [] }
  const { endpoint } = cluster.target
  await measure({ ...endpoint, inFlight, seconds: 3, warmupSeconds: 0 })
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    // Another one first each time: what comes later finds more in the store.
    for (let turn = 0; turn < modes.length; turn += 1) {
      const mode = modes[(repeat + turn) % modes.length] ?? 'off'
      const viewer = mode === 'off' ? null : await openViewer(cluster.http, mode === 'hanging')
      const before = cpuMs(cluster.pids)
      const result = await measure({ ...endpoint, inFlight, seconds, warmupSeconds })
      const writes = result.perSecond * (seconds + warmupSeconds)
      const cpuUs = (cpuMs(cluster.pids) - before) * 1000 / writes
      await viewer?.stop()
      if (viewer) await delay(restMs)
      results[mode].push({ ...result, cpuUs })
      progress(`${repeat + 1}/${repeats} inspection ${mode.padEnd(8)} ${result.perSecond}/s, `
        + `p99 ${result.p99Ms} ms, ${cpuUs.toFixed(1)} µs of CPU per write`)
    }
  }
  return results
}

/** Less noisy than any throughput. */
function cpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0)
}

async function openViewer(http: string, isHanging: boolean): Promise<Proc> {
  const viewer = startScript('inspection', { url: `${http}/api/stream`, isHanging })
  await viewer.line(readyMs)
  return viewer
}

/** A viewer in a process of its own: says so when the first frames have come. */
function view({ url, isHanging }: ViewerSpec): Promise<never> {
  return new Promise((_, reject) => {
    const request: ClientRequest = get(url, (response: IncomingMessage) => {
      response.once('data', () => {
        console.log('open')
        if (isHanging) response.pause()
      })
      response.on('data', () => undefined)
      response.once('close', () => reject(new Error('the stream has ended')))
    })
    request.once('error', reject)
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [first = '6', second = '5'] = process.argv.slice(2)
  runProgram(async () => {
    if (first.startsWith('{')) return await view(JSON.parse(first) as ViewerSpec)
    const cluster = await startEngram('bench')
    const results = await measureInspection(cluster, Number(first), Number(second), (text) =>
      process.stderr.write(`${text}\n`))
    console.log(JSON.stringify(results))
    await cluster.stop()
    return 0
  })
}
