/** Forks and their salvage, disks that change, processes that are there twice. */
import * as assert from 'uvu/assert'
import { assertAllTaken, audit, readSalvages } from '../support/books.js'
import { positive } from '../support/client.js'
import type { Cluster, NodeProcess } from '../support/cluster.js'
import { History } from '../support/history.js'
import { note, scenario, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const fork = suite('integration: fork and rejoin')

/** Half a grant: from then on the primary strikes silent members off the in-sync set. */
const inSyncSilenceMs = 1000

/**
 * Stops both replicas, and writes `durable` to the primary alone; then kills it. Returns the keys
 * that it answered. All of it is over before the replicas' silence costs them their places.
 */
async function writeAlone(
  cluster: Cluster, primary: NodeProcess, replicas: readonly NodeProcess[],
): Promise<string[]> {
  const startedAt = performance.now()
  for (const replica of replicas) replica.pause()
  const keys = Array.from({ length: 40 }, (_, n) => `fork-${n}`)
  const replies = await Promise.all(keys.map((key) => cluster.client.write(
    { type: 'StoreNode', node: { id: key, content: 'in the fork' } },
    { key, ack: 'durable', timeoutMs: 700 })))
  await primary.kill()
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs < inSyncSilenceMs,
    `this machine is too slow to provoke a fork: ${tookMs.toFixed(0)} ms, run it again`)
  const answered = keys.filter((_, n) => replies[n]?.ok)
  assert.ok(answered.length > 0, `no durable write was answered: ${JSON.stringify(replies[0])}`)
  return answered
}

scenario(fork, 'what only the dead primary had goes to its salvage', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.reign()
  const primary = cluster.node(old.node)
  const replicas = cluster.others(old.node)
  for (let n = 0; n < 20; n += 1) {
    const body = { type: 'StoreNode' as const, node: { id: `before-${n}`, content: 'kept' } }
    positive(await cluster.client.write(body, { ack: 'committed' }), `before-${n}`)
  }
  await cluster.converged()
  const forked = await writeAlone(cluster, primary, replicas)
  // Killed while stopped: what the broker had sent them is gone with their sockets.
  await Promise.all(replicas.map((replica) => replica.kill()))
  await Promise.all(replicas.map((replica) => replica.start()))
  const next = await cluster.reign({ above: old.epoch })
  assert.is.not(next.node, old.node)
  // Some of the same keys are written again: a key that went to a salvage is free.
  const retried = positive(await cluster.client.write(
    { type: 'StoreNode', node: { id: 'fork-0', content: 'written again' } },
    { key: 'fork-0', ack: 'committed' }), 'the key of a forked write')
  assert.is(retried.duplicate, false, 'the forked write is no part of the log')
  assert.is(retried.epoch, next.epoch)

  await primary.start()
  const books = await audit(cluster, new History())
  const salvaged = new Set(books.salvaged.map((entry) => entry.writeId))
  const missing = forked.filter((key) => !salvaged.has(key))
  assert.is(missing.length, 0, `answered, and not in the salvage: ${missing.join(', ')}`)
  for (const { writeId, epoch } of books.salvaged) {
    assert.match(String(writeId), /^fork-/, 'nothing but the fork is in the salvage')
    assert.is(epoch, old.epoch)
  }
  assert.is(salvaged.size, books.salvaged.length, 'each entry once')
  for (const [id, log] of books.logs) {
    const left = log.filter((entry) => /^fork-[1-9]/.test(entry.writeId ?? ''))
    assert.is(left.length, 0, `log of ${id} still holds ${left.length} forked entries`)
  }
  const ghost = positive(await cluster.client.read({ type: 'GetNode', nodeId: 'fork-7' }), 'read')
  assert.not.ok(ghost.value, `a forked node is in the store: ${JSON.stringify(ghost)}`)
  const member = await cluster.member(old.node)
  assert.ok(member.forks >= 1 && member.salvages >= 1, JSON.stringify(member))
  note(`fork of ${salvaged.size} entries, ${forked.length} of them answered, all salvaged`)
})

scenario(fork, 'replicas that were only stopped lose nothing unaccounted', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.reign()
  const replicas = cluster.others(old.node)
  await cluster.converged()
  const answered = await writeAlone(cluster, cluster.node(old.node), replicas)
  for (const replica of replicas) replica.resume()
  await cluster.reign({ above: old.epoch })
  await cluster.node(old.node).start()
  const books = await audit(cluster, new History())
  const salvaged = new Set(books.salvaged.map((entry) => entry.writeId))
  for (const [id, log] of books.logs) {
    const logged = new Set(log.map((entry) => entry.writeId))
    const lost = answered.filter((key) => !logged.has(key) && !salvaged.has(key))
    assert.is(lost.length, 0, `neither in the log of ${id} nor salvaged: ${lost.join(', ')} (I6)`)
  }
  note(`${salvaged.size} of ${answered.length} answered entries went to the salvage`)
})

scenario(fork, 'a node that returns with an empty disk is a new member', async (stage) => {
  const cluster = await stage.cluster()
  const reign = await cluster.reign()
  const [victim] = cluster.others(reign.node)
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
  const old = await cluster.reign()
  const writer = await stage.writer(cluster, { level: 'committed' })
  await writer.taken(300)
  const node = cluster.node(old.node)
  await node.kill()
  node.wipe()
  await node.start({ awaitReady: false })
  const next = await cluster.reign({ above: old.epoch })
  assert.is.not(next.node, old.node, 'an empty disk must not be promoted')
  await writer.taken(100)
  await cluster.inSync(3)
  const history = await writer.stop()
  assertAllTaken(history)
  await audit(cluster, history)
})

scenario(fork, 'two processes on one data directory, or with one id', async (stage) => {
  const cluster = await stage.cluster({ nodes: 3 })
  const reign = await cluster.reign()
  const replica = cluster.others(reign.node)[0]
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
  assert.equal(await cluster.reign(), reign, 'the cluster did not even notice')
})

fork.run()
