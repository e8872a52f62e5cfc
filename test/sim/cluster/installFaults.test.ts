/** Installs that are interrupted: at every call of the member, by its disk, its source, its primary. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assertSameTables } from '../../support/sameTables.js'
import { maxPayload, preparedInstall as prepared, stateOf } from '../../support/preparedInstall.js'
import type { PreparedInstall as Prepared } from '../../support/preparedInstall.js'
import type { SimCluster } from '../../support/simCluster.js'
import { takeCheckpoint } from '../../support/takeCheckpoint.js'

const test = suite('cluster: interrupted installs')

/** What counts: it comes to be in sync by itself, with all that the others have. */
async function settled({ cluster, one }: Prepared): Promise<void> {
  const isIn = () => cluster.record()!.inSync.includes(one.id) && stateOf(one) === 'streaming'
  await cluster.until('it is in sync', isIn, 30_000)
  await cluster.writes(3, 'committed')
  await cluster.check()
  assertSameTables(cluster)
}

const chunks = ({ broker }: SimCluster): { count: number } => {
  const counted = { count: 0 }
  const route = broker.route.bind(broker)
  broker.route = (envelope, from) => {
    const isChunk = envelope.subject.startsWith('engram.v1.checkpoint.')
      && Buffer.from(envelope.data).includes('chunk')
    if (isChunk) counted.count += 1
    route(envelope, from)
  }
  return counted
}

test('an emptied disk: without a fault, chunk by chunk', async () => {
  const it = await prepared()
  const counted = chunks(it.cluster)
  it.one.start()
  await settled(it)
  assert.ok(counted.count > 3, `${counted.count} chunks`)
  assert.ok(it.one.space().member.log.base > 200)
  assert.is(it.one.space().member.store.installs, 1)
})

/** Ends the member at its n-th call in the install, until it has fewer; with what is left then. */
async function endedAtEachCall(
  ends: (it: Prepared, calls: number) => void,
  step: number,
): Promise<number> {
  let tried = 0
  for (let calls = 1;; calls += step) {
    const it = await prepared()
    it.one.start()
    await it.cluster.until('it is asked', () => stateOf(it.one)?.startsWith('installing.') ?? false)
    ends(it, calls)
    const done = () => it.one.life === null || stateOf(it.one) === 'streaming'
    await it.cluster.until('it has ended, or is installed', done, 20_000)
    if (it.one.life !== null) return tried
    tried += 1
    it.one.start()
    await settled(it)
  }
}

test('killed at each call: it is in sync by itself, old or new', async () => {
  const tried = await endedAtEachCall(({ one }, calls) => {
    one.crash = { port: 'any', operation: null, calls, moment: 'after', die: () => one.kill() }
  }, 3)
  assert.ok(tried > 10, `${tried}`)
})

test('the power fails at each call of the disk', async () => {
  let seed = 7
  const next = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
  const tried = await endedAtEachCall(({ one }, calls) => {
    one.crash = { port: 'disk', operation: null, calls, moment: 'before', die: () => {
      one.powerCut(next)
      one.loseGraphs()
    } }
  }, 2)
  assert.ok(tried > 10, `${tried}`)
})

test('a disk that is full for a while: it waits, and says why', async () => {
  const it = await prepared()
  it.one.start()
  await it.cluster.until('it pulls', () => stateOf(it.one) === 'installing.pulling')
  for (let count = 0; count < 40; count += 1) it.one.disk.failNext('write', 'ENOSPC')
  await settled(it)
  const said = it.one.log.filter(({ message }) => message === 'the install waits for the disk')
  assert.is(said.length, 1, 'not with each try')
})

for (const operation of ['datasync', 'rename', 'syncDirectory', 'open'] as const) {
  test(`a ${operation} that fails while the file is received`, async () => {
    const it = await prepared()
    it.one.start()
    await it.cluster.until('it pulls', () => stateOf(it.one) === 'installing.pulling')
    const { journal } = it.one.actor.context!.ports
    assert.ok(journal)
    it.one.disk.failNext(operation)
    await it.cluster.run(500)
    if (!it.one.life) it.one.start()
    await settled(it)
  })
}

test('the journal takes no record at the switch: the old state stays, and it is tried again', async () => {
  const it = await prepared()
  it.one.start()
  const files = () => it.one.life?.actor.context?.ports.checkpoints.list().length ?? 0
  await it.cluster.until('its file is there', () => files() > 0)
  it.one.disk.failNext('write', 'ENOSPC')
  await settled(it)
  assert.ok(it.one.log.some(({ message }) => /the journal cannot be written/.test(message)))
  assert.is(it.one.space().member.store.installs, 1)
})

test('the primary is not heard when it is asked before the switch: it is asked again', async () => {
  const it = await prepared()
  const { cluster, one } = it
  const primary = cluster.primary()!
  cluster.weather = (from, to) => (from === one.id && to === primary.id ? 20 : 0.2)
  one.start()
  await cluster.until('it is about to switch', () => stateOf(one) === 'installing.switching')
  cluster.weather = (from, to) => (from === primary.id && to === one.id ? 'lost' : 0.2)
  await cluster.run(250)
  assert.is(stateOf(one), 'installing.switching')
  cluster.weather = () => 0.2
  await settled(it)
  assert.is(one.space().member.store.installs, 1)
})

test('the source dies: the next one is asked', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  await cluster.run(100)
  source.kill()
  await cluster.until('it is installed', () => stateOf(one) === 'streaming', 30_000)
  source.start()
  await settled(it)
})

test('the member dies while it pulls: it goes on with what it has', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  const counted = chunks(cluster)
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  const part = () => one.space().installation.status?.doneBytes ?? 0
  await cluster.until('it has some', () => part() > 3 * maxPayload)
  const [had, total] = [part(), one.space().installation.status!.totalBytes]
  one.kill()
  one.start()
  await cluster.until('it pulls again', () => stateOf(one) === 'installing.pulling')
  counted.count = 0
  cluster.weather = () => 0.2
  await settled(it)
  const chunkBytes = maxPayload - 1024
  assert.ok(counted.count < total / chunkBytes - 1, `${counted.count} of ${total / chunkBytes}`)
  assert.ok(had > 0)
})

test('the space is dropped while it is pulled: no file of it stays open, or on the disk', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  await cluster.until('it has some',
    () => (one.space().installation.status?.doneBytes ?? 0) > 3 * maxPayload)
  const { uuid } = cluster.record()!
  await cluster.command(source.id, { type: 'dropSpace', space: 'teams', by: 'ann' })
  await cluster.until('its data is gone', () => {
    const { journal, store } = one.actor.context!.ports
    return !one.actor.spaces.has('teams') && !journal.log(uuid) && !store.has(uuid)
  })
  await cluster.run(15_000)
  assert.equal(one.disk.paths('/data/checkpoints'), [])
  assert.equal(one.disk.opened('/data/checkpoints'), [])
})

for (const state of ['pulling', 'switching']) {
  test(`the member is stopped while it is ${state}: no file stays open, and it goes on`, async () => {
    const it = await prepared()
    const { cluster, one, source } = it
    cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
    one.start()
    await cluster.until('it is there', () => stateOf(one) === `installing.${state}`)
    one.actor.drain('SIGTERM')
    await cluster.until('it ended', () => one.life === null)
    assert.equal([one.exitCode, one.leftOpen], [0, []])
    cluster.weather = () => 0.2
    one.start()
    await settled(it)
  })
}

test('the source is stopped while it is read: no file stays open', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  source.actor.drain('SIGTERM')
  await cluster.until('it ended', () => source.life === null)
  assert.equal([source.exitCode, source.leftOpen], [0, []])
})

test('the primary hands over while it is pulled: the next one has the whole log, and nothing is left', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  cluster.weather = (from, to) => (from === source.id && to === one.id ? 40 : 0.2)
  one.start()
  await cluster.until('it pulls', () => stateOf(one) === 'installing.pulling')
  await cluster.command(source.id, { type: 'promote', space: 'teams', to: source.id })
  await cluster.until('it is handed over', () => cluster.primary() === source)
  cluster.weather = () => 0.2
  await settled(it)
  assert.is(one.space().member.store.installs, 0)
  assert.equal(one.disk.paths('/data/checkpoints'), [])
})

test('a rotten file of the source is not installed', async () => {
  const it = await prepared()
  const { cluster, one, source } = it
  const [file] = source.disk.paths('/data/checkpoints')
  const bytes = source.disk.bytesOf(file!)
  source.disk.flipBit(file!, Math.floor(bytes.length / 2), 3)
  one.start()
  await cluster.until('it takes that of the primary', () => stateOf(one) === 'streaming', 30_000)
  await settled(it)
  const unusable = one.log.filter(({ message }) => /does not go on with this/.test(message))
  assert.is(unusable.length, 1)
})

test('two members are installed at the same time', async () => {
  const it = await prepared()
  const { cluster, one } = it
  await takeCheckpoint(cluster, cluster.primary()!)
  const former = it.source
  former.kill()
  former.replaceDisk()
  await cluster.until('it is alone', () => cluster.record()!.inSync.length === 1)
  one.start()
  former.start()
  await cluster.until('both are in sync', () => cluster.record()!.inSync.length === 3, 30_000)
  await settled(it)
})

test.run()
