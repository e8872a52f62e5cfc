/** Without a Chromium the tests of the page are skipped by name, unless one is required. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { cleanEnvironment, root } from '../support/environment.js'

const test = suite('no browser')

function run(env: Record<string, string>): { code: number | null; output: string } {
  const file = join(root, 'dist', 'test', 'browser', 'forks.test.js')
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
    env: cleanEnvironment(env),
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { code: status, output: stdout + stderr }
}

test('each is named, with the reason and what to do', () => {
  const { code, output } = run({ CHROMIUM: '/nowhere/chromium', CHROMIUM_REQUIRED: '' })
  assert.is(code, 0, output)
  const named = output.match(/^SKIP {2}.+: CHROMIUM names \/nowhere\/chromium, .+unset it$/gm) ?? []
  assert.is(named.length, 4, output)
  assert.match(output, /Total: +0\n +Passed: +0\n +Skipped: +4\n/)
})

test('where one is required they fail', () => {
  const without: Record<string, string>[] = [{ CHROMIUM: '/nowhere/chromium' }, {
    ENGRAM_NO_BROWSER: '1',
  }]
  for (const env of without) {
    const { code, output } = run({ ...env, CHROMIUM_REQUIRED: '1' })
    assert.is.not(code, 0)
    assert.match(output, 'CHROMIUM_REQUIRED=1, and ')
  }
})

test.run()
