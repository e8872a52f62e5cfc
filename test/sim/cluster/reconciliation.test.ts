/** Writes that a failover left behind are reconciled, and reported. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { MemoryNode, Operation } from '../../../machines/graph/graph.js'
import type { ForkReport, QuarantineItem } from '../../../machines/log/forkNotes.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: reconciliation')

type Headers = Record<string, string>

async function started(settings: object = {}, seed = 3): Promise<SimCluster> {
  const cluster = await SimCluster.start({ seed })
  await cluster.createSpace(settings)
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  return cluster
}

async function write(
  cluster: SimCluster,
  operation: Operation | readonly Operation[],
  headers: Headers = {},
): Promise<WriteAnswer> {
  const body = JSON.stringify(Array.isArray(operation) ? { operations: operation } : operation)
  const message = await cluster.wait(cluster.client.request(
    subjects.write('teams'),
    Buffer.from(body),
    { timeoutMs: 8000, headers },
  ))
  const answer = JSON.parse(Buffer.from(message.data).toString()) as WriteAnswer
  assert.ok(answer.ok, JSON.stringify(answer))
  return answer
}

const store = (id: string, over: Partial<MemoryNode> = {}): Operation => ({ type: 'StoreNode',
  node: { id, ...over } })

/** Writes that the primary alone has, answered; it is left cut off, and then killed. */
async function leftBehind(
  cluster: SimCluster,
  operations: readonly Operation[],
  headers: Headers = {},
): Promise<{ old: SimNode; answers: WriteAnswer[] }> {
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  const answers: WriteAnswer[] = []
  for (const operation of operations) answers.push(await write(cluster, operation, headers))
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary, and a report is open',
    () => (cluster.primary()?.space().member.store.openReportCount ?? 0) > 0)
  return { old, answers }
}

async function ask<T>(cluster: SimCluster, query: object): Promise<T> {
  const answer = await cluster.read(query)
  assert.ok(answer.ok, JSON.stringify(answer))
  return answer.value as T
}

const reportsOf = (cluster: SimCluster) => ask<ForkReport[]>(cluster, { type: 'GetForks' })
const nodeOf = (cluster: SimCluster, nodeId: string) =>
  ask<MemoryNode | null>(cluster, { type: 'GetNode', nodeId })
const quarantineOf = (cluster: SimCluster) =>
  ask<QuarantineItem[]>(cluster, { type: 'GetQuarantine', after: '', limit: 100 })
const fateOf = async (cluster: SimCluster, { epoch, sequence }: WriteAnswer) =>
  (await ask<FateValue>(cluster, { type: 'GetFate', epoch, sequence })).fate

async function closed(cluster: SimCluster): Promise<ForkReport> {
  await cluster.until('the report is closed', () => {
    const store = cluster.primary()?.space().member.store
    return store !== undefined && store.reports().length > 0 && store.openReportCount === 0
  })
  await cluster.converged()
  return (await reportsOf(cluster)).at(-1)!
}

const salvagesOf = async (node: SimNode) => (await node.actor.context!.ports.salvages.list()).length

test('writes that the dead primary alone had are reconciled when it returns, once', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [store('a'), store('b'), store('c')])
  const [open] = await reportsOf(cluster)
  assert.ok(open)
  assert.equal([open.epoch, open.node, open.outcome, open.forkPoint.sequence], [1, old.id, null,
    answers[0]!.sequence - 1])
  assert.is(await fateOf(cluster, answers[0]!), 'unknown')
  assert.is(await nodeOf(cluster, 'a'), null)

  old.start()
  const report = await closed(cluster)
  assert.equal([report.outcome, report.merged, report.resent, report.quarantined, report.lost], [
    'reconciled',
    3,
    0,
    0,
    0,
  ])
  for (const id of ['a', 'b', 'c']) assert.is((await nodeOf(cluster, id))?.id, id)
  await cluster.until('it is safe',
    () => cluster.primary()!.space().member.log.safeSequence >= report.opened.sequence + 3)
  for (const answer of answers) assert.is(await fateOf(cluster, answer), 'safe')
  assert.is(await salvagesOf(old), 0)
  const entries = await cluster.entries(cluster.primary()!.id)
  const home = entries.filter((entry) => entry.reconciliation?.outcome === 'merged')
  assert.equal(home.map(({ reconciliation }) => reconciliation!.origin),
    answers.map(({ epoch, sequence }) => ({ epoch, sequence, node: old.id })))
})

test('a write that its client has sent again is skipped, with its origin or without', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [store('a')], { 'Nats-Msg-Id': 'k1' })
  const [{ epoch, sequence }] = answers as [WriteAnswer]
  await write(cluster, store('a'), {
    'Nats-Msg-Id': 'k1',
    'Engram-Origin': `${epoch}/${sequence}`,
  })
  old.start()
  const report = await closed(cluster)
  assert.equal([report.resent, report.merged], [1, 0])
  const again = await leftBehind(cluster, [store('b')], { 'Nats-Msg-Id': 'k2' })
  await write(cluster, store('b'), { 'Nats-Msg-Id': 'k2' })
  again.old.start()
  const withoutOrigin = await closed(cluster)
  assert.equal([withoutOrigin.resent, withoutOrigin.merged], [1, 0])
  assert.is(await fateOf(cluster, again.answers[0]!), 'safe')
})

test('a concurrent write that is stronger stays; the other is kept, and can be applied', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [
    store('weak', { confidence: 0.1, content: 'fork' }),
    store('strong', { confidence: 0.9, content: 'fork' }),
  ])
  await write(cluster, store('weak', { confidence: 0.5, content: 'live' }))
  const live = await write(cluster, store('strong', { confidence: 0.5, content: 'live' }))
  old.start()
  const report = await closed(cluster)
  assert.equal([report.merged, report.quarantined], [1, 1])
  assert.is((await nodeOf(cluster, 'weak'))?.content, 'live')
  assert.is((await nodeOf(cluster, 'strong'))?.content, 'fork')
  const items = await quarantineOf(cluster)
  assert.equal(items.map(({ id }) => id), [
    `${answers[0]!.epoch}-${answers[0]!.sequence}`,
    `${live.epoch}-${live.sequence}`,
  ])
  assert.is(await fateOf(cluster, answers[0]!), 'quarantined')
  assert.is(await fateOf(cluster, live), 'quarantined')

  const primary = cluster.primary()!.id
  const applied = await cluster.command(primary, { type: 'applyQuarantined', space: 'teams',
    id: items[0]!.id })
  assert.is(applied['ok'], true, JSON.stringify(applied))
  assert.is((await nodeOf(cluster, 'weak'))?.content, 'fork')
  const gone = await cluster.command(primary, { type: 'discardQuarantined', space: 'teams',
    id: items[1]!.id })
  assert.is(gone['ok'], true, JSON.stringify(gone))
  await cluster.converged()
  assert.equal(await quarantineOf(cluster), [])
  const wrong = await cluster.command(primary, { type: 'applyQuarantined', space: 'teams',
    id: items[1]!.id })
  assert.is(wrong['code'], 'INVALID_OPERATION')
})

test('a client that sends again never overwrites somebody\'s stronger value', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [
    store('a', { confidence: 0.2, content: 'fork' }),
  ], { 'Nats-Msg-Id': 'k' })
  await write(cluster, store('a', { confidence: 0.7, content: 'live' }))
  const [{ epoch, sequence }] = answers as [WriteAnswer]
  const again = await write(cluster, store('a', { confidence: 0.2, content: 'fork' }), {
    'Nats-Msg-Id': 'k',
    'Engram-Origin': `${epoch}/${sequence}`,
  })
  assert.equal([again.duplicate, again.quarantined], [false, 1])
  assert.is((await nodeOf(cluster, 'a'))?.content, 'live')
  old.start()
  assert.is((await closed(cluster)).quarantined, 1)
  assert.is(await fateOf(cluster, answers[0]!), 'quarantined')
  const byKey = await ask<FateValue>(cluster, { type: 'GetFate', key: 'k' })
  assert.is(byKey.fate, 'quarantined')
})

test('its disk is gone: what it alone had is counted as lost', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [store('a'), store('b')])
  old.replaceDisk()
  // On an empty disk incarnations count from the present second.
  await cluster.run(2000)
  old.start()
  const report = await closed(cluster)
  assert.is(report.outcome, 'lost')
  assert.ok(report.reason.includes('another disk'))
  assert.is(await fateOf(cluster, answers[0]!), 'lost')
})

test('the loss with a disk is within the bound of the report', async () => {
  const cluster = await started({ maxLoss: { entries: 10 } })
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  const answers: WriteAnswer[] = []
  for (let n = 0; n < 20; n += 1) {
    void cluster.send().then((answer) => answer?.ok && answers.push(answer))
  }
  await cluster.run(300)
  assert.is(answers.length, 10, 'the others wait for room')
  old.kill()
  old.replaceDisk()
  cluster.weather = () => 0.2
  // On an empty disk incarnations count from the present second.
  await cluster.run(2000)
  old.start()
  const { atMost, lost, outcome } = await closed(cluster)
  assert.equal([outcome, atMost], ['lost', 10])
  assert.ok(lost <= 10, `at least ${lost} are lost`)
  for (const answer of answers) assert.is(await fateOf(cluster, answer), 'lost')
})

test('another failover in the middle: nothing is lost, nothing comes twice', async () => {
  for (let step = 1; step <= 12; step += 1) {
    const cluster = await started({}, step)
    const operations = Array.from({ length: 300 }, (_, i) => store(`f${i}`))
    const old = cluster.primary()!
    cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
    await Promise.all([write(cluster, operations.slice(0, 150)),
      ...operations.slice(150).map((one) => write(cluster, one))])
    old.kill()
    cluster.weather = () => 0.2
    await cluster.until('another is primary', () => cluster.primary() !== null)
    const second = cluster.primary()!
    old.start()
    await cluster.until('it is on its way', () =>
      second.space().primaryRole !== null
      && (old.life?.actor.spaces.get('teams')?.uploads.state ?? '').startsWith('merging'))
    await cluster.run(step * 7)
    second.kill()
    await cluster.until('a third is primary', () => cluster.primary() !== null)
    second.start()
    await closed(cluster)
    const entries = await cluster.entries(cluster.primary()!.id)
    const ids = entries.flatMap((
      { operation },
    ) => (operation.type === 'StoreNode' ? [operation.node.id] : []))
    assert.is(new Set(ids).size, 300, `step ${step}`)
    assert.is(ids.length, 300, `step ${step}: each once`)
    assert.is(await salvagesOf(old), 0)
  }
})

test('a write pending when it comes again counts as taken once it is durable', async () => {
  const cluster = await started()
  const operations = Array.from({ length: 200 }, (_, i) => store(`f${i}`))
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  await Promise.all(operations.map((one) => write(cluster, one)))
  old.kill()
  cluster.weather = (from) => (from === old.id ? 50 : 0.2)
  await cluster.until('another is primary', () => cluster.primary() !== null)
  const primary = cluster.primary()!
  old.start()
  await cluster.until('a slice is on its way',
    () => (old.life?.actor.spaces.get('teams')?.uploads.state ?? '') === 'merging.sending')
  // Its writes wait behind a flush that takes longer than the member's patience; then they fail.
  cluster.fsyncMs = 5000
  void cluster.send({ 'Engram-Ack': 'durable' })
  await cluster.run(4000)
  primary.disk.capacity = 0
  await cluster.run(2000)
  cluster.fsyncMs = 1
  await cluster.run(4000)
  primary.disk.capacity = Infinity
  const report = await closed(cluster)
  assert.equal([report.outcome, report.merged, report.lost], ['reconciled', 200, 0])
  for (const id of ['f0', 'f100', 'f199']) assert.is((await nodeOf(cluster, id))?.id, id)
})

test('a client hears that its write lost, also when the salvage was faster', async () => {
  const cluster = await started()
  const { old, answers } = await leftBehind(cluster, [store('a', { confidence: 0.2 })], {
    'Nats-Msg-Id': 'k',
  })
  await write(cluster, store('a', { confidence: 0.7 }))
  old.start()
  await closed(cluster)
  const [{ epoch, sequence }] = answers as [WriteAnswer]
  const again = await write(cluster, store('a', { confidence: 0.2 }), {
    'Nats-Msg-Id': 'k',
    'Engram-Origin': `${epoch}/${sequence}`,
  })
  assert.equal([again.duplicate, again.quarantined], [true, 1])
})

test('manual: it waits for a command; off: it stays where it is', async () => {
  const cluster = await started({ reconcile: 'manual' })
  const { old, answers } = await leftBehind(cluster, [store('a')])
  old.start()
  await cluster.until('it is held',
    () => old.life?.actor.spaces.get('teams')?.uploads.state === 'held')
  await cluster.converged()
  assert.is(await fateOf(cluster, answers[0]!), 'salvaged')
  const set = await cluster.command(old.id, { type: 'setSpace', space: 'teams',
    settings: { reconcile: 'off' } })
  assert.is(set['ok'], true, JSON.stringify(set))
  const refused = await cluster.command(old.id, { type: 'reconcile', space: 'teams' })
  assert.is(refused['code'], 'INVALID_OPERATION')
  await cluster.command(old.id, { type: 'setSpace', space: 'teams',
    settings: { reconcile: 'manual' } })
  await cluster.until('the settings have come',
    () => old.space().member.known.record?.assignment.settings.reconcile === 'manual')
  const answer = await cluster.command(old.id, { type: 'reconcile', space: 'teams' })
  assert.equal([answer['ok'], answer['started']], [true, true])
  assert.is((await closed(cluster)).merged, 1)
})

test('a report that nobody can close any more is given up by an operator', async () => {
  const cluster = await started()
  const { old } = await leftBehind(cluster, [store('a')])
  const [open] = await reportsOf(cluster)
  const done = await cluster.command(cluster.primary()!.id, { type: 'closeFork', space: 'teams',
    epoch: open!.epoch })
  assert.is(done['ok'], true, JSON.stringify(done))
  await cluster.converged()
  assert.is((await reportsOf(cluster))[0]?.outcome, 'dismissed')
  const wrong = await cluster.command(cluster.primary()!.id, { type: 'closeFork', space: 'teams',
    epoch: open!.epoch })
  assert.is(wrong['code'], 'INVALID_OPERATION')
  old.start()
  await cluster.until('what it had is reconciled all the same, and the report says so', () => {
    const [report] = cluster.primary()!.space().member.store.reports()
    return report?.merged === 1 && report.outcome === 'reconciled'
  })
})

test.run()
