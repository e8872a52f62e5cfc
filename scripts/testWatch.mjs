// `npm run test:watch -- NAME … [--test TEXT]`: tsc in watch mode, and after each compilation
// without errors the named tests, those of `npm run test:unit` without a name. A change that
// comes meanwhile ends the tests that run.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const args = process.argv.slice(2)
const start = (file, more, stdio) =>
  spawn(process.execPath, [join(root, file), ...more], { cwd: root, stdio })

const compiler = start('node_modules/typescript/bin/tsc', ['-p', 'tsconfig.json', '--watch',
  '--preserveWatchOutput'], ['ignore', 'pipe', 'inherit'])
let tests = null

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    compiler.kill()
    stopTests()
    process.exitCode = 130
  })
}

function stopTests() {
  // It ends what its tests have started, too.
  tests?.kill('SIGTERM')
  tests = null
}

for await (const line of createInterface({ input: compiler.stdout })) {
  if (line !== '') console.log(line)
  if (/change detected/.test(line)) stopTests()
  if (!/Found 0 errors/.test(line)) continue
  stopTests()
  tests = start('dist/test/run.js', args.length > 0 ? args : ['--unit'], 'inherit')
}
