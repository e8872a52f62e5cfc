/** Journals that are cut while a cluster writes: what goes, what stays, and who needs it after. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SectionSource } from '../../../actors/ports/checkpoints.js'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { assertSameTables } from '../../support/sameTables.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: retention')

const segmentBytes = 8192
const retainBytes = 16_384
const settings = { checkpointBytes: 4096, retainBytes }

const started = () => SimCluster.serving({ segmentBytes, settings, writes: 3 })

const journalOf = (node: SimNode) => node.actor.context!.ports.journal
const retentionOf = (node: SimNode) => node.actor.checkpointing!.retention
const closedBytes = (node: SimNode): number =>
  journalOf(node).segments().reduce((sum, { bytes }) => sum + bytes, 0)
const baseOf = (node: SimNode, space = 'teams'): number => node.space(space).member.log.base

/** Writes to the same few nodes, with time for checkpoints in between: the state stays small. */
async function grow(cluster: SimCluster, rounds: number, space = 'teams'): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (let n = 0; n < 10; n += 1) {
      const node = { id: `same${n}`, content: 'x'.repeat(100) + String(round) }
      const answer = await cluster.wait(
        cluster.client.request(subjects.write(space),
          Buffer.from(JSON.stringify({ type: 'StoreNode', node })), { timeoutMs: 8000,
          headers: { 'Engram-Ack': 'durable' } }),
      )
      const text = Buffer.from(answer.data).toString()
      assert.match(text, /"ok":true/)
    }
    await cluster.run(300)
  }
}

test('the disk levels off, whatever was written', async () => {
  const cluster = await started()
  const sizes: number[] = []
  for (let part = 0; part < 6; part += 1) {
    await grow(cluster, 10)
    await cluster.run(3000)
    sizes.push(...cluster.running.map(closedBytes))
  }
  // Above what is retained: the journal of two generations of checkpoints.
  const most = retainBytes + 2 * settings.checkpointBytes + 3 * segmentBytes
  assert.ok(Math.max(...sizes) < most, sizes.join())
  for (const node of cluster.running) {
    assert.ok(closedBytes(node) > retainBytes - segmentBytes, 'what is to be retained is')
    assert.ok(baseOf(node) > 200, `${baseOf(node)}`)
    assert.ok(node.counts.get('segmentsGivenUp')! > 5)
  }
  await cluster.converged()
  for (const node of cluster.running) {
    node.kill()
    node.start()
    await cluster.until('it is back', () =>
      cluster.record()!.inSync.length === 3 && cluster.primary() !== null)
  }
  await grow(cluster, 1)
  await cluster.converged()
  assertSameTables(cluster)
})

test('a space that rests does not keep the journal of one that is busy', async () => {
  const cluster = await started()
  await cluster.createSpace({}, 'idle')
  await grow(cluster, 1, 'idle')
  await grow(cluster, 30)
  await cluster.run(3000)
  for (const node of cluster.running) {
    assert.ok(baseOf(node) > 50, `${baseOf(node)}`)
    const { log } = node.space('idle').member
    assert.is(log.base, log.end.sequence, 'its entries are in checkpoints')
  }
  for (const node of cluster.running) node.powerCut()
  for (const node of cluster.nodes.values()) {
    node.store.discardGraphs()
    node.start()
  }
  await cluster.until('both serve again',
    () => cluster.primary() !== null && cluster.primary('idle') !== null)
  await grow(cluster, 1, 'idle')
  await cluster.converged()
  await cluster.converged('idle')
})

test('many spaces that rest let the journal go, one after the other', async () => {
  const cluster = await started()
  const spaces = Array.from({ length: 12 }, (_, at) => `idle${at}`)
  for (const space of spaces) {
    await cluster.createSpace({}, space)
    await grow(cluster, 1, space)
  }
  // Twice, and each time when the node has written twice what all of them are.
  await grow(cluster, 100)
  await cluster.run(3000)
  for (const node of cluster.running) {
    for (const space of spaces) {
      const { log } = node.space(space).member
      assert.is(log.base, log.end.sequence, `${node.id} ${space}`)
    }
  }
})

test('a member that was away for longer than the journal reaches back is installed', async () => {
  const cluster = await started()
  const away = cluster.running.find((node) => node !== cluster.primary())!
  await grow(cluster, 2)
  away.kill()
  const { sequence } = (await cluster.writes(1))[0]!
  await grow(cluster, 20)
  await cluster.run(3000)
  assert.ok(baseOf(cluster.primary()!) > sequence)
  away.start()
  await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(away.id), 30_000)
  assert.is(away.counts.get('installs'), 1)
  await cluster.converged()
  assertSameTables(cluster)
})

test('a space that cannot be checkpointed keeps its journal, and the node says which', async () => {
  const cluster = await started()
  await cluster.createSpace({}, 'other')
  await grow(cluster, 1, 'other')
  const node = cluster.primary()!
  const { member } = node.space('other')
  const { checkpoints } = node.actor.context!.ports
  const { write } = checkpoints
  checkpoints.write = async (sections, pace) => {
    const all: SectionSource[] = []
    for await (const section of sections) all.push(section)
    if (all.every(({ notes }) => notes.space !== 'other')) {
      return await write.call(checkpoints, all, pace)
    }
    for (const { image } of all) image.close()
    throw new FileSystemError('EIO', 'a bad sector')
  }
  await grow(cluster, 20)
  await cluster.run(3000)
  assert.ok(closedBytes(node) > retainBytes + 2 * segmentBytes)
  const { pinnedBy } = retentionOf(node)
  assert.is(pinnedBy!.space, 'other')
  assert.match(pinnedBy!.reason, /0 checkpoint\(s\) are kept, and not two/)
  assert.is(retentionOf(node).pinsOf(member.uuid)!.bytes, closedBytes(node) - retainBytes)
  assert.is(retentionOf(node).pinsOf(node.space().member.uuid), null)
  checkpoints.write = write
  await cluster.run(70_000)
  await grow(cluster, 4)
  await cluster.run(3000)
  assert.is(retentionOf(node).pinnedBy, null, 'the next attempts')
  assert.ok(closedBytes(node) <= retainBytes)
})

test('of a space that rests, a checkpoint is lost: its journal stays until two count again', async () => {
  const cluster = await SimCluster.serving({ segmentBytes, writes: 3,
    settings: { checkpointBytes: 4096, retainBytes: 6 * segmentBytes } })
  await cluster.createSpace({}, 'idle')
  await grow(cluster, 8, 'idle')
  await cluster.run(3000)
  const node = cluster.running.find((one) => one !== cluster.primary('idle'))!
  const { uuid, log } = node.space('idle').member
  const [older, newer] = journalOf(node).log(uuid)!.covers.kept
  assert.is(log.base, 0)
  node.kill()
  const lost = node.disk.paths('/data/checkpoints')
    .find((path) => path.includes(`${newer!.file}.checkpoint`))!
  await node.disk.remove(lost)
  node.start()
  await cluster.until('it is back', () => node.life?.actor.spaces.get('idle') !== undefined)
  await cluster.until('both serve',
    () => cluster.primary() !== null && cluster.record('idle')!.inSync.length === 3)
  const usable = () => {
    const { checkpoints } = node.actor.context!.ports
    return journalOf(node).log(uuid)!.covers.kept.filter((one) => checkpoints.find(uuid, one))
  }
  assert.equal(usable(), [older])
  const journal = journalOf(node)
  const { remove } = journal
  const counted: number[] = []
  journal.remove = (segment) => {
    const isOfIdle = journal.useOf(segment).spaces.some((one) => one.uuid === uuid)
    if (isOfIdle) counted.push(usable().length)
    return remove.call(journal, segment)
  }
  for (let part = 0; part < 10 && node.space('idle').member.log.base === 0; part += 1) {
    await grow(cluster, 5)
    await cluster.run(2000)
  }
  assert.ok(node.space('idle').member.log.base > 0, 'it goes then')
  assert.equal(counted.filter((count) => count !== 2), [], 'checkpoints that have what goes')
  await cluster.converged()
  await cluster.converged('idle')
})

test('what a member needs once it is installed stays, up to a bound', async () => {
  const cluster = await started()
  await grow(cluster, 10)
  await cluster.run(2000)
  const node = cluster.primary()!
  const { uuid } = cluster.record()!
  const from = baseOf(node) + 1
  node.actor.context!.pins.pin(uuid, { node: 'n9', from, bytes: 40_000 })
  const kept: number[] = []
  const reasons = new Set<string>()
  for (let round = 0; round < 60 && baseOf(node) < from; round += 1) {
    await grow(cluster, 1)
    kept.push(closedBytes(node))
    reasons.add(retentionOf(node).pinnedBy?.reason ?? '')
  }
  assert.ok(reasons.has(`n9 is being installed, and goes on from entry ${from}`))
  assert.ok(Math.max(...kept) > retainBytes + 80_000, `${Math.max(...kept)}`)
  assert.ok(baseOf(node) >= from, 'past the bound it goes')
  await cluster.run(3000)
  node.actor.context!.pins.release(uuid, 'n9')
  await cluster.converged()
})

test('a living member of an earlier release keeps what it may need', async () => {
  const cluster = await started()
  const node = cluster.primary()!
  const { peers } = node.actor.context!
  const { knowsInstalls } = peers
  peers.knowsInstalls = (id) => id !== 'n3' && id !== 'n2' && knowsInstalls.call(peers, id)
  await grow(cluster, 15)
  await cluster.run(2000)
  assert.is(baseOf(node), 0)
  assert.match(retentionOf(node).pinnedBy!.reason, /runs an earlier release/)
  assert.is(retentionOf(node).pinnedBy!.space, 'teams')
  delete (peers as { knowsInstalls?: unknown }).knowsInstalls
  await cluster.run(3000)
  assert.ok(baseOf(node) > 0)
  assert.is(retentionOf(node).pinnedBy, null)
})

test('a full disk gives up all that may go, and the node goes on by itself', async () => {
  const cluster = await started()
  await grow(cluster, 12)
  await cluster.run(3000)
  const node = cluster.primary()!
  const before = baseOf(node)
  let bytes = 0
  for (const path of ['/data', '/data/journal', '/data/checkpoints', '/data/salvage']) {
    for (const name of await node.disk.list(path)) {
      const handle = await node.disk.open(`${path}/${name}`, 'read').catch(() => null)
      bytes += await handle?.size() ?? 0
      await handle?.close()
    }
  }
  // Not even the record that something is given up has room, but for the reserve.
  node.disk.capacity = bytes
  const answer = await cluster.wait(cluster.send({ 'Engram-Ack': 'durable' }))
  assert.is(answer?.ok, false)
  await cluster.until('it has given up more', () => baseOf(node) > before)
  await cluster.until('it takes writes', () => !node.actor.context!.commits.isFull)
  node.disk.capacity = Infinity
  await grow(cluster, 1)
  await cluster.converged()
})

test('a disk that refuses a write for another reason than room: nothing goes for it', async () => {
  const cluster = await SimCluster.serving({ segmentBytes, writes: 3,
    settings: { checkpointBytes: 4096, retainBytes: 8 * segmentBytes } })
  await grow(cluster, 12)
  await cluster.run(3000)
  const node = cluster.primary()!
  assert.is(baseOf(node), 0)
  for (let n = 0; n < 12; n += 1) {
    node.disk.failNext('write', 'EIO')
    await cluster.wait(cluster.send({ 'Engram-Ack': 'durable' }))
    assert.is(node.actor.context!.commits.isFull, true)
    await cluster.run(350)
  }
  assert.is(baseOf(node), 0)
  await cluster.until('it takes writes', () => !node.actor.context!.commits.isFull)
  await cluster.converged()
})

test.run()
