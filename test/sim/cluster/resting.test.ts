/** Spaces that rest are looked at once a second: what is due at once does not wait for that. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: resting')

async function rested(
  settings: object = {},
  onRead: () => void = () => undefined,
): Promise<SimCluster> {
  const cluster = SimCluster.create()
  const { open } = cluster.bucket
  Object.assign(cluster.bucket, {
    open: (...args: Parameters<typeof open>) => {
      const arbiter = open(...args)
      return { ...arbiter, read: (key: string) => {
        if (key.startsWith('space.')) onRead()
        return arbiter.read(key)
      } }
    },
  })
  await cluster.boot()
  await cluster.createSpace(settings)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(3)
  await cluster.until('all rest', () => cluster.running.every((node) => node.space().isAtRest))
  await cluster.run(10_000)
  return cluster
}

test('a space at rest has another primary as soon as one that is busy', async () => {
  const cluster = await rested()
  const former = cluster.primary()!
  former.kill()
  const takenMs = await cluster.until('another is primary', () => {
    const primary = cluster.primary()
    return primary !== null && primary !== former
  })
  assert.ok(takenMs < 500, `${takenMs} ms`)
  await cluster.writes(1)
  await cluster.check()
})

test('a primary at rest that hears nobody takes the others out, or steps down, in time', async () => {
  for (const isArbiterThere of [true, false]) {
    const cluster = await rested()
    const primary = cluster.primary()!
    cluster.bucket.available = isArbiterThere
    for (const node of cluster.running) if (node !== primary) node.freeze()
    const isOver = isArbiterThere
      ? () => cluster.record()!.inSync.length === 1
      : () => primary.space().primaryRole === null
    const tookMs = await cluster.until('it has noticed', isOver)
    // Half a lease, or all of it, from the last heartbeat that was answered.
    const leastMs = isArbiterThere ? 800 : 1800
    assert.ok(tookMs > leastMs && tookMs < leastMs + 400, `${tookMs} ms`)
  }
})

test('a write wakes a space at rest: it is committed, applied and at rest again', async () => {
  const cluster = await rested({ ack: 'committed' })
  const [answer] = await cluster.writes(1, 'committed')
  await cluster.until('all have applied it',
    () =>
      cluster.running.every((node) =>
        node.space().member.store.applied.sequence === answer!.sequence
      ), 300)
  await cluster.until('all rest', () => cluster.running.every((node) => node.space().isAtRest), 500)
})

test('records are not read while nothing changes; one that changes unheard is, in time', async () => {
  let reads = 0
  const cluster = await rested({}, () => (reads += 1))
  reads = 0
  await cluster.run(30_000)
  assert.ok(reads <= 3, `${reads} reads in half a minute`)
  const { value } = cluster.bucket.snapshot().get('space.teams')!
  const record = JSON.parse(Buffer.from(value).toString()) as object
  const paused = { by: 'somebody', since: 'now' }
  cluster.bucket.overwrite('space.teams', Buffer.from(JSON.stringify({ ...record, paused })))
  await cluster.until('all know it',
    () =>
      cluster.running.every((node) =>
        node.space().member.known.record?.assignment.paused?.by === 'somebody'
      ))
  await cluster.run(70_000)
  const before = reads
  await cluster.run(65_000)
  assert.ok(reads >= before + 3, 'each is read once a minute in any case')
})

test.run()
