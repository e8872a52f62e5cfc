/**
 * What a rehearsal tells is what happens: in random situations, a node fails after it was
 * rehearsed. REHEARSALS sets the number of situations.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compared } from '../../support/rehearsals.js'

const test = suite('cluster: rehearsals')

const count = Number(process.env['REHEARSALS'] ?? 20)
const first = Number(process.env['REHEARSALS_FROM'] ?? 1)

test(`what was told happens, in ${count} situations`, async () => {
  const seen = new Map<string, number>()
  for (let seed = first; seed < first + count; seed += 1) {
    const { told: { outcome, certainty } } = await compared(seed)
    const kind = `${outcome} ${certainty}`
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
  }
  console.log([...seen].map(([kind, times]) => `${kind}: ${times}`).toSorted().join(', '))
  if (count < 20) return
  for (const kind of ['promotion proof', 'promotion grant', 'blocked never', 'stays proof']) {
    assert.ok(seen.has(kind), `no situation of the kind ${kind}`)
  }
})

test.run()
