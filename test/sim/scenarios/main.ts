/**
 * Plays scenarios and shows their transcripts:
 * `node dist/test/sim/scenarios/main.js [--mutant NAME] [SCENARIO ...]`; without a name it lists
 * them. With `--mutant` the code is changed as test/sim/mutants/ says.
 */
import { register } from 'node:module'
import { parseArgs } from 'node:util'
import { mutantOf } from '../mutants/list.js'
import { mutatedFiles } from '../mutants/mutant.js'

const { values, positionals } = parseArgs({
  options: { mutant: { type: 'string' } },
  allowPositionals: true,
})
if (values.mutant) {
  const data = [...mutatedFiles(mutantOf(values.mutant))]
  register('../mutants/hooks.js', import.meta.url, { data })
}
const { play, scenarioOf, scenarios } = await import('./index.js')
const { Transcript } = await import('./transcript.js')

for (const { name, title } of positionals.length === 0 ? scenarios : []) {
  console.log(`${name}: ${title}`)
}
for (const name of positionals) {
  const scenario = scenarioOf(name)
  const transcript = new Transcript()
  let fault: unknown = null
  await play(scenario, transcript).catch((error: unknown) => {
    fault = error
    process.exitCode = 1
  })
  console.log(`${scenario.title}\n\n${transcript.text}`)
  if (fault !== null) console.error(fault)
}
