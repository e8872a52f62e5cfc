/** The first step of `npm start` and `npm test`: what they look for, install, ask and print. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { findNatsServer } from '../../runtime/cluster/natsServer.js'
import { root } from '../support/environment.js'
import { FreshClone, noTerminal } from '../support/freshClone.js'
import type { Host } from '../support/freshClone.js'
import { skipped } from '../support/scenario.js'

interface System {
  missing(names: readonly string[], host: Host): string[]
  remedy(names: readonly string[], host: Host): string
  installation(options: { isYes: boolean }, host: Host): 'yes' | 'ask' | 'no'
  whyNoChromium(host: Host): string | null
}

const system = await import(
  pathToFileURL(join(root, 'scripts', 'system.mjs')).href
) as System
const test = suite('preparation')

function inClone(
  name: string,
  body: (clone: FreshClone) => Promise<void>,
  tests: Test = test,
): void {
  tests(name, async () => {
    const clone = new FreshClone()
    try {
      await body(clone)
    } finally {
      clone.remove()
    }
  })
}

const nowhere: Host = {
  env: {},
  platform: 'linux',
  uid: 0,
  isTerminal: true,
  folders: [],
  chromium: '/nowhere/chromium',
  hasSystemd: false,
}
const both = ['nats-server', 'chromium']
const byHand = 'apt-get update && apt-get install -y --no-install-recommends nats-server'

test('it asks a person at a terminal, root on Debian, who has not said yes', () => {
  const clone = new FreshClone()
  const debian = { ...nowhere, env: { PATH: join(clone.folder, 'bin') } }
  const how = (more: Partial<Host>, env: Host['env'] = {}, isYes = false): string =>
    system.installation({ isYes }, { ...debian, ...more, env: { ...debian.env, ...env } })
  assert.is(how({}), 'ask')
  assert.is(how({}, {}, true), 'yes')
  assert.is(how({}, { npm_config_yes: 'true' }), 'yes')
  assert.is(how({}, { CI: 'true' }), 'yes')
  assert.is(how({}, { CI: 'false' }), 'ask')
  assert.is(how({ isTerminal: false }), 'yes')
  assert.is(how({ uid: 1000 }, { CI: 'true' }, true), 'no')
  assert.is(how({ uid: undefined, isTerminal: false }), 'no')
  assert.is(system.installation({ isYes: true }, nowhere), 'no')
  clone.remove()
})

test('the remedy is what this system knows', () => {
  const clone = new FreshClone()
  const debian = { ...nowhere, env: { PATH: join(clone.folder, 'bin') } }
  assert.is(system.remedy(['nats-server'], debian), byHand)
  assert.is(system.remedy(both, { ...debian, uid: 1000 }), 'sudo apt-get update && '
    + 'sudo apt-get install -y --no-install-recommends nats-server chromium')
  assert.is(system.remedy(['nats-server'], { ...nowhere, platform: 'darwin' }),
    'brew install nats-server')
  assert.match(system.remedy(both, nowhere), /^see https:.*; install Chromium .* in CHROMIUM$/)
  clone.remove()
})

test('it finds what the cluster and the tests will find', () => {
  const clone = new FreshClone()
  clone.program('nats-server')
  clone.program('chromium')
  const bin = join(clone.folder, 'bin')
  const inPath = { ...nowhere, env: { PATH: bin } }
  assert.equal(system.missing(both, nowhere), both)
  assert.equal(system.missing(both, inPath), ['chromium'])
  assert.is(findNatsServer({ PATH: bin }), join(bin, 'nats-server'))
  const named = { ENGRAM_NATS_SERVER: join(bin, 'nats-server'), CHROMIUM: clone.chromium }
  assert.equal(system.missing(both, { ...nowhere, env: named }), [])
  assert.is(findNatsServer(named), named.ENGRAM_NATS_SERVER)
  assert.is(system.whyNoChromium({ ...nowhere, env: named }), null)
  assert.match(system.whyNoChromium(nowhere) ?? '', /no Chromium at \/nowhere\/chromium: install/)
  assert.match(system.whyNoChromium({ ...nowhere, env: { CHROMIUM: '/gone' } }) ?? '',
    /^CHROMIUM names \/gone, which is no program/)
  clone.remove()
})

inClone('without a terminal all is installed, and each step is printed', async (clone) => {
  const { code, output } = await clone.prepare(both)
  assert.is(code, 0, output)
  assert.is(clone.asked, 'npm ci --include=dev --no-audit --no-fund\napt-get update\n'
    + 'apt-get install -y --no-install-recommends nats-server chromium\n')
  assert.is(output.replaceAll(/\d+ s/g, '0 s'), [
    'engram: to be done first, this once; about: dependencies (npm ci) 0 s, '
    + 'nats-server and chromium (apt-get) 0 s, build (tsc, vite) 0 s',
    'engram: 1 of 3: dependencies (npm ci)',
    'engram: 1 of 3: dependencies (npm ci): done in 0 s',
    'engram: 2 of 3: nats-server and chromium (apt-get)',
    'engram: 2 of 3: nats-server and chromium (apt-get): done in 0 s',
    'engram: 3 of 3: build (tsc, vite)',
    'engram: 3 of 3: build (tsc, vite): done in 0 s',
    'PREPARED',
    '',
  ].join('\n'))
  // Whatever is there already is not made again, and nothing is printed.
  assert.equal(await clone.prepare(both), { code: 0, output: 'PREPARED\n' })
})

inClone('the output of npm is shown, and nothing else is tried', async (clone) => {
  const { code, output } = await clone.prepare([], {}, { NPM_FAULT: 'the lock file is not whole' })
  assert.is(code, 1)
  assert.match(output, /npm ci\): failed after \d+ s\nthe lock file is not whole\n/)
  assert.is(clone.asked, 'npm ci --include=dev --no-audit --no-fund\n')
})

inClone('without root the remedy is printed, before anything is done', async (clone) => {
  const { code, output } = await clone.prepare(both, { uid: 1000 })
  assert.is(code, 1)
  assert.is(output, 'engram: nats-server and chromium (for the tests of the page) not found, and '
    + 'cannot be installed here. By hand:\n  sudo apt-get update && sudo apt-get install -y '
    + '--no-install-recommends nats-server chromium\nThen again: npm start\n')
  assert.is(clone.asked, '')
})

inClone('without a Chromium alone it goes on, and says what is skipped', async (clone) => {
  clone.program('nats-server')
  const { code, output } = await clone.prepare(both, { uid: 1000 })
  assert.is(code, 0, output)
  assert.match(output, `engram: the tests of the page are skipped: there is no Chromium at `
    + `${clone.chromium}: sudo apt-get update && sudo apt-get install `)
  assert.match(output, 'PREPARED')
})

inClone('the output of apt-get is shown; without a Chromium alone it goes on', async (clone) => {
  const fault = { APT_FAULT: 'no such mirror' }
  const refused = await clone.prepare(['nats-server'], {}, fault)
  assert.is(refused.code, 1)
  assert.match(refused.output, 'failed after 0 s\nno such mirror\napt-get ended with exit code 100')
  assert.match(refused.output, `not there after apt-get: nats-server\nBy hand: ${byHand}\n`)
  clone.program('nats-server')
  const left = await clone.prepare(both, {}, fault)
  assert.is(left.code, 0, left.output)
  assert.match(left.output, 'no such mirror')
  assert.match(left.output, 'engram: the tests of the page are skipped\n')
})

inClone('npm start: --yes is for the preparation, everything else for engram up', async (clone) => {
  writeFileSync(join(clone.folder, 'scripts', 'engram.mjs'),
    'console.log(\'engram\', ...process.argv.slice(2))')
  const start = async (...flags: string[]): Promise<string> =>
    (await clone.run(['scripts/start.mjs', '--nats=nats://x', ...flags], {})).output
  await clone.prepare([])
  assert.is(await start('--yes', '--nodes', '5'),
    'engram up --playground --nats=nats://x --nodes 5\n')
  assert.is(await start('--http', '0.0.0.0:80'), 'engram up --nats=nats://x --http 0.0.0.0:80\n')
})

inClone('unchanged sources are not built again, by whichever command', async (clone) => {
  clone.write('runtime/part.ts', 'export const part = 1')
  clone.write('runtime/page/web/main.tsx', 'import { shown } from \'../shown.js\'\n')
  clone.write('runtime/page/shown.ts', 'import { deep } from \'../deep.js\'\n')
  clone.write('runtime/deep.ts', '')
  const outputs = ['runtime/page/shown.js', 'runtime/deep.js']
  for (const name of outputs) clone.write(`dist/${name}`, '')
  const built = async (...args: string[]): Promise<string[]> => {
    const { code, output } = await clone.run(args, {})
    assert.is(code, 0, output)
    return clone.built()
  }
  await clone.prepare([])
  assert.equal(clone.built(), ['tsc', 'vite'])
  assert.equal(await built('scripts/build.mjs'), [])
  clone.write('runtime/part.ts', 'export const part = 2')
  assert.equal(await built('scripts/build.mjs'), ['tsc'])
  await clone.prepare([])
  assert.equal(clone.built(), [])
  // The page imports it, by way of another file.
  clone.write('runtime/deep.ts', 'export const deep = 1')
  assert.equal(await built('scripts/build.mjs'), ['tsc', 'vite'])
  clone.write('runtime/page/web/look.css', 'body {}')
  assert.equal(await built('scripts/build.mjs'), ['vite'])
  rmSync(join(clone.folder, 'dist', 'runtime', 'part.js'))
  assert.equal(await built('scripts/build.mjs'), ['tsc'])
})

inClone('a failed build is shown, and is done again', async (clone) => {
  await clone.prepare([])
  clone.write('runtime/part.ts', 'export const part = nothing')
  const env = { TSC_FAULT: 'part.ts: nothing is not defined' }
  for (const args of [['scripts/build.mjs'], ['scripts/build.mjs']]) {
    const { code, output } = await clone.run(args, env)
    assert.is(code, 1)
    assert.match(output, /^part\.ts: nothing is not defined\n.* ended with exit code 1\n$/)
  }
  assert.equal((await clone.prepare([], {}, env)).code, 1)
  assert.equal((await clone.prepare([])).code, 0)
})

inClone('test:watch runs the tests after each compilation without errors', async (clone) => {
  await clone.prepare([])
  const lines = ['Found 0 errors.', 'File change detected.', 'Found 2 errors.',
    'File change detected.', 'Found 0 errors.']
  // Each line when the tests of the one before have had their time.
  clone.write('node_modules/typescript/bin/tsc', `
    const lines = ${JSON.stringify(lines)}
    const next = () => {
      const line = lines.shift()
      if (line === undefined) return
      console.log('12:00:00 - ' + line)
      setTimeout(next, line.includes(' 0 ') ? 1_000 : 0)
    }
    next()
  `)
  clone.write('dist/test/run.js', 'console.log(\'RAN \' + process.argv.slice(2).join(\' \'))')
  const { output } = await clone.run(['scripts/testWatch.mjs', 'http', '--test', 'x'], {})
  assert.equal(output.split('\n').filter((line) => line.startsWith('RAN')), ['RAN http --test x',
    'RAN http --test x'])
})

const terminal = noTerminal()

function atTerminal(name: string, body: (clone: FreshClone) => Promise<void>): void {
  if (terminal === null) inClone(`at a terminal, ${name}`, body)
  else skipped(test, `at a terminal, ${name}`, terminal)
}

const question = 'engram: nats-server not found. Debian\'s package manager can install it:\n'
  + '  apt-get update\n  apt-get install -y --no-install-recommends nats-server\n'
  + 'Install it now? [Y/n] '

atTerminal('"no" ends it at once, with what to do by hand', async (clone) => {
  const { code, output } = await clone.prepare(['nats-server'], {}, {}, 'n\n')
  assert.is(code, 1)
  assert.is(output.replace(/^n\n/, ''), `${question}engram: nats-server not found, and not `
    + `installed. By hand:\n  ${byHand}\nThen again: npm start\n`)
  assert.is(clone.asked, '')
})

atTerminal('the end of the input is no "yes"', async (clone) => {
  const { code, output } = await clone.prepare(['nats-server'], {}, {}, '')
  assert.is(code, 1, output)
  assert.is(clone.asked, '')
})

atTerminal('Enter agrees, and the seconds are seen', async (clone) => {
  const { code, output } = await clone.prepare(['nats-server'], {}, {}, '\n')
  assert.is(code, 0, output)
  assert.match(output, question)
  assert.match(output, '\r\u001B[Kengram: 2 of 3: nats-server (apt-get): 0 s')
  assert.match(clone.asked, byHand.split(' && ')[1]!)
})

atTerminal('what comes with the package is said before', async (clone) => {
  const { output } = await clone.prepare(['nats-server'], { hasSystemd: true }, {}, 'n\n')
  assert.match(output, 'It also starts a service on port 4222, which is not needed here; to end '
    + 'it:\n  systemctl disable --now nats-server\nInstall it now? [Y/n]')
})

atTerminal('"no" to a Chromium alone leaves its tests out', async (clone) => {
  clone.program('nats-server')
  const { code, output } = await clone.prepare(both, {}, {}, 'no\n')
  assert.is(code, 0, output)
  assert.match(output, 'engram: the tests of the page are skipped: there is no Chromium at ')
  assert.not.match(clone.asked, 'apt-get')
})

atTerminal('nothing is asked where CI is set', async (clone) => {
  const { code, output } = await clone.prepare(['nats-server'], {}, { CI: '1' }, '')
  assert.is(code, 0, output)
  assert.not.match(output, '[Y/n]')
})

test.run()
