/** Epochs that an operator forces over the in-sync rule, and what was said before them. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: forced promotions')

const serving = () => SimCluster.serving({ writes: 5 })

async function force(cluster: SimCluster, node: SimNode): Promise<void> {
  const answer = await cluster.command(node.id, {
    type: 'promote',
    space: 'teams',
    to: node.id,
    force: true,
  })
  assert.is(answer['ok'], true, JSON.stringify(answer))
}

test('a member forced with another disk is listed with it, and may open its epoch again', async () => {
  const cluster = await serving()
  const [one] = cluster.running.filter((node) => node !== cluster.primary())
  for (const node of cluster.nodes.values()) node.kill()
  one!.replaceDisk()
  await cluster.run(3000)
  one!.start()
  await cluster.run(4000)
  await force(cluster, one!)
  const record = cluster.record()!
  const listed = record.members.find((member) => member.node === one!.id)
  assert.is(listed?.disk, one!.actor.disk)
  await cluster.writes(2, 'durable')
  cluster.broker.kill(one!.life!.connection!, 'cut')
  await cluster.until('it is primary again', () =>
    cluster.primary() === one
    && cluster.record()!.epoch > record.epoch, 6000)
  await cluster.writes(2, 'durable')
})

test('commits of a lost epoch do not count as committed, or safe, in a forced one', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [a, b] = cluster.running.filter((node) => node !== primary) as [SimNode, SimNode]
  const toB = (from: string, to: string) => from === primary.id && to === b.id
  cluster.weather = (from, to) => (toB(from, to) ? 'lost' : 0.2)
  await cluster.until('it shrinks', () => !cluster.record()!.inSync.includes(b.id), 8000)
  for (let i = 0; i < 50; i += 1) await cluster.writes(1, 'committed')
  // It joins again, hears how far the commit is, and gets no frame.
  const { log } = b.space().member
  let passed = 0
  cluster.weather = (from, to) => {
    if (!toB(from, to) || !b.space().member.following.isFollowing) return 0.2
    return (passed += 1) > 3 ? 'lost' : 0.2
  }
  await cluster.until('it hears of the commit', () => log.commitSequence > 50, 5000)
  primary.kill()
  a.kill()
  cluster.weather = () => 0.2
  await force(cluster, b)
  const [written] = await cluster.writes(1, 'durable')
  assert.ok(written!.safeSequence <= log.end.sequence,
    `safe ${written!.safeSequence}, the log ends at ${log.end.sequence}`)
  assert.ok(log.commitSequence <= log.end.sequence)
})

test.run()
