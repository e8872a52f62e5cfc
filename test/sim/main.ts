/** `npm run sim -- --seed 42`, `npm run sim -- --seeds 1000 --from 1`. */
import { writeFileSync } from 'node:fs'
import { Command, InvalidArgumentError } from 'commander'
import { showFault } from './plan.js'
import type { RunResult } from './run.js'
import { runSeed } from './run.js'

function whole(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new InvalidArgumentError('a whole number is expected')
}

interface Flags {
  readonly seed?: number
  readonly seeds?: number
  readonly from: number
  readonly trace?: string | true
}

function report(result: RunResult): void {
  const { seed, plan, violation, stats, hash } = result
  if (!violation) {
    console.log(`seed ${seed}: ok, hash ${hash}, ${(stats.simulatedMs / 1000).toFixed(1)} s in `
      + `${(stats.realMs / 1000).toFixed(2)} s, ${stats.messages} messages, `
      + `${stats.acknowledged} acknowledged, epoch ${stats.epochs}`)
    return
  }
  console.log(`seed ${seed}: ${violation.invariant} is violated at ${violation.atMs.toFixed(1)} ms\n`
    + `${violation.details}\nfaults:`)
  for (const fault of plan.faults) console.log(`  ${showFault(fault)}`)
}

async function main(): Promise<void> {
  const program = new Command('sim')
    .option('--seed <number>', 'run one seed', whole)
    .option('--seeds <count>', 'run as many seeds', whole)
    .option('--from <number>', 'the first of them', whole, 1)
    .option('--trace [file]', 'write the transcript here (sim-<seed>.txt unless named)')
  program.parse()
  const flags = program.opts<Flags>()
  const first = flags.seed ?? flags.from
  const count = flags.seed === undefined ? flags.seeds ?? 1 : 1
  let failed = 0
  for (let seed = first; seed < first + count; seed += 1) {
    const result = await runSeed(seed, { trace: flags.trace !== undefined })
    report(result)
    if (result.violation) failed += 1
    if (result.transcript) {
      const file = typeof flags.trace === 'string' ? flags.trace : `sim-${seed}.txt`
      writeFileSync(file, `${result.transcript.lines.join('\n')}\n`)
      writeFileSync(`${file}.inspection.ndjson`, `${result.transcript.inspection.join('\n')}\n`)
    }
  }
  process.exitCode = failed > 0 ? 1 : 0
}

await main()
