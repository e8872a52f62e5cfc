/** Membership: disks, lost first acks, logs of later epochs, and the epoch that is shown. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: membership')
const control = controlCodec()

const serving = () => SimCluster.serving({ writes: 5 })

function replicas(cluster: SimCluster): [SimNode, SimNode] {
  const [a, b] = cluster.running.filter((node) => node !== cluster.primary())
  return [a!, b!]
}

/** The request that a member with that disk would send to the primary. */
function join(cluster: SimCluster, node: SimNode, over: object) {
  const { member } = node.space()
  const { epoch } = cluster.record()!
  return cluster.wait(cluster.client.request(
    subjects.ack('teams', cluster.primary()!.id),
    control.encode({
      kind: 'join',
      space: 'teams',
      uuid: member.uuid,
      node: node.id,
      disk: node.actor.disk,
      incarnation: 1,
      connection: 1,
      epoch,
      number: 999,
      history: member.log.history,
      ...over,
    }),
    { timeoutMs: 1000 },
  )).then(({ data }) => control.joinAnswer(data))
}

test('acks of another disk than the listed one commit nothing', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [one, other] = replicas(cluster)
  // One falls silent, and something with its name and an empty disk joins and acknowledges.
  other.freeze()
  const answer = await join(cluster, other, { disk: 'another-disk' })
  assert.ok(answer.ok && answer.value.kind === 'joined')
  const { log } = primary.space().member
  const before = log.commitSequence
  const sent = cluster.send({ 'Engram-Ack': 'durable' })
  await cluster.wait(sent)
  cluster.client.publish(subjects.ack('teams', primary.id), control.encode({
    kind: 'ack',
    space: 'teams',
    node: other.id,
    epoch: cluster.record()!.epoch,
    session: answer.ok ? answer.value.session : 0,
    durableSequence: log.end.sequence,
    appliedSequence: 0,
    digest: '',
  }))
  await cluster.run(5)
  assert.is(one.space().member.log.durable.sequence, log.end.sequence)
  assert.ok(cluster.record()!.inSync.includes(other.id))
  assert.is(log.commitSequence, before)
})

test('a member with entries of a later epoch ends the epoch that did not know of it', async () => {
  const cluster = await serving()
  const [one] = replicas(cluster)
  const { epoch } = cluster.record()!
  const { history } = one.space().member.log
  const later = [...history, { epoch: epoch + 5, last: history.at(-1)!.last + 1 }]
  const answer = await join(cluster, one, { history: later })
  assert.ok(answer.ok)
  if (answer.ok) assert.is(answer.value.kind, 'refused')
  await cluster.until('an epoch above it', () =>
    cluster.record()!.epoch > epoch + 5
    && cluster.primary() !== null)
  await cluster.writes(2, 'durable')
})

test('the first ack of a session is lost: the stream begins all the same, at once', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [one] = replicas(cluster)
  one.kill()
  await cluster.until('it is out', () => !cluster.record()!.inSync.includes(one.id))
  let lost = 0
  cluster.weather = (from, to) => {
    const isFollowing = one.life?.actor.spaces.get('teams')?.member.following.isFollowing ?? false
    if (from === one.id && to === primary.id && isFollowing && lost === 0) {
      lost += 1
      return 'lost'
    }
    return 0.2
  }
  one.start()
  await cluster.until('it follows',
    () => one.life?.actor.spaces.get('teams')?.member.following.isFollowing === true)
  const tookMs = await cluster.until('it is let in',
    () => cluster.record()!.inSync.includes(one.id), 5000)
  assert.is(lost, 1)
  assert.ok(tookMs < 1000, `${tookMs} ms`)
})

test('a claim that came to nothing does not show as an epoch', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [one] = replicas(cluster)
  const { epoch } = cluster.record()!
  one.space().member.known.sawEpoch(epoch + 7)
  assert.is(one.space().member.known.epoch, epoch)
  primary.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.run(500)
  for (const node of cluster.running) {
    assert.is(node.space().member.known.epoch, cluster.record()!.epoch, node.id)
  }
  const now = cluster.record()!.epoch
  one.kill()
  one.start()
  await cluster.until('it holds the space', () => one.life?.actor.spaces.has('teams') === true)
  assert.ok(one.space().member.known.epoch >= now, 'over a restart too')
})

test('an in-sync member whose disk is another than listed is left out of a claim', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [one, other] = replicas(cluster)
  // The primary cannot write that it is out: the arbiter is away until the failover.
  cluster.bucket.available = false
  other.kill()
  other.replaceDisk()
  await cluster.run(2000)
  cluster.bucket.available = true
  other.start()
  primary.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  assert.is(cluster.primary(), one)
  const { inSync, members } = cluster.record()!
  const listed = members.find(({ node }) => node === other.id)!.disk
  assert.ok(!inSync.includes(other.id) || listed === other.actor.disk, inSync.join())
})

test.run()
