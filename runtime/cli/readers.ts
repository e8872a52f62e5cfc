/** Behaviour of the process when its output cannot be written. */
import type { Writable } from 'node:stream'
import { CliError } from './context.js'
import { endingOf, showEnding } from './errors.js'

/** Time that a server waits for its last output to be read, ms. */
const lastOutputMs = 1000

let isServer = false

/** Makes the process a server: it runs and ends whether or not its output is read. */
export function outliveReaders(): void {
  isServer = true
}

/**
 * Ends a listing with success when its reader has closed the pipe (head, less), and with failure
 * when its output cannot be written. Errors of stderr are ignored.
 */
export function watchOutput(
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
  json: boolean,
): void {
  stderr.on('error', () => {})
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isServer) return
    if (error.code === 'EPIPE') process.exit(0)
    const fault = new CliError(`the output cannot be written: ${error.message}`)
    stderr.write(`${showEnding(endingOf(fault), json)}\n`, () => process.exit(1))
  })
}

/** Resolves when pending output is written or has failed. Output to a pipe is asynchronous. */
export async function written(...streams: readonly Writable[]): Promise<void> {
  const all = Promise.all(streams.map((stream) =>
    new Promise<void>((resolve) => {
      stream.write('', () => resolve())
    })
  ))
  if (!isServer) return void await all
  let timer: NodeJS.Timeout | undefined
  await Promise.race([all, new Promise((resolve) => (timer = setTimeout(resolve, lastOutputMs)))])
  clearTimeout(timer)
}
