/** Checkpoints while a cluster writes, and stores that are loaded from them after a power cut. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { contentOf, keptBy, replayed } from '../../support/checkpointContent.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: checkpoints')

async function started(seed = 1): Promise<SimCluster> {
  const cluster = await SimCluster.start({ seed, settings: { checkpointBytes: 4096 } })
  await cluster.createSpace()
  return cluster
}

/** Writes until each running member has taken so many more checkpoints. */
async function grow(cluster: SimCluster, checkpoints = 2): Promise<void> {
  const newest = () => cluster.running.map((node) => keptBy(node).at(-1)?.file ?? 0)
  const goal = newest().map((file) => file + checkpoints)
  for (let round = 0; round < 200; round += 1) {
    await cluster.writes(10, 'committed')
    await cluster.run(100)
    if (newest().every((file, at) => file >= goal[at]!)) return
  }
  throw new Error(`checkpoints ${newest().join()} instead of ${goal.join()}`)
}

const isServing = (cluster: SimCluster) => () => cluster.primary() !== null

async function cut(cluster: SimCluster, node: SimNode): Promise<void> {
  node.powerCut()
  node.store.discardGraphs()
  await cluster.run(50)
  node.start()
}

test('each member has two that hold exactly what the log up to there does (I13)', async () => {
  const cluster = await started()
  await grow(cluster, 3)
  await cluster.converged()
  const entries = await cluster.entries(cluster.primary()!.id)
  for (const node of cluster.running) {
    const kept = keptBy(node)
    assert.is(kept.length, 2, node.id)
    assert.ok(kept[0]!.position.sequence < kept[1]!.position.sequence)
    const { covered } = node.space().member.context.ports.journal
      .log(node.space().member.uuid)!.covers
    assert.equal(covered, kept[0]!.position)
    for (const one of kept) {
      const { sequence } = one.position
      assert.equal(await contentOf(node, one), await replayed(entries.slice(0, sequence)),
        `${node.id} ${sequence}`)
    }
    const files = node.actor.context!.ports.checkpoints.files().map(({ number }) => number)
    assert.equal(files, kept.map(({ file }) => file), 'older ones are removed')
  }
  await cluster.check()
})

test('a position is the end of a frame: a log could go on from there', async () => {
  const cluster = await started()
  // More entries in a frame than in a transaction of the store.
  for (let n = 0; n < 8; n += 1) {
    await cluster.wait(cluster.send({ 'Engram-Ack': 'committed' }, 800))
    await cluster.run(700)
  }
  const codec = createFrameCodec()
  for (const node of cluster.running) {
    const { log } = node.space().member
    const ends = new Set<number>()
    for (let next = 1; next <= log.written.sequence;) {
      for (const frame of await log.framesFrom(next, 1 << 20)) {
        next = codec.entries(frame).at(-1)!.sequence + 1
        ends.add(next - 1)
      }
    }
    for (const { position } of keptBy(node)) assert.ok(ends.has(position.sequence), node.id)
  }
})

test('an image that is asked for within a frame is taken at its end', async () => {
  const at: [asked: number, taken: number][] = []
  let isAsking = false
  const cluster = SimCluster.create({ observer: { applied: (node, _, entries) => {
    const asked = entries.at(-1)!.sequence
    const { applier, log } = node.space().member
    if (!isAsking || log.endsFrame(asked)) return
    isAsking = false
    applier.takeImage(({ image }) => {
      at.push([log.frameEnd(asked)! - asked, log.frameEnd(asked)! - image.state.position.sequence])
      image.close()
    })
  } } })
  await cluster.boot()
  await cluster.createSpace()
  isAsking = true
  await cluster.wait(cluster.send({ 'Engram-Ack': 'committed' }, 800))
  await cluster.run(1000)
  const [[asked, taken] = [0, 0]] = at
  assert.ok(asked > 200, `asked for ${asked} entries before the end`)
  assert.is(taken, 0)
})

test('after a power cut a store is loaded from the newest, and the journal goes on', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.writes(5, 'committed')
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  await cluster.run(1500)
  const from = keptBy(replica!).at(-1)!.position.sequence
  const applied: number[] = []
  await cut(cluster, replica!)
  const { store } = replica!
  const { stage } = store
  store.stage = (...args) => {
    const staged = stage.apply(store, args)
    applied.push(staged.state.position.sequence)
    return staged
  }
  await cluster.until('it is back', () => replica!.life?.actor.spaces.get('teams') !== undefined)
  await cluster.check()
  assert.equal(applied, [from])
})

test('all members at once: the space serves again by itself, and nothing is lost', async () => {
  const cluster = await started()
  await grow(cluster, 3)
  await cluster.writes(7, 'committed')
  await cluster.run(1500)
  for (const node of cluster.nodes.values()) {
    node.powerCut()
    node.store.discardGraphs()
  }
  for (const node of cluster.nodes.values()) node.start()
  await cluster.until('somebody serves', isServing(cluster))
  await cluster.writes(3, 'committed')
  await cluster.check()
})

test('while its store is loaded a member is no candidate, and says how far it is', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.run(1500)
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  replica!.powerCut()
  replica!.store.discardGraphs()
  let release: () => void = () => {}
  const { stage } = replica!.store
  replica!.store.stage = (...args) => {
    const staged = stage.apply(replica!.store, args)
    const { adopt } = staged
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    return Object.assign(staged, { adopt: async (installs: number) => {
      await gate
      await adopt.call(staged, installs)
    } })
  }
  replica!.start()
  await cluster.until('it follows',
    () => replica!.life?.actor.spaces.get('teams')?.member.following.isFollowing ?? false)
  await cluster.writes(5, 'committed')
  await cluster.run(200)
  const { member } = replica!.space()
  assert.match(member.rebuilding ?? '',
    /^its store is being loaded from a checkpoint: \d+ of about/)
  assert.match(member.fitness.unfit ?? '', /loaded from a checkpoint/)
  assert.is(member.store.applied.sequence, 0)
  assert.is(member.log.durable.sequence, member.log.end.sequence, 'its journal is whole')
  const readers = await readers50(cluster)
  assert.is(readers.size, 2, `${[...readers].join()} answer reads`)
  assert.not(readers.has(replica!.id))
  const late = await lateRead(cluster, replica!)
  assert.is(late['code'], 'STALE_READ')
  assert.match(String(late['message']), /is being loaded from a checkpoint/)
  release()
  await cluster.check()
  assert.is(member.rebuilding, null)
  assert.is((await readers50(cluster)).size, 3)
})

/** Who answers 50 reads that any member may answer. */
async function readers50(cluster: SimCluster): Promise<Set<string>> {
  const readers = new Set<string>()
  for (let n = 0; n < 50; n += 1) {
    const read = await cluster.read({ type: 'GetNode', nodeId: 'a' }, {}, subjects.readAny('teams'))
    readers.add(read.ok ? read.node : read.message)
  }
  return readers
}

/** A read that was on its way when the member ended its subscription; answered within 100 ms. */
async function lateRead(cluster: SimCluster, node: SimNode): Promise<Record<string, unknown>> {
  let answer: Record<string, unknown> | null = null
  const subscription = cluster.client.subscribe('_INBOX.late', ({ data }) => {
    answer = JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>
  })
  node.space().reads.onReadAny({
    subject: subjects.readAny('teams'),
    reply: '_INBOX.late',
    data: Buffer.from('{"type":"GetNode","nodeId":"a"}'),
    header: () => undefined,
    headerNames: () => [],
  } as never)
  await cluster.run(100)
  subscription.unsubscribe()
  assert.ok(answer, 'it is answered')
  return answer
}

function rot(node: SimNode, file: number): void {
  const path = node.disk.paths('/data/checkpoints')
    .find((one) => one.includes(`${file}.checkpoint`))!
  node.disk.flipBit(path, 400, 1)
}

test('one that rotted is passed over, said so, and replaced', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.run(1500)
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  const [older, newer] = keptBy(replica!)
  rot(replica!, newer!.file)
  await cut(cluster, replica!)
  await cluster.check()
  assert.ok(
    replica!.log.some(({ fields }) => (fields as { kind?: string }).kind === 'checkpointUnusable'),
  )
  assert.equal(keptBy(replica!).map(({ file }) => file), [older!.file, newer!.file])
  const newest = () => keptBy(replica!).at(-1)!.file
  for (let round = 0; round < 200 && newest() === newer!.file; round += 1) {
    await cluster.writes(10, 'committed')
    await cluster.run(100)
  }
  assert.equal(keptBy(replica!).map(({ file }) => file), [older!.file, newest()],
    'the one that was found to be sound stays')
  await grow(cluster, 1)
  assert.ok(keptBy(replica!).every(({ file }) => file > newer!.file))
})

test('damage that only the journal has noted: no checkpoint is taken in vain', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.run(1500)
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  const { member } = replica!.space()
  const { journal, checkpoints } = replica!.actor.context!.ports
  const [path] = replica!.disk.paths('/data/journal').filter((one) => one.endsWith('.segment'))
  for (let at = 400; at < 700; at += 10) replica!.disk.flipBit(path!, at, 1)
  let written = 0
  const { write } = checkpoints
  checkpoints.write = (...args) => {
    written += 1
    return write.apply(checkpoints, args)
  }
  // Who reads it goes on without an answer, as a comparison of a repeated write does.
  const read = journal.read(member.uuid, 1, 1 << 20).then(() => 'read', () => 'damaged')
  assert.is(await cluster.wait(read), 'damaged')
  assert.is(member.damage, null)
  for (let round = 0; round < 5; round += 1) {
    await cluster.writes(400, 'durable')
    await cluster.run(2000)
  }
  assert.ok(written <= 3, `${written} checkpoints`)
  assert.is(replica!.counts.get('installs'), 1, 'the member knows it, too')
  await cluster.check()
})

test('both rotted, and the store thrown away: damaged, until the member was installed', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.run(1500)
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  for (const { file } of keptBy(replica!)) rot(replica!, file)
  await cut(cluster, replica!)
  await cluster.until('it says so',
    () => replica!.life?.actor.spaces.get('teams')?.roleState.role === 'damaged')
  assert.match(replica!.space().member.damage ?? '', /no checkpoint of it can be read/)
  await cluster.writes(3)
  await cluster.until('it was installed', () => replica!.space().member.damage === null, 30_000)
  await cluster.check()
})

test('dropped while stores are loaded: no node ends, nothing of it comes back', async () => {
  const cluster = await started()
  await grow(cluster)
  await cluster.run(1500)
  const { uuid } = cluster.record()!
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  replica!.powerCut()
  replica!.store.discardGraphs()
  const { stage } = replica!.store
  let release: () => void = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  replica!.store.stage = (...args) => {
    const staged = stage.apply(replica!.store, args)
    const { put } = staged
    return Object.assign(staged, { put: async (records: Uint8Array) => {
      await gate
      await put.call(staged, records)
    } })
  }
  replica!.start()
  await cluster.until('it loads',
    () => replica!.life?.actor.spaces.get('teams')?.member.rebuild.isLoading ?? false)
  const [other] = cluster.running.filter((node) => node !== replica)
  const answer = await cluster.command(other!.id, { type: 'dropSpace', space: 'teams', by: 'ann' })
  assert.is(answer['ok'], true)
  await cluster.run(500)
  release()
  await cluster.run(5000)
  assert.is(replica!.exitCode, null)
  const { journal, store } = replica!.actor.context!.ports
  assert.equal([journal.log(uuid), store.has(uuid)], [undefined, false])
})

test('killed at any call to the disk: old or new count, and all that was promised is there', async () => {
  for (let calls = 1; calls <= 60; calls += 3) {
    const cluster = await started(calls)
    await grow(cluster, 1)
    const [replica] = cluster.running.filter((node) => node !== cluster.primary())
    replica!.crash = {
      port: 'disk',
      operation: null,
      moment: calls % 2 ? 'before' : 'after',
      calls: 20 + calls,
      die: () => replica!.powerCut(),
    }
    for (let round = 0; round < 60 && replica!.life; round += 1) {
      await cluster.writes(10, 'committed')
      await cluster.run(100)
    }
    if (replica!.life) continue
    replica!.store.discardGraphs()
    replica!.start()
    await cluster.until('it is back', () => replica!.life?.actor.spaces.get('teams') !== undefined)
    await cluster.check()
    await grow(cluster, 1)
    await cluster.check()
  }
})

test('a disk without room keeps its journal, says so, and goes on when it has room', async () => {
  const cluster = await started()
  await grow(cluster, 1)
  const [replica] = cluster.running.filter((node) => node !== cluster.primary())
  const { checkpoints } = replica!.actor.context!.ports
  const { write } = checkpoints
  Object.assign(checkpoints, {
    write: () => Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
  })
  const before = keptBy(replica!)
  for (let minute = 0; minute < 3; minute += 1) {
    for (let n = 0; n < 8; n += 1) await cluster.writes(10)
    await cluster.run(61_000)
  }
  assert.equal(keptBy(replica!), before)
  const alerts = () =>
    replica!.log.map(({ fields }) => (fields as { kind?: string }).kind)
      .filter((kind) => kind?.startsWith('checkpoint'))
  assert.equal(alerts(), ['checkpointFailed'], 'once')
  Object.assign(checkpoints, { write })
  await cluster.run(61_000)
  assert.equal(alerts(), ['checkpointFailed', 'checkpointFailedCleared'])
  assert.ok(keptBy(replica!).at(-1)!.file > before.at(-1)!.file)
})

test.run()
