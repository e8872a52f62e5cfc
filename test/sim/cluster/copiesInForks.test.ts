/** A write that was reconciled in an epoch that is lost in turn: both its places lead to it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FateValue, WriteAnswer } from '../../../actors/ports/clientApi.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: copies in forks')

async function write(
  cluster: SimCluster,
  headers: Record<string, string>,
): Promise<WriteAnswer> {
  const message = await cluster.wait(
    cluster.client.request(subjects.write('teams'),
      Buffer.from('{"type":"StoreNode","node":{"id":"a","content":"a"}}'), { timeoutMs: 8000,
      headers: { 'Nats-Msg-Id': 'k', ...headers } }),
  )
  const answer = JSON.parse(Buffer.from(message.data).toString()) as WriteAnswer
  assert.ok(answer.ok, JSON.stringify(answer))
  return answer
}

/** Written where nobody else hears of it, by a primary that dies then. */
async function leftBehind(
  cluster: SimCluster,
  headers: Record<string, string> = {},
): Promise<{ old: SimNode; answer: WriteAnswer }> {
  const old = cluster.primary()!
  cluster.weather = (from, to) => (from === old.id && to !== 'client' ? 'lost' : 0.2)
  const answer = await write(cluster, headers)
  old.kill()
  cluster.weather = () => 0.2
  await cluster.until('another is primary', () => cluster.primary() !== null)
  return { old, answer }
}

test('where it was logged first, and where it was taken home: its fate is the same', async () => {
  const cluster = await SimCluster.start({ seed: 5, nodes: ['n1', 'n2', 'n3', 'n4'] })
  await cluster.createSpace({ replicas: 3 })
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 4)
  const first = await leftBehind(cluster)
  const { epoch, sequence } = first.answer
  const second = await leftBehind(cluster, { 'Engram-Origin': `${epoch}/${sequence}` })
  assert.ok(second.answer.epoch > epoch)
  assert.not(second.answer.duplicate)
  second.old.start()
  first.old.start()
  const reports = () => cluster.primary()?.space().member.store.reports() ?? []
  await cluster.until('both reports are closed',
    () => reports().length === 2 && reports().every(({ outcome }) => outcome !== null))
  await cluster.until('it is safe', () =>
    cluster.primary()!.space().member.log.safeSequence
      === cluster.primary()!.space().member.log.end.sequence)
  for (const { answer } of [first, second]) {
    const read = await cluster.read({
      type: 'GetFate',
      epoch: answer.epoch,
      sequence: answer.sequence,
    })
    assert.ok(read.ok)
    assert.is((read.value as FateValue).fate, 'safe', JSON.stringify(read.value))
  }
  // Sent again by a client that remembers the second place alone, and under another key.
  const again = await write(cluster, {
    'Nats-Msg-Id': 'forgotten',
    'Engram-Origin': `${second.answer.epoch}/${second.answer.sequence}`,
  })
  assert.ok(again.duplicate)
  const logged = (await cluster.entries(cluster.primary()!.id))[again.sequence - 1]
  assert.is(logged?.writeId, 'k', 'the answer leads to where it is now')
  const entries = await cluster.entries(cluster.primary()!.id)
  assert.is(entries.filter(({ writeId }) => writeId === 'k').length, 1)
  assert.equal(
    reports().map(({ outcome, merged, resent, lost }) => [outcome, merged + resent, lost]),
    [['reconciled', 1, 0], ['reconciled', 1, 0]],
  )
})

test.run()
