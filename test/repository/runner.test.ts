/** The files that `npm test`, `npm run test:long` and `npm run test:all` run. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { removeTemporary, root, temporaryDirectory } from '../support/environment.js'

const test = suite('runner')
const folder = temporaryDirectory('runner')
test.after(() => removeTemporary(folder))

test.before(() => {
  cpSync(join(root, 'dist', 'test', 'run.js'), join(folder, 'run.mjs'))
  for (const name of ['unit/one', 'unit/two.long', 'sim/three', 'sim/four.long', 'other/five']) {
    const file = join(folder, `${name}.test.js`)
    mkdirSync(join(file, '..'), { recursive: true })
    // As uvu ends; the last one fails.
    writeFileSync(file, `console.log('Total: 2\\nPassed: ${name === 'other/five' ? 1 : 2}')`)
  }
})

function run(...args: string[]): { code: number | null; lines: string[]; errors: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'run.mjs'), ...args],
    { encoding: 'utf8', timeout: 30_000 })
  const lines = stdout.split('\n').flatMap((line) => {
    const [, name] = /^(?:ok|FAIL) +(\S+) /.exec(line) ?? []
    return name ?? (/^\d+ passed/.test(line) ? line : [])
  })
  return { code: status, lines: lines.toSorted(), errors: stderr }
}

test('without a flag the short ones', () => {
  const { code, lines } = run()
  assert.equal(lines, ['5 passed, 1 failed', 'other/five', 'sim/three', 'unit/one'])
  assert.is(code, 1)
})

test('--long the others, --all both', () => {
  assert.equal(run('--long'),
    { code: 0, lines: ['4 passed, 0 failed', 'sim/four.long', 'unit/two.long'], errors: '' })
  const { lines } = run('--all')
  assert.equal(lines.length, 6)
  assert.is(lines[0], '9 passed, 1 failed')
})

test('a name takes either', () => {
  assert.equal(run('sim/').lines, ['4 passed, 0 failed', 'sim/four.long', 'sim/three'])
  assert.is(run('nothing').code, 1)
})

test('a flag that does not exist is refused', () => {
  const { code, errors } = run('--lnog')
  assert.is(code, 2)
  assert.match(errors, 'unknown: --lnog; there are --long and --all')
})

test.run()
