/** Salvages that are large, damaged, cannot be read for a while, or are there twice. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import type { Operation } from '../../../machines/graph/graph.js'
import type { ForkReport } from '../../../machines/log/forkNotes.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { frameOf } from '../../support/journalKit.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: salvages')

async function started(settings: object = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start({ seed: 3 })
  await cluster.createSpace(settings)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  return cluster
}

async function command(cluster: SimCluster, node: string, fields: object): Promise<void> {
  const answer = await cluster.command(node, { space: 'teams', ...fields })
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

/** Writes that the primary alone has, as requests; it is left cut off, and then killed. */
async function leftBehind(
  cluster: SimCluster,
  requests: readonly { body: object; key?: string }[],
): Promise<SimNode> {
  const old = cluster.primary()!
  const reports = old.space().member.store.reports().length
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  const answers = await cluster.wait(
    Promise.all(
      requests.map(({ body, key }) =>
        cluster.client.request(subjects.write('teams'), Buffer.from(JSON.stringify(body)), {
          timeoutMs: 8000,
          headers: key === undefined ? {} : { 'Nats-Msg-Id': key },
        })
      ),
    ),
  )
  for (const { data } of answers) assert.match(Buffer.from(data).toString(), /"ok":true/)
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary, and a report is open',
    () => (cluster.primary()?.space().member.store.reports().length ?? 0) > reports)
  return old
}

const store = (id: string): Operation => ({ type: 'StoreNode', node: { id } })
const touches = (count: number, key: string) => ({
  key,
  body: { operations: Array.from({ length: count }, (_, i) => store(`${key}${i}`)) },
})

function reports(cluster: SimCluster): readonly ForkReport[] {
  return cluster.primary()?.space().member.store.reports() ?? []
}
const outcomes = (cluster: SimCluster) => reports(cluster).map(({ outcome }) => outcome)
const stateOf = (node: SimNode) => node.life?.actor.spaces.get('teams')?.uploads.state ?? null

async function isHome(cluster: SimCluster, old: SimNode, maxMs = 10_000): Promise<void> {
  await cluster.until('all is home',
    () => reports(cluster).length > 0 && !outcomes(cluster).includes(null), maxMs)
  await cluster.until('nothing is left to do',
    () => old.space().member.salvages.count === 0 && stateOf(old) === null)
}

function alerts(cluster: SimCluster): Record<string, unknown>[] {
  const heard: Record<string, unknown>[] = []
  cluster.client.subscribe(subjects.alert('teams'), (message) => {
    const alert = JSON.parse(Buffer.from(message.data).toString()) as Record<string, unknown>
    if (alert['kind'] === 'salvageUnusable') heard.push(alert)
  })
  return heard
}

async function booted(cluster: SimCluster, node: SimNode): Promise<void> {
  node.start()
  while (!node.actor.context) await cluster.run(0.1)
}

const pathsOf = (node: SimNode) =>
  node.disk.paths('/data/salvage').filter((path) => path.endsWith('.salvage'))

test('a request of a thousand writes is reconciled behind many single ones', async () => {
  for (const count of [898, 1000]) {
    const cluster = await started()
    const singles = Array.from({ length: 127 }, (_, i) => ({ body: store(`s${i}`) }))
    const old = await leftBehind(cluster, [...singles, touches(count, 'k')])
    old.start()
    await isHome(cluster, old)
    const [report] = reports(cluster)
    assert.equal([report?.outcome, report?.merged], ['reconciled', 127 + count])
  }
})

/** Places in the file that its header covers, and its last frame. */
const places: Record<string, (size: number) => number> = {
  version: () => 4,
  header: () => 30,
  frame: (size) => size - 30,
}

for (const [place, offsetIn] of Object.entries(places)) {
  test(`damage in its ${place}: nothing is gone, no report is closed, the others go on`, async () => {
    const cluster = await started({ reconcile: 'manual' })
    const heard = alerts(cluster)
    const old = await leftBehind(cluster, [{ body: store('a') }])
    old.start()
    await cluster.until('it is held', () => stateOf(old) === 'held')
    await cluster.converged()
    await command(cluster, old.id, { type: 'promote', to: old.id })
    await cluster.until('it is primary again', () => cluster.primary() === old)
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    await leftBehind(cluster, [{ body: store('b') }])
    const [path] = pathsOf(old) as [string]
    const offset = offsetIn(old.disk.bytesOf(path).length)
    old.disk.flipBit(path, offset, 1)
    old.start()
    await cluster.until('the readable one is held', () => stateOf(old) === 'held')
    assert.is(heard.length, 1, 'it is reported though another is held')
    await command(cluster, old.id, { type: 'reconcile' })
    await cluster.until('the other is home', () => stateOf(old) === 'unusable')
    await cluster.run(130_000)
    assert.is(pathsOf(old).join(), path)
    assert.equal(outcomes(cluster), [null, null])
    assert.equal(reports(cluster).map(({ merged }) => merged), [0, 1])
    assert.is(reports(cluster)[0]?.salvages[0]?.state, 'waiting')
    assert.ok(old.space().member.salvages.count === 1)
    assert.is(heard.length, 2, 'once, and after the command once more')

    old.disk.flipBit(path, offset, 1)
    await isHome(cluster, old, 70_000)
    assert.equal(outcomes(cluster), ['reconciled', 'reconciled'])
    assert.equal(reports(cluster).map(({ merged }) => merged), [1, 1])
  })
}

test('a fault of the disk that passes needs nobody', async () => {
  for (const failing of [1, 2, 3]) {
    const cluster = await started()
    const heard = alerts(cluster)
    const old = await leftBehind(cluster, [{ body: store('a') }])
    await booted(cluster, old)
    const { salvages } = old.actor.context!.ports
    const open = salvages.open.bind(salvages)
    let reads = 0
    salvages.open = async (name) => {
      reads += 1
      // While it is noted, uploaded, or (3) both.
      if (failing === 3 ? reads < 5 : reads === failing)
        throw new FileSystemError('EIO', 'as planned')
      return await open(name)
    }
    await isHome(cluster, old, 400_000)
    assert.equal([reports(cluster)[0]?.outcome, heard.length], ['reconciled', 1])
  }
})

test('a salvage is read to be noted, and to be uploaded, and not kept between', async () => {
  const cluster = await started({ reconcile: 'manual' })
  const old = await leftBehind(cluster, [{ body: store('a') }, { body: store('b') }])
  await booted(cluster, old)
  const { salvages } = old.actor.context!.ports
  const open = salvages.open.bind(salvages)
  let reads = 0
  salvages.open = async (name) => {
    reads += 1
    return await open(name)
  }
  await cluster.until('it is held', () => stateOf(old) === 'held')
  await cluster.run(30_000)
  assert.is(reads, 1)
  await command(cluster, old.id, { type: 'reconcile' })
  await isHome(cluster, old)
  assert.is(reads, 2)
})

test('a quarantine that is full is said once, with what to do, and waited for patiently', async () => {
  const cluster = await started()
  const old = await leftBehind(cluster, [{ body: store('a') }, { body: store('b') }])
  const primary = cluster.primary()!
  const { reconciler } = primary.space().primaryRole as unknown as {
    reconciler: { quarantined: () => number }
  }
  let isFull = true
  reconciler.quarantined = () => (isFull ? 100_000 : 0)
  // It has the higher confidence: the reconciled write loses.
  for (const id of ['a', 'b']) {
    await cluster.wait(cluster.client.request(subjects.write('teams'), Buffer.from(JSON.stringify({
      type: 'StoreNode',
      node: { id, confidence: 1 },
    })), { timeoutMs: 8000 }))
  }
  let slices = 0
  const { forks } = primary.space().primaryRole! as unknown as {
    forks: { onSlice: (...args: unknown[]) => void }
  }
  const onSlice = forks.onSlice.bind(forks)
  forks.onSlice = (...args) => {
    slices += 1
    onSlice(...args)
  }
  old.start()
  await cluster.until('a slice is refused', () => slices > 0)
  await cluster.run(60_000)
  assert.ok(slices < 10, `${slices} slices in a minute`)
  const found = primary.log.filter(({ fields }) =>
    (fields as { kind?: string }).kind === 'quarantineFull'
  )
  assert.is(found.length, 1)
  assert.match(found[0]!.message, /engram quarantine discard teams --all/)
  assert.match(old.space().uploads.state ?? '', /merging/)
  await cluster.createSpace({}, 'other')
  assert.ok((await cluster.wait(cluster.send({}, 1, 'other')))?.ok, 'other spaces go on')
  isFull = false
  await isHome(cluster, old, 30_000)
})

test('a node that dies between salvage and truncation counts one file once', async () => {
  const cluster = await started()
  const old = await leftBehind(cluster, [{ body: store('a') }])
  await booted(cluster, old)
  const { salvages } = old.actor.context!.ports
  const save = salvages.save.bind(salvages)
  salvages.save = async (header, frames) => {
    await save(header, frames)
    old.kill()
    return await new Promise<string>(() => undefined)
  }
  await cluster.until('it died', () => old.life === null)
  old.start()
  await isHome(cluster, old)
  await watched(cluster, old)
})

test('files of another space with that name are not its own', async () => {
  const cluster = await started()
  const old = await leftBehind(cluster, [{ body: store('a') }])
  const uuid = 'eeeeeeee-0000-4000-8000-000000000001'
  await old.salvageFiles.save({
    space: 'teams',
    uuid,
    node: old.id,
    common: { epoch: 1, sequence: 1 },
    end: { epoch: 1, sequence: 2 },
    joinedEpoch: 2,
    savedAtMs: 1,
  }, (async function*() {
    yield [frameOf(uuid, 2)]
  })())
  old.start()
  await isHome(cluster, old)
  await watched(cluster, old)
  assert.is(pathsOf(old).length, 1)
})

/** Nothing begins again though nothing is there. */
async function watched(cluster: SimCluster, node: SimNode): Promise<void> {
  for (let step = 0; step < 100; step += 1) {
    await cluster.run(100)
    assert.equal([node.space().member.salvages.count, stateOf(node)], [0, null])
  }
}

test('of a fork that cannot be read whole the beginning is salvaged, and its member installed',
  async () => {
    const cluster = await SimCluster.serving({ writes: 5, segmentBytes: 4096 })
    const old = cluster.primary()!
    cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
    for (let n = 0; n < 40; n += 1) await cluster.writes(1, 'durable')
    old.kill()
    cluster.weather = () => 0.2
    await cluster.until('another is primary', () => cluster.primary() !== null)
    const segments = old.disk.paths('/data/journal').filter((path) => path.endsWith('.segment'))
    // Closed: a start does not read it.
    const closed = segments.at(-2)!
    old.disk.flipBit(closed, old.disk.bytesOf(closed).length >> 1, 1)
    old.start()
    await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(old.id), 30_000)
    assert.is(old.space().member.store.installs, 1)
    await isHome(cluster, old)
    const merged = reports(cluster).reduce((sum, report) => sum + report.merged, 0)
    assert.ok(merged > 0 && merged < 40, `${merged}`)
  })

test.run()
