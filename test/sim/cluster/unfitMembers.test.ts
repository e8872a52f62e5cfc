/** Members that cannot do what is asked of them: others take over, and nobody spins or waits. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: unfit members')

const serving = (seed = 1) => SimCluster.serving({ seed, writes: 5 })

function replicas(cluster: SimCluster): [SimNode, SimNode] {
  const [a, b] = cluster.running.filter((node) => node !== cluster.primary())
  return [a!, b!]
}

/** Flushed entries leave the memory of the process: the next read goes to the journal. */
async function restarted(cluster: SimCluster, node: SimNode): Promise<void> {
  node.kill()
  await cluster.run(500)
  node.start()
  await cluster.until('it follows', () =>
    cluster.record()!.inSync.length === 3
    && node.life?.actor.spaces.get('teams')?.member.following.isFollowing === true)
  await cluster.run(1000)
}

function unreadable(node: SimNode, code: string): void {
  const { journal } = node.actor.context!.ports
  journal.read = () => Promise.reject(Object.assign(new Error('unreadable'), { code }))
}

for (const code of ['JOURNAL_DAMAGED', 'EIO']) {
  test(`a candidate that cannot read its log (${code}) leaves the epoch to another`, async () => {
    const cluster = await serving()
    const primary = cluster.primary()!
    // The better candidate by its id, among equals.
    const [best] = replicas(cluster)
    await restarted(cluster, best)
    assert.ok(primary === cluster.primary())
    unreadable(best, code)
    primary.kill()
    const tookMs = await cluster.until('another is primary', () => cluster.primary() !== null, 5000)
    assert.is.not(cluster.primary(), best)
    assert.ok(cluster.record()!.epoch <= 4, `epoch ${cluster.record()!.epoch}`)
    assert.ok(tookMs < 2000, `${tookMs} ms`)
    await cluster.writes(2, 'durable')
    assert.is(best.space().roleState.role, code === 'EIO' ? 'replica' : 'damaged')
  })
}

test('stores that the disks have no room for: the space is served from the journals', async () => {
  const cluster = await serving()
  // The commit sequence is in the journals by then.
  await cluster.run(1500)
  for (const node of cluster.nodes.values()) {
    node.powerCut()
    node.loseGraphs()
    const { space } = node.store
    node.store.space = (uuid) =>
      Object.assign(space.call(node.store, uuid), {
        apply: () => Promise.reject(Object.assign(new Error('no room'), { retryable: true })),
      })
  }
  for (const node of cluster.nodes.values()) node.start()
  const tookMs = await cluster.until('somebody serves', () => cluster.primary() !== null, 10_000)
  assert.ok(tookMs < 5000, `${tookMs} ms`)
  await cluster.writes(2, 'committed')
  const { rebuilding } = cluster.primary()!.space().member
  assert.match(rebuilding ?? '',
    /rebuilt from the journal: 0 of \d+ entries done; it cannot be written: no room/)
})

test('the only candidate there is tries again, and not without a pause', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [one, other] = replicas(cluster)
  await restarted(cluster, one)
  const { journal } = one.actor.context!.ports
  const read = journal.read.bind(journal)
  unreadable(one, 'EIO')
  primary.kill()
  other.kill()
  await cluster.run(10_000)
  assert.ok(cluster.record()!.epoch < 10, `epoch ${cluster.record()!.epoch}`)
  journal.read = read
  await cluster.until('it is primary', () => cluster.primary() === one, 10_000)
  await cluster.writes(2, 'durable')
})

test('a damaged primary is succeeded although its announcement is lost', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  cluster.weather = (from) => (from === old.id ? 'lost' : 0.2)
  old.space().member.damaged('a bit flipped')
  await cluster.run(5)
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null, 5000)
  assert.is.not(cluster.primary(), old)
  await cluster.writes(3, 'durable')
  assert.is(old.space().roleState.role, 'damaged')
})

test('a log found to lack what the store holds stays damaged without its store, until it is replaced', async () => {
  const cluster = await serving()
  const [one] = replicas(cluster)
  await cluster.converged()
  one.kill()
  const path = one.disk.paths('/data/journal').filter((p) => one.disk.bytesOf(p).length).at(-1)!
  // Its last flushes look torn, and are cut.
  one.disk.cut(path, one.disk.bytesOf(path).length - 700)
  one.start()
  await cluster.until('it sees that', () =>
    one.life !== null
    && one.actor.spaces.get('teams')?.roleState.role === 'damaged')
  one.powerCut()
  one.store.discardGraphs()
  await cluster.run(100)
  one.start()
  cluster.weather = (from, to) => ([from, to].includes(one.id) ? 'lost' : 0.2)
  await cluster.until('it is back', () => one.actor.spaces.get('teams') !== undefined)
  await cluster.run(3000)
  assert.is(one.space().roleState.role, 'damaged')
  cluster.weather = () => 0.2
  await cluster.until('it is installed', () => cluster.record()!.inSync.includes(one.id))
  assert.is(one.space().member.store.installs, 1)
  await cluster.check()
})

test('a read that the journal cannot serve gets an error, and the process lives', async () => {
  const cluster = await serving()
  const [one, other] = replicas(cluster)
  await restarted(cluster, one)
  unreadable(one, 'EIO')
  other.kill()
  const answers = new Set<string>()
  for (let i = 0; i < 20; i += 1) {
    const query = { type: 'GetEntries', from: 1, limit: 3 }
    const answer = await cluster.read(query, {}, subjects.readAny('teams'))
    answers.add(answer.ok ? answer.node : `${answer.code} ${answer.outcome}`)
  }
  assert.equal([...answers].toSorted(), ['INTERNAL unknown', cluster.primary()!.id])
})

test('tilt holds a candidate back also once it waits for the vacancy', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const others = replicas(cluster)
  old.freeze()
  cluster.weather = () => 50
  // It takes the epoch for over, asks around, and would find the proof right after.
  await cluster.until('it asks around',
    () => others[0].space().roleState.state.includes('surveying'))
  for (const node of others) {
    const { peers } = node.actor.context!
    Object.defineProperty(peers, 'isTilted', { get: () => true, configurable: true })
  }
  const { epoch } = cluster.record()!
  await cluster.run(3000)
  assert.is(cluster.record()!.epoch, epoch, 'nobody claims in tilt')
})

test.run()
