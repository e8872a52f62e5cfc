/**
 * Whole clusters under faults: a fixed set of seeds, and fresh ones for as long as there is time.
 * SIM_FRESH_SECONDS sets how long (30 unless set); a failing seed is printed, cut down.
 */
import { randomInt } from 'node:crypto'
import { suite } from 'uvu'
import { allHold, allOf, seedsBetween } from './seedSearch.js'

const test = suite('seeds of the simulator')

const freshMs = Number(process.env['SIM_FRESH_SECONDS'] ?? 30) * 1000

test('more fixed seeds', () => allOf(seedsBetween(11, 50)))

test('fresh seeds', async () => {
  const limitMs = performance.now() + freshMs
  const from = randomInt(2 ** 30)
  const runs = await allHold(seedsBetween(from, from + 100_000), () => performance.now() < limitMs)
  console.log(`seeds ${from} to ${from + runs - 1} hold`)
})

test.run()
