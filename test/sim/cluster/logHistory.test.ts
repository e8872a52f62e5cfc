/** The log's epochs as clients can learn them, over a failover that leaves writes behind. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { HistoryValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import { epochAt } from '../../../machines/log/positions.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: log history')

/** Writes that the primary alone has, answered; then it is killed. */
async function leaveBehind(cluster: SimCluster, key: string): Promise<WriteAnswer> {
  const primary = cluster.primary()!
  cluster.weather = (from, to) => (from === primary.id && to !== 'client' ? 'lost' : 0.2)
  const answer = await cluster.write('durable', { 'Nats-Msg-Id': key })
  assert.ok(answer?.ok)
  primary.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null)
  return answer
}

async function historyOf(cluster: SimCluster, subject?: string): Promise<HistoryValue> {
  const read = await cluster.read({ type: 'GetHistory' }, {}, subject)
  assert.ok(read.ok)
  return read.value as HistoryValue
}

test('the history says what survived, of every epoch; the safe sequence moves with it', async () => {
  const cluster = await SimCluster.start({ seed: 3 })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  const kept = await cluster.write('committed', { 'Nats-Msg-Id': 'kept' })
  assert.ok(kept?.ok)
  const left = await leaveBehind(cluster, 'left')
  const { history } = await historyOf(cluster)
  const { epoch } = cluster.record()!
  assert.ok(epoch > left.epoch)
  assert.is(history.at(-1)?.epoch, epoch)
  assert.is(epochAt(history, kept.sequence), kept.epoch, 'survived')
  assert.is.not(epochAt(history, left.sequence), left.epoch, 'was left behind')

  const again = await cluster.write('durable', { 'Nats-Msg-Id': 'kept' })
  assert.ok(again?.ok && again.duplicate)
  assert.equal([again.epoch, again.loggedEpoch, again.sequence], [epoch, kept.epoch, kept.sequence])
  const anew = await cluster.write('durable', { 'Nats-Msg-Id': 'left', 'Engram-Origin': '1/3' })
  assert.ok(anew?.ok && !anew.duplicate && anew.loggedEpoch === undefined)
  await cluster.until('it is safe',
    () => cluster.primary()!.space().member.log.safeSequence >= anew.sequence)
  const later = await historyOf(cluster)
  assert.ok(later.safeSequence >= anew.sequence)
  await cluster.converged()
  const any = await historyOf(cluster, subjects.readAny('teams'))
  assert.equal(any.history, later.history)
})

test.run()
