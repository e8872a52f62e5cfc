/** The files that `npm test`, `npm run test:long` and `npm run test:all` run. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
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
    write(name, name === 'other/five' ? passing.replace('Passed: 2', 'Passed: 1') : passing)
  }
  for (const name of ['pickTests.js', 'pickedSuite.js']) {
    cpSync(join(root, 'dist', 'test', 'support', name), join(folder, 'support', name))
  }
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
})

/** As uvu ends. */
const passing = 'console.log(\'Total: 2\\nPassed: 2\')'

function write(name: string, text: string): void {
  const file = join(folder, `${name}.test.js`)
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, text)
}

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
  assert.equal(run('--long'), { code: 0,
    lines: ['4 passed, 0 failed', 'sim/four.long', 'unit/two.long'], errors: '' })
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
  assert.match(errors, 'Unknown option \'--lnog\'; there are --long, --all, --unit, --last-failed, '
    + '--test')
  assert.is(run('--test').code, 2)
})

test('--unit: the folders whose tests start no cluster', () => {
  write('actors/six', passing)
  write('actors/seven.long', passing)
  assert.equal(run('--unit').lines, ['2 passed, 0 failed', 'actors/six'])
  assert.equal(run('--unit', 'sim/').lines, ['0 passed, 0 failed'])
})

test('--last-failed: failed files, until they were run again and passed', () => {
  assert.is(run().code, 1)
  assert.is(run('unit/').code, 0)
  assert.equal(run('--last-failed').lines, ['1 passed, 1 failed', 'other/five'])
  write('other/five', passing)
  assert.equal(run('--last-failed').lines, ['2 passed, 0 failed', 'other/five'])
  assert.equal(run('--last-failed'), { code: 0, lines: ['0 passed, 0 failed'], errors: '' })
})

const suiteOf = (...names: string[]): string => `
import { suite } from 'uvu'
const tests = suite('of names')
for (const name of ${JSON.stringify(names)}) {
  tests(name, () => { if (name.includes('broken')) throw new Error('it is broken') })
}
tests.run()
`

test('--test picks tests by a part of their name', () => {
  write('picked/a', suiteOf('reads what is there', 'is broken'))
  write('picked/b', suiteOf('writes', 'reads nothing'))
  write('picked/c', suiteOf('writes twice'))
  assert.equal(run('picked/', '--test', 'reads'), { code: 0,
    lines: ['2 passed, 0 failed', 'picked/a', 'picked/b'], errors: '' })
  assert.equal(run('picked/', '--test', 'broken').lines, ['0 passed, 1 failed', 'picked/a'])
  const { code, lines } = run('picked/', '--test', 'no such test')
  assert.equal([code, ...lines], [1, '0 passed, 0 failed'])
  // Other tests of the file may still fail.
  run('picked/a', '--test', 'reads')
  assert.equal(run('--last-failed').lines, ['1 passed, 1 failed', 'picked/a'])
})

test.run()
