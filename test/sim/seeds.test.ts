/**
 * Whole clusters under faults: a fixed set of seeds, and fresh ones for as long as there is time.
 * SIM_FRESH_SECONDS sets how long (30 unless set); a failing seed is printed, cut down.
 */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { suite } from 'uvu'
import { runSeeds } from './pool.js'
import { showOutcome } from './report.js'
import type { RunResult } from './run.js'
import { shrink } from './shrink.js'

const test = suite('seeds of the simulator')

const processes = Math.min(2, availableParallelism())
const freshMs = Number(process.env['SIM_FRESH_SECONDS'] ?? 30) * 1000
const shrinkMs = 20_000

type Outcome = Omit<RunResult, 'transcript'>

async function allHold(seeds: Iterable<number>, mayGoOn?: () => boolean): Promise<number> {
  const failed: Outcome[] = []
  let runs = 0
  await runSeeds({
    seeds, processes, run: {}, mayGoOn: () => failed.length === 0 && (mayGoOn?.() ?? true),
    onResult: (result) => {
      runs += 1
      if (result.violation) failed.push(result)
    },
  })
  const [first] = failed
  if (!first) return runs
  const { result } = await shrink({ ...first, transcript: null }, { withinMs: shrinkMs })
  throw new Error(`${showOutcome(first)}\ncut down:\n${showOutcome(result)}`)
}

/** Found what has been mended since: a probe that failed at once was repeated without a pause. */
const regressions = [337900192]

test('the fixed seeds', async () => {
  const seeds = [...regressions, ...Array.from({ length: 50 }, (_, index) => index + 1)]
  const runs = await allHold(seeds)
  if (runs !== seeds.length) throw new Error(`${runs} of ${seeds.length} seeds were run`)
})

test('fresh seeds', async () => {
  const limitMs = performance.now() + freshMs
  const from = randomInt(2 ** 30)
  const seeds = Array.from({ length: 100_000 }, (_, index) => from + index)
  const runs = await allHold(seeds, () => performance.now() < limitMs)
  console.log(`seeds ${from} to ${from + runs - 1} hold`)
})

test.run()
