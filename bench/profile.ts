/**
 * A CPU profile of each node under one load: `node dist/bench/profile.js [--load closed]
 * [--seconds 10] [--warm-seconds 20] [--rows 20] [--out DIRECTORY]`. Prints self time by topic and
 * by function, of the primary and of each replica; `--out` keeps the profiles, for the developer
 * tools of Chromium or VS Code.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket } from 'ws'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measure } from './load.js'
import { knows, loadNames, loads, warmUp } from './measured.js'
import { listeningPorts } from './proc.js'
import { runProgram } from './processes.js'
import { selfTimes, selfTimeTables } from './selfTime.js'
import type { CpuProfile } from './selfTime.js'

interface Profiled {
  readonly id: string
  readonly role: 'primary' | 'replica'
  readonly inspector: Inspector
}

const intervalUs = 500
const inspectorMs = 10_000
const warmupSeconds = 0.5

/** The inspector of one process: requests, and their answers by number. */
class Inspector {
  readonly #waiting = new Map<number, (result: unknown) => void>()
  #next = 1

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data: Buffer) => {
      const { id, result } = JSON.parse(data.toString()) as { id?: number; result?: unknown }
      if (id === undefined) return
      this.#waiting.get(id)?.(result)
      this.#waiting.delete(id)
    })
  }

  /** SIGUSR1 makes a process of Node listen for an inspector, on a port that it chooses. */
  static async open(pid: number): Promise<Inspector> {
    const before = new Set(listeningPorts(pid))
    process.kill(pid, 'SIGUSR1')
    const deadline = performance.now() + inspectorMs
    for (;;) {
      const port = listeningPorts(pid).find((one) => !before.has(one))
      if (port !== undefined) return await Inspector.#connect(port)
      if (performance.now() > deadline) throw new Error(`process ${pid} opened no inspector`)
      await delay(50)
    }
  }

  static async #connect(port: number): Promise<Inspector> {
    const [{ webSocketDebuggerUrl = '' } = {}] = JSON.parse(
      await textAt(`http://127.0.0.1:${port}/json/list`),
    ) as { webSocketDebuggerUrl?: string }[]
    const socket = new WebSocket(webSocketDebuggerUrl, { perMessageDeflate: false })
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return new Inspector(socket)
  }

  ask(method: string, params: object = {}): Promise<unknown> {
    const id = this.#next++
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.socket.send(JSON.stringify({ id, method, params }))
    })
  }
}

function textAt(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.once('end', () => resolve(text))
    }).once('error', reject)
  })
}

/** The primary first. */
async function openAll(cluster: EngramCluster): Promise<Profiled[]> {
  const { primary } = await cluster.awaitInSync()
  const opened: Profiled[] = []
  for (const { node: { id, pid } } of await cluster.reports()) {
    const inspector = await Inspector.open(pid)
    await inspector.ask('Profiler.enable')
    await inspector.ask('Profiler.setSamplingInterval', { interval: intervalUs })
    opened.push({ id, role: id === primary ? 'primary' : 'replica', inspector })
  }
  return opened.toSorted((a, b) => a.role.localeCompare(b.role))
}

function parseFlags(): { load: keyof typeof loads | 'idle'; seconds: number; warmSeconds: number;
  rows: number; out: string | undefined }
{
  const { values } = parseArgs({ options: {
    load: { type: 'string' },
    seconds: { type: 'string' },
    'warm-seconds': { type: 'string' },
    rows: { type: 'string' },
    out: { type: 'string' },
  } })
  const known = [...loadNames.filter((name) => knows('engram', name)), 'idle' as const]
  const load = known.find((name) => name === (values.load ?? 'closed'))
  if (!load) throw new Error(`--load knows ${known.join(', ')}: not ${values.load}`)
  return {
    load,
    seconds: Number(values.seconds ?? 10),
    warmSeconds: Number(values['warm-seconds'] ?? 20),
    rows: Number(values.rows ?? 20),
    out: values.out,
  }
}

runProgram(async () => {
  const { load, seconds, warmSeconds, rows, out } = parseFlags()
  // Each process chooses a port for its inspector: by default all would want the same.
  const cluster = await startEngram('bench', { nodeFlags: ['--inspect-port=0'] })
  await warmUp(cluster.target, warmSeconds)
  const nodes = await openAll(cluster)
  const profiles: CpuProfile[] = []
  const profiler = {
    begun: async () => {
      await Promise.all(nodes.map(({ inspector }) => inspector.ask('Profiler.start')))
    },
    over: async () => {
      const ended = nodes.map(({ inspector }) => inspector.ask('Profiler.stop'))
      for (const one of await Promise.all(ended)) {
        profiles.push((one as { profile: CpuProfile }).profile)
      }
    },
  }
  if (load === 'idle') {
    await profiler.begun()
    await delay(seconds * 1000)
    await profiler.over()
  } else {
    const result = await measure(
      { ...cluster.target.endpoint, ...loads[load], seconds, warmupSeconds },
      profiler,
    )
    console.log(`${load}: ${result.perSecond}/s, p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms, `
      + 'while being profiled')
  }
  nodes.forEach(({ id, role, inspector }, n) => {
    const profile = profiles[n] ?? { nodes: [] }
    console.log(`\n${selfTimeTables(`${id}, ${role}`, selfTimes(profile), rows)}`)
    if (out !== undefined) {
      mkdirSync(out, { recursive: true })
      writeFileSync(join(out, `${load}-${role}-${id}.cpuprofile`), JSON.stringify(profile))
    }
    inspector.socket.close()
  })
  await cluster.stop()
  return 0
})
