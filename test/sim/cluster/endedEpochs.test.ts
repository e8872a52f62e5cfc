/** Epochs that ended: handed over for nothing, forced, or bounded, and the report on each. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { Position } from '../../../machines/base/ids.js'
import type { ForkReport } from '../../../machines/log/forkNotes.js'
import { claimed, endedEpochs, handedOver, opened,
  unbounded } from '../../../machines/protocol/assignments.js'
import type { Assignment, EndedEpoch, SpaceSettings } from '../../../machines/protocol/messages.js'
import { assignment as schema } from '../../../runtime/codec/schemas.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: ended epochs')

const started = (settings: object = {}) =>
  SimCluster.serving({ seed: 5, space: settings, writes: 3 })

async function ask<T>(cluster: SimCluster, query: object): Promise<T> {
  const answer = await cluster.read(query)
  assert.ok(answer.ok, JSON.stringify(answer))
  return answer.value as T
}

/** From the log, to its end. */
async function reportsOf(cluster: SimCluster): Promise<ForkReport[]> {
  await cluster.converged()
  return await ask<ForkReport[]>(cluster, { type: 'GetForks' })
}

interface Halfway {
  readonly from: SimNode
  readonly to: SimNode
  readonly third: SimNode
  readonly answers: readonly WriteAnswer[]
}

/** A handover whose target and giver die before it is primary; `reached`: the third has its log. */
async function handedOverForNothing(cluster: SimCluster, reached: boolean): Promise<Halfway> {
  const from = cluster.primary()!
  const [to, third] = cluster.running.filter((node) => node !== from) as [SimNode, SimNode]
  if (!reached) {
    cluster.transit = (a, b,
      subject) => (a === from.id && b === third.id && subject.includes('.wal.') ? [] : [0.2])
  }
  const answers = await cluster.writes(4)
  assert.ok(from.space().handOver(to.id, 'a test'))
  while (cluster.record()!.epoch === 1) await cluster.run(0.1)
  const { state, primary, inSync } = cluster.record()!
  assert.equal([state, primary!.node, inSync.length], ['claimed', to.id, 3])
  to.kill()
  from.kill()
  cluster.transit = null
  return { from, to, third, answers }
}

test('a handover came to nothing: what a third lacks of the epoch is reported', async () => {
  const cluster = await started()
  const { from, to, third, answers } = await handedOverForNothing(cluster, false)
  await cluster.until('the third is primary', () => cluster.primary() === third)
  const reports = await reportsOf(cluster)
  assert.equal(
    reports.map((
      { epoch, node, forkPoint, lastKnown },
    ) => [epoch, node, forkPoint.sequence, lastKnown]),
    [[1, from.id, answers[0]!.sequence - 1, answers.at(-1)!.sequence]],
  )
  from.start()
  to.start()
  await cluster.until('the report is closed',
    () => third.space().member.store.openReportCount === 0)
  assert.equal(
    (await reportsOf(cluster)).map(({ epoch, outcome, merged }) => [epoch, outcome, merged]),
    [[1, 'reconciled', 4]],
  )
  for (const { epoch, sequence } of answers) {
    const { fate } = await ask<FateValue>(cluster, { type: 'GetFate', epoch, sequence })
    assert.ok(['safe', 'committed'].includes(fate), fate)
  }
})

test('a handover came to nothing: who has all of the epoch reports nothing', async () => {
  const third = await started()
  const { third: last } = await handedOverForNothing(third, true)
  await third.until('the third is primary', () => third.primary() === last)
  assert.equal(await reportsOf(third), [])
  assert.equal(third.record()!.ended, [])

  const target = await started()
  const { to } = await handedOverForNothing(target, false)
  target.node(to.id).start()
  await target.until('the target is primary, with a claim of its own',
    () => target.primary() === to && target.record()!.epoch > 2)
  assert.equal(await reportsOf(target), [])
  assert.equal(target.record()!.ended, [])
})

test('a handover that comes to its end opens no report, and leaves the list as it was', async () => {
  const cluster = await started()
  for (const to of cluster.running.filter((node) => node !== cluster.primary())) {
    const answer = await cluster.command('n1', { type: 'promote', space: 'teams', to: to.id })
    assert.is(answer['ok'], true, JSON.stringify(answer))
    assert.equal(cluster.record()!.ended ?? [], [])
  }
  assert.equal(await reportsOf(cluster), [])
})

test('the bound that a report gives held: not where the next epoch was forced', async () => {
  for (const force of [false, true]) {
    const cluster = await started({ maxLoss: { entries: 5 } })
    const old = cluster.primary()!
    cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
    await cluster.writes(2)
    old.kill()
    const [next] = cluster.running as [SimNode]
    cluster.weather = () => 0.2
    if (force) {
      await cluster.command(next.id, { type: 'promote', space: 'teams', to: next.id, force: true })
    }
    await cluster.until('another is primary', () => cluster.primary() !== null)
    assert.is(cluster.record()!.forced, force)
    assert.is(old.life, null)
    assert.equal((await reportsOf(cluster)).map(({ atMost }) => atMost), [force ? null : 5])
  }
})

const signature = { writer: 'n1', nonce: 'x' }
const life = { incarnation: 1, connection: 1 }
const settings: SpaceSettings = {
  replicas: 2,
  ack: 'durable',
  minInSync: 2,
  maxLoss: { entries: 5 },
}

function record(over: Partial<Assignment> = {}): Assignment {
  const members = ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk-${node}` }))
  return {
    version: 1,
    space: 'teams',
    uuid: 'u',
    epoch: 3,
    state: 'open',
    primary: { node: 'n1', ...life },
    members,
    inSync: ['n1', 'n2', 'n3'],
    settings,
    forced: false,
    start: { epoch: 2, sequence: 10 },
    ...signature,
    ...over,
  }
}

const claimOf = (node: string): EndedEpoch => ({ epoch: 4, node, disk: `disk-${node}`,
  start: { epoch: 3, sequence: 20 } })
const boundsOf = (over: Partial<Assignment>) =>
  endedEpochs(record(over), new Set(), () => false).map(({ atMost }) => atMost)

test('an epoch is remembered with the bound that held when it ended', () => {
  assert.equal(boundsOf({}), [5])
  assert.equal(boundsOf({ settings: { ...settings, maxLoss: { ms: 100 } } }), [null])
  const ended = endedEpochs(record(), new Set(), () => false)
  const changed = { ...settings, maxLoss: { entries: 900 } }
  assert.equal(boundsOf({ epoch: 4, ended, settings: changed }), [5, 900])
  assert.equal(unbounded(ended).map(({ atMost }) => atMost), [null])
})

test('no bound holds where a primary that is alone, or is about to be, answers on', () => {
  assert.equal(boundsOf({ inSync: ['n1'] }), [null])
  assert.equal(boundsOf({ inSync: ['n1', 'n2'] }), [null])
  for (const whenUnderReplicated of ['wait', 'refuse'] as const) {
    assert.equal(boundsOf({ inSync: ['n1'], settings: { ...settings, whenUnderReplicated } }), [5])
  }
})

test('a record keeps an epoch that was handed over until a member with all of it is primary', () => {
  const before: EndedEpoch = {
    epoch: 2,
    node: 'n1',
    disk: 'disk-n1',
    start: { epoch: 1, sequence: 5 },
    atMost: null,
  }
  const other: EndedEpoch = { ...before, epoch: 1, node: 'n3', disk: 'disk-n3' }
  const given = handedOver(record({ ended: [other, before] }), 4, 'n2', life, 20, signature)
  const own = {
    epoch: 3,
    node: 'n1',
    disk: 'disk-n1',
    start: { epoch: 2, sequence: 10 },
    atMost: 5,
    last: 20,
  }
  assert.equal(given.ended, [other, before, own])
  assert.equal(schema.parse(given).ended, given.ended)
  const start: Position = { epoch: 3, sequence: 20 }
  assert.equal(opened(given, start, () => false, signature).ended, given.ended)
  // Its own epochs, which it took up again, go with it; another's does not.
  const holds = ({ epoch, sequence }: Position) => epoch === 3 && sequence <= 20
  assert.equal(opened(given, start, holds, signature).ended, [other])
  const claim = claimOf('n3')
  const next = claimed(given, 5, { ...claim, ...life }, ['n3'], false,
    endedEpochs(given, new Set(), () => false), signature)
  assert.equal(next.ended, given.ended)
})

test.run()
