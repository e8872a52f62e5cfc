/** Entries that a member no longer keeps: who reads the log meets an answer, and no damage. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ActorSettings } from '../../../actors/ports/defaultSettings.js'
import type { FateValue, HistoryValue } from '../../../actors/ports/clientApi.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { giveUp } from '../../support/giveUp.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'

const test = suite('cluster: gone entries')

async function serving(
  spaces: readonly string[] = ['teams'],
  settings: Partial<ActorSettings> = {},
): Promise<SimCluster> {
  const cluster = await SimCluster.start({ segmentBytes: 4096, settings })
  for (const space of spaces) {
    await cluster.createSpace({}, space)
    await cluster.until('all in sync', () => cluster.record(space)!.inSync.length === 3)
  }
  return cluster
}

async function many(cluster: SimCluster, count = 40, space = 'teams'): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const answer = await cluster.wait(cluster.send({ 'Engram-Ack': 'committed' }, 1, space))
    assert.ok(answer?.ok, JSON.stringify(answer))
  }
  await cluster.converged(space)
}

function damages(cluster: SimCluster): unknown[] {
  return cluster.running.map((node) => node.space().member.damage)
}

test('a read of entries below the first retained one says which that is', async () => {
  const cluster = await serving()
  await many(cluster)
  for (const node of cluster.running) await giveUp(cluster, node)
  const primary = cluster.primary()!
  const { log } = primary.space().member
  assert.ok(log.base > 10 && log.base < log.end.sequence, `${log.base}`)
  for (const subject of [subjects.read('teams'), subjects.readAny('teams')]) {
    const gone = await cluster.read({ type: 'GetEntries', from: log.base, limit: 10 }, {}, subject)
    const { firstSequence = 0, ...rest } = { ...gone } as typeof gone & { firstSequence?: number }
    assert.equal(rest, {
      ok: false,
      code: 'TRUNCATED',
      message: `entries below ${firstSequence} are no longer kept here`,
      outcome: 'notTaken',
      retryable: false,
      epoch: log.end.epoch,
      sequence: log.end.sequence,
    })
    assert.is(firstSequence, log.base + 1)
    const kept = await cluster.read({ type: 'GetEntries', from: firstSequence, limit: 10 }, {},
      subject)
    assert.ok(kept.ok)
    assert.is((kept.value as LogEntry[])[0]!.sequence, firstSequence)
  }
  assert.equal(damages(cluster), [null, null, null])
})

test('fates, repeated keys and the history do not need the entry', async () => {
  const cluster = await serving()
  const key = { 'Nats-Msg-Id': 'old' }
  const first = await cluster.write('committed', key)
  assert.ok(first?.ok)
  await many(cluster)
  const before = await cluster.read({ type: 'GetHistory' })
  for (const node of cluster.running) await giveUp(cluster, node)
  const { epoch, sequence } = first
  assert.ok(sequence <= cluster.primary()!.space().member.log.base)
  for (const question of [{ epoch, sequence }, { key: 'old' }]) {
    const fate = await cluster.read({ type: 'GetFate', ...question })
    assert.ok(fate.ok, JSON.stringify(fate))
    const { fate: said, now } = fate.value as FateValue
    assert.equal([said, now], ['safe', { epoch, sequence }])
  }
  const after = await cluster.read({ type: 'GetHistory' })
  assert.ok(before.ok && after.ok)
  assert.equal((after.value as HistoryValue).history, (before.value as HistoryValue).history)
  // The body is another one, which only the entry could show.
  const again = await cluster.write('committed', key)
  assert.ok(again?.ok)
  assert.equal([again.duplicate, again.sequence, again.mismatch], [true, sequence, undefined])
})

test('a stream whose next entry is gone ends, and hurts nobody', async () => {
  const cluster = await serving(['teams'], { tailBytesMax: 2000 })
  await many(cluster, 5)
  const away = cluster.running.find((node) => node !== cluster.primary())!
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  await many(cluster)
  const primary = cluster.primary()!
  // Its first ack, after which frames are sent, comes late.
  cluster.weather = (from, to) => (from === away.id && to === primary.id ? 200 : 0.2)
  away.start()
  await cluster.until('it has a session',
    () => away.life?.actor.spaces.get('teams')?.member.following.isFollowing ?? false)
  await giveUp(cluster, primary)
  const { log } = away.space().member
  assert.ok(log.end.sequence < primary.space().member.log.base, `${log.end.sequence}`)
  const said = () => primary.log.map(({ message }) => message).join('\n')
  assert.not.match(said(), /the stream ends/)
  await cluster.run(500)
  assert.match(said(), /the stream ends: entry \d+ .* is no longer kept/)
  assert.not.match(said(), /the journal cannot be read/)
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(away.id), 30_000)
  assert.is(away.space().member.store.installs, 1)
  assert.is(cluster.primary(), primary)
  assert.equal(damages(cluster), [null, null, null])
  await cluster.writes(3, 'committed')
})

test('a member that returns below what is kept is installed', async () => {
  const cluster = await serving()
  await many(cluster, 5)
  const away = cluster.running.find((node) => node !== cluster.primary())!
  const { end } = away.space().member.log
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  await many(cluster)
  const primary = cluster.primary()!
  await giveUp(cluster, primary)
  assert.ok(primary.space().member.log.base > end.sequence)
  away.start()
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(away.id), 30_000)
  assert.is(away.space().member.store.installs, 1)
  assert.is(cluster.primary(), primary)
  assert.equal(damages(cluster), [null, null, null])
  await cluster.writes(3, 'committed')
})

test('an epoch begins on a log of which no entry is kept', async () => {
  const cluster = await serving(['teams', 'busy'])
  await many(cluster, 3)
  await many(cluster, 60, 'busy')
  for (const node of cluster.running) await giveUp(cluster, node, ['teams', 'busy'])
  const former = cluster.primary()!
  const { log } = former.space().member
  assert.is(log.base, log.end.sequence)
  // A start knows of the log what its record says.
  for (const node of cluster.running) {
    node.kill()
    node.start()
  }
  await cluster.until('it is served', () => cluster.primary() !== null)
  const primary = cluster.primary()!
  const { epoch } = cluster.record()!
  await cluster.writes(1, 'committed')
  await cluster.converged()
  const entries = await cluster.read({ type: 'GetEntries', from: log.end.sequence + 1, limit: 10 })
  assert.ok(entries.ok)
  const [start] = entries.value as LogEntry[]
  assert.is(start!.operation.type, 'EpochStart')
  const { covers } = primary.space().member.context.ports.journal.log(log.uuid)!
  for (const [component, number] of Object.entries(covers.clock)) {
    assert.ok(start!.vectorClock[component]! >= number, `${component} of epoch ${epoch}`)
  }
  assert.ok(start!.timestamp >= covers.timestamp)
  const digests = cluster.running.map((node) => node.space().member.store.digest)
  assert.is(new Set(digests).size, 1)
})

test('a log is not cut below what only checkpoints may have, though the store is behind', async () => {
  const cluster = await serving()
  await many(cluster, 5)
  const [short, tall] = cluster.running.filter((node) => node !== cluster.primary())
  short!.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(short!.id))
  for (let checkpoint = 0; checkpoint < 2; checkpoint += 1) {
    await many(cluster, 5)
    await takeCheckpoint(cluster, tall!)
  }
  const { log: { end, covered } } = tall!.space().member
  for (const node of cluster.running) node.kill()
  short!.start()
  await cluster.run(4000)
  const answer = await cluster.command(short!.id, { type: 'promote', space: 'teams', to: short!.id,
    force: true })
  assert.is(answer['ok'], true, JSON.stringify(answer))
  await cluster.writes(2, 'durable')
  assert.ok(short!.space().member.log.end.sequence < covered.sequence, 'the fork begins below')
  // After a power cut: a store that was thrown away has nothing until its checkpoint is loaded.
  tall!.loseGraphs()
  const release = holdLoads(tall!)
  tall!.start()
  await cluster.run(6000)
  assert.is(tall!.exitCode, null, JSON.stringify(tall!.log.at(-1)))
  const { member, roleState } = tall!.space()
  assert.is(member.damage, null)
  assert.match(member.rebuilding ?? '', /^its store is being loaded from a checkpoint/)
  assert.is(member.store.applied.sequence, 0)
  assert.equal(member.log.end, end)
  assert.match(roleState.state, /^installing/, JSON.stringify(roleState))
  release()
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(tall!.id), 30_000)
  assert.is(tall!.space().member.store.installs, 1)
})

/** Stores of the node wait before they take a checkpoint as their state, until released. */
function holdLoads(node: SimNode): () => void {
  let release: () => void = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  const { store } = node
  const { stage } = store
  store.stage = (...args) => {
    const staged = stage.apply(store, args)
    const { adopt } = staged
    return Object.assign(staged, { adopt: async (installs: number) => {
      await gate
      await adopt.call(staged, installs)
    } })
  }
  return release
}

test.run()
