/** The age of the state behind an answer: a member must not say less than is true. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('staleness')

test('a member of an epoch that has committed nothing does not call its state fresh', async () => {
  let isCut = false
  const cluster = await SimCluster.start({
    transit: (_from, _to,
      subject) => (isCut && subject.startsWith(subjects.ack('teams', '').slice(0, -1))
        ? []
        : [0.2]),
  })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  const first = cluster.primary()!
  // Nobody else knows yet that these five are committed.
  const { commitSequence } = first.space().member.log
  isCut = true
  first.kill()
  await cluster.until('another is primary', () => cluster.primary() !== null)
  await cluster.run(300)
  for (const node of cluster.running) {
    const { member } = node.space()
    const atMost = member.freshness.stalenessMs()
    assert.ok(atMost >= 300 || member.store.applied.sequence >= commitSequence,
      `${node.id} applied ${member.store.applied.sequence} of ${commitSequence}, and says `
        + `${atMost} ms`)
  }
  isCut = false
  await cluster.until('all is fresh',
    () => cluster.running.every((node) => node.space().member.freshness.stalenessMs() < 150))
})

test('a member that follows nobody gives its age as a number, too', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.writes(1, 'committed')
  await cluster.converged()
  for (const node of cluster.nodes.values()) node.kill()
  const [one] = cluster.nodes.values()
  one!.start()
  await cluster.until('it holds the space', () => one!.life?.actor.spaces.has('teams') === true)
  const query = { type: 'ListNodes', after: '', limit: 1 }
  const answer = await cluster.read(query, {}, subjects.readAny('teams'))
  assert.ok(answer.ok && Number.isSafeInteger(answer.stalenessMs), JSON.stringify(answer))
})

test('a member that has joined and heard nothing yet does not call its state fresh', async () => {
  let deaf = ''
  const cluster = await SimCluster.start({
    transit: (_from, to, subject) =>
      to === deaf && subject.startsWith('engram.v1.wal.') ? [] : [0.2],
  })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  await cluster.converged()
  const replica = cluster.running.find((node) => node !== cluster.primary())!
  replica.kill()
  await cluster.until('it is out', () => cluster.record()!.inSync.length === 2)
  await cluster.writes(5, 'committed')
  await cluster.run(1000)
  deaf = replica.id
  replica.start()
  await cluster.until('it has joined',
    () => replica.life?.actor.spaces.get('teams')?.member.following.isFollowing === true)
  await cluster.run(200)
  const { member } = replica.space()
  assert.is(member.freshness.stalenessMs(), Infinity)
  deaf = ''
  await cluster.until('it is fresh', () => member.freshness.stalenessMs() < 150)
  assert.is(member.store.applied.sequence, cluster.primary()!.space().member.log.commitSequence)
})

test('a suspension counts: the monotonic clock leaves it out, the wall clock does not', async () => {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.writes(1, 'committed')
  await cluster.run(100)
  const replica = cluster.running.find((node) => node !== cluster.primary())!
  replica.life!.clock.freeze(true)
  await cluster.run(1300)
  const { member } = replica.space()
  assert.ok(member.freshness.stalenessMs() >= 1300, `${member.freshness.stalenessMs()} ms`)
  replica.thaw()
  await cluster.until('it is fresh again', () => member.freshness.stalenessMs() < 150, 5000)
})

test('heartbeats of a node say nothing of an epoch of it that is over', async () => {
  let mute = ''
  const cluster = await SimCluster.start({
    transit: (from) => (from === mute ? [] : [0.2]),
    // A mute node cannot ask the arbiter either.
    arbiterDelayMs: (node) => (node === mute ? null : 0.2),
  })
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  const first = cluster.primary()!
  const [other, third] = cluster.running.filter((node) => node !== first)
  const handOver = async (to: string): Promise<void> => {
    const answer = await cluster.command(other!.id, { type: 'promote', space: 'teams', to })
    assert.is(answer['ok'], true)
  }
  await cluster.until('the third applied all',
    () => third!.space().member.store.applied.sequence === first.space().member.log.end.sequence)
  mute = third!.id
  const mutedAtMs = cluster.clock.monotonicMs()
  await cluster.until('it is out of the in-sync set', () => cluster.record()!.inSync.length === 2)
  await handOver(other!.id)
  await handOver(first.id)
  const overAtMs = cluster.clock.monotonicMs()
  await cluster.writes(3, 'committed')
  await cluster.run(500)
  assert.ok(overAtMs - mutedAtMs < 2200, 'it has not given its epoch up by silence')
  const { member } = third!.space()
  assert.is(member.following.isFollowing, true)
  assert.ok(member.freshness.stalenessMs() >= 500, `${member.freshness.stalenessMs()} ms`)
})

for (const isToldAtOnce of [true, false]) {
  const what = isToldAtOnce ? 'hears of no record' : 'has not heard that its session is over'
  test(`a node that was taken out and ${what} does not call its state fresh`, async () => {
    let [deaf, isCut] = ['', false]
    const cluster = await SimCluster.start({
      nodes: ['n1', 'n2', 'n3', 'n4'],
      transit: (_from, to, subject) =>
        to === deaf && (subject.startsWith('engram.v1.assignment.')
            || (isCut && subject.startsWith('engram.v1.wal.')))
          ? []
          : [0.2],
    })
    await cluster.createSpace()
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    await cluster.writes(5, 'committed')
    await cluster.converged()
    const primary = cluster.primary()!
    const replica = cluster.members().find((node) => node !== primary)!
    deaf = replica.id
    isCut = !isToldAtOnce
    const command = { type: 'changeMembers', space: 'teams', remove: deaf, force: true }
    assert.is((await cluster.command(primary.id, command))['ok'], true)
    await cluster.until('it is out', () => cluster.members().length === 2)
    await cluster.writes(5, 'committed')
    await cluster.run(200)
    isCut = false
    await cluster.run(1000)
    const { freshness } = replica.space().member
    assert.ok(freshness.stalenessMs() >= 500, `it says ${freshness.stalenessMs()} ms`)
  })
}

test.run()
