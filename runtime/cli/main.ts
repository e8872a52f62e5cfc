#!/usr/bin/env node
/** Entry of `engram`. */
import { processIo } from './context.js'
import { runCli } from './program.js'

// Whoever read our output has gone (head, less): that is no failure.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
}

const code = await runCli(process.argv.slice(2), processIo())
// Output to a pipe is asynchronous: end only when it is written.
await Promise.all([process.stdout, process.stderr].map((stream) => new Promise<void>((resolve) => {
  stream.write('', () => resolve())
})))
process.exit(code)
