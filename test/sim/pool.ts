/** Many seeds on several processes: one run uses one core. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RunOptions } from './run.js'
import type { Job, JobResult } from './worker.js'

/** A run takes seconds; one that takes this long never ends, ms. */
const hangMs = 180_000

export interface PoolOptions {
  readonly seeds: Iterable<number>
  readonly processes: number
  readonly run: RunOptions
  readonly onResult: (result: JobResult) => void
  /** Asked before each seed: false ends the search. */
  readonly mayGoOn?: () => boolean
}

/** Resolves when all seeds were run. Rejects when a worker dies. */
export async function runSeeds(options: PoolOptions): Promise<void> {
  const seeds = options.seeds[Symbol.iterator]()
  const next = (): Job | null => {
    if (options.mayGoOn?.() === false) return null
    const { value, done } = seeds.next()
    return done ? null : { seed: value as number, options: options.run }
  }
  const path = fileURLToPath(new URL('worker.js', import.meta.url))
  const workers: ChildProcess[] = []
  try {
    await Promise.all(
      Array.from({ length: options.processes }, () => serve(path, workers, next, options.onResult)),
    )
  } finally {
    for (const worker of workers) worker.kill()
  }
}

function serve(
  path: string,
  workers: ChildProcess[],
  next: () => Job | null,
  onResult: (result: JobResult) => void,
): Promise<void> {
  const worker = fork(path, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // A run makes much short-lived garbage: with more room most of it is never copied.
    execArgv: ['--max-semi-space-size=64'],
  })
  workers.push(worker)
  return new Promise((resolve, reject) => {
    let job: Job | null = null
    let watchdog: NodeJS.Timeout | undefined
    const give = (): void => {
      clearTimeout(watchdog)
      job = next()
      if (job) {
        const { seed } = job
        worker.send(job)
        watchdog = setTimeout(() => {
          worker.kill('SIGKILL')
          reject(new Error(`seed ${seed} does not end: something spins without a timer`))
        }, hangMs)
      } else {
        worker.disconnect()
        resolve()
      }
    }
    worker.on('message', (result: JobResult) => {
      onResult(result)
      give()
    })
    worker.on('error', reject)
    worker.on('exit', (code, signal) => {
      clearTimeout(watchdog)
      if (job) reject(new Error(`the worker of seed ${job.seed} ended (${signal ?? code})`))
    })
    give()
  })
}
