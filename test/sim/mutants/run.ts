/**
 * `npm run sim:mutants [-- [--seeds N] NAME ...]`: every mutant against its scenarios, each pair in
 * a process of its own, and first the code as it is against the same scenarios. Prints what caught
 * each mutant; exits with 1 when one survives, falls for another reason than it should, or when
 * the code as it is fails. With `--seeds` it also prints after how many random runs each fell.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Verdict } from './child.js'
import { mutants } from './list.js'
import type { Mutant } from './mutant.js'

const child = fileURLToPath(new URL('child.js', import.meta.url))
/** Real time; a scenario takes a second or two, in virtual time up to a minute. */
const patienceMs = 180_000

/**
 * `mutant` null: the code as it is. `trial`: see child.ts. Rejects when the process ends without
 * a verdict, or has none after a minute, or a minute per seed.
 */
export function tryOut(mutant: string | null, trial: string): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const args = ['--enable-source-maps', child, mutant ?? '-', trial]
    const limitMs = patienceMs * Number(/^seeds:(\d+)$/.exec(trial)?.[1] ?? 1)
    const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let errors = ''
    running.stdout.on('data', (text: Buffer) => (output += text.toString()))
    running.stderr.on('data', (text: Buffer) => (errors += text.toString()))
    const timer = setTimeout(() => running.kill('SIGKILL'), limitMs)
    running.once('error', reject)
    running.once('close', (code, signal) => {
      clearTimeout(timer)
      const last = output.trimEnd().split('\n').at(-1) ?? ''
      if (last.startsWith('{')) return resolve(JSON.parse(last) as Verdict)
      const how = signal === null ? `code ${code}` : `${signal}, after at most ${limitMs} ms`
      reject(new Error(`${mutant ?? 'the code as it is'} in ${trial} ended with ${how} and no `
        + `verdict: ${errors.slice(-500)}`))
    })
  })
}

export type Fall =
  | { readonly kind: 'caught'; readonly scenario: string; readonly message: string }
  /** Its scenarios pass: a check is missing. */
  | { readonly kind: 'survived' }
  /** It falls, but not for the reason that it states. */
  | { readonly kind: 'otherwise'; readonly scenario: string; readonly message: string }

/** Tries its scenarios in order. */
export async function fallOf(mutant: Mutant): Promise<Fall> {
  for (const scenario of mutant.scenarios) {
    const verdict = await tryOut(mutant.name, scenario)
    if (verdict.kind === 'passed') continue
    const { message } = verdict
    const isRight = verdict.kind === 'failed' && mutant.evidence.test(message)
    return { kind: isRight ? 'caught' : 'otherwise', scenario, message }
  }
  return { kind: 'survived' }
}

const firstLine = (text: string): string => text.split('\n')[0]!.slice(0, 150)

async function control(trials: readonly string[]): Promise<number> {
  let failures = 0
  for (const trial of trials) {
    const verdict = await tryOut(null, trial)
    if (verdict.kind === 'passed') continue
    failures += 1
    console.log(`FAIL  the code as it is fails ${trial}: ${verdict.message}`)
  }
  console.log(`the code as it is passes ${trials.length - failures} of ${trials.length} trials`)
  return failures
}

async function inRandomRuns(mutant: string, seeds: number): Promise<string> {
  const verdict = await tryOut(mutant, `seeds:${seeds}`).catch((error: Error) =>
    ({ kind: 'broken', message: error.message }) as const
  )
  return verdict.kind === 'passed' ? `not within ${seeds} seeds` : firstLine(verdict.message)
}

async function main(names: readonly string[], seeds: number): Promise<number> {
  const chosen = mutants.filter(({ name }) =>
    names.length === 0
    || names.some((part) => name.includes(part))
  )
  if (chosen.length === 0) {
    console.log(`no mutant matches ${names.join(' ')}; there are:`)
    for (const { name } of mutants) console.log(`  ${name}`)
    return 1
  }
  const trials = new Set(chosen.flatMap(({ scenarios }) => scenarios))
  if (seeds > 0) trials.add(`seeds:${seeds}`)
  let failures = await control([...trials])
  let caught = 0
  for (const mutant of chosen) {
    const fall = await fallOf(mutant)
    if (fall.kind === 'caught') {
      caught += 1
      console.log(`ok    ${mutant.name}: fell in ${fall.scenario}: ${firstLine(fall.message)}`)
    } else {
      failures += 1
      const what = fall.kind === 'survived'
        ? `survived ${mutant.scenarios.join(', ')}: a check is missing`
        : `fell in ${fall.scenario}, not for ${mutant.evidence} but: ${fall.message}`
      console.log(`FAIL  ${mutant.name}: ${what}`)
    }
    if (seeds > 0) console.log(`      random runs: ${await inRandomRuns(mutant.name, seeds)}`)
  }
  console.log(`${caught} of ${chosen.length} mutants caught`)
  return failures
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    options: { seeds: { type: 'string', default: '0' } },
    allowPositionals: true,
  })
  const seeds = Number(values.seeds)
  if (!Number.isInteger(seeds) || seeds < 0) {
    console.error(`--seeds ${values.seeds}: a whole number of random runs is needed`)
    process.exit(2)
  }
  process.exitCode = await main(positionals, seeds) === 0 ? 0 : 1
}
