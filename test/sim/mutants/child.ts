/**
 * One mutant (or `-`: the code as it is) against one scenario, in a process of its own, since a
 * module is loaded once: `node dist/test/sim/mutants/child.js MUTANT SCENARIO`. The last line is a
 * verdict in JSON.
 */
import { register } from 'node:module'
import { mutantOf } from './list.js'
import { mutatedFiles } from './mutant.js'

/** `broken`: the mutated code does not load, so nothing was tried. */
export type Verdict =
  | { readonly kind: 'passed'; readonly ms: number }
  | { readonly kind: 'failed'; readonly ms: number; readonly message: string }
  | { readonly kind: 'broken'; readonly message: string }

async function verdictOf(mutant: string, scenario: string): Promise<Verdict> {
  let play: () => Promise<unknown>
  try {
    if (mutant !== '-') {
      register('./hooks.js', import.meta.url, { data: [...mutatedFiles(mutantOf(mutant))] })
    }
    // After the hooks are there, and not before: what is imported statically is loaded already.
    const loaded = await import('../scenarios/index.js')
    play = () => loaded.play(loaded.scenarioOf(scenario))
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

const [mutant = '-', scenario = ''] = process.argv.slice(2)
process.once('unhandledRejection', (error) => {
  console.log(JSON.stringify({ kind: 'failed', ms: 0, message: messageOf(error) }))
  process.exit(0)
})
console.log(JSON.stringify(await verdictOf(mutant, scenario)))
process.exit(0)
