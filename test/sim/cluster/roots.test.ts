/** Members whose histories are summed up: what they may say of others' logs, and do with their own. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue, HistoryValue } from '../../../actors/ports/clientApi.js'
import type { EpochHistory, Position } from '../../../machines/base/ids.js'
import { GrowingHistory } from '../../../machines/log/growingHistory.js'
import { origin } from '../../../machines/log/positions.js'
import { summedUp } from '../../../machines/log/retention.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: roots')
const control = controlCodec()

/** Sums up all epochs of the member's log that are over. */
function sumUp(node: SimNode): Position {
  const { log } = node.space().member
  const { end } = log
  const upTo = log.history.findLast(({ epoch }) => epoch < end.epoch)!.last
  setHistory(node, summedUp(log, upTo, 1))
  return log.root
}

function setHistory(node: SimNode, history: EpochHistory): void {
  Reflect.set(node.space().member.log, 'epochs', new GrowingHistory(history))
}

/** Kills the primary, and starts it again once another one has taken writes. */
async function promoteOther(cluster: SimCluster): Promise<void> {
  const former = cluster.primary()!
  former.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.writes(3, 'durable')
  former.start()
  await cluster.until('it is back', () => cluster.record()!.inSync.includes(former.id))
}

/** n3's log ends in the first epoch, while the two others go through three more. */
async function leftBehind(): Promise<{ cluster: SimCluster; away: SimNode; end: Position }> {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  const away = cluster.running.find((node) => node !== cluster.primary())!
  const { end } = away.space().member.log
  away.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(away.id))
  for (let n = 0; n < 3; n += 1) await promoteOther(cluster)
  await cluster.writes(2, 'committed')
  return { cluster, away, end }
}

function streamTo(cluster: SimCluster, node: SimNode): string | undefined {
  return cluster.primary()!.space().primaryRole?.followers.status()[node.id]?.state
}

test('a log that ended below the root waits, whole, and does not hold up others', async () => {
  const { cluster, away, end } = await leftBehind()
  const root = sumUp(cluster.primary()!)
  assert.ok(root.sequence > end.sequence && root.epoch > end.epoch)
  away.start()
  await cluster.until('it waits', () =>
    away.life?.actor.spaces.get('teams') !== undefined
    && away.space().roleState.state === 'installing.asking')
  assert.is(streamTo(cluster, away), 'snapshotting')
  await cluster.writes(3, 'committed')
  assert.equal(away.space().member.log.end, end, 'nothing was cut off or sent')
  assert.not(cluster.record()!.inSync.includes(away.id))
  // The next primary has the whole history: from there it follows, as it always did.
  await promoteOther(cluster)
  await cluster.until('it follows', () => cluster.record()!.inSync.includes(away.id))
  await cluster.converged()
})

test('below the root GetHistory and GetFate say what is not known; keys find what is there', async () => {
  const { cluster, end } = await leftBehind()
  const old = await cluster.write('committed', { 'Nats-Msg-Id': 'old' })
  assert.ok(old?.ok)
  // The last entry of its epoch would be the root.
  await cluster.writes(1, 'committed')
  await promoteOther(cluster)
  const root = sumUp(cluster.primary()!)
  const ask = async (query: object): Promise<unknown> => {
    const read = await cluster.read(query)
    assert.ok(read.ok)
    return read.value
  }
  const value = await ask({ type: 'GetHistory' }) as HistoryValue
  assert.equal(value.root, root)
  assert.equal(value.history[0], { epoch: root.epoch, last: root.sequence })
  const fate = async (question: object): Promise<FateValue> =>
    await ask({ type: 'GetFate', ...question }) as FateValue
  const { sequence } = end
  for (const epoch of [end.epoch, root.epoch]) {
    assert.match((await fate({ epoch, sequence })).reason, /by its idempotency key/, `${epoch}`)
  }
  assert.is((await fate(root)).fate, 'safe')
  assert.ok(old.sequence < root.sequence)
  assert.is((await fate({ key: 'old' })).fate, 'safe')
  // A client that kept the write, and cannot know that it is there.
  const again = await cluster.write('durable', { 'Nats-Msg-Id': 'old',
    'Engram-Origin': `${old.epoch}/${old.sequence}` })
  assert.ok(again?.ok)
  assert.equal([again.duplicate, again.sequence], [true, old.sequence])
})

test('a log that has the root is followed, and its fork given up', async () => {
  const { cluster } = await leftBehind()
  const former = cluster.primary()!
  cluster.weather = (from, to) => (from === former.id && to !== 'client' ? 'lost' : 0.2)
  const left = await cluster.write('durable', { 'Nats-Msg-Id': 'left' })
  assert.ok(left?.ok)
  former.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null)
  const root = sumUp(cluster.primary()!)
  assert.ok(root.sequence > 0 && root.sequence < left.sequence)
  former.start()
  await cluster.until('it is back', () => cluster.record()!.inSync.includes(former.id))
  const reports = () => cluster.primary()!.space().member.store.reports()
  await cluster.until('the fork is reconciled',
    () => reports().find(({ epoch }) => epoch === left.epoch)?.outcome === 'reconciled')
})

test('a member in sync that may lack what is committed leaves the set', async () => {
  const { cluster, end } = await leftBehind()
  const primary = cluster.primary()!
  const one = cluster.running.find((node) => node !== primary)!
  sumUp(primary)
  const { member } = one.space()
  // As a copy of its disk from the first epoch would.
  const request = {
    kind: 'join',
    space: 'teams',
    uuid: member.uuid,
    node: one.id,
    disk: one.actor.disk,
    incarnation: 1,
    connection: 1,
    epoch: cluster.record()!.epoch,
    number: 999,
    history: [{ epoch: end.epoch, last: end.sequence }],
  }
  const { data } = await cluster.wait(cluster.client.request(
    subjects.ack('teams', primary.id),
    control.encode(request),
    { timeoutMs: 1000 },
  ))
  const answer = control.joinAnswer(data)
  assert.ok(answer.ok)
  assert.equal({ ...answer.value, commitSequence: 0, endSequence: 0, reason: '' }, {
    kind: 'joined',
    number: 999,
    node: primary.id,
    epoch: request.epoch,
    session: 0,
    common: origin,
    commitSequence: 0,
    endSequence: 0,
    endedEpoch: 0,
    snapshotNeeded: true,
    reason: '',
  })
  assert.match(answer.value.reason,
    /^it is not known where its log and that of n\d part, below \d+; n\d keeps entries/)
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  // The member itself has all of it: it joins again.
  await cluster.until('it is in', () => cluster.record()!.inSync.includes(one.id))
})

test.run()
