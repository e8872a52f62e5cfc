/** `npm run sim -- --seed 42`, `npm run sim -- --seeds 1000 --from 1`. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import cliProgress from 'cli-progress'
import { Command, InvalidArgumentError } from 'commander'
import { faultKinds } from './plan.js'
import type { FaultKind } from './plan.js'
import { runSeeds } from './pool.js'
import { showOutcome } from './report.js'
import { runPlan, runSeed } from './run.js'
import type { RunOptions, RunResult } from './run.js'
import { shrink } from './shrink.js'

interface Flags {
  readonly seed?: number
  readonly seeds: number
  readonly from: number
  readonly jobs: number
  readonly only?: readonly FaultKind[]
  readonly trace?: string | true
  readonly recording?: string
  readonly shrink: boolean
  readonly shrinkSeconds: number
}

function whole(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new InvalidArgumentError('a whole number is expected')
}

function kinds(text: string): readonly FaultKind[] {
  const chosen = text.split(',') as FaultKind[]
  const unknown = chosen.filter((kind) => !faultKinds.includes(kind))
  if (unknown.length === 0) return chosen
  throw new InvalidArgumentError(`${unknown.join()} is none of ${faultKinds.join(', ')}`)
}

function flagsOf(): Flags {
  return new Command('sim')
    .description('Runs whole clusters in virtual time, under faults drawn from a seed.')
    .option('--seed <number>', 'run one seed, and replay it exactly', whole)
    .option('--seeds <count>', 'run as many seeds, on all cores', whole, 100)
    .option('--from <number>', 'the first of them', whole, 1)
    .option('--jobs <count>', 'processes at work', whole, availableParallelism())
    .option('--only <kinds>', 'faults of these kinds only, separated by commas', kinds)
    .option('--trace [file]', 'write the run as a transcript, and its inspection events as '
      + 'NDJSON beside it (sim-<seed>.txt unless named)')
    .option('--recording <file>', 'write the run as a recording that the page opens; with --seed')
    .option('--no-shrink', 'print the faults of a failing run as they were drawn')
    .option('--shrink-seconds <count>', 'time for shrinking one failing run', whole, 60)
    .parse().opts<Flags>()
}

async function one(seed: number, flags: Flags, run: RunOptions): Promise<number> {
  const result = await runSeed(seed, run)
  console.log(showOutcome(result))
  const last = result.violation && flags.shrink ? await shrunk(result, flags) : result
  if (flags.trace !== undefined) {
    // The transcript of the shrunk run, or of the whole one.
    const { transcript } = await runPlan(last.plan, { trace: true })
    const file = flags.trace === true ? `sim-${seed}.txt` : flags.trace
    writeFileSync(file, `${transcript!.lines.join('\n')}\n`)
    writeFileSync(`${file}.ndjson`, `${transcript!.inspection.join('\n')}\n`)
    console.log(`transcript: ${file}, inspection events: ${file}.ndjson`)
  }
  if (flags.recording !== undefined) {
    const { recording } = await runPlan(last.plan, { record: true })
    writeFileSync(flags.recording, `${recording!.join('\n')}\n`)
    console.log(`recording: ${flags.recording}; open it in the page`)
  }
  return result.violation ? 1 : 0
}

async function shrunk(result: RunResult, flags: Flags): Promise<RunResult> {
  const { result: less, runs } = await shrink(result, { withinMs: flags.shrinkSeconds * 1000 })
  console.log(`shrunk in ${runs} runs to ${less.plan.faults.length} faults:\n`
    + showOutcome(less))
  return less
}

async function many(flags: Flags, run: RunOptions): Promise<number> {
  const failed: Omit<RunResult, 'transcript'>[] = []
  let simulatedMs = 0
  let realMs = 0
  let excused = 0
  const coverage = new Map<string, number>()
  const bar = new cliProgress.SingleBar({
    format: '{bar} {value}/{total} seeds, {failed} failed, {eta_formatted} left',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  }, cliProgress.Presets.shades_classic)
  if (process.stderr.isTTY) bar.start(flags.seeds, 0, { failed: 0 })
  await runSeeds({
    seeds: Array.from({ length: flags.seeds }, (_, index) => flags.from + index),
    processes: Math.max(1, Math.min(flags.jobs, flags.seeds)),
    run,
    onResult: (result) => {
      simulatedMs += result.stats.simulatedMs
      realMs += result.stats.realMs
      if (result.violation) {
        failed.push(result)
        if (!process.stderr.isTTY) console.error(showOutcome(result))
      }
      if (result.excuse) excused += 1
      for (const [name, by] of Object.entries(result.stats.coverage)) {
        coverage.set(name, (coverage.get(name) ?? 0) + by)
      }
      bar.increment(1, { failed: failed.length })
    },
  })
  bar.stop()
  console.log(`${flags.seeds} seeds, ${failed.length} failed, ${excused} ended early `
    + '(the bucket was lost, and more); '
    + `${(simulatedMs / realMs).toFixed(0)} simulated seconds per second and core`)
  console.log(`what happened in them: ${
    [...coverage].toSorted()
      .map(([name, count]) => `${name} ${count}`).join(', ')
  }`)
  for (const each of failed.toSorted((a, b) => a.seed - b.seed)) {
    console.log(showOutcome(each))
    if (flags.shrink) await shrunk({ ...each, transcript: null }, flags)
  }
  return failed.length > 0 ? 1 : 0
}

const flags = flagsOf()
const run: RunOptions = flags.only ? { only: flags.only } : {}
process.exitCode = flags.seed === undefined
  ? await many(flags, run)
  : await one(flags.seed, flags, run)
