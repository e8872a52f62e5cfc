/** Members that the log cannot bring up to date: who is installed, and when. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: installs')

async function inSync(): Promise<{ cluster: SimCluster; one: SimNode }> {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  return { cluster, one: cluster.running.find((node) => node !== cluster.primary())! }
}

function streamTo(cluster: SimCluster, node: SimNode): string | undefined {
  return cluster.primary()!.space().primaryRole?.followers.status()[node.id]?.state
}

test('a damaged member leaves the in-sync set before it is installed', async () => {
  const { cluster, one } = await inSync()
  const { log } = one.space().member
  const { end } = log
  one.space().member.damaged('a bad record')
  await cluster.until('it is refused',
    () => /leaves the in-sync set first/.test(one.space().roleState.reason))
  await cluster.until('it asks for a state',
    () => one.space().roleState.state === 'installing.asking')
  assert.is(one.space().roleState.role, 'damaged')
  assert.not(cluster.record()!.inSync.includes(one.id))
  assert.is(streamTo(cluster, one), 'snapshotting')
  assert.equal(log.end, end, 'nothing of its log is given up')
  await cluster.writes(3, 'committed')
  assert.equal(log.end, end, 'it follows nobody')
})

test('a damaged member does not join a primary of an earlier release', async () => {
  const { cluster, one } = await inSync()
  const { context } = one.actor
  Reflect.set(context!.peers, 'knowsInstalls', () => false)
  one.space().member.damaged('a bad record')
  await cluster.run(3000)
  assert.equal(one.space().roleState.role, 'damaged')
  assert.is(one.space().roleState.state, 'damaged')
})

test('a member whose store is being rebuilt is not listed in sync', async () => {
  const { cluster, one } = await inSync()
  one.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  await cluster.writes(3, 'committed')
  cluster.weather = (from, to) => ([from, to].includes(one.id) ? 'lost' : 0.2)
  one.start()
  await cluster.until('it holds the space', () => one.life?.actor.spaces.get('demo') !== undefined)
  let isRebuilding = true
  const { member } = one.space()
  Object.defineProperty(member, 'rebuilding', { get: () => (isRebuilding ? '3 of 5' : null) })
  cluster.weather = () => 0.2
  await cluster.until('it streams', () => streamTo(cluster, one) === 'streaming')
  await cluster.run(2000)
  assert.not(cluster.record()!.inSync.includes(one.id))
  isRebuilding = false
  // With the next ack: at the latest when nothing was said for two seconds.
  await cluster.until('it is in', () => cluster.record()!.inSync.includes(one.id))
})

test.run()
