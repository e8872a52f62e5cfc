/** `engram up`: what it joins, which processes are its own, and how it ends. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { Control } from '../../runtime/chaos/control.js'
import { readUpRecord } from '../../runtime/cluster/clusterFile.js'
import { Broker } from '../support/broker.js'
import { Child, isAlive, processesNaming } from '../support/child.js'
import { cliFile, freePort } from '../support/environment.js'
import { order } from '../support/page.js'
import { scenario, suite } from '../support/scenario.js'
import { directory, ends, ready, spawnUp, statusAt, typed } from '../support/up.js'
import { notYet, waitFor } from '../support/wait.js'

const test = suite('integration: engram up')

async function refused(work: Promise<unknown>, why: string): Promise<void> {
  const error = await work.then(() => null, (reason: unknown) => reason)
  assert.match(String(error), why)
}

scenario(test, 'it joins a cluster by --nats alone, and makes no space among other nodes',
  async (stage) => {
    const files = directory(stage)
    const broker = await Broker.start(join(files, 'broker'))
    stage.onEnd(() => broker.kill())
    const foreign = stage.child(new Child({
      label: 'a',
      command: process.execPath,
      logFile: join(files, 'a.log'),
      args: [cliFile, 'node', '--id', 'a', '--nats', broker.url, '--data', join(files, 'a')],
    }))
    await foreign.firstLine((line) => line || undefined)

    const port = await freePort()
    const own = spawnUp(stage, {
      args: ['--nats-port', String(port), '--nodes', '1', '--replicas', '0'],
      // None of it may reach the private server, either.
      env: {
        ENGRAM_NATS_URL: broker.url,
        ENGRAM_NATS_CA: join(files, 'none.pem'),
        ENGRAM_NATS_CREDS: join(files, 'none.creds'),
      },
    })
    assert.is(new URL((await ready(own)).nats).port, String(port))
    assert.match(own.child.log(), 'ENGRAM_NATS_URL is ignored')
    assert.match(own.child.log(), `engram up --nats ${broker.url}`)
    own.child.signal('SIGTERM')
    await ends(own.child)

    const joined = spawnUp(stage, {
      args: ['--nats', broker.url, '--nodes', '1', '--replicas', '0'],
    })
    await ready(joined)
    assert.match(joined.child.log(), /has other nodes \(a\), so no space is created/)
    const status = await statusAt(broker.url)
    assert.equal(status.nodes.map(({ id }) => id), ['a', 'n1'])
    assert.equal(status.spaces, [])
    joined.child.signal('SIGTERM')
    await ends(joined.child)

    const asked = spawnUp(stage, { data: joined.data,
      args: ['--nats', broker.url, '--nodes', '1', '--replicas', '0', '--space', 'demo'] })
    await ready(asked)
    assert.equal((await statusAt(broker.url)).spaces.map(({ id }) => id), ['demo'])
    asked.child.signal('SIGTERM')
    await ends(asked.child)
    assert.is(foreign.exit, null)
  })

scenario(test, 'a node started by hand is adopted: commands reach it, and the end',
  async (stage) => {
    const up = spawnUp(stage, { args: ['--playground'] })
    const { http, nodes } = await ready(up)
    process.kill(nodes[0]!.pid, 'SIGKILL')
    const first = await typed(stage, up)
    await waitFor('it to be adopted',
      () => up.child.log().includes(`n1 runs again (pid ${first.pid}), started by hand`))
    const again = await order(http, { type: 'startNode', node: 'n1' })
    assert.match(again.answer.message, `n1 already runs (pid ${first.pid})`)
    const killed = await order(http, { type: 'killNode', node: 'n1' })
    assert.ok(killed.answer.ok, killed.answer.message)
    assert.is((await first.exited).signal, 'SIGKILL')
    const second = await typed(stage, up)
    up.child.signalGroup('SIGINT')
    await ends(up.child)
    assert.equal(second.exit, { code: 0, signal: null })
    assert.equal(processesNaming(up.data), [])
  })

scenario(test, 'a node that outlived its `engram up`: the next one says who has which directory',
  async (stage) => {
    const up = spawnUp(stage)
    const { nodes } = await ready(up)
    process.kill(nodes[0]!.pid, 'SIGKILL')
    const hand = await typed(stage, up)
    await up.child.kill()
    const next = spawnUp(stage, { data: up.data })
    assert.is((await next.child.exited).code, 1)
    const said = next.child.log()
    // With --json an error is one line of JSON.
    const line = said.split('\n').find((one) => one.startsWith('{"error"')) ?? '{}'
    const { error } = JSON.parse(line) as { error: { message: string; remedy: string } }
    assert.match(error.message, new RegExp(`n1: process ${hand.pid}$`))
    assert.match(error.remedy, `kill ${hand.pid}\n`)
    assert.not.match(said, '"level"', 'no raw log')
    assert.is(hand.exit, null, 'it was left alone')
    hand.signal('SIGTERM')
    assert.is((await hand.exited).code, 0)
    const last = spawnUp(stage, { data: up.data })
    await ready(last)
    last.child.signal('SIGTERM')
    await ends(last.child)
  })

scenario(test, 'commands over its control: a node stays listed, whatever its state',
  async (stage) => {
    const up = spawnUp(stage, { args: ['--nodes', '2', '--replicas', '1'] })
    const { nodes } = await ready(up)
    const control = new Control(readUpRecord(up.data)!.control!)
    const n1 = async () => (await control.nodes()).find(({ id }) => id === 'n1')!
    assert.equal((await control.nodes()).map(({ id, state }) => `${id} ${state}`), ['n1 running',
      'n2 running'])
    await control.commandNode({ type: 'pause', node: 'n1', forMs: 50 })
    assert.is((await n1()).pid, nodes[0]!.pid)
    await control.commandNode({ type: 'stop', node: 'n1' })
    const { state, pid, death } = await n1()
    assert.equal([state, pid, death], ['stopped', null, { pid: nodes[0]!.pid, how: 'exit code 0' }])
    await refused(control.commandNode({ type: 'kill', node: 'n1' }), 'n1 is already down')
    await control.commandNode({ type: 'start', node: 'n1' })
    await refused(control.commandNode({ type: 'start', node: 'n1' }), 'n1 already runs')
    assert.is((await n1()).state, 'running')
    await control.commandNode({ type: 'kill', node: 'n1' })
    assert.is((await n1()).death?.how, 'SIGKILL')
    assert.not.match(up.child.log(), 'has died', 'it was commanded')
    up.child.signal('SIGTERM')
    await ends(up.child)
  })

scenario(test, 'the reader of its output goes: the cluster goes on, SIGTERM ends it in order',
  async (stage) => {
    const fifo = join(directory(stage), 'log')
    assert.is(spawnSync('mkfifo', [fifo]).status, 0)
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
    const pipe = openSync(fifo, constants.O_WRONLY)
    const up = spawnUp(stage, { stderr: pipe })
    closeSync(pipe)
    const { nats, nodes } = await ready(up)
    closeSync(reader)
    // It has something to say about that, and nobody hears it.
    process.kill(nodes[0]!.pid, 'SIGKILL')
    await waitFor('another primary', async () => {
      const { primary } = (await statusAt(nats)).spaces[0]!
      return (primary !== null && primary !== 'n1') || notYet(String(primary))
    })
    assert.is(up.child.exit, null)
    assert.ok(nodes.slice(1).every(({ pid }) => isAlive(pid)))
    up.child.signal('SIGTERM')
    await ends(up.child)
    assert.equal(processesNaming(up.data), [])
  })

test.run()
