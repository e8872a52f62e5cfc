/** A process that runs the seeds that its parent sends it, one at a time. */
import { runSeed } from './run.js'
import type { RunOptions, RunResult } from './run.js'

export interface Job {
  readonly seed: number
  readonly options: RunOptions
}

/** The message back over the channel: the transcript is made by a second run, where wanted. */
export type JobResult = Omit<RunResult, 'transcript'>

process.on('message', (job: Job) => {
  runSeed(job.seed, job.options).then((result) => {
    const { transcript: _, ...rest } = result
    process.send?.(rest satisfies JobResult)
  }).catch((error: unknown) => {
    console.error(`seed ${job.seed}: the simulator itself failed`, error)
    process.exit(2)
  })
})
// A parent that died takes its workers along.
process.on('disconnect', () => process.exit(0))
