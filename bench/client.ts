/**
 * The cost of resending: the client's own `durable` writes, with `protect` and
 * without it, in turns. Each measurement is a process of its own:
 * `node dist/bench/client.js '<spec>'`.
 * Alone, with a cluster: `node dist/bench/client.js [repeats] [seconds]`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { connect } from '../runtime/client/client.js'
import type { EngramClient } from '../runtime/client/client.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { writeOperation } from './inbox.js'
import { atPercentile, microseconds, newHistogram } from './load.js'
import { runProgram, startScript } from './processes.js'

interface ClientSpec {
  readonly url: string
  readonly space: string
  readonly protect: boolean
  readonly inFlight: number
  readonly seconds: number
  readonly warmupSeconds: number
}

export interface ClientLoad {
  readonly perSecond: number
  /** CPU time of the client's process per write. */
  readonly cpuMicros: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Most that was kept at a time, as sampled. */
  readonly keptBytesMax: number
}

export interface ClientResult {
  readonly inFlight: number
  /** One per repeat. */
  readonly protect: readonly ClientLoad[]
  readonly bare: readonly ClientLoad[]
}

const inFlight = 256
const sampleMs = 50

/** Protected and unprotected in turns, the first one changing: the machine is noisy. */
export async function measureClient(
  cluster: EngramCluster,
  repeats: number,
  seconds: number,
  progress: (text: string) => void,
): Promise<ClientResult> {
  await cluster.awaitInSync()
  const loads: { protect: ClientLoad[]; bare: ClientLoad[] } = { protect: [], bare: [] }
  for (let n = 0; n < repeats; n += 1) {
    for (const name of n % 2 === 0 ? ['protect', 'bare'] as const : ['bare', 'protect'] as const) {
      const load = await inProcess({
        url: cluster.url,
        space: cluster.options.space,
        protect: name === 'protect',
        inFlight,
        seconds,
        warmupSeconds: 1,
      })
      loads[name].push(load)
      progress(`client ${name}: ${load.perSecond}/s, ${load.cpuMicros} us of CPU per write, p99 `
        + `${load.p99Ms} ms`)
    }
  }
  return { inFlight, ...loads }
}

async function inProcess(spec: ClientSpec): Promise<ClientLoad> {
  const child = startScript('client', spec)
  try {
    return JSON.parse(
      await child.line((spec.seconds + spec.warmupSeconds) * 1000 + 10_000),
    ) as ClientLoad
  } finally {
    await child.stop()
  }
}

async function load(spec: ClientSpec): Promise<ClientLoad> {
  const client = await connect({ servers: spec.url, protect: spec.protect, onResent: (resent) => {
    throw new Error(`no failover was asked for: ${JSON.stringify(resent)}`)
  } })
  const latency = newHistogram()
  const measured = { writes: 0, isOn: false, isOver: false }
  const writers = Array.from({ length: spec.inFlight },
    (_, n) => keepWriting(client, spec, n, measured, latency))
  await delay(spec.warmupSeconds * 1000)
  const before = process.cpuUsage()
  measured.isOn = true
  const keptBytesMax = await sampleKept(client, spec.seconds * 1000)
  measured.isOn = false
  const { user, system } = process.cpuUsage(before)
  measured.isOver = true
  await Promise.all(writers)
  await client.close()
  return {
    perSecond: Math.round(measured.writes / spec.seconds),
    cpuMicros: Math.round((user + system) / measured.writes * 10) / 10,
    p50Ms: atPercentile(latency, 50),
    p99Ms: atPercentile(latency, 99),
    keptBytesMax,
  }
}

async function keepWriting(
  client: EngramClient,
  { space, inFlight: stride }: ClientSpec,
  first: number,
  measured: { writes: number; isOn: boolean; isOver: boolean },
  latency: ReturnType<typeof newHistogram>,
): Promise<void> {
  for (let n = first; !measured.isOver; n += stride) {
    const from = performance.now()
    await client.write(space, writeOperation(n), { ack: 'durable' })
    if (!measured.isOn) continue
    measured.writes += 1
    latency.recordValue(microseconds(performance.now() - from))
  }
}

async function sampleKept(client: EngramClient, ms: number): Promise<number> {
  const until = performance.now() + ms
  let most = 0
  while (performance.now() < until) {
    most = Math.max(most, client.unsafe().bytes)
    await delay(sampleMs)
  }
  return most
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  runProgram(async () => {
    const [, , argument = '3', seconds = '4'] = process.argv
    if (argument.startsWith('{')) {
      console.log(JSON.stringify(await load(JSON.parse(argument) as ClientSpec)))
      return 0
    }
    const cluster = await startEngram('bench')
    const result = await measureClient(cluster, Number(argument), Number(seconds), (text) =>
      process.stderr.write(`${text}\n`))
    console.log(JSON.stringify(result))
    await cluster.stop()
    return 0
  })
}
