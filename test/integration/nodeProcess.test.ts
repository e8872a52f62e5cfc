/** The process of a node: how it ends, where its log goes, what it cannot be started on. */
import { spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { fill, removeBallast } from '../../runtime/chaos/ballast.js'
import { ownerOf } from '../../runtime/journal/directoryOwner.js'
import type { NodeStatusReport } from '../../runtime/status/status.js'
import { Broker } from '../support/broker.js'
import { Child, tellingOf } from '../support/child.js'
import { cli, runCli, showCommand } from '../support/cli.js'
import { space as demo } from '../support/cluster.js'
import type { Cluster, NodeProcess } from '../support/cluster.js'
import { mountRefusal, mountSmallDisk, unmount } from '../support/disk.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { note, scenario, skipped, suite, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const test = suite('integration: the process of a node')
const nobody = 'nats://127.0.0.1:1'

function directory(stage: Stage): string {
  const made = temporaryDirectory('process')
  stage.onEnd(() => removeTemporary(made))
  return made
}

interface Node {
  readonly data: string
  readonly nats?: string
  readonly stderr?: number
  readonly env?: Record<string, string>
}

function node(stage: Stage, files: string, { data, nats = nobody, stderr, env }: Node): Child {
  return stage.child(new Child({
    label: 'n1',
    command: process.execPath,
    logFile: join(files, 'n1.log'),
    args: [cliFile, 'node', '--id', 'n1', '--nats', nats, '--data', data, '--http', '127.0.0.1:0'],
    ...(stderr === undefined ? {} : { stderr }),
    ...(env ? { env } : {}),
  }))
}

/** A cluster whose n1 is started again with another place for its log, and is primary. */
async function withLog(
  stage: Stage,
  stderr: number,
  env: Record<string, string> = {},
): Promise<{ cluster: Cluster; child: Child }> {
  const cluster = await stage.cluster()
  const first = cluster.node('n1')
  await first.stop()
  const child = stage.child(new Child({ ...first.child!.options, stderr, env }))
  await child.firstLine((line) => line || undefined)
  await cluster.inSync(3)
  await cli(['promote', demo, '--to', 'n1', '--nats', cluster.broker.url])
  await cluster.primary({ by: 'n1' })
  return { cluster, child }
}

async function metric(http: string | null, name: string): Promise<number> {
  const text = await (await fetch(`${http}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN)
}

async function dropped(cluster: Cluster): Promise<number> {
  const { http } = (await cluster.report('n1')).node
  return await metric(http, 'engram_log_lines_dropped_total')
}

/** The end of a node on SIGTERM: in order, and at once. */
async function endsWell(child: Child, seconds = 5): Promise<void> {
  const exit = await waitFor('the end of the node', () => child.exit, { seconds })
  assert.equal(exit, { code: 0, signal: null }, child.logTail(20))
}

if (existsSync('/dev/full')) {
  scenario(test, 'its log is on a full disk: it serves, and counts the lines', async (stage) => {
    const full = openSync('/dev/full', constants.O_WRONLY)
    stage.onEnd(() => closeSync(full))
    const { cluster, child } = await withLog(stage, full)
    const writer = await stage.writer(cluster)
    await writer.taken(200)
    assert.ok(await dropped(cluster) > 0)
    assert.is((await cluster.primary()).node, 'n1')
    child.signal('SIGTERM')
    await endsWell(child)
  })
}

scenario(test, 'nobody reads its log: the lease holds, and it ends on SIGTERM', async (stage) => {
  const fifo = join(directory(stage), 'log')
  assert.is(spawnSync('mkfifo', [fifo]).status, 0)
  const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants
  const reader = openSync(fifo, O_RDONLY | O_NONBLOCK)
  stage.onEnd(() => closeSync(reader))
  const pipe = openSync(fifo, O_WRONLY)
  stage.onEnd(() => closeSync(pipe))
  const { cluster, child } = await withLog(stage, pipe, { ENGRAM_LOG_LEVEL: 'debug' })
  const { epoch } = await cluster.primary()
  const http = (await cluster.report('n1')).node.http
  await waitFor('lines to be dropped', async () => {
    // A misspelt command is a line in the log.
    const asked = Array.from({ length: 200 },
      () => cluster.admin('n1', { type: 'x'.repeat(500) }).catch(() => null))
    await Promise.all(asked)
    return await metric(http, 'engram_log_lines_dropped_total') > 0 || notYet('none')
  })
  assert.equal(await cluster.primary(), { node: 'n1', epoch }, 'it is primary still')
  child.signal('SIGTERM')
  await endsWell(child)
  assert.is.not((await cluster.primary()).node, 'n1')
})

scenario(test, 'the reader of its log has gone: SIGTERM hands over', async (stage) => {
  const fifo = join(directory(stage), 'log')
  assert.is(spawnSync('mkfifo', [fifo]).status, 0)
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const pipe = openSync(fifo, constants.O_WRONLY)
  const { cluster, child } = await withLog(stage, pipe)
  closeSync(pipe)
  closeSync(reader)
  const { epoch } = await cluster.primary()
  const announced: string[] = []
  const nc = await cluster.connect('listener')
  nc.subscribe(`engram.v1.assignment.${demo}`, {
    callback: (_error, { data }) => announced.push(Buffer.from(data).toString('latin1')),
  })
  await nc.flush()
  child.signal('SIGTERM')
  await endsWell(child)
  const next = await cluster.primary({ above: epoch })
  assert.is.not(next.node, 'n1')
  assert.ok(announced.some((text) => text.includes('handed over')), announced.join('\n'))
})

scenario(test, 'SIGTERM as soon as it handles signals, and at each step after', async (stage) => {
  const files = directory(stage)
  const data = join(files, 'n1')
  const moments: [string, (child: Child) => boolean | Promise<boolean>][] = [
    ['it hears signals', (child) => child.stdout.includes('hears')],
    ['it holds its directory', async () => await ownerOf(data) !== null],
    ['it dials', (child) => child.log().includes('cannot be used yet')],
  ]
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    for (const [moment, isThere] of moments) {
      const child = node(stage, files, { data, env: tellingOf(signal) })
      const before = child.log().length
      await waitFor(moment, () => isThere(child), { everyMs: 1 })
      child.signal(signal)
      await endsWell(child, 3)
      assert.is(await ownerOf(data), null, `${moment}: the directory is held`)
      assert.not.match(child.log().slice(before), /error: /)
      writeFileSync(child.options.logFile, '')
    }
  }
})

scenario(test, 'SIGTERM while NATS is away: it ends at once, and says why nothing was handed over',
  async (stage) => {
    const cluster = await stage.cluster()
    await cluster.broker.kill()
    const nodes: NodeProcess[] = [...cluster.nodes.values()]
    for (const { child, id } of nodes) {
      await waitFor(`${id} to dial again`, () => /cannot be used yet/.test(child?.log() ?? ''))
      const since = performance.now()
      child?.signal('SIGTERM')
      await endsWell(child!, 3)
      note(`${id} ended after ${(performance.now() - since).toFixed(0)} ms`)
      assert.match(child!.log(), /SIGTERM: nothing is handed over, since NATS cannot be reached/)
    }
  })

scenario(test, 'every line of its log is JSON, a clean stop without a warning', async (stage) => {
  const cluster = await stage.cluster()
  const victim = cluster.node('n2')
  const { logFile } = victim.place
  const before = victim.child!.log().length
  await victim.stop()
  const all = victim.child!.log().split('\n')
    .filter((line) => line && !line.startsWith('--- ') && !line.startsWith('[stdout] '))
  const lines = all.map((line) => JSON.parse(line) as { level: number; msg: string })
  assert.ok(lines.length > 3, logFile)
  const last = victim.child!.log().slice(before)
  assert.not.match(last, /"level":[45]0/, 'nobody has to do anything about a clean stop')
  assert.match(last, /stopped cleanly/)
})

scenario(test, 'a node that was stopped has left, for the others and in status and metrics',
  async (stage) => {
    const cluster = await stage.cluster()
    const { node: primary } = await cluster.primary()
    const victim = cluster.others(primary)[0]!
    await victim.stop()
    const seenAs = async (): Promise<NodeStatusReport['node']['peers'][string] | undefined> =>
      (await cluster.report(primary)).node.peers[victim.id]
    // Longer than a grant: what is proven of its connection does not make it dead.
    await waitFor('its grant to have run out', async () => {
      const seen = await seenAs()
      assert.ok(seen && ['alive', 'left'].includes(seen.state), JSON.stringify(seen))
      return (seen.state === 'left' && /grant/.test(seen.reason)) || notYet(seen.reason)
    })
    assert.match(cluster.node(primary).child!.log(), /"inSyncShrunk".*\(n\d has left\)/)
    const status = JSON.stringify(await cluster.status())
    assert.match(status, `{"id":"${victim.id}","state":"left"`)
    const { http } = (await cluster.report(primary)).node
    // They are made once a second at most.
    const shows = (name: string, value: number): Promise<unknown> =>
      waitFor(`${name} to be ${value}`, async () => {
        const is = await metric(http, `${name}\\{peer="${victim.id}"\\}`)
        return is === value || notYet(`it is ${is}`)
      })
    await shows('engram_peer_left', 1)
    await shows('engram_peer_alive', 0)
    await victim.start()
    await waitFor('it to be alive again', async () => (await seenAs())?.state === 'alive')
    await shows('engram_peer_left', 0)
    await victim.kill()
    await waitFor('it to be dead', async () => (await seenAs())?.state === 'dead')
    await shows('engram_peer_left', 0)
  })

scenario(test, 'an impossible data directory: cause, remedy, exit code 1', async (stage) => {
  const files = directory(stage)
  writeFileSync(join(files, 'file'), '')
  await refuses(join(files, 'file'), /not a directory.* Use the path of a directory/)
  await refuses(join(files, 'file', 'n1'), /not a directory.* Use the path of a directory/)
  // There, mkdir -p never came back.
  if (existsSync('/proc/self')) await refuses('/proc/engram/n1', /no such file or directory.* Use/)
})

const refusal = mountRefusal()
const onOtherDisks =
  'a data directory on a disk that is full waits for room, on a read-only one it '
  + 'is refused'
if (refusal !== null) skipped(test, onOtherDisks, `nothing can be mounted here (${refusal})`)
else scenario(test, onOtherDisks, async (stage) => {
    const files = directory(stage)
    const broker = await Broker.start(join(files, 'broker'))
    stage.onEnd(() => broker.kill())
    const mount = mountSmallDisk(join(files, 'disk'), 192)
    stage.onEnd(() => unmount(mount))
    const data = join(mount, 'n1')
    mkdirSync(data)
    fill(mount)
    const child = node(stage, files, { data, nats: broker.url })
    await waitFor('it to say what it waits for', () => /ENOSPC/.test(child.log()))
    removeBallast(mount)
    await child.firstLine((line) => line || undefined)
    child.signal('SIGTERM')
    await endsWell(child)
    assert.is(spawnSync('mount', ['-o', 'remount,ro', mount]).status, 0)
    await refuses(data, /read-only file system.* Mount/)
  })

async function refuses(data: string, cause: RegExp): Promise<void> {
  const args = ['node', '--id', 'n1', '--nats', nobody, '--data', data]
  const result = await runCli(args, { seconds: 10 })
  assert.is(result.code, 1, showCommand(result))
  assert.match(result.stderr, cause, showCommand(result))
}

test.run()
