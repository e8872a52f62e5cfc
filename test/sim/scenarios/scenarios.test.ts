/** Every scenario, against the code as it is. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { play, scenarioOf, scenarios } from './index.js'

const test = suite('scenarios')

test('names are unique, and an unknown one is refused with those that there are', () => {
  assert.is(new Set(scenarios.map(({ name }) => name)).size, scenarios.length)
  assert.throws(() => scenarioOf('nothing'), /no scenario nothing: there are pause-/)
})

for (const scenario of scenarios) {
  test(`${scenario.name}: ${scenario.title}`, async () => await play(scenario))
}

test.run()
