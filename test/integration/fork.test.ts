/** Forks that are reconciled, disks that change, two processes of one node. */
import * as assert from 'uvu/assert'
import type { FateValue } from '../../actors/ports/clientApi.js'
import { assertAllTaken, audit, forkReports, readSalvages } from '../support/audit.js'
import { positive } from '../support/client.js'
import type { Cluster } from '../support/cluster.js'
import { History } from '../support/history.js'
import { leaveBehind } from '../support/leaveBehind.js'
import type { Keyed } from '../support/leaveBehind.js'
import { note, scenario, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const fork = suite('integration: fork and rejoin')

const writes: Keyed = Object.fromEntries(Array.from({ length: 40 }, (_, n) => {
  const id = `fork-${n}`
  return [id, { type: 'StoreNode', node: { id, content: 'in the fork' } }]
}))

scenario(fork, 'writes that only the dead primary had are reconciled when it returns',
  async (stage) => {
    const cluster = await stage.cluster()
    const old = await cluster.primary()
    const primary = cluster.node(old.node)
    const replicas = cluster.others(old.node)
    for (let n = 0; n < 20; n += 1) {
      const body = { type: 'StoreNode' as const, node: { id: `before-${n}`, content: 'kept' } }
      positive(await cluster.client.write(body, { ack: 'committed' }), `before-${n}`)
    }
    await cluster.converged()
    const forked = await leaveBehind(cluster, primary, replicas, writes)
    // Killed while stopped: what the broker had sent them is gone with their sockets.
    await Promise.all(replicas.map((replica) => replica.kill()))
    await Promise.all(replicas.map((replica) => replica.start()))
    const next = await cluster.primary({ above: old.epoch })
    assert.is.not(next.node, old.node)
    const open = await waitFor('its report', async () => (await forkReports(cluster))[0])
    assert.equal([open.epoch, open.node, open.outcome], [old.epoch, old.node, null])
    // One is sent again, by who does not say that it was answered: its key is free.
    const retried = positive(await cluster.client.write(
      { type: 'StoreNode', node: { id: 'fork-0', content: 'written again' } },
      { key: 'fork-0', ack: 'committed' },
    ), 'the key of a forked write')
    assert.is(retried.duplicate, false, 'the forked write is no part of the log')
    assert.is(retried.epoch, next.epoch)
    const before = await fateOf(cluster, 'fork-7')
    assert.is(before.fate, 'unknown', 'its node has not come back')

    await primary.start()
    const final = await audit(cluster, new History())
    assert.equal(final.salvaged, [], 'the salvage is gone')
    const [report] = await forkReports(cluster)
    assert.ok(report)
    assert.equal([report.outcome, report.resent, report.quarantined, report.lost], ['reconciled', 1,
      0, 0])
    assert.ok(report.merged >= forked.length - 1, `${report.merged} of ${forked.length - 1}`)
    for (const [id, log] of final.logs) {
      const home = log.filter(({ reconciliation }) => reconciliation?.outcome === 'merged')
      assert.is(home.length, report.merged, `log of ${id}`)
      assert.ok(home.every(({ reconciliation }) =>
        reconciliation?.origin.epoch === old.epoch
        && reconciliation.origin.node === old.node && reconciliation.via === 'salvage'
      ))
      const keys = log.flatMap(({ writeId }) => (writeId?.startsWith('fork-') ? [writeId] : []))
      assert.is(new Set(keys).size, keys.length, 'each once')
      assert.equal(forked.filter((key) => !keys.includes(key)), [], `not in the log of ${id}`)
    }
    const content = async (nodeId: string) =>
      (positive(await cluster.client.read(
        { type: 'GetNode', nodeId },
      ), nodeId).value as { content?: string } | null)?.content
    assert.is(await content('fork-0'), 'written again')
    assert.is(await content('fork-7'), 'in the fork')
    await waitFor('it is safe', async () => (await fateOf(cluster, 'fork-7')).fate === 'safe')
    const fate = await fateOf(cluster, 'fork-7')
    assert.equal([fate.epoch, fate.via, fate.now?.epoch], [old.epoch, 'salvage', next.epoch])
    const member = await cluster.member(old.node)
    assert.ok(member.forks >= 1, JSON.stringify(member))
    assert.is(member.salvages, 0, JSON.stringify(member))
    note(`fork of ${report.merged + report.resent} writes, ${forked.length} answered, all home`)
  })

async function fateOf(cluster: Cluster, key: string): Promise<FateValue> {
  const reply = await cluster.client.read({ type: 'GetFate', key })
  return positive(reply, `fate of ${key}`).value as FateValue
}

scenario(fork, 'replicas that were only stopped lose nothing unaccounted', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const replicas = cluster.others(old.node)
  await cluster.converged()
  const answered = await leaveBehind(cluster, cluster.node(old.node), replicas, writes)
  for (const replica of replicas) replica.resume()
  await cluster.primary({ above: old.epoch })
  await cluster.node(old.node).start()
  const final = await audit(cluster, new History())
  assert.equal(final.salvaged, [])
  for (const [id, log] of final.logs) {
    const logged = new Set(log.map((entry) => entry.writeId))
    const lost = answered.filter((key) => !logged.has(key))
    assert.is(lost.length, 0, `not in the log of ${id}: ${lost.join(', ')} (I6)`)
  }
  const [report] = await forkReports(cluster)
  assert.is(report?.lost, 0)
  note(`${report?.merged ?? 0} of ${answered.length} answered entries were reconciled`)
})

scenario(fork, 'a node that returns with an empty disk is a new member', async (stage) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const [victim] = cluster.others(primary.node)
  assert.ok(victim)
  const writer = await stage.writer(cluster)
  await writer.taken(500)
  const { disk } = (await cluster.report(victim.id)).node
  await victim.kill()
  victim.wipe()
  await victim.start()
  const report = await waitFor('status of the wiped node', () => cluster.report(victim.id))
  assert.is.not(report.node.disk, disk, 'another disk has another id')
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
  assert.equal((await readSalvages(victim.data)).length, 0, 'an empty disk has nothing to salvage')
})

scenario(fork, 'the primary returns with an empty disk at once', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(300)
  const node = cluster.node(old.node)
  await node.kill()
  node.wipe()
  await node.start({ awaitReady: false })
  const next = await cluster.primary({ above: old.epoch })
  assert.is.not(next.node, old.node, 'an empty disk must not be promoted')
  await writer.taken(100)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(fork, 'two processes on one data directory, or with one id', async (stage) => {
  const cluster = await stage.cluster({ nodes: 3 })
  const primary = await cluster.primary()
  const replica = cluster.others(primary.node)[0]
  assert.ok(replica)
  for (const [what, intruder] of [
    ['on the same data directory', replica.spawn()],
    ['with the id of a living node', replica.spawn('127.0.0.1:0', `${replica.data}-other`)],
  ] as const) {
    stage.child(intruder)
    const exit = await waitFor(`the end of a second process ${what}`, () => intruder.exit)
    assert.ok(exit.code !== 0, `a second process ${what} was let in: ${JSON.stringify(exit)}`)
    assert.is(exit.signal, null, `refused, not crashed: ${JSON.stringify(exit)}`)
    assert.ok(replica.isRunning, `the node itself lives on, in spite of a second one ${what}`)
  }
  await cluster.converged()
  assert.equal(await cluster.primary(), primary, 'the cluster did not even notice')
})

fork.run()
