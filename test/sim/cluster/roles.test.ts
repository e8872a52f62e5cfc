/** The roles of a member, seen from within a simulated cluster: what races, and what is refused. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SalvageFiles } from '../../../actors/ports/journal.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { SimCluster } from '../../support/simCluster.js'
import { SimNode } from '../../support/simNode.js'

const test = suite('cluster: roles')

const serving = (seed = 1) => SimCluster.serving({ seed, writes: 5 })

function replicas(cluster: SimCluster): [SimNode, SimNode] {
  const [a, b] = cluster.running.filter((node) => node !== cluster.primary())
  return [a!, b!]
}

/** The first call of `save` waits until it is let go. */
function holdSave(salvages: SalvageFiles): { isHeld: boolean; go: () => void } {
  const held = { isHeld: false, go: (): void => undefined }
  const save = salvages.save.bind(salvages)
  let calls = 0
  salvages.save = async (header, frames) => {
    if ((calls += 1) === 1) {
      await new Promise<void>((resolve) => {
        held.isHeld = true
        held.go = resolve
      })
    }
    return await save(header, frames)
  }
  return held
}

function alerts(cluster: SimCluster): Record<string, unknown>[] {
  const heard: Record<string, unknown>[] = []
  cluster.client.subscribe(subjects.alert('teams'), (message) => {
    heard.push(JSON.parse(Buffer.from(message.data).toString()) as Record<string, unknown>)
  })
  return heard
}

async function withFork(cluster: SimCluster): Promise<SimNode> {
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  await cluster.writes(2, 'durable')
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.writes(1, 'committed')
  return old
}

async function holdTruncation(cluster: SimCluster, node: SimNode) {
  node.start()
  while (!node.actor.context) await cluster.run(0.1)
  const held = holdSave(node.actor.context!.ports.salvages)
  await cluster.until('it truncates', () => held.isHeld)
  return held
}

test('a truncation that outlasts its epoch does not cut the log of the next', async () => {
  const cluster = await serving()
  const old = await withFork(cluster)
  const held = await holdTruncation(cluster, old)
  const second = cluster.primary()!
  second.kill()
  await cluster.until('a third is primary', () => cluster.primary() !== null)
  await cluster.run(1000)
  await cluster.writes(3, 'durable')
  await cluster.run(500)
  const { log } = old.space().member
  const before = log.durable.sequence
  held.go()
  await cluster.run(20)
  assert.ok(log.durable.sequence >= before, 'what was acknowledged to the new epoch stays')
  await cluster.run(500)
  await cluster.writes(3, 'durable')
  second.start()
  await cluster.check()
})

test('a fork raises an alert: how much, and where it is kept', async () => {
  const cluster = await serving()
  const heard = alerts(cluster)
  const old = await withFork(cluster)
  old.start()
  await cluster.until('it is cut', () => heard.some(({ kind }) => kind === 'fork'))
  const { node, entries, salvage } = heard.find(({ kind }) => kind === 'fork')!
  assert.equal({ node, entries }, { node: old.id, entries: 2 })
  const [kept] = await old.actor.context!.ports.salvages.list()
  assert.is(salvage, kept?.name)
})

test('a store that differs raises an alert, once', async () => {
  const cluster = await serving()
  const heard = alerts(cluster)
  const [a] = replicas(cluster)
  const { store } = a.space().member
  Object.defineProperty(store, 'digest', { get: () => 'another', configurable: true })
  for (let i = 0; i < 3; i += 1) {
    await cluster.writes(2, 'committed')
    await cluster.run(500)
  }
  const found = heard.filter(({ kind }) => kind === 'divergence')
  assert.equal(found.map(({ node, member }) => ({ node, member })), [{ node: cluster.primary()!.id,
    member: a.id }])
})

test('a member that truncates while it is promoted ends up with a whole log', async () => {
  const cluster = await serving()
  const old = await withFork(cluster)
  const held = await holdTruncation(cluster, old)
  const command = { type: 'promote', space: 'teams', to: old.id, force: true }
  const forced = cluster.command(old.id, command)
  await cluster.run(500)
  assert.is(old.space().serves, false, 'nothing is appended to a log that will be cut')
  held.go()
  await forced
  await cluster.until('the forced one serves', () => old.space().serves, 12_000)
  const { log } = old.space().member
  const written = await cluster.write('durable')
  assert.ok(written?.ok, JSON.stringify(written))
  assert.is((await cluster.entries(old.id)).length, log.end.sequence)
  const journal = old.actor.context!.ports.journal.log(old.space().member.uuid)!
  assert.equal(journal.end, log.end)
})

test('a forced primary takes nothing for committed that it does not have', async () => {
  const cluster = await serving()
  const [a, b] = replicas(cluster)
  b.disk.capacity = 0
  await cluster.writes(5, 'durable')
  await cluster.until('it is out of sync', () => !cluster.record()!.inSync.includes(b.id))
  await cluster.writes(5, 'committed')
  await cluster.run(200)
  const { log } = b.space().member
  assert.ok(log.commitSequence > log.end.sequence, 'it knows of commits that it lacks')
  b.disk.capacity = Infinity
  cluster.primary()!.kill()
  a.kill()
  const answer = await cluster.command(b.id, {
    type: 'promote',
    space: 'teams',
    to: b.id,
    force: true,
  })
  assert.is(answer['ok'], true)
  assert.ok(log.commitSequence <= log.durable.sequence,
    `committed ${log.commitSequence}, durable ${log.durable.sequence}`)
})

test('a primary that was stopped does not call itself fresh', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  old.freeze()
  await cluster.run(4000)
  assert.ok(old.space().member.freshness.stalenessMs() > 1000)
})

test('a node that cannot reach the arbiter opens no connection after another', async () => {
  const cluster = await serving()
  const [a] = replicas(cluster)
  a.kill()
  cluster.bucket.available = false
  a.start()
  await cluster.run(10_000)
  const own = cluster.broker.connections.filter((c) => cluster.owners.get(c)?.name === a.id)
  assert.ok(own.length <= 1, `${own.length} connections`)
  cluster.bucket.available = true
  await cluster.check()
})

test('commits wait for the union of both sets while a change is in flight', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [a, b] = replicas(cluster)
  cluster.bucket.available = false
  b.kill()
  await cluster.run(500)
  const pending = cluster.send({ 'Engram-Ack': 'committed' })
  let answer: unknown
  void pending.then((given) => {
    answer = given
  })
  await cluster.run(500)
  assert.is(answer, undefined, 'the arbiter may still list the dead one')
  assert.equal(primary.space().primaryRole!['inSync'].union(), new Set([primary.id, a.id, b.id]))
  cluster.bucket.available = true
  assert.is((await cluster.wait(pending))?.ok, true)
  assert.equal(cluster.record()!.inSync.toSorted(), [primary.id, a.id].toSorted())
  b.start()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
})

test('a member coming in is needed from the sending on; its loss costs nothing', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [, b] = replicas(cluster)
  b.kill()
  await cluster.until('it is out', () => cluster.record()!.inSync.length === 2)
  cluster.bucket.loseAnswers('late')
  b.start()
  await cluster.until('it is proposed',
    () => primary.space().primaryRole?.['inSync'].union().size === 3, 5000)
  cluster.weather = (from, to) => (to === b.id && from === primary.id ? 'lost' : 0.2)
  const pending = cluster.send({ 'Engram-Ack': 'committed' })
  await cluster.run(30)
  cluster.bucket.release()
  cluster.weather = () => 0.2
  assert.is((await cluster.wait(pending))?.ok, true)
  await cluster.check()
})

test('a lost notice is repeated: an idle space converges', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [a] = replicas(cluster)
  const { log } = a.space().member
  const written = cluster.send()
  await cluster.until('the frame is there', () => log.end.sequence === 7, 100)
  cluster.weather = (from, to) => (from === primary.id && to === a.id ? 'lost' : 0.2)
  await cluster.wait(written)
  await cluster.run(150)
  cluster.weather = () => 0.2
  await cluster.converged('teams', 1000)
})

test('a stream actor that starts anew has its member join again at once', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [a] = replicas(cluster)
  await cluster.run(7000)
  const inSync = new Set<string>()
  primary.life!.host.kill(`space.teams.stream.${a.id}`, 'test')
  await cluster.run(20)
  const written = cluster.send({ 'Engram-Ack': 'committed' })
  await cluster.run(60)
  assert.ok(primary.space().member.log.commitSequence >= 7, 'it is committed within a heartbeat')
  assert.ok((await cluster.wait(written))?.ok)
  for (let ms = 0; ms < 7000; ms += 5) {
    await cluster.run(5)
    inSync.add(cluster.record()!.inSync.join())
  }
  assert.is(inSync.size, 1, `in sync were ${[...inSync].join(' | ')}`)
})

test('every WAL message and ack arriving twice, and late, changes nothing', async () => {
  const cluster = await serving(5)
  for (const subject of ['engram.v1.wal.teams.*', 'engram.v1.ack.teams.*']) {
    cluster.client.subscribe(subject, (message) => {
      if (message.header('Replayed') || message.reply) return
      for (const ms of [0, 40, 700]) {
        cluster.clock.setTimeout(() =>
          cluster.client.publish(message.subject, message.data, {
            headers: { Replayed: '1' },
          }), ms)
      }
    })
  }
  for (let round = 0; round < 3; round += 1) {
    await cluster.writes(10, 'committed')
    await cluster.run(200)
    const old = cluster.primary()!
    old.kill()
    await cluster.until('another is primary', () => cluster.primary() !== null)
    await cluster.writes(5)
    old.start()
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  }
  await cluster.check()
})

test('frames of another epoch, session or space leave the log alone', async () => {
  const cluster = await serving()
  const [a] = replicas(cluster)
  const { log, uuid } = a.space().member
  const codec = createFrameCodec()
  const opened = () => {
    const builder = codec.builder()
    builder.add({ operations: [], encoded: [Buffer.from('\x01{"type":"x"}')], key: null }, 1)
    return builder
  }
  const at = { first: log.end.sequence + 1, previousEpoch: log.end.epoch, node: 'n9', clock: {} }
  const before = JSON.stringify(log.end)
  const header = {
    session: 1,
    epoch: log.end.epoch,
    commitSequence: 99,
    safeSequence: 99,
    endSequence: 99,
    sentAtMs: 0,
  }
  const frame = opened().seal({ uuid, epoch: log.end.epoch, ...at })
  const otherUuid = `${uuid.slice(0, -1)}${uuid.endsWith('0') ? '1' : '0'}`
  const foreign = opened().seal({ uuid: otherUuid, epoch: log.end.epoch, ...at })
  const commit = log.commitSequence
  for (const data of [
    codec.encodeWal({ ...header, epoch: log.end.epoch + 1 }, frame),
    codec.encodeWal({ ...header, epoch: log.end.epoch - 1 }, frame),
    codec.encodeWal({ ...header, session: 9 }, frame),
    codec.encodeWal({ ...header, session: 0 }, frame),
    codec.encodeWal({ ...header, commitSequence: commit }, foreign),
    Buffer.from('rubbish'),
  ]) cluster.client.publish(`engram.v1.wal.teams.${a.id}`, data)
  await cluster.run(50)
  assert.is(JSON.stringify(log.end), before)
  assert.is(log.commitSequence, commit)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('a second process with a living node\'s id is refused, the first goes on', async () => {
  const cluster = await serving()
  const twin = new SimNode('n1', cluster)
  twin.start()
  await cluster.until('it ended', () => twin.exitCode !== null)
  assert.ok(twin.exitCode! > 0)
  await cluster.writes(2, 'committed')
  await cluster.check()
})

test('an identity whose answer is lost is claimed all the same', async () => {
  for (const fate of ['applied', 'lost', 'late'] as const) {
    const cluster = await serving()
    const [a] = replicas(cluster)
    a.kill()
    cluster.bucket.loseAnswers(fate)
    a.start()
    await cluster.run(500)
    cluster.bucket.release()
    await cluster.check()
  }
})

test('an identity record of a later version is not written over', async () => {
  const cluster = await serving()
  const [a] = replicas(cluster)
  a.kill()
  const arbiter = cluster.bucket.open(cluster.client)
  const key = `node.${a.id}`
  const { revision } = cluster.bucket.snapshot().get(key)!
  await arbiter.compareAndSet(key, Buffer.from('{"version":9}'), revision)
  a.start()
  await cluster.run(1000)
  assert.is(Buffer.from(cluster.bucket.snapshot().get(key)!.value).toString(), '{"version":9}')
})

test.run()
