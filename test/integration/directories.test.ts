/** Data directories that are in use, of the past, another node's, torn, or on a full disk. */
import { spawnSync } from 'node:child_process'
import { cpSync, lstatSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync,
  writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { fill, removeBallast } from '../../runtime/chaos/ballast.js'
import { Child } from '../support/child.js'
import { positive } from '../support/client.js'
import { space, type Cluster, type NodeProcess } from '../support/cluster.js'
import { mountRefusal, mountSmallDisk, unmount } from '../support/disk.js'
import { cliFile, removeTemporary, temporaryDirectory } from '../support/environment.js'
import { note, scenario, suite, type Stage } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const directories = suite('integration: data directories')

/** Network namespaces of their own need root, and a kernel that lets a sandbox have them. */
const canUnshare = process.platform === 'linux'
  && spawnSync('unshare', ['--net', 'true']).status === 0

async function write(
  cluster: Cluster,
  ids: Iterable<string>,
  ack: 'durable' | 'committed' = 'committed',
): Promise<void> {
  for (const id of ids) {
    const body = { type: 'StoreNode' as const, node: { id, content: `content of ${id}` } }
    positive(await cluster.client.write(body, { ack }), id)
  }
}

const named = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`)

async function missing(cluster: Cluster, ids: Iterable<string>): Promise<string[]> {
  const gone: string[] = []
  for (const id of ids) {
    const answer = positive(await cluster.client.read({ type: 'GetNode', nodeId: id }), id)
    if (answer.value === null) gone.push(id)
  }
  return gone
}

/** Names of all files, and who the directory is; the living process goes on with the rest. */
function listing(directory: string): string[] {
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
  return [...names, readFileSync(join(directory, 'identity.json'), 'utf8')]
}

/** A second process for that node: `engram node`, in a network namespace of its own if it can. */
function second(stage: Stage, node: NodeProcess, data: string, id = node.id, url = node.place.url) {
  const args = [cliFile, 'node', '--id', id, '--nats', url, '--data', data, '--http', 'off']
  const [command, ...rest] = canUnshare
    ? ['unshare', '--net', process.execPath, ...args]
    : [process.execPath, ...args]
  return stage.child(new Child({
    label: `second ${id}`,
    command: command!,
    args: rest,
    logFile: node.place.logFile,
  }))
}

async function refusal(child: Child): Promise<string> {
  const exit = await waitFor(`${child.options.label} to be refused`, () => child.exit, {
    seconds: 15,
  })
  assert.is(exit.code, 1)
  return child.log()
}

scenario(directories, 'a second process is refused before it writes a byte', async (stage) => {
  if (!canUnshare) note('in the same network namespace: none of its own can be had here')
  const cluster = await stage.cluster()
  await write(cluster, named('a', 30))
  for (const node of cluster.nodes.values()) {
    const before = listing(node.data)
    const said = await refusal(second(stage, node, node.data))
    assert.match(said, `in use by process ${node.pid}`)
    assert.match(said, /Stop that process first, or use another data directory/)
    assert.equal(listing(node.data), before)
  }
  await write(cluster, named('b', 50))
  for (const node of cluster.nodes.values()) await node.kill()
  for (const node of cluster.nodes.values()) await node.start()
  await cluster.converged()
  assert.equal(await missing(cluster, [...named('a', 30), ...named('b', 50)]), [])
})

scenario(directories, 'without NATS a node waits, says so, and writes nothing', async (stage) => {
  const directory = temporaryDirectory('nobody')
  stage.onEnd(() => removeTemporary(directory))
  const data = join(directory, 'n1')
  const child = stage.child(new Child({
    label: 'n1',
    command: process.execPath,
    logFile: join(directory, 'n1.log'),
    args: [cliFile, 'node', '--id', 'n1', '--nats', 'nats://127.0.0.1:1', '--data', data, '--http',
      'off'],
  }))
  await waitFor('n1 to say that NATS is away',
    () => child.log().includes('NATS cannot be used yet') || notYet('it says nothing'))
  assert.equal(readdirSync(data), ['owner.1.sock'])
})

scenario(directories, 'a copy of the past is a new member, at its first start and after', async (
  stage,
) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const [victim, other] = cluster.others(primary.node)
  assert.ok(victim && other)
  await write(cluster, named('old', 20))
  await cluster.converged()
  await victim.stop()
  const backup = `${victim.data}-backup`
  cpSync(victim.data, backup, { recursive: true })
  await victim.start()
  await cluster.inSync(3)
  await write(cluster, named('new', 60))
  for (const node of cluster.nodes.values()) await node.kill()
  rmSync(victim.data, { recursive: true })
  cpSync(backup, victim.data, { recursive: true })
  // Alone, and listed in sync: with what it lacks it must not become primary.
  for (let start = 0; start < 3; start += 1) {
    await victim.start()
    if (start === 0) assert.match(victim.child?.log() ?? '', /is a copy of the past/)
    await waitFor(`${victim.id} to stand aside`, async () => {
      const { blocked } = await cluster.member(victim.id)
      return blocked?.includes('another disk') || notYet(`blocked: ${blocked}`)
    })
    if (start < 2) await victim.kill()
  }
  await cluster.node(primary.node).start()
  await other.start()
  await cluster.converged()
  assert.equal(await missing(cluster, [...named('old', 20), ...named('new', 60)]), [])
})

scenario(directories, 'the genuine disk returns after a start without it: salvaged, reconciled',
  async (
    stage,
  ) => {
    const cluster = await stage.cluster()
    await cluster.converged()
    const first = await cluster.primary()
    const primary = cluster.node(first.node)
    // Entries that nobody else gets: the replicas hang, then the primary dies.
    for (const node of cluster.others(first.node)) node.pause()
    await write(cluster, named('fork', 5), 'durable')
    await primary.kill()
    for (const node of cluster.others(first.node)) node.resume()
    await cluster.primary({ above: first.epoch })
    const aside = `${primary.data}-aside`
    renameSync(primary.data, aside)
    await primary.start()
    assert.match(primary.child?.log() ?? '', /data directory is empty, and the arbiter knows/)
    await cluster.inSync(3)
    await primary.stop()
    rmSync(primary.data, { recursive: true })
    renameSync(aside, primary.data)
    await primary.start()
    assert.match(primary.child?.log() ?? '', /has used another data directory since/)
    await cluster.converged()
    await waitFor('the fork to be reconciled', async () => {
      const gone = await missing(cluster, named('fork', 5))
      return gone.length === 0 || notYet(`missing: ${gone.join()}`)
    })
  })

scenario(directories, 'swapped directories are refused with both names', async (stage) => {
  const cluster = await stage.cluster()
  const [one, two] = ['n1', 'n2'].map((id) => cluster.node(id))
  assert.ok(one && two)
  await one.stop()
  await two.stop()
  const said = await refusal(second(stage, one, two.data))
  assert.match(said, /belongs to node n2, and this is node n1/)
  await one.start()
  await two.start()
  await cluster.converged()
})

scenario(directories, 'an empty directory is refused where data are required', async (stage) => {
  const cluster = await stage.cluster()
  const node = cluster.node('n1')
  await node.stop()
  const empty = `${node.data}-empty`
  const { url } = node.place
  const child = stage.child(new Child({
    label: 'n1 without data',
    command: process.execPath,
    logFile: node.place.logFile,
    args: [cliFile, 'node', '--id', 'n1', '--nats', url, '--data', empty, '--http', 'off',
      '--require-data'],
  }))
  assert.match(await refusal(child), /data directory is empty.*--require-data/)
  await node.start()
  await cluster.converged()
})

scenario(directories, 'a living process has the name: refused, with another directory too', async (
  stage,
) => {
  const cluster = await stage.cluster()
  const node = cluster.node('n1')
  const data = `${node.data}-twin`
  const twin = stage.child(node.spawn('off', data))
  assert.match(await refusal(twin), /a living process has the id n1/)
  assert.equal(readdirSync(data), [])
  assert.ok(node.isRunning)
})

scenario(directories, 'a torn store is thrown away and built anew, however it is torn', async (
  stage,
) => {
  const cluster = await stage.cluster()
  await write(cluster, named('a', 200))
  await cluster.converged()
  const primary = await cluster.primary()
  const [victim] = cluster.others(primary.node)
  assert.ok(victim)
  const file = join(victim.data, 'store', 'graph', 'data.mdb')
  const remembered = join(victim.data, 'store', 'remembered', 'data.mdb')
  const marker = join(victim.data, 'store', 'marker.json')
  const tears: Record<string, () => void> = {
    'cut in half': () => truncateSync(file, Math.floor(lstatSync(file).size / 8192) * 4096),
    empty: () => truncateSync(file, 0),
    garbage: () => writeFileSync(file, Buffer.alloc(lstatSync(file).size, 0x5a)),
    'garbage, what is remembered': () =>
      writeFileSync(remembered, Buffer.alloc(lstatSync(remembered).size, 0x5a)),
    removed: () => rmSync(join(victim.data, 'store'), { recursive: true }),
    'another file in its place': () => {
      cpSync(file, `${file}.copy`)
      renameSync(`${file}.copy`, file)
    },
    'a process that died while it opened it': () => {
      const found = JSON.parse(readFileSync(marker, 'utf8')) as object
      writeFileSync(marker, JSON.stringify({ ...found, opening: true }))
    },
    'an earlier boot': () => {
      const found = JSON.parse(readFileSync(marker, 'utf8')) as object
      writeFileSync(marker, JSON.stringify({ ...found, clean: false, boot: 'another' }))
    },
  }
  for (const [how, tear] of Object.entries(tears)) {
    await victim.kill()
    tear()
    await victim.start()
    const members = await cluster.converged()
    assert.ok(members.length === 3, how)
  }
})

scenario(directories, 'a directory whose journal is gone is refused', async (stage) => {
  const cluster = await stage.cluster()
  const node = cluster.node('n1')
  await node.stop()
  const journal = join(node.data, 'journal')
  renameSync(journal, `${node.data}-journal`)
  const said = await refusal(stage.child(node.spawn('off')))
  assert.match(said, /the journal of .* is gone/)
  renameSync(`${node.data}-journal`, journal)
  await node.start()
  await cluster.converged()
})

const small = mountRefusal()
const onSmallDisk = (name: string, body: (stage: Stage) => Promise<void>): void => {
  if (small === null) return scenario(directories, name, body)
  note(`SKIPPED "${name}": no tmpfs can be mounted here (${small})`)
  directories.skip(name)
}

onSmallDisk('a full disk: the node starts, again and again, and is read-only', async (stage) => {
  const directory = temporaryDirectory('full')
  stage.onEnd(() => removeTemporary(directory))
  const mount = mountSmallDisk(join(directory, 'small'), 48)
  stage.onEnd(() => unmount(mount))
  const cluster = await stage.cluster({ nodes: 1, replicas: 0, data: { n1: join(mount, 'n1') } })
  await write(cluster, named('a', 20))
  const node = cluster.node('n1')
  fill(mount)
  for (let start = 0; start < 3; start += 1) {
    await node.kill()
    fill(mount)
    await node.start()
    await waitFor('n1 to say that it is read-only', async () =>
      (await cluster.report('n1')).node.journal?.readOnly || notYet('it does not'))
  }
  removeBallast(mount)
  await waitFor('the journal to heal',
    async () =>
      (await cluster.report('n1')).node.journal?.readOnly === false || notYet('read-only still'))
  await cluster.primary()
  await write(cluster, named('b', 5), 'durable')
  assert.equal(await missing(cluster, [...named('a', 20), ...named('b', 5)]), [])
  assert.is((await cluster.members())[0]?.space, space)
})

directories.run()
