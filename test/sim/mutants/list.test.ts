/** The list of mutants fits the code as it is, and the scenarios that there are. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { scenarios } from '../scenarios/index.js'
import { mutants, mutantOf } from './list.js'
import { compiledRoot, mutatedFiles, MutantNotApplicableError } from './mutant.js'

const test = suite('list of mutants')

test('there are at least twenty, with names of their own and reasons', () => {
  assert.ok(mutants.length >= 20)
  assert.is(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  for (const { name, why, scenarios: caughtBy } of mutants) {
    assert.match(name, /^[a-z0-9]+(-[a-z0-9]+)*$/)
    assert.ok(why.length > 20, name)
    assert.ok(caughtBy.length > 0, `${name} is caught by nothing`)
  }
})

test('each is caught by scenarios or test files that exist, or by a few seeds', () => {
  const known = new Set(scenarios.map(({ name }) => name))
  const unknown = mutants.flatMap(({ scenarios: caughtBy }) => caughtBy)
    .filter((name) => !known.has(name) && !/^seeds:[0-9]{1,2}$/.test(name) && !isTest(name))
  assert.equal(unknown, [])
})

function isTest(name: string): boolean {
  const [, file] = /^test:(.+)$/.exec(name) ?? []
  return file !== undefined && existsSync(join(compiledRoot, 'test', `${file}.test.js`))
}

/** The interleavings that broke an earlier design of the protocol, found by a model of it. */
const races = [
  'late-open',
  'set-change-applied-late',
  'newcomer-promoted-early',
  'newcomer-below-the-epoch-start',
  'join-answer-of-an-earlier-epoch',
  'set-shrinks-before-the-answer',
  'write-outlives-its-connection',
  'epoch-ends-and-its-node-lives',
]

test('each race that the model found has a scenario, and a mutant that brings it back', () => {
  for (const name of races) {
    assert.ok(scenarios.some((scenario) => scenario.name === name), name)
    assert.ok(mutants.some(({ scenarios: caughtBy }) => caughtBy.includes(name)), name)
  }
})

test('each changes the present code, at exactly one place per edit', () => {
  for (const mutant of mutants) assert.ok(mutatedFiles(mutant).size > 0, mutant.name)
})

test('one that fits nothing, or fits twice, is refused', () => {
  const edit = { file: 'actors/membership/lease.js', find: 'no such text', replace: '' }
  const gone = { ...mutants[0]!, name: 'gone', edits: [edit] }
  assert.throws(() => mutatedFiles(gone),
    (error: unknown) =>
      error instanceof MutantNotApplicableError && /gone.*occurs 0 times/.test(error.message))
  const twice = { ...gone, edits: [{ ...edit, find: 'this.isLapsed' }] }
  assert.throws(() => mutatedFiles(twice), /instead of once/)
  assert.throws(() => mutantOf('nobody'), /no mutant nobody/)
})

test.run()
