/** Members that the log cannot bring up to date: who is installed, and when. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assertSameTables } from '../../support/sameTables.js'
import { SimCluster } from '../../support/simCluster.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: installs')

async function inSync(): Promise<{ cluster: SimCluster; one: SimNode }> {
  const cluster = await SimCluster.serving({ writes: 5 })
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

test('a damaged member is installed, and is as if it had never been damaged', async () => {
  const { cluster, one } = await inSync()
  const source = cluster.running.find((node) => node !== one && node !== cluster.primary())!
  await takeCheckpoint(cluster, source)
  await cluster.writes(3, 'committed')
  one.space().member.damaged('a bad record')
  await cluster.until('it is in sync again',
    () => one.space().roleState.role === 'replica' && cluster.record()!.inSync.includes(one.id))
  await cluster.converged()
  const { member } = one.space()
  assert.is(member.damage, null)
  assert.is(member.store.digest, cluster.primary()!.space().member.store.digest)
  assert.is(member.store.installs, 1)
  await cluster.writes(3, 'committed')
  await cluster.converged()
  one.kill()
  one.start()
  await cluster.until('it is back', () =>
    cluster.record()!.inSync.includes(one.id)
    && one.life?.actor.spaces.get('teams')?.member.following.isFollowing === true)
  await cluster.converged()
  assert.is(one.space().member.damage, null)
})

test('a source that has no checkpoint takes one when it is asked for', async () => {
  const { cluster, one } = await inSync()
  one.space().member.damaged('a bad record')
  await cluster.until('it asks for a state',
    () => one.space().roleState.state === 'installing.asking')
  await cluster.until('it is in sync again',
    () => one.space().roleState.role === 'replica' && cluster.record()!.inSync.includes(one.id))
  await cluster.check()
  assertSameTables(cluster)
})

async function force(cluster: SimCluster, node: SimNode): Promise<void> {
  const answer = await cluster.command(node.id, { type: 'promote', space: 'teams', to: node.id,
    force: true })
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

test('members ahead of a forced epoch are installed, and their fork is salvaged first', async () => {
  const { cluster, one } = await inSync()
  const others = cluster.running.filter((node) => node !== one)
  cluster.weather = (from, to) => ([from, to].includes(one.id) ? 'lost' : 0.2)
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  await cluster.writes(6, 'committed')
  await cluster.until('they have applied it',
    () =>
      others.every((node) =>
        node.space().member.store.applied.sequence > one.space().member.log.end
          .sequence
      ))
  for (const node of others) node.kill()
  cluster.weather = () => 0.2
  await force(cluster, one)
  await cluster.until('it serves', () => cluster.primary() === one)
  await cluster.writes(2, 'durable')
  await cluster.until('it has applied all',
    () => one.space().member.store.applied.sequence === one.space().member.log.end.sequence)
  await takeCheckpoint(cluster, one)
  for (const node of others) node.start()
  await cluster.until('all are in sync', () => cluster.record()!.inSync.length === 3, 30_000)
  for (const node of others) {
    const { member } = node.space()
    assert.is(member.store.installs, 1)
    assert.ok(node.log.some(({ message }) => /gave up a fork of 6 entries/.test(message)))
  }
  await cluster.until('the forks are merged',
    () =>
      one.space().member.store.reports().every(({ outcome }) => outcome === 'reconciled')
      && one.space().member.store.reports().length > 0, 30_000)
  await cluster.writes(2, 'committed')
  await cluster.check()
  assertSameTables(cluster)
})

test('a disk of the past has what is needed: it is installed only below the root', async () => {
  const { cluster, one } = await inSync()
  const copy = one.copyDirectory()
  await cluster.writes(6, 'committed')
  await cluster.converged()
  one.kill()
  one.restoreDirectory(copy)
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  one.start()
  await cluster.until('all are in sync', () => cluster.record()!.inSync.length === 3, 30_000)
  await cluster.check()
  assert.is(one.space().member.store.installs, 0)
})

test('an installed member is promoted before it has any entry of its own log', async () => {
  const { cluster, one } = await inSync()
  const primary = cluster.primary()!
  await takeCheckpoint(cluster, primary)
  one.space().member.damaged('a bad record')
  await cluster.until('it is in sync',
    () => one.space().roleState.role === 'replica' && cluster.record()!.inSync.includes(one.id))
  assert.is(one.space().member.log.base, one.space().member.log.end.sequence)
  await cluster.command(primary.id, { type: 'promote', space: 'teams', to: one.id })
  await cluster.until('it is primary', () => cluster.primary() === one)
  await cluster.writes(3, 'committed')
  await cluster.check()
  assertSameTables(cluster)
})

test('one that was installed, and is damaged again, stays so when its store is lost', async () => {
  const { cluster, one } = await inSync()
  await takeCheckpoint(cluster, cluster.primary()!)
  one.space().member.damaged('a bad record')
  await cluster.until('it is in sync',
    () => one.space().roleState.role === 'replica' && cluster.record()!.inSync.includes(one.id))
  await cluster.writes(3, 'committed')
  cluster.weather = (from, to) => ([from, to].includes(one.id) ? 'lost' : 0.2)
  one.space().member.damaged('another bad record')
  await cluster.run(100)
  one.powerCut()
  one.store.discardGraphs()
  one.start()
  await cluster.until('it holds the space', () => one.life?.actor.spaces.get('teams') !== undefined)
  assert.is(one.space().member.damage, 'another bad record')
  cluster.weather = () => 0.2
  await cluster.until('it is in sync again',
    () =>
      one.life?.actor.spaces.get('teams')?.roleState.role === 'replica'
      && cluster.record()!.inSync.includes(one.id))
  assert.is(one.space().member.store.installs, 2)
  await cluster.check()
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
  await cluster.until('it holds the space', () => one.life?.actor.spaces.get('teams') !== undefined)
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
