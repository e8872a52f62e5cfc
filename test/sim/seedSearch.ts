/** Seeds that must hold, and a report of the first that does not, cut down. */
import { availableParallelism } from 'node:os'
import { runSeeds } from './pool.js'
import { showOutcome } from './report.js'
import type { RunResult } from './run.js'
import { shrink } from './shrink.js'

const processes = Math.min(2, availableParallelism())
const shrinkMs = 20_000

type Outcome = Omit<RunResult, 'transcript'>

/** @returns how many were run: all, unless `mayGoOn` ended the search */
export async function allHold(
  seeds: Iterable<number>,
  mayGoOn?: () => boolean,
): Promise<number> {
  const failed: Outcome[] = []
  let runs = 0
  await runSeeds({
    seeds,
    processes,
    run: {},
    mayGoOn: () => failed.length === 0 && (mayGoOn?.() ?? true),
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

export async function allOf(seeds: readonly number[]): Promise<void> {
  const runs = await allHold(seeds)
  if (runs !== seeds.length) throw new Error(`${runs} of ${seeds.length} seeds were run`)
}

/** The seeds from `first` to `last`. */
export function seedsBetween(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
