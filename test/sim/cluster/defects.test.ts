/** Bugs are reported as bugs: they end what they befall, and do not pass for outside faults. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: defects')

const serving = () => SimCluster.serving({ writes: 3 })

const logged = (node: SimNode, level: string, pattern: RegExp): number =>
  node.log.filter((line) =>
    line.level === level
    && pattern.test(`${line.message} ${JSON.stringify(line.fields)}`)
  ).length

test('an error in handling a record is not an unreadable record', async () => {
  const cluster = await serving()
  const [node] = cluster.running.filter((each) => each !== cluster.primary()) as [SimNode]
  const space = node.space()
  const handled = space as unknown as { onRecord: (...args: unknown[]) => void }
  const onRecord = handled.onRecord.bind(space)
  let isBroken = true
  handled.onRecord = (...args) => {
    if (isBroken) throw new TypeError('a bug')
    onRecord(...args)
  }
  space.refresh()
  await cluster.run(5)
  assert.is(logged(node, 'error', /a defect.*TypeError: a bug/), 1)
  assert.is(space.member.known.arbiter, 'reachable')
  isBroken = false
  await cluster.run(1000)
  assert.ok(node.life, 'supervision begins the space anew')
  await cluster.check()
})

test('a bug in the path of a flush is not the disk\'s fault', async () => {
  const cluster = await serving()
  const node = cluster.primary()!
  const { journal } = node.actor.context!.ports
  journal.write = () => Promise.reject(new TypeError('a bug'))
  void cluster.send()
  await cluster.until('it ended', () => node.life === null)
  assert.is.not(node.exitCode, 0)
  assert.is(logged(node, 'error', /the node ends: .*TypeError: a bug/), 1)
  assert.is(logged(node, 'info', /fdatasync failed/), 0)
  node.start()
  await cluster.check()
})

test('a space that cannot be started keeps no other from it', async () => {
  const cluster = await serving()
  await cluster.createSpace({}, 'other')
  const [node] = cluster.running.filter((each) => each !== cluster.primary()) as [SimNode]
  await cluster.until('it holds both', () => node.life?.actor.spaces.size === 2)
  const { uuid } = cluster.record()!
  node.kill()
  const { store } = node
  const open = store.space.bind(store)
  let isBroken = true
  store.space = (id) => {
    if (isBroken && id === uuid) throw new TypeError('a bug')
    return open(id)
  }
  node.start()
  await cluster.until('it holds the other', () => node.life?.actor.spaces.has('other') ?? false)
  await cluster.run(5000)
  assert.not.ok(node.actor.spaces.has('teams'))
  assert.is(logged(node, 'error', /cannot be started.*TypeError: a bug/), 1, 'logged, and once')
  isBroken = false
  await cluster.run(31_000)
  await cluster.until('it is back in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
})

test('a command that meets a bug says INTERNAL, and leaves its stack in the log', async () => {
  const cluster = await serving()
  const node = cluster.running[0]!
  const { records } = node.actor.context!
  records.spaces = () => Promise.reject(new TypeError('a bug'))
  const answer = await cluster.command(node.id, { type: 'listSpaces' })
  assert.is(answer['code'], 'INTERNAL')
  assert.is(logged(node, 'error', /a command failed.*TypeError: a bug/), 1)
})

test.run()
