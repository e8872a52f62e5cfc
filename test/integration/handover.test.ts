/** Planned changes under load: no error, no loss, no duplicate. Forced ones: each loss is reported. */
import * as assert from 'uvu/assert'
import { assertAllTaken, assertNoErrors, audit } from '../support/audit.js'
import { cli, runCli, showCommand } from '../support/cli.js'
import { positive } from '../support/client.js'
import { space } from '../support/cluster.js'
import { History } from '../support/history.js'
import { note, scenario, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const handover = suite('integration: handover')

/** Long enough for any write that a handover holds back: a timeout would hide an error. */
const patient = { attemptTimeoutMs: 8000 } as const

scenario(handover, '`promote --to` under load, back and forth', async (stage) => {
  const cluster = await stage.cluster()
  const writer = await stage.writer(cluster, patient)
  const gaps: string[] = []
  for (let round = 0; round < 3; round += 1) {
    await writer.taken(200)
    const primary = await cluster.primary()
    const target = cluster.others(primary.node)[round % 2]
    assert.ok(target)
    await cli(['promote', space, '--to', target.id, '--nats', cluster.broker.url, '--json'])
    const next = await cluster.primary({ above: primary.epoch })
    assert.is(next.node, target.id, 'the named target is primary')
    await writer.taken(100)
    await cluster.inSync(3)
    gaps.push(writer.history.longestGapMs().toFixed(0))
  }
  const history = await writer.stop()
  note(`longest time without an answer, after each handover: ${gaps.join(', ')} ms`)
  assertNoErrors(history)
  assertAllTaken(history)
  const final = await audit(cluster, history)
  assert.is(final.salvaged.length, 0, 'a planned handover makes no fork')
})

scenario(handover, 'handover of committed and of durable writes at once', async (stage) => {
  const cluster = await stage.cluster()
  const durable = await stage.writer(cluster, patient)
  const committed = await stage.writer(cluster, { ...patient, level: 'committed' })
  await durable.taken(100)
  await committed.taken(100)
  const primary = await cluster.primary()
  await cli(['promote', space, '--nats', cluster.broker.url, '--json'])
  const next = await cluster.primary({ above: primary.epoch })
  assert.is.not(next.node, primary.node, 'without --to, another member is chosen')
  await durable.taken(100)
  await committed.taken(100)
  for (const history of [await durable.stop(), await committed.stop()]) {
    assertNoErrors(history)
    assertAllTaken(history)
    await audit(cluster, history)
  }
})

scenario(handover, 'rolling restart of all nodes by SIGTERM under load', async (stage) => {
  const cluster = await stage.cluster()
  const writer = await stage.writer(cluster, patient)
  for (const node of cluster.nodes.values()) {
    await writer.taken(100)
    const wasPrimary = (await cluster.primary()).node === node.id
    const code = await node.stop()
    assert.is(code, 0, `${node.id} (${wasPrimary ? 'primary' : 'replica'}) stops cleanly`)
    const primary = await cluster.primary()
    assert.is.not(primary.node, node.id)
    await node.start()
    await cluster.inSync(3)
  }
  await writer.taken(100)
  const history = await writer.stop()
  note(`longest time without an answer: ${history.longestGapMs().toFixed(0)} ms`)
  assertNoErrors(history)
  assertAllTaken(history)
  const final = await audit(cluster, history)
  assert.is(final.salvaged.length, 0, 'clean stops make no fork')
})

scenario(handover, '`promote --to` a node that cannot take over', async (stage) => {
  const cluster = await stage.cluster()
  const primary = await cluster.primary()
  const writer = await stage.writer(cluster, patient)
  await writer.taken(100)
  const args = ['--nats', cluster.broker.url]
  for (const target of ['n9', 'no/such']) {
    const result = await runCli(['promote', space, '--to', target, ...args])
    assert.ok(result.code !== 0, `refused: ${showCommand(result)}`)
    assert.ok(result.stderr.trim().length > 0, `says why: ${showCommand(result)}`)
  }
  const [victim] = cluster.others(primary.node)
  assert.ok(victim)
  victim.pause()
  const hung = await runCli(['promote', space, '--to', victim.id, ...args])
  victim.resume()
  assert.match(hung.stderr, `${victim.id} does not answer, so nothing was changed`)
  assert.equal(await cluster.primary(), primary, 'it goes on serving')
  await cluster.inSync(3)
  await victim.kill()
  const result = await runCli(['promote', space, '--to', victim.id, ...args])
  assert.ok(result.code !== 0, `a dead target is refused: ${showCommand(result)}`)
  await writer.taken(100)
  assert.equal(await cluster.primary(), primary, 'it goes on serving')
  assertAllTaken(await writer.stop())
  await victim.start()
  await audit(cluster, writer.history)
})

scenario(handover, 'no in-sync member is alive: blocked, then forced', async (stage) => {
  const cluster = await stage.cluster()
  const old = await cluster.primary()
  const [last, left] = cluster.others(old.node)
  assert.ok(last && left)
  // `left` falls behind and out of the set; then the others die: what they have, it lacks.
  await left.kill()
  await cluster.inSync([old.node, last.id])
  const keys = Array.from({ length: 30 }, (_, n) => `behind-${n}`)
  for (const key of keys) {
    const body = { type: 'StoreNode' as const, node: { id: key, content: 'not on the third' } }
    positive(await cluster.client.write(body, { key, ack: 'committed' }), key)
  }
  await Promise.all([cluster.node(old.node).kill(), last.kill()])
  await left.start()
  const blocked = await waitFor(`${left.id} to say that the space is blocked`,
    async () => (await cluster.member(left.id)).blocked)
  note(`blocked: ${blocked}`)
  const before = await cluster.client.read({ type: 'ListNodes', after: '', limit: 1 })
  assert.not.ok(before.ok, `nobody serves while blocked: ${JSON.stringify(before)}`)

  const args = ['promote', space, '--to', left.id, '--nats', cluster.broker.url]
  const plain = await runCli(args)
  assert.ok(plain.code !== 0, `not without --force: ${showCommand(plain)}`)
  await cli([...args, '--force'])
  await cluster.primary({ above: old.epoch, by: left.id })
  const body = { type: 'StoreNode' as const, node: { id: 'after', content: 'of the forced epoch' } }
  positive(await cluster.client.write(body, { ack: 'durable' }), 'write in the forced epoch')

  await Promise.all([cluster.node(old.node).start(), last.start()])
  await accountForced(cluster, keys)
})

/**
 * The members that come back hold committed entries that the forced epoch lacks: they are salvaged,
 * the members are installed, and the salvages reconciled. Nothing that was committed is gone.
 */
async function accountForced(
  cluster: Parameters<typeof audit>[0],
  keys: readonly string[],
): Promise<void> {
  await waitFor('the old members to be in sync', async () => {
    const members = await cluster.members()
    return members.some((m) => m.role === 'primary' && m.inSync.length === 3)
  }, { seconds: 30 })
  const final = await audit(cluster, new History())
  const found = new Set([...[...final.logs.values()].flat(), ...final.salvaged]
    .map(({ operation }) => operation.type === 'StoreNode' && operation.node.id))
  const lost = keys.filter((key) => !found.has(key))
  assert.is(lost.length, 0, `committed before, neither in the log nor salvaged: ${lost.join(', ')}`)
}

handover.run()
