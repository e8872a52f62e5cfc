/** Every mutant falls, for its own reason, each in a process of its own. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { mutants } from './list.js'
import { fallOf, tryOut } from './run.js'

const test = suite('mutants')

test('a mutant that does not load is not taken for one that was caught', async () => {
  assert.is((await tryOut('no-such-mutant', 'page-cache')).kind, 'broken')
  assert.is((await tryOut(null, 'no-such-scenario')).kind, 'broken')
  assert.is((await tryOut(null, 'page-cache')).kind, 'passed')
})

for (const mutant of mutants) {
  test(`${mutant.name} falls`, async () => {
    const fall = await fallOf(mutant)
    assert.is(fall.kind, 'caught', JSON.stringify(fall))
  })
}

test.run()
