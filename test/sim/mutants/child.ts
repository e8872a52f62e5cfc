/**
 * One mutant (or `-`: the code as it is) against one trial, in a process of its own, since a
 * module is loaded once: `node dist/test/sim/mutants/child.js MUTANT TRIAL`. A trial is the name
 * of a scenario; `seeds:N`: random runs of seeds 1 to N, until the first violation; or
 * `test:NAME`: the test file of that name, without its ending; of a mutant those tests in it whose
 * names are its evidence. The last line is a verdict in JSON.
 */
import { register } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import { mutantOf } from './list.js'
import { mutatedFiles, type Mutant } from './mutant.js'

/** `broken`: the mutated code does not load, so nothing was tried. */
export type Verdict =
  | { readonly kind: 'passed'; readonly ms: number }
  | { readonly kind: 'failed'; readonly ms: number; readonly message: string }
  | { readonly kind: 'broken'; readonly message: string }

async function trialOf(name: string): Promise<() => Promise<void>> {
  const [, file] = /^test:(.+)$/.exec(name) ?? []
  if (file) return () => testFile(new URL(`../../${file}.test.js`, import.meta.url))
  const seeds = /^seeds:(\d+)$/.exec(name)
  if (!seeds) {
    const { play, scenarioOf } = await import('../scenarios/index.js')
    const scenario = scenarioOf(name)
    return async () => await play(scenario)
  }
  const { runSeed } = await import('../run.js')
  return async () => {
    for (let seed = 1; seed <= Number(seeds[1]); seed += 1) {
      const { violation } = await runSeed(seed)
      if (violation) throw new Error(`seed ${seed}: ${violation.invariant}: ${violation.details}`)
    }
  }
}

/** Rejects with what failed in it. */
async function testFile(file: URL): Promise<void> {
  const write = process.stdout.write.bind(process.stdout)
  let output = ''
  process.stdout.write = ((text: string | Uint8Array) => {
    output += String(text)
    return true
  }) as typeof process.stdout.write
  try {
    await import(file.href)
    // uvu has no other sign that it is over.
    while (!output.includes('Duration:')) await pause(20)
  } finally {
    process.stdout.write = write
  }
  const text = stripVTControlCharacters(output)
  if (/Total: +0/.test(text)) throw new Error('no test was run')
  const failed = text.split('\n')
    .flatMap((line) => /FAIL .*"(.*)"\s*$/.exec(line)?.[1] ?? [])
  if (failed.length > 0) throw new Error(failed.join('; '))
}

/** The other tests of a file say nothing about the mutant, and take their time. */
async function pickEvidence({ evidence }: Mutant): Promise<void> {
  process.env['ENGRAM_TEST_PATTERN'] = evidence.source
  await import('../../support/pickTests.js')
}

async function verdictOf(mutant: string, trial: string): Promise<Verdict> {
  let play: () => Promise<void>
  try {
    if (mutant !== '-') {
      await pickEvidence(mutantOf(mutant))
      register('./hooks.js', import.meta.url, { data: [...mutatedFiles(mutantOf(mutant))] })
    }
    // After the hooks are there, and not before: what is imported statically is loaded already.
    play = await trialOf(trial)
  } catch (error) {
    return { kind: 'broken', message: String(error) }
  }
  const begunMs = performance.now()
  try {
    await play()
    return { kind: 'passed', ms: performance.now() - begunMs }
  } catch (error) {
    return { kind: 'failed', ms: performance.now() - begunMs, message: messageOf(error) }
  }
}

/** With its causes, down to the first one. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `; ${messageOf(error.cause)}`
  return `${error.message}${cause}`
}

const [mutant = '-', trial = ''] = process.argv.slice(2)
process.once('unhandledRejection', (error) => {
  console.log(JSON.stringify({ kind: 'failed', ms: 0, message: messageOf(error) }))
  process.exit(0)
})
console.log(JSON.stringify(await verdictOf(mutant, trial)))
process.exit(0)
