/** A cluster in one process, in bad weather: forks, lost answers, a lost bucket, stopped nodes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: faults')

async function serving(settings: object = {}, seed = 1): Promise<SimCluster> {
  const cluster = await SimCluster.start({ seed })
  await cluster.createSpace(settings)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  return cluster
}

function others(cluster: SimCluster, node: SimNode): SimNode[] {
  return [...cluster.nodes.values()].filter((other) => other !== node)
}

const answered = (code: string) => (answer: unknown) =>
  (answer as { code?: string } | null)?.code === code

test('entries that a cut-off primary alone has become a fork, and go to its salvage', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  const [alone] = await cluster.writes(1, 'durable')
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.writes(3, 'committed')
  old.start()
  await cluster.check()
  const kept = await cluster.salvaged()
  const { ids } = cluster.acknowledged.find(({ answer }) => answer === alone)!
  assert.ok(kept.has(ids[0]!), 'the salvage has the entry')
  assert.is(old.space().member.following.forks, 1)
})

test('a stopped primary answers nothing positively when it goes on', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  old.freeze()
  const late = cluster.send({ 'Engram-Ack': 'durable' })
  const tookMs = await cluster.until('another is primary', () =>
    cluster.running
      .some((node) => node !== old && node.space().serves), 5000)
  assert.ok(tookMs < 3000, `${tookMs} ms`)
  old.thaw()
  const answer = await cluster.wait(late)
  assert.is.not(answer?.ok === true && answer.epoch === 1, true)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('a primary cut off from the others shrinks, or ends; never two serve', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const cut = new Set([old.id])
  cluster.weather = (from, to) => (from !== 'client' && to !== 'client'
      && cut.has(from) !== cut.has(to)
    ? 'lost'
    : 0.2)
  for (let i = 0; i < 40; i += 1) {
    await cluster.run(100)
    cluster.primary()
  }
  cluster.weather = () => 0.2
  await cluster.until('all in sync', () =>
    cluster.primary() !== null
    && cluster.record()!.inSync.length === 3)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

for (const fate of ['applied', 'lost', 'late'] as const) {
  test(`answers of the arbiter during a failover: ${fate}`, async () => {
    const cluster = await serving()
    cluster.primary()!.kill()
    cluster.bucket.loseAnswers(fate, fate, fate)
    await cluster.until('another is primary', () => cluster.primary() !== null)
    cluster.bucket.release()
    await cluster.writes(3, 'committed')
    await cluster.run(1000)
    await cluster.writes(3, 'committed')
    for (const node of cluster.nodes.values()) if (!node.life) node.start()
    await cluster.check()
  })
}

test('a claim applied after its claimant gave up is cleared away', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  cluster.bucket.loseAnswers('late', 'late', 'late')
  old.kill()
  await cluster.run(150)
  cluster.bucket.release()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  old.start()
  await cluster.check()
})

test('epochs go on without the arbiter, and failover waits for it', async () => {
  const cluster = await serving()
  cluster.bucket.available = false
  await cluster.run(5000)
  await cluster.writes(3, 'committed')
  cluster.primary()!.kill()
  await cluster.run(3000)
  assert.is(cluster.primary(), null)
  cluster.bucket.available = true
  await cluster.until('another is primary', () => cluster.primary() !== null, 2000)
  await cluster.writes(3)
})

test('a bucket that was wiped is written again by the primary', async () => {
  const cluster = await serving()
  const epoch = cluster.record()!.epoch
  cluster.bucket.wipe()
  await cluster.until('the record is there again', () =>
    (cluster.record()?.epoch ?? 0) > epoch
    && cluster.primary() !== null, 15_000)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('no epoch has two primaries when the arbiter loses what only an absent node knows', async () => {
  const cluster = await serving()
  const [a, b] = others(cluster, cluster.primary()!)
  // One misses an epoch, whose holder is away when the bucket is wiped.
  a!.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(a!.id))
  cluster.primary()!.kill()
  await cluster.until('another is primary', () => cluster.primary() === b)
  await cluster.writes(2, 'durable')
  const { epoch } = cluster.record()!
  b!.kill()
  cluster.bucket.wipe()
  a!.start()
  await cluster.run(6000)
  const command = { type: 'promote', space: 'teams', to: a!.id, force: true }
  await cluster.command(a!.id, command)
  await cluster.until('it is primary', () => cluster.primary() === a)
  assert.ok(cluster.record()!.epoch > epoch + 1, `epoch ${cluster.record()!.epoch}`)
})

test('an arbiter that went back is written again, above what was seen', async () => {
  const cluster = await serving()
  const before = cluster.bucket.snapshot()
  cluster.primary()!.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.writes(3, 'committed')
  const { epoch } = cluster.record()!
  cluster.bucket.restore(before)
  await cluster.until('the record is there again', () =>
    (cluster.record()?.epoch ?? 0) > epoch
    && cluster.primary() !== null, 15_000)
  await cluster.writes(3, 'committed')
  for (const node of cluster.nodes.values()) if (!node.life) node.start()
  await cluster.check()
})

test('a bucket wiped together with the primary: the others wait one lease', async () => {
  const cluster = await serving()
  const epoch = cluster.record()!.epoch
  cluster.bucket.wipe()
  cluster.primary()!.kill()
  const tookMs = await cluster.until('another is primary', () => cluster.primary() !== null, 15_000)
  assert.ok(tookMs >= 2000, `${tookMs} ms`)
  assert.ok(cluster.record()!.epoch > epoch)
  await cluster.writes(3)
})

test('a command hands the space over without an error to any client', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const to = others(cluster, old)[0]!
  const pending: Promise<unknown>[] = []
  const answer = cluster.command('n1', { type: 'promote', space: 'teams', to: to.id })
  for (let i = 0; i < 100; i += 1) {
    pending.push(cluster.send({ 'Engram-Ack': i % 2 ? 'durable' : 'committed' }))
    await cluster.run(1)
  }
  assert.is((await answer)['ok'], true)
  const answers = await cluster.wait(Promise.all(pending))
  const bad = answers.filter((answer) => !(answer as { ok?: boolean } | null)?.ok)
  assert.equal(bad, [])
  assert.is(cluster.primary(), to)
  assert.is(cluster.record()!.epoch, 2, 'one epoch, for the one handover')
  const sequences = answers.map((answer) => (answer as { sequence: number }).sequence)
  assert.equal(sequences, sequences.toSorted((a, b) => a - b), 'in the order they were sent')
  await cluster.check()
})

test('a handover whose answer is lost is settled, applied or not', async () => {
  for (const fate of ['applied', 'lost', 'late'] as const) {
    const cluster = await serving()
    const old = cluster.primary()!
    const to = others(cluster, old)[1]!
    cluster.bucket.loseAnswers(fate)
    const answer = await cluster.command('n2', { type: 'promote', space: 'teams', to: to.id })
    assert.is(answer['ok'], true, fate)
    cluster.bucket.release()
    assert.is(cluster.primary(), to)
    await cluster.writes(2, 'committed')
    await cluster.check()
  }
})

test('the target of a handover dies: the cluster goes on', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const to = others(cluster, old)[0]!
  void cluster.client.request(`engram.v1.admin.${old.id}`,
    Buffer.from(JSON.stringify({ type: 'promote', space: 'teams', to: to.id })), {
    timeoutMs: 9000,
  })
    .catch(() => undefined)
  await cluster.run(1)
  to.kill()
  await cluster.until('somebody serves', () => cluster.primary() !== null, 5000)
  await cluster.writes(3)
  to.start()
  await cluster.check()
})

test('a lost disk: the node comes back as another member, in sync with nothing', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  old.kill()
  old.replaceDisk()
  // On an empty disk incarnations count from the present second.
  await cluster.run(2000)
  old.start()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  assert.is.not(cluster.primary(), old)
  await cluster.until('it is let in', () => cluster.record()!.inSync.length === 3)
  await cluster.check()
})

test('power cuts of all nodes: what was answered as durable is there', async () => {
  const cluster = await serving({}, 7)
  const pending = Array.from({ length: 30 },
    (_, i) => cluster.send({ 'Engram-Ack': i % 2 ? 'durable' : 'committed' }))
  await cluster.run(2)
  for (const node of cluster.nodes.values()) node.powerCut(() => cluster.random.next())
  for (const node of cluster.nodes.values()) node.start()
  await cluster.wait(Promise.all(pending))
  await cluster.until('one is primary', () => cluster.primary() !== null)
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('a disk that is full at once: what was answered in memory is gone with its epoch', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  primary.disk.capacity = 0
  const gone = await cluster.write('memory', { 'Nats-Msg-Id': 'gone' })
  assert.ok(gone?.ok)
  await cluster.until('another epoch', () =>
    cluster.record()!.epoch > gone.epoch
    && cluster.primary() !== null)
  primary.disk.capacity = Infinity
  const again = await cluster.write('durable', { 'Nats-Msg-Id': 'gone' })
  assert.ok(again?.ok && !again.duplicate && again.epoch > gone.epoch,
    'an epoch gives no sequence twice')
})

test('a full disk at the primary refuses writes, and heals', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  primary.disk.capacity = 0
  assert.ok(answered('READ_ONLY')(await cluster.write()))
  primary.disk.capacity = Infinity
  await cluster.run(600)
  await cluster.writes(2, 'committed')
  await cluster.check()
})

test('a failed fdatasync ends the process, and nothing of it was acknowledged', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  primary.disk.failNext('datasync')
  const answer = await cluster.write()
  assert.is.not(answer?.ok, true)
  await cluster.run(50)
  assert.ok(primary.exitCode !== null && primary.exitCode > 0, `exit ${primary.exitCode}`)
  primary.disk.powerCut()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  primary.start()
  await cluster.writes(2, 'committed')
  await cluster.check()
})

test('messages lost at random: gaps are found and filled', async () => {
  const cluster = await serving({}, 11)
  const { random } = cluster
  cluster.weather = (from, to) => (from !== 'client' && to !== 'client' && random.chance(0.1)
    ? 'lost'
    : 0.1 + random.next())
  for (let i = 0; i < 20; i += 1) {
    const sent = Promise.all([cluster.send(), cluster.send({ 'Engram-Ack': 'committed' })])
    await cluster.run(100)
    cluster.primary()
    await cluster.wait(sent)
  }
  cluster.weather = () => 0.2
  await cluster.check()
})

test('one key takes effect once, over a failover too', async () => {
  const cluster = await serving()
  const first = await cluster.write('durable', { 'Nats-Msg-Id': 'key-1' })
  await cluster.converged()
  cluster.primary()!.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  const again = await cluster.write('committed', { 'Nats-Msg-Id': 'key-1' })
  assert.ok(first?.ok && again?.ok)
  assert.is(again.duplicate, true)
  assert.is(again.sequence, first.sequence)
  assert.is(again.epoch, 2)
})

test('a log that rots below the applier costs its space, and no other', async () => {
  const cluster = await serving()
  await cluster.createSpace({}, 'other')
  const [victim] = others(cluster, cluster.primary()!)
  await cluster.writes(20, 'committed')
  await cluster.until('its commit is in the journal', () =>
    victim!.space().member.store.applied
      .sequence >= 20)
  await cluster.run(1500)
  victim!.powerCut()
  victim!.loseGraphs()
  victim!.start()
  await cluster.until('it has recovered', () => victim!.actor.context !== null)
  const path = victim!.disk.paths('/data/journal').find((each) => each.endsWith('.segment'))!
  // Past the head: in the first entries, which the store is yet to be given.
  for (let at = 400; at < 700; at += 10) victim!.disk.flipBit(path, at, 1)
  await cluster.until('the space is damaged', () => victim!.space().roleState.role === 'damaged',
    5000)
  assert.is(victim!.exitCode, null, 'the node goes on')
  await cluster.until('it follows in the other',
    () => victim!.space('other').member.following.isFollowing)
})

test.run()
