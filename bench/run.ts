/**
 * `npm run bench [-- --only latency,cpu,client,lag,settings,inspection,failover,recovery,spaces]
 * [--systems floor,engram,jetstream,redis] [--seconds 2] [--warm-seconds 20] [--repeats 3]
 * [--rounds 20] [--json]`
 * `npm run bench -- --against COMMIT [--only idle,paced,one,open,closed,committed,keyed]
 * [--pairs 6]` compares two builds.
 * Everything side by side in one run, interleaved: this machine is noisy, so only what was
 * measured in the same minutes is compared. All of it takes about ten minutes.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareWith } from './against.js'
import { brokerVersion } from './broker.js'
import { measureClient } from './client.js'
import { startEngram } from './engram.js'
import type { EngramCluster } from './engram.js'
import { measureFailover } from './failover.js'
import { startFloor } from './floor.js'
import { measureInspection } from './inspection.js'
import { startJetStream } from './jetstream.js'
import { measureLag } from './lag.js'
import { inWords, knows, measureIdle, measureLoad, resultInWords, smallWarmSeconds,
  warmUp } from './measured.js'
import { wakesOfOneSync } from './oneSync.js'
import { loadsOf, parseOptions } from './options.js'
import type { Options } from './options.js'
import { comparisonTable } from './pairs.js'
import { runProgram } from './processes.js'
import { measureRecovery } from './recovery.js'
import { redisVersion, startRedis } from './redis.js'
import { report } from './report.js'
import { noFindings } from './results.js'
import type { Results } from './results.js'
import { measureSettings } from './settings.js'
import { measureSpaces } from './spaces.js'
import type { Target } from './target.js'

const warmupSeconds = 0.5
const idleSeconds = 5
const recoveryMebibytes = 256
const spacesCount = 1000

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function startTargets(
  options: Options,
  cluster: EngramCluster | null,
  leftOut: string[],
): Promise<Target[]> {
  const targets: Target[] = []
  if (options.systems.includes('floor')) targets.push(await startFloor())
  if (cluster) targets.push(cluster.target)
  if (options.systems.includes('jetstream')) {
    progress('starting three nats-servers for JetStream R3')
    targets.push(await startJetStream())
  }
  if (options.systems.includes('redis')) {
    if (redisVersion() !== null) targets.push(await startRedis())
    else leftOut.push('Redis: left out, redis-server is not installed')
  }
  return targets
}

async function runLoads(options: Options, targets: Target[], results: Results): Promise<void> {
  for (const target of targets) {
    progress(`warming up ${target.name}`)
    await warmUp(target, target.name === 'engram' ? options.warmSeconds : smallWarmSeconds)
  }
  const { seconds, repeats } = options
  if (options.only.includes('cpu')) results.oneSyncWakes = await wakesOfOneSync()
  for (let repeat = 1; repeat <= repeats; repeat++) {
    const turn = `${repeat}/${repeats}`
    if (options.only.includes('cpu')) {
      for (const [system, account] of await measureIdle(targets, idleSeconds)) {
        ;(results.idle[system] ??= []).push(account)
        progress(`${turn} ${system.padEnd(9)} idle      ${inWords(account)}`)
      }
    }
    for (const load of loadsOf(options.only)) {
      for (const target of targets.filter(({ name }) => knows(name, load))) {
        const result = await measureLoad(target, load, { seconds, warmupSeconds })
        const of = results.loads[target.name] ??= {}
        ;(of[load] ??= []).push(result)
        progress(`${turn} ${target.name.padEnd(9)} ${load.padEnd(9)} ${resultInWords(result)}`)
      }
    }
  }
}

async function runParts(options: Options, results: Results): Promise<void> {
  const needsEngram = options.systems.includes('engram')
  const cluster = needsEngram ? await startEngram('bench') : null
  if (loadsOf(options.only).length > 0) {
    const targets = await startTargets(options, cluster, results.leftOut)
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
  options: Options,
  results: Results,
  cluster: EngramCluster,
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

/** The machine, and nothing measured yet. */
function emptyResults({ command, seconds, repeats, warmSeconds }: Options): Results {
  return {
    command,
    at: new Date().toISOString(),
    machine: {
      cores: cpus().length,
      model: cpus()[0]?.model.trim() ?? 'unknown',
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
      broker: brokerVersion(),
      redis: redisVersion(),
    },
    seconds,
    repeats,
    warmSeconds,
    ...noFindings(),
  }
}

runProgram(async () => {
  const options = parseOptions(process.argv.slice(2))
  if (options.against) {
    const comparison = await compareWith(options.against, options, progress)
    console.log(options.json ? JSON.stringify(comparison) : comparisonTable(comparison))
    return 0
  }
  const results = emptyResults(options)
  await runParts(options, results)
  console.log(options.json ? JSON.stringify(results) : report(results))
  // A part of a run, or a shorter one, is not what docs/benchmarks.md shows.
  if (process.argv.slice(2).every((flag) => flag === '--json')) progress(`kept in ${keep(results)}`)
  return 0
})
