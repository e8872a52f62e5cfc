/** The programs below examples/, run as a reader runs them. */
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Broker } from '../support/broker.js'
import { Child } from '../support/child.js'
import { space } from '../support/cluster.js'
import { cliFile, root } from '../support/environment.js'
import { scenario, suite } from '../support/scenario.js'
import type { Stage } from '../support/scenario.js'
import { directory } from '../support/up.js'
import { waitFor } from '../support/wait.js'

const test = suite('integration: examples')

function started(stage: Stage, files: string, file: string, ...args: string[]): Child {
  return stage.child(new Child({
    label: file,
    command: process.execPath,
    args: [join(root, file), ...args],
    logFile: join(files, `${file.replaceAll('/', '-')}.log`),
  }))
}

/** Its lines on stdout, once it has ended well. */
async function printed(child: Child): Promise<readonly string[]> {
  const exit = await waitFor(`the end of ${child.options.label}`, () => child.exit)
  assert.equal(exit, { code: 0, signal: null }, child.logTail(20))
  return child.stdout
}

scenario(test, 'write and read, and a writer over plain NATS', async (stage) => {
  const cluster = await stage.cluster()
  const { epoch } = await cluster.primary()
  const files = directory(stage)
  const run = async (file: string): Promise<readonly string[]> =>
    await printed(started(stage, files, file, cluster.broker.url, space))
  const lines = await run('examples/write-and-read.mjs')
  assert.match(lines[0]!, new RegExp(`^written in epoch ${epoch} at sequence \\d+$`))
  assert.equal(lines.slice(1), ['tea: two minutes', 'refused: INVALID_OPERATION'])
  assert.match((await run('examples/write-and-read.mjs'))[0]!, '(by an earlier run)')
  const plain = await run('examples/plain-nats.mjs')
  assert.match(plain[0]!, /^20 written, \d+ of them not yet safe$/)
  assert.is(plain[1], 'all safe')
})

scenario(test, 'two actor hosts, seen in the inspector, until one is killed', async (stage) => {
  const files = directory(stage)
  const broker = await Broker.start(join(files, 'broker'))
  stage.onEnd(() => broker.kill())
  const inspector = stage.child(new Child({
    label: 'engram inspect',
    command: process.execPath,
    logFile: join(files, 'inspect.log'),
    args: [cliFile, 'inspect', '--nats', broker.url, '--port', '0', '--json'],
  }))
  await inspector.firstLine((line) => line || undefined)
  const worker = started(stage, files, 'examples/actor-host/worker.mjs', broker.url)
  const boss = started(stage, files, 'examples/actor-host/boss.mjs', broker.url)
  const lines = ['printed: true', 'after a failure: 0 pages', 'now kill the worker',
    'worker/scanner got nothing: noSuchActor']
  await waitFor('all of this', () => lines.every((line) => boss.stdout.includes(line)))
  await waitFor('both in the inspector',
    () => ['worker is shown', 'boss is shown'].every((line) => inspector.log().includes(line)))
  assert.match(worker.log(), 'actor failed and is restarted')
  await worker.kill()
  assert.is((await printed(boss)).at(-1), 'the printer is gone (nodeDown)')
})

test.run()
