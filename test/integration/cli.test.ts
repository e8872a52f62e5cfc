/** `engram` as a user types it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { Child, isAlive, processesNaming } from '../support/child.js'
import { cli, findObjects, jsonOf, runCli, showCommand,
  type CommandResult } from '../support/cli.js'
import { listens } from '../support/broker.js'
import { cliFile, freePort, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { scenario, shared, suite, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const suiteOfCli = suite('integration: command line')

interface Ready {
  readonly ready: boolean
  readonly nats: string
  readonly http: string
  readonly nodes: readonly { readonly id: string; readonly pid: number; readonly http: string }[]
}

interface Up {
  readonly child: Child
  readonly ready: Ready
  readonly data: string
  readonly files: string
  readonly port: number
  run(...args: string[]): Promise<CommandResult>
}

async function up(stage: Stage, ...more: string[]): Promise<Up> {
  const data = temporaryDirectory('up')
  const port = await freePort()
  const files = temporaryDirectory('up-files')
  const child = new Child({
    label: 'engram up',
    command: process.execPath,
    group: true,
    logFile: join(files, 'up.log'),
    args: [cliFile, 'up', '--json', '--nodes', '3', '--space', 'demo', '--replicas', '2', '--data',
      data, '--nats-port', String(port), '--http', '127.0.0.1:0', ...more],
  })
  stage.onEnd(() => {
    // Their command lines name the directory that is this test's own.
    const left = processesNaming(data).map((line) => Number.parseInt(line, 10))
    for (const pid of left) process.kill(pid, 'SIGKILL')
    removeTemporary(data)
    removeTemporary(files)
  })
  stage.child(child)
  const ready = await child.firstLine((line) => JSON.parse(line) as Ready, 40)
  const { nats } = ready
  return { child, ready, data, files, port, run: (...args) => cli([...args, '--nats', nats]) }
}

const test = shared(suiteOfCli, 'engram up', (stage) => up(stage))

function op(id: string): string {
  return JSON.stringify({ type: 'StoreNode', node: { id, content: `of ${id}` } })
}

async function statusOf(context: Up): Promise<ClusterStatus> {
  return jsonOf(await context.run('status', '--json')) as ClusterStatus
}

async function primaryOf(context: Up): Promise<string> {
  return waitFor('a primary in the status',
    async () => (await statusOf(context)).spaces.find((one) => one.id === 'demo')?.primary)
}

test('up --json prints one ready line, of processes that live', async ({ child, ready, port }) => {
  assert.is(ready.ready, true)
  assert.is(new URL(ready.nats).port, String(port))
  assert.is((await fetch(`${ready.http}/healthz`)).status, 200)
  assert.equal(ready.nodes.map((node) => node.id), ['n1', 'n2', 'n3'])
  for (const { id, pid, http } of ready.nodes) {
    assert.ok(isAlive(pid), `${id} has pid ${pid}`)
    assert.is.not(pid, child.pid, 'each node is its own process')
    assert.is((await fetch(`${http}/healthz`)).status, 200, id)
  }
  assert.is(child.stdout.length, 1, `nothing else on stdout: ${child.stdout.join('\n')}`)
})

test('write: an argument, a file, standard input', async (context) => {
  const one = await context.run('write', 'demo', op('cli-1'), '--json')
  const [answer] = findObjects<{ ok: boolean; sequence: number }>(
    jsonOf(one),
    (found) => typeof found['sequence'] === 'number',
  )
  assert.ok(answer && answer.sequence > 0, showCommand(one))

  const file = join(context.files, 'ops.ndjson')
  writeFileSync(file, Array.from({ length: 500 }, (_, n) => `${op(`file-${n}`)}\n`).join(''))
  await context.run('write', 'demo', '--file', file)
  const input = `${op('stdin-1')}\n${op('stdin-2')}\n`
  await cli(['write', 'demo', '-', '--nats', context.ready.nats], { input })

  for (const nodeId of ['cli-1', 'file-0', 'file-499', 'stdin-2']) {
    const result = await context.run('read', 'demo', 'get', nodeId, '--json')
    assert.match(JSON.stringify(jsonOf(result)), `of ${nodeId}`, showCommand(result))
  }
})

test('a refused write: exit code 1, the reason on stderr, nothing on stdout', async (context) => {
  const bad = JSON.stringify({ type: 'UpdateActivation', nodeId: 'x', activation: 9 })
  const result = await runCli(['write', 'demo', bad, '--nats', context.ready.nats])
  assert.is(result.code, 1, showCommand(result))
  assert.match(result.stderr, /activation/)
  const unknown = await runCli(
    ['read', 'nowhere', 'get', 'x', '--nats', context.ready.nats, '--deadline', '2s'],
  )
  assert.is(unknown.code, 1, showCommand(unknown))
  assert.match(unknown.stderr, /nowhere/)
})

test('space create and list', async (context) => {
  await context.run('space', 'create', 'second', '--replicas', '1', '--json')
  await context.run('space', 'create', 'second', '--replicas', '1', '--json')
  const other = await runCli(
    ['space', 'create', 'second', '--replicas', '2', '--nats', context.ready.nats],
  )
  assert.is(other.code, 1, `other settings are refused: ${showCommand(other)}`)
  const bad = await runCli(['space', 'create', 'no/slash', '--nats', context.ready.nats])
  assert.ok(bad.code === 1 || bad.code === 2, showCommand(bad))
  await waitFor('both spaces with a primary in the listing', async () => {
    const text = JSON.stringify(jsonOf(await context.run('space', 'list', '--json')))
    return (text.includes('"demo"') && text.includes('"second"')) || notYet(text)
  })
  await context.run('space', 'list')
})

test('status for people and for programs; the URL from the environment', async (context) => {
  const status = await statusOf(context)
  assert.equal(status.nodes.map((node) => node.id), ['n1', 'n2', 'n3'])
  const result = await cli(['status'], { env: { ENGRAM_NATS_URL: context.ready.nats } })
  for (const word of ['n1', 'n2', 'n3', 'demo']) assert.match(result.stdout, word)
  const flag = await cli(['status', '--json', '--nats', context.ready.nats], {
    env: { ENGRAM_NATS_URL: 'nats://127.0.0.1:1' },
  })
  assert.is((jsonOf(flag) as ClusterStatus).nodes.length, 3, 'flags win over the environment')
})

test('read: edges, list, entries; a node that is not there', async (context) => {
  const edge = { source: 'cli-1', target: 'file-0', kind: 'causal', weight: 0.5 }
  await context.run('write', 'demo', JSON.stringify({ type: 'StoreEdge', edge }))
  const edges = await context.run('read', 'demo', 'edges', 'cli-1', '--json')
  assert.is(findObjects(jsonOf(edges), (one) => one['kind'] === 'causal').length, 1)
  const list = await context.run('read', 'demo', 'list', '--after', 'file-0', '--limit', '5')
  assert.match(list.stdout, 'file-1')
  const entries = await context.run('read', 'demo', 'entries', '--from', '1', '--json')
  assert.match(JSON.stringify(jsonOf(entries)), 'EpochStart')
  const missing = await runCli(['read', 'demo', 'get', 'nobody', '--nats', context.ready.nats])
  assert.is(missing.code, 1, showCommand(missing))
})

test('promote --to moves the primary', async (context) => {
  const before = await primaryOf(context)
  const target = ['n1', 'n2', 'n3'].find((id) => id !== before) ?? 'n1'
  await context.run('promote', 'demo', '--to', target)
  await waitFor(`${target} to be primary`, async () => await primaryOf(context) === target)
})

test('drain takes every primary off a node', async (context) => {
  await waitFor('three members in sync', async () => {
    const found = (await statusOf(context)).spaces.find((one) => one.id === 'demo')
    return found?.inSync.length === 3 || notYet(JSON.stringify(found?.inSync))
  })
  const drained = await primaryOf(context)
  await context.run('drain', drained)
  await waitFor(`another primary than ${drained}`, async () => await primaryOf(context) !== drained)
})

test('usage errors: exit code 2 and help on stderr', async () => {
  for (const args of [['nonsense'], ['status', '--nonsense'], ['write'], ['promote'], ['up',
    '--nodes', 'many'], ['node', '--id', 'a/b', '--data', '/tmp/x']])
  {
    const result = await runCli(args)
    assert.is(result.code, 2, showCommand(result))
    assert.ok(result.stderr.trim().length > 0, showCommand(result))
    assert.is(result.stdout, '', showCommand(result))
  }
  const help = await cli(['--help'])
  for (const word of ['up', 'node', 'space', 'write', 'read', 'status', 'promote', 'drain',
    'journal', 'salvage']) assert.match(help.stdout, word)
})

test('no server: exit code 1, and what to do', async () => {
  const result = await runCli(['status', '--json', '--nats', 'nats://127.0.0.1:1'])
  assert.is(result.code, 1, showCommand(result))
  assert.is(result.stdout, '', 'stdout carries nothing but JSON')
  assert.match(result.stderr, /127\.0\.0\.1:1/)
})

test('a node that dies stays down until `engram node` starts it', async (context, stage) => {
  const status = await statusOf(context)
  const primary = await primaryOf(context)
  const victim = status.nodes.find((node) => node.id === primary)
  assert.ok(victim?.pid && victim.data, `status shows pid and data of ${primary}`)
  process.kill(victim.pid, 'SIGKILL')
  await waitFor('another primary',
    async () =>
      (await statusOf(context)).spaces.find((one) =>
        one.id === 'demo' && one.primary !== primary
        && one.primary !== null
      ))
  assert.ok(!isAlive(victim.pid))
  const child = stage.child(new Child({
    label: primary,
    command: process.execPath,
    logFile: join(context.files, 'returned.log'),
    args: [cliFile, 'node', '--id', primary, '--nats', context.ready.nats, '--data', victim.data,
      '--http', '127.0.0.1:0'],
  }))
  await child.firstLine((line) => line || undefined)
  await waitFor('three members in sync again', async () => {
    const found = (await statusOf(context)).spaces.find((one) => one.id === 'demo')
    return found?.inSync.length === 3 || notYet(JSON.stringify(found?.inSync))
  })
  child.signal('SIGTERM')
  assert.equal(await child.exited, { code: 0, signal: null }, 'a clean stop')
})

for (const [how, stop] of [
  ['Ctrl-C', (child: Child) => child.signalGroup('SIGINT')],
  ['SIGTERM', (child: Child) => {
    child.signal('SIGTERM')
  }],
] as const) {
  scenario(suiteOfCli, `${how} stops everything, data stay readable`, async (stage) => {
    const context = await up(stage)
    await context.run('write', 'demo', op('kept'))
    const dirs = (await statusOf(context)).nodes.map((node) => node.data ?? '')
    stop(context.child)
    const exit = await waitFor('the end of `engram up`', () => context.child.exit)
    assert.equal(exit, { code: 0, signal: null }, context.child.logTail(30))
    for (const { id, pid } of context.ready.nodes) assert.ok(!isAlive(pid), `${id} is left`)
    assert.equal(processesNaming(context.data), [], 'no process is left')
    assert.not.ok(await listens(context.port), 'the private nats-server is left')
    for (const data of dirs) {
      await cli(['journal', 'verify', data])
      const dump = await cli(['journal', 'dump', data, '--json'])
      assert.match(dump.stdout, '"entries"', `journal dump of ${data}`)
      await cli(['salvage', 'list', data, '--json'])
    }
  })
}

suiteOfCli.run()
