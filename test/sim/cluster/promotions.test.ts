/** Promotions as their members note them: who, from whom, why, for how long, and what is at risk. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PromotionReport, RecordedEvent } from '../../../machines/protocol/events.js'
import { promotionsIn } from '../../../runtime/inspect/promotions.js'
import { asRecorded } from '../../../runtime/inspect/recorded.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: promotions')

const serving = (options: Parameters<typeof SimCluster.start>[0] = {}) =>
  SimCluster.serving({ ...options, writes: 5 })

function notedBy(node: SimNode): RecordedEvent[] {
  const { texts } = node.life!.events.page({ before: null, lengthMax: 1e9 })
  return texts.map((text) => asRecorded(JSON.parse(text))!)
}

/** Promotions noted by the present lives of all nodes. */
function promotions(cluster: SimCluster): PromotionReport[] {
  return promotionsIn(cluster.running.flatMap(notedBy))
}

function lastPromotion(cluster: SimCluster): PromotionReport {
  return promotions(cluster).at(-1)!
}

async function successor(cluster: SimCluster, old: SimNode): Promise<void> {
  // The old one is not asked: that would make one that hangs notice that its lease is over.
  await cluster.until('another primary',
    () =>
      cluster.running.some((node) =>
        node !== old && node.life?.actor.spaces.get('teams')?.serves === true
      ), 20_000)
  // Its announcement reaches the others.
  await cluster.run(20)
}

test('the first primary of a space succeeds nobody', async () => {
  const cluster = await serving()
  const [first, ...more] = promotions(cluster)
  assert.equal(more, [])
  assert.equal([first?.from, first?.to, first?.epoch, first?.vacancy, first?.atRisk], [null,
    cluster.primary()!.id, 1, 'none', 0])
})

test('a primary that dies: from its last heartbeat to the first write of the next', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const killedMs = cluster.clock.wallMs()
  old.kill()
  await successor(cluster, old)
  const last = lastPromotion(cluster)
  assert.equal([last.from, last.to, last.epoch, last.vacancy, last.atRisk], [old.id,
    cluster.primary()!.id, 2, 'noResponders', 0])
  assert.is(last.reason, `NATS says that ${old.id} is no longer connected`)
  // A heartbeat comes each 100 ms: the last one was no earlier than that before the kill.
  const outageMs = last.atMs - killedMs
  assert.ok(last.ms >= outageMs && last.ms <= outageMs + 101, `${last.ms} of ${outageMs} ms`)
  for (const node of cluster.running) {
    const noted = notedBy(node).filter(({ type }) => type === 'promoted').at(-1)
    assert.equal(noted?.type === 'promoted' && noted.promotion, last, `${node.id} has it too`)
  }
})

test('a primary that hangs: the length of the lease, whatever was suspected of others before',
  async () => {
    const cluster = await serving()
    const old = cluster.primary()!
    const other = cluster.running.find((node) => node !== old)!
    other.kill()
    await cluster.run(1_500)
    other.start()
    await cluster.until('it is in sync', () => cluster.record()!.inSync.includes(other.id))
    await cluster.run(500)
    const frozenMs = cluster.clock.wallMs()
    old.freeze()
    await successor(cluster, old)
    const last = lastPromotion(cluster)
    assert.equal([last.from, last.vacancy], [old.id, 'grantExpired'])
    const outageMs = last.atMs - frozenMs
    assert.ok(outageMs > 2_000 && outageMs < 2_600, `${outageMs}`)
    assert.ok(last.ms >= outageMs && last.ms <= outageMs + 101, `${last.ms} of ${outageMs} ms`)
  })

test('a primary that comes back at once as another life: from when the earlier one was heard',
  async () => {
    const cluster = await serving()
    const old = cluster.primary()!
    const killedMs = cluster.clock.wallMs()
    // The others hear of it by its next life alone: probes and their answers get lost.
    cluster.weather = (from, to) => from === old.id || to === old.id ? 'lost' : 0.2
    old.kill()
    old.start()
    await cluster.run(300)
    cluster.weather = () => 0.2
    await cluster.until('a primary', () => cluster.primary() !== null, 20_000)
    await cluster.run(20)
    const last = lastPromotion(cluster)
    assert.is(last.from, old.id)
    assert.ok(['restarted', 'own', 'noResponders'].includes(last.vacancy), last.vacancy)
    const outageMs = last.atMs - killedMs
    if (last.vacancy === 'own') assert.ok(last.ms <= outageMs + 1, `${last.ms} of ${outageMs} ms`)
    else assert.ok(last.ms >= outageMs && last.ms <= outageMs + 101, `${last.ms} of ${outageMs} ms`)
  })

test('writes that the next primary had heard of and not got are at risk', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  // Frames get lost; notices, which say how far the log goes, do not.
  cluster.transit = (from, to, subject) => {
    const isFrame = subject.startsWith('engram.v1.wal.') && from === old.id
    return isFrame && Math.floor(cluster.clock.monotonicMs()) % 2 === 0 ? [] : [0.2]
  }
  const { log } = old.space().member
  const before = log.end.sequence
  for (let n = 0; n < 6; n += 1) await cluster.wait(cluster.send({ 'Engram-Ack': 'durable' }))
  assert.ok(log.end.sequence > before)
  const survivors = cluster.running.filter((node) => node !== old)
  const heard = Math.max(
    ...survivors.map((node) => node.space().member.following.heardEnd.sequence),
  )
  const had = Math.max(...survivors.map((node) => node.space().member.log.end.sequence))
  old.kill()
  cluster.transit = null
  await successor(cluster, old)
  const last = lastPromotion(cluster)
  assert.is(last.atRisk, Math.max(0, heard - had))
})

test('after a restart of all nodes nobody knows what the last primary had', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  for (const node of cluster.running) node.kill()
  for (const node of cluster.nodes.values()) if (node !== old) node.start()
  await cluster.until('a primary', () => cluster.primary() !== null, 20_000)
  await cluster.run(20)
  const last = lastPromotion(cluster)
  assert.equal([last.from, last.atRisk], [old.id, null])
})

test('a handover: nothing is at risk, and who handed over begins it', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const to = cluster.running.find((node) => node !== old)!
  assert.ok(old.space().handOver(to.id, 'promote --to'))
  await successor(cluster, old)
  const last = lastPromotion(cluster)
  assert.equal([last.from, last.to, last.vacancy, last.reason, last.atRisk], [old.id, to.id,
    'resigned', `${old.id} handed over`, 0])
  assert.ok(last.ms < 100, `${last.ms}`)
  const begun = notedBy(old).find(({ type }) => type === 'handoverBegun')
  assert.equal(begun?.type === 'handoverBegun' && [begun.to, begun.reason], [to.id, 'promote --to'])
  const down = notedBy(old).filter((event) => event.type === 'steppedDown')
  assert.equal(down.map(({ epoch, reason }) => [epoch, reason]), [[1, `handed over to ${to.id}`]])
})

test('an operator forces a member: that is the reason, whoever is the primary', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const to = cluster.running.find((node) => node !== old)!
  to.space().forcePromotion('an operator forces it')
  await cluster.until('the forced one serves', () => to.space().serves, 20_000)
  await cluster.run(20)
  const last = lastPromotion(cluster)
  assert.equal([last.from, last.to, last.reason], [old.id, to.id, 'an operator forced it'])
})

test('a candidate that dies before it serves: the outage began before it, with who served', async () => {
  let isSlow = false
  const cluster = await serving({ arbiterDelayMs: () => isSlow ? 20 : 0 })
  const old = cluster.primary()!
  const killedMs = cluster.clock.wallMs()
  old.kill()
  isSlow = true
  await cluster.until('a claim', () => cluster.record()!.state === 'claimed')
  cluster.node(cluster.record()!.primary!.node).kill()
  isSlow = false
  await cluster.until('the last one serves', () => cluster.primary() !== null, 20_000)
  await cluster.run(20)
  const last = lastPromotion(cluster)
  assert.is(last.from, old.id)
  const outageMs = last.atMs - killedMs
  assert.ok(last.ms >= outageMs && last.ms <= outageMs + 101, `${last.ms} of ${outageMs} ms`)
})

test('nodes note who is gone and back, themselves and what calls for help', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  old.kill()
  await successor(cluster, old)
  old.start()
  await cluster.until('it is in sync again', () => cluster.record()!.inSync.includes(old.id))
  await cluster.until('its report is closed', () =>
    cluster.primary()!.space().member.store
      .openReportCount === 0, 20_000)
  const winner = cluster.primary()!
  const noted = notedBy(winner).map((event) =>
    event.type === 'notice'
      ? event.kind
      : event.type === 'peer' || event.type === 'node'
      ? `${event.type} ${event.state}`
      : event.type === 'promoted'
      ? `epoch ${event.promotion.epoch}`
      : event.type
  )
  for (const kind of ['node running', 'peer gone', 'epoch 2', 'forkReportOpened', 'peer back',
    'inSyncGrown', 'forkReportClosed']) assert.ok(noted.includes(kind), `${kind}: ${noted.join()}`)
  const order = ['peer gone', 'epoch 2', 'peer back', 'forkReportClosed'].map((kind) =>
    noted.indexOf(kind)
  )
  assert.equal(order, order.toSorted((a, b) => a - b))
  const opened = notedBy(winner).find((event) =>
    event.type === 'notice'
    && event.kind === 'forkReportOpened'
  )
  assert.ok(opened?.type === 'notice' && !opened.isAlert, 'at least 0 writes are no alert')
  assert.equal(notedBy(old).map(({ type }) => type).slice(0, 1), ['node'])
})

test.run()
