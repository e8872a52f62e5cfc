/**
 * Runs whose transcripts are kept beside this file, for those who want to learn the protocol:
 * each is played again and compared. `UPDATE_GOLDEN=1 node dist/test/sim/golden/golden.test.js`
 * writes them anew; read what has changed.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../../support/environment.js'
import { play, scenarioOf } from '../scenarios/index.js'
import { Transcript } from '../scenarios/transcript.js'

const test = suite('golden transcripts')

const kept = [
  'clean-failover',
  'false-suspicion',
  'dueling-candidates',
  'pause-beyond-grants',
  'fork-and-rejoin',
  'fork-reconciled',
  'arbiter-lost',
  'one-way-link',
  'late-open',
]

const updates = process.env['UPDATE_GOLDEN'] === '1'

/** The folder of this file's source: texts are not copied to dist/. */
const folder = join(root, 'test', 'sim', 'golden')

const widthMax = 96

function wrapped(text: string): string {
  return text.split(' ').reduce((lines, word) => {
    const last = lines.at(-1)!
    if (last !== '' && last.length + 1 + word.length > widthMax) return [...lines, word]
    return [...lines.slice(0, -1), last === '' ? word : `${last} ${word}`]
  }, ['']).join('\n')
}

async function transcriptOf(name: string): Promise<string> {
  const scenario = scenarioOf(name)
  const transcript = new Transcript()
  await play(scenario, transcript)
  const { title, lesson } = scenario
  return `${wrapped(title)}\n\n${wrapped(lesson)}\n${transcript.text}`
}

for (const name of kept) {
  test(name, async () => {
    const file = join(folder, `${name}.txt`)
    const text = await transcriptOf(name)
    if (updates) writeFileSync(file, text)
    assert.ok(existsSync(file), `${file} is missing: run this test with UPDATE_GOLDEN=1`)
    assert.fixture(text, readFileSync(file, 'utf8'),
      'another transcript: read it, then run this test with UPDATE_GOLDEN=1')
  })
}

test('the same scenario gives the same transcript', async () => {
  assert.is(await transcriptOf('late-open'), await transcriptOf('late-open'))
})

test.run()
