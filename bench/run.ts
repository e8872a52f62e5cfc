/**
 * `npm run bench [-- --only latency,client,lag,settings,inspection,failover,recovery,spaces]
 * [--seconds 2] [--rounds 20] [--json]`
 * Everything side by side in one run, interleaved: this machine is noisy, so only what was
 * measured in the same minutes is compared. Ends by itself in a few minutes.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { brokerVersion } from './broker.js'
import { measureClient } from './client.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measureFailover } from './failover.js'
import { startFloor } from './floor.js'
import type { Target } from './floor.js'
import { measureInspection } from './inspection.js'
import { startJetStream } from './jetstream.js'
import { measureLag } from './lag.js'
import { measure } from './load.js'
import { runProgram } from './processes.js'
import { measureRecovery } from './recovery.js'
import { report } from './report.js'
import { loads } from './results.js'
import type { LoadName, Results } from './results.js'
import { measureSettings } from './settings.js'
import { measureSpaces } from './spaces.js'

export const parts = [
  'latency', 'client', 'lag', 'settings', 'inspection', 'failover', 'recovery', 'spaces',
] as const
export type Part = typeof parts[number]

export interface Options {
  readonly only: readonly Part[]
  readonly seconds: number
  readonly rounds: number
  readonly repeats: number
  readonly systems: readonly string[]
  readonly json: boolean
  readonly command: string
}

const warmupSeconds = 0.5
const recoveryMebibytes = 256
const spacesCount = 1000

/** Keeps the command, so that whoever reads the table can repeat it. */
function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' }, seconds: { type: 'string' }, rounds: { type: 'string' },
      repeats: { type: 'string' }, systems: { type: 'string' }, json: { type: 'boolean' },
    },
  })
  const only = (values.only ?? parts.join(',')).split(',') as Part[]
  const unknown = only.filter((part) => !parts.includes(part))
  if (unknown.length > 0) throw new Error(`--only knows ${parts.join(', ')}: not ${unknown}`)
  return {
    only, json: values.json ?? false,
    seconds: number('seconds', values.seconds, 2),
    rounds: number('rounds', values.rounds, 20),
    repeats: number('repeats', values.repeats, 3),
    systems: (values.systems ?? 'floor,engram,jetstream').split(','),
    command: ['npm run bench', ...args.length > 0 ? ['--', ...args] : []].join(' '),
  }
}

function number(name: string, text: string | undefined, fallback: number): number {
  const value = Number(text ?? fallback)
  if (!(value > 0)) throw new Error(`--${name} is a number above 0: not ${text}`)
  return value
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function startTargets(options: Options, cluster: EngramCluster | null): Promise<Target[]> {
  const targets: Target[] = []
  if (options.systems.includes('floor')) targets.push(await startFloor())
  if (cluster) targets.push(cluster.target)
  if (options.systems.includes('jetstream')) {
    progress('starting three nats-servers for JetStream R3')
    targets.push(await startJetStream())
  }
  return targets
}

/** Compilers of every process involved do their work before anything is measured. */
async function warmUp(targets: Target[]): Promise<void> {
  for (const { stop: _, name, ...target } of targets) {
    progress(`warming up ${name}`)
    for (const load of ['closed', 'one'] as const) {
      await measure({ ...target, ...loads[load], seconds: 3, warmupSeconds: 0 })
    }
  }
}

async function runLoads(options: Options, targets: Target[], results: Results): Promise<void> {
  await warmUp(targets)
  for (let repeat = 1; repeat <= options.repeats; repeat++) {
    for (const name of Object.keys(loads) as LoadName[]) {
      for (const { stop: _, name: system, ...target } of targets) {
        const result = await measure({
          ...target, ...loads[name], seconds: options.seconds, warmupSeconds,
        })
        const of = results.latency[system] ??= {}
        ;(of[name] ??= []).push(result)
        progress(`${repeat}/${options.repeats} ${system.padEnd(9)} ${name.padEnd(6)} `
          + `p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms, ${result.perSecond}/s`
          + (Object.keys(result.errors).length ? ` ${JSON.stringify(result.errors)}` : ''))
      }
    }
  }
}

async function runParts(options: Options, results: Results): Promise<void> {
  const needsEngram = options.systems.includes('engram')
  const cluster = needsEngram ? await startEngram('bench') : null
  if (options.only.includes('latency')) {
    const targets = await startTargets(options, cluster)
    await runLoads(options, targets, results)
    for (const target of targets) if (target.name !== 'engram') await target.stop()
  }
  if (cluster) await runFaults(options, results, cluster)
  await cluster?.stop()
  if (options.only.includes('recovery')) {
    results.recovery = await measureRecovery(recoveryMebibytes)
    progress(`recovery ${results.recovery.mebibytesPerSecond} MiB/s`)
  }
  if (needsEngram && options.only.includes('spaces')) {
    results.spaces = await measureSpaces(spacesCount)
    progress(`spaces ${JSON.stringify(results.spaces)}`)
  }
}

async function runFaults(
  options: Options, results: Results, cluster: EngramCluster,
): Promise<void> {
  if (options.only.includes('client')) {
    results.client = await measureClient(cluster, options.repeats, options.seconds, progress)
  }
  if (options.only.includes('lag')) {
    results.lag = await measureLag(cluster, options.seconds + 2)
    progress(`lag p99 ${results.lag.p99Ms} ms`)
  }
  const { seconds, repeats } = options
  if (options.only.includes('settings')) {
    results.settings = await measureSettings(cluster, seconds, repeats, progress)
  }
  if (options.only.includes('inspection')) {
    results.inspection = await measureInspection(cluster, seconds, repeats, progress)
  }
  if (options.only.includes('failover')) {
    for (const fault of ['kill', 'pause'] as const) {
      let round = 0
      results.failover.push(await measureFailover(cluster, fault, options.rounds, (ms) => {
        progress(`${fault} ${++round}/${options.rounds}: ${ms.toFixed(0)} ms`)
      }))
    }
  }
}

/** Kept beside the sources, so that a table in docs/benchmarks.md can be traced to its numbers. */
function keep(results: Results): string {
  const here = dirname(fileURLToPath(import.meta.url))
  const file = join(here.replace(/([/\\])dist[/\\]bench$/, '$1bench'), 'results', 'latest.json')
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`)
  return file
}

runProgram(async () => {
  const options = parseOptions(process.argv.slice(2))
  const results: Results = {
    command: options.command, at: new Date().toISOString(),
    machine: {
      cores: cpus().length, model: cpus()[0]?.model.trim() ?? 'unknown',
      memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version, broker: brokerVersion(),
    },
    seconds: options.seconds, repeats: options.repeats, latency: {}, client: null, lag: null,
    settings: null, inspection: null, failover: [],
    recovery: null, spaces: null,
  }
  await runParts(options, results)
  console.log(options.json ? JSON.stringify(results) : report(results))
  // A part of a run, or a shorter one, is not what docs/benchmarks.md shows.
  if (process.argv.slice(2).every((flag) => flag === '--json')) progress(`kept in ${keep(results)}`)
  return 0
})
