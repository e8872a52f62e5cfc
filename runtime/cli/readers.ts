/** What becomes of this process when its output cannot be written. */
import type { Writable } from 'node:stream'

/** What a server waits for its last words to be read, ms. */
const lastWordsMs = 1000

let isServer = false

/** A server has other work than to be read: it goes on without a reader, and ends without one. */
export function outliveReaders(): void {
  isServer = true
}

/**
 * A listing ends well when its reader has seen enough (head, less), and fails when its output
 * cannot be written; what goes to stderr decides nothing.
 */
export function watchOutput({ stdout, stderr }: { stdout: Writable; stderr: Writable }): void {
  stderr.on('error', () => {})
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (isServer) return
    if (error.code === 'EPIPE') process.exit(0)
    stderr.write(`error: the output cannot be written: ${error.message}\n`, () => process.exit(1))
  })
}

/** Output to a pipe is asynchronous. Resolves when it is written, or cannot be. */
export async function written(...streams: readonly Writable[]): Promise<void> {
  const all = Promise.all(streams.map((stream) => new Promise<void>((resolve) => {
    stream.write('', () => resolve())
  })))
  if (!isServer) return void await all
  let timer: NodeJS.Timeout | undefined
  await Promise.race([all, new Promise((resolve) => (timer = setTimeout(resolve, lastWordsMs)))])
  clearTimeout(timer)
}
