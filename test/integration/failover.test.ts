/** Processes that die or stop under load: invariants I1 to I10 by history. */
import * as assert from 'uvu/assert'
import { assertAllTaken, audit } from '../support/audit.js'
import { positive } from '../support/client.js'
import { note, scenario, suite } from '../support/scenario.js'
import { lasting } from '../support/wait.js'

const failover = suite('integration: failover')

scenario(failover, 'kill -9 of the primary under load, and its return', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  await cluster.node(old.node).kill()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`kill -9 to the first positive answer of the new primary: ${tookMs.toFixed(0)} ms`)
  assert.ok(tookMs < 5000, `writes were accepted again after ${tookMs.toFixed(0)} ms (I10: 5 s)`)
  const next = await cluster.primary({ above: old.epoch })
  assert.is.not(next.node, old.node)
  await writer.taken(300)

  await cluster.node(old.node).start()
  await cluster.inSync(3)
  await writer.taken(100)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  assert.is((await cluster.member(old.node)).role, 'replica', 'the old primary follows')
})

scenario(failover, 'kill -9 of a replica: writes go on, it returns', async (stage) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const [victim, other] = cluster.others(primary.node)
  assert.ok(victim && other)
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(200)
  await victim.kill()
  await cluster.inSync([primary.node, other.id])
  await writer.taken(200)
  const alone = await cluster.member(primary.node)
  assert.ok(alone.commitSequence > 0 && alone.safeSequence > 0)

  await victim.start()
  await cluster.inSync(3)
  await writer.taken(100)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  assert.equal(await cluster.primary(), primary, 'the epoch is the same all along')
  note(`longest time without an answer: ${history.longestGapMs().toFixed(0)} ms`)
})

scenario(failover, 'SIGSTOP of the primary for 4 s, then SIGCONT', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(300)
  const stoppedAt = performance.now()
  cluster.node(old.node).pause()
  const tookMs = await writer.takenAbove(old.epoch)
  note(`SIGSTOP to the first positive answer of the new primary: ${tookMs.toFixed(0)} ms`)
  await writer.taken(100)
  // The broker has kept messages for the stopped node; they reach it on SIGCONT, all too late.
  await lasting(4000 - (performance.now() - stoppedAt))
  cluster.node(old.node).resume()
  await writer.taken(300)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  const late = history.records.flatMap((record) => record.attempts)
    .filter(({ answer }) => answer && !answer.ok)
  note(`late or negative answers: ${late.length} (${history.summary()})`)
})

scenario(failover, 'SIGSTOP for less than a grant: the epoch goes on', async (stage) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const writer = await stage.writer(cluster)
  await writer.taken(200)
  const replica = cluster.others(primary.node)[0]
  assert.ok(replica)
  for (const node of [replica, cluster.node(primary.node)]) {
    node.pause()
    await lasting(300)
    node.resume()
    await writer.taken(200)
  }
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  const now = await cluster.primary()
  // A slow machine may have stretched the stop: then a later epoch is right, too.
  note(`epoch ${primary.epoch} before, ${now.epoch} after stops of 300 ms`)
})

scenario(failover, 'committed writes over repeated failovers: none lost', async (stage) => {
  const cluster = await stage.cluster()
  const writer = await stage.writer(cluster, { level: 'committed', ratePerSecond: 300 })
  const times: number[] = []
  for (let round = 0; round < 4; round += 1) {
    await writer.taken(100)
    const primary = await cluster.primary()
    await cluster.node(primary.node).kill()
    times.push(await writer.takenAbove(primary.epoch))
    await cluster.node(primary.node).start()
    await cluster.inSync(3)
  }
  const history = await writer.stop()
  note(`failover times: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`)
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(failover, 'keys survive failover and the restart of everything', async (stage) => {
  const cluster = await stage.cluster()
  const { client } = cluster
  const body = { type: 'StoreNode' as const, node: { id: 'k', content: 'kept' } }
  const options = { key: 'survivor', ack: 'committed' as const }
  const first = positive(await client.write(body, options), 'first write of the key')
  const old = await cluster.primary()
  await cluster.node(old.node).kill()
  await cluster.primary({ above: old.epoch })
  const afterFailover = positive(await client.write(body, { key: 'survivor' }), 'after failover')
  assert.is(afterFailover.duplicate, true)
  assert.is(afterFailover.sequence, first.sequence)

  await Promise.all([...cluster.nodes.values()].map((node) => node.kill()))
  await Promise.all([...cluster.nodes.values()].map((node) => node.start()))
  await cluster.primary()
  const members = await cluster.converged()
  const afterRestart = positive(await client.write(body, options), 'after the restart of all')
  assert.is(afterRestart.duplicate, true)
  assert.is(afterRestart.sequence, first.sequence)
  assert.ok(members.every((member) => member.epoch > old.epoch), 'a new epoch after the restart')
})

failover.run()
