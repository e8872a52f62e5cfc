/** Years in minutes, scaled down: bench/soak.ts, once through all of its faults. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fileURLToPath } from 'node:url'
import { Proc } from '../../bench/processes.js'

const test = suite('chaos: soak')
const file = fileURLToPath(new URL('../../bench/soak.js', import.meta.url))

test('the journal is cut while nodes are killed, cut off, emptied and away', async () => {
  const soak = new Proc(process.execPath, [file, '--short', '--json'], { label: 'soak',
    graceMs: 30_000 })
  try {
    const { found, samples } = JSON.parse(await soak.line(400_000)) as {
      found: string[]
      samples: object[]
    }
    assert.equal(found, [])
    assert.is(samples.length, 5)
  } finally {
    await soak.stop()
  }
})

test.run()
