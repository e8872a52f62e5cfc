#!/usr/bin/env node
/** Entry of `engram`. Signals are heard before the rest is loaded, which takes a while. */
import { listenEarly } from './signals.js'

const args = process.argv.slice(2)
listenEarly(args)
const [{ hasJsonFlag, processIo }, { runCli }, { watchOutput, written }] = await Promise.all(
  [import('./context.js'), import('./program.js'), import('./readers.js')],
)
const io = processIo()
watchOutput(io, hasJsonFlag(args))
const code = await runCli(args, io)
await written(io.stdout, io.stderr)
process.exit(code)
