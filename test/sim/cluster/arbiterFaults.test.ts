/** An arbiter that refuses, or holds what cannot be read, under a simulated cluster. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: arbiter faults')

const full = 'bucket engram: maximum bytes exceeded (JetStream error 10077)'

const serving = () => SimCluster.serving({ writes: 3 })

/** Compare-and-sets of records of spaces from now on. */
function counting(cluster: SimCluster): { attempts: number } {
  const count = { attempts: 0 }
  for (const node of cluster.running) {
    const { arbiter } = node.actor.context!.records as unknown as {
      arbiter: { compareAndSet: (...args: unknown[]) => unknown }
    }
    const compareAndSet = arbiter.compareAndSet.bind(arbiter)
    arbiter.compareAndSet = (...args) => {
      count.attempts += 1
      return compareAndSet(...args)
    }
  }
  return count
}

function alerts(cluster: SimCluster, kind: string): string[] {
  return [...cluster.nodes.values()].flatMap((node: SimNode) => node.log)
    .filter(({ level, fields }) => level === 'warn' && (fields as { kind?: string }).kind === kind)
    .map(({ message }) => message)
}

test('a command that the arbiter refuses fails in its words, and nothing goes on', async () => {
  const cluster = await serving()
  cluster.bucket.rejects = full
  const count = counting(cluster)
  const begunMs = cluster.clock.monotonicMs()
  const answer = await cluster.command('n1', { type: 'createSpace', space: 'more' })
  assert.equal([answer['code'], answer['retryable']], ['ARBITER_REFUSED', false])
  assert.ok(String(answer['message']).includes(full), String(answer['message']))
  assert.ok(cluster.clock.monotonicMs() - begunMs < 500)
  await cluster.run(5000)
  assert.is(count.attempts, 1)
})

test('a command that the arbiter never answers ends, and nothing goes on', async () => {
  const cluster = await serving()
  cluster.bucket.loseAnswers(...Array.from({ length: 1000 }, () => 'lost' as const))
  const answer = await cluster.command('n1', { type: 'createSpace', space: 'more' })
  assert.is(answer['code'], 'ARBITER_UNAVAILABLE')
  assert.match(String(answer['message']), /injected: lost.*may still be applied/)
  const count = counting(cluster)
  await cluster.run(5000)
  assert.is(count.attempts, 0)
  cluster.bucket.keepAnswers()
  assert.is((await cluster.command('n1', { type: 'createSpace', space: 'more' }))['ok'], true)
})

test('a failover that the arbiter refuses is blocked, said once, and goes on when it can', async () => {
  const cluster = await serving()
  cluster.bucket.rejects = full
  const primary = cluster.primary()!
  const count = counting(cluster)
  primary.kill()
  await cluster.run(60_000)
  const members = cluster.running.map((node) => node.space().member)
  const blocked = members.filter((member) => member.blockage.reason?.includes(full))
  assert.ok(blocked.length > 0, cluster.describe())
  assert.ok(blocked.every(({ known }) => known.rejection === full))
  assert.equal(alerts(cluster, 'blocked').length, blocked.length, 'once each')
  assert.ok(count.attempts < 60, `${count.attempts} attempts in a minute`)
  const logged = cluster.running.flatMap((node) => node.log)
    .filter(({ level, message }) => level !== 'debug' && message.includes(full))
  assert.ok(logged.length <= 12,
    `${logged.length} lines: ${logged.map((l) => l.message).join('\n')}`)
  cluster.bucket.rejects = null
  await cluster.until('one is primary', () => cluster.primary() !== null, 6000)
  await cluster.until('none is blocked',
    () =>
      cluster.running.every((node) =>
        node.space().member.blockage.reason === null && node.space().member.known.rejection === null
      ))
  primary.start()
  await cluster.check()
})

test('a handover that the arbiter would refuse costs nothing', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const { epoch } = cluster.record()!
  cluster.bucket.rejects = full
  const pending = [cluster.send(), cluster.send()]
  for (const command of [{ type: 'promote', space: 'teams' }, { type: 'drain' }]) {
    const answer = await cluster.command(primary.id, command)
    assert.is(answer['ok'], false, command.type)
    assert.ok(String(answer['message']).includes(full), String(answer['message']))
    pending.push(cluster.send())
  }
  const answers = await cluster.wait(Promise.all(pending))
  assert.ok(answers.every((answer) => answer?.ok), JSON.stringify(answers))
  assert.is(cluster.primary()?.id, primary.id)
  assert.is(cluster.record()!.epoch, epoch)
  assert.is(alerts(cluster, 'arbiterRefuses').length, 1)
  cluster.bucket.rejects = null
  const other = await cluster.command('n1', { type: 'promote', space: 'teams' })
  assert.is(other['ok'], true, JSON.stringify(other))
  assert.is(alerts(cluster, 'arbiterAccepts').length, 1)
  await cluster.check()
})

test('the touch before a handover that is given up may be applied at any time later', async () => {
  for (const lateMs of [5, 300, 2000]) {
    const cluster = await serving()
    const primary = cluster.primary()!
    const [to, third] = cluster.running.filter((node) => node !== primary) as [SimNode, SimNode]
    cluster.bucket.loseAnswers(...Array.from({ length: 40 }, () => 'late' as const))
    cluster.client.request(`engram.v1.admin.${primary.id}`, Buffer.from(JSON.stringify({
      type: 'promote',
      space: 'teams',
      to: to.id,
    })), { timeoutMs: 12_000 }).catch(() => undefined)
    await cluster.run(lateMs)
    third.kill()
    await cluster.run(200)
    cluster.bucket.keepAnswers()
    cluster.bucket.release()
    await cluster.until('the dead one is left out', () => cluster.record()!.inSync.length === 2)
    third.start()
    await cluster.until('all are in sync', () => cluster.record()!.inSync.length === 3)
    await cluster.check()
  }
})

test('a change of the in-sync members that is refused is reported once, and made later', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const [replica] = cluster.running.filter((node) => node !== primary) as [SimNode]
  replica.kill()
  await cluster.until('it is left out', () => cluster.record()!.inSync.length === 2)
  cluster.bucket.rejects = full
  cluster.bucket.rejectsOnly = 'space.'
  const count = counting(cluster)
  replica.start()
  await cluster.run(30_000)
  assert.is(cluster.primary()?.id, primary.id, 'the epoch goes on')
  assert.ok((await cluster.wait(cluster.send({ 'Engram-Ack': 'committed' })))?.ok)
  assert.is(primary.space().member.known.rejection, full)
  assert.equal(alerts(cluster, 'arbiterRefuses').length, 1)
  assert.ok(alerts(cluster, 'arbiterRefuses')[0]!.includes(full))
  assert.ok(count.attempts < 20, `${count.attempts}`)
  cluster.bucket.rejects = null
  await cluster.until('it is in sync', () => cluster.record()!.inSync.length === 3)
  assert.is(primary.space().member.known.rejection, null)
  await cluster.check()
})

test('an epoch whose set cannot shrink ends with its lease, and says why nobody follows', async () => {
  const cluster = await serving()
  const [replica] = cluster.running.filter((node) => node !== cluster.primary()) as [SimNode]
  cluster.bucket.rejects = full
  replica.kill()
  await cluster.run(10_000)
  assert.is(cluster.primary(), null)
  assert.ok(cluster.running.some((node) => node.space().member.blockage.reason?.includes(full)),
    cluster.describe())
  cluster.bucket.rejects = null
  await cluster.until('one is primary', () => cluster.primary() !== null, 6000)
  replica.start()
  await cluster.check()
})

test('a record that cannot be read is said, and written anew by the primary', async () => {
  for (const text of ['oops', '', '[]', null]) {
    const cluster = await serving()
    const primary = cluster.primary()!
    const { uuid } = cluster.record()!
    if (text === null) cluster.bucket.remove('space.teams')
    else cluster.bucket.overwrite('space.teams', Buffer.from(text))
    await cluster.until('it is written anew', () =>
      cluster.record() !== null
      && cluster.primary() !== null, 8000)
    assert.is(cluster.primary()?.id, primary.id)
    assert.is(cluster.record()!.uuid, uuid)
    const found = alerts(cluster, 'arbiterLost')
    assert.ok(found.length > 0 && found.length <= 3)
    assert.match(found[0]!, text === null ? /no longer has its record/ : /teams cannot be read: /)
    await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
    primary.kill()
    await cluster.until('a failover', () => cluster.primary() !== null)
    primary.start()
    await cluster.check()
  }
})

test('a record that cannot be read when the primary dies is written anew by another', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  cluster.bucket.overwrite('space.teams', Buffer.from('oops'))
  primary.kill()
  await cluster.until('a failover', () => cluster.primary() !== null)
  primary.start()
  await cluster.check()
})

test('a record of a newer version is never written over: nobody is promoted upon it', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  const future = Buffer.from('{"version":99}')
  cluster.bucket.overwrite('space.teams', future)
  await cluster.run(12_000)
  assert.is(cluster.primary()?.id, primary.id, 'an epoch goes on as long as its lease')
  assert.ok((await cluster.wait(cluster.send()))?.ok)
  assert.is(primary.space().member.known.arbiter, 'newer')
  primary.kill()
  await cluster.run(12_000)
  assert.is(cluster.primary(), null)
  const stands = (text: string) =>
    cluster.running.filter((node) => node.space().member.blockage.reason?.includes(text))
  assert.ok(stands('newer node').length > 0, cluster.describe())
  assert.ok(alerts(cluster, 'recordNewer').length > 0)
  assert.equal(Buffer.from(cluster.bucket.snapshot().get('space.teams')!.value), future)
  cluster.bucket.remove('space.teams')
  await cluster.until('a failover', () => cluster.primary() !== null, 12_000)
  primary.start()
  await cluster.check()
})

test('a space is not created over a record that cannot be read', async () => {
  const cluster = await serving()
  cluster.bucket.overwrite('space.other', Buffer.from('oops'))
  const answer = await cluster.command('n1', { type: 'createSpace', space: 'other' })
  assert.is(answer['code'], 'INVALID_OPERATION')
  assert.match(String(answer['message']), /record of other cannot be read.*nats kv del/)
  const promoted = await cluster.command('n1', { type: 'promote', space: 'other' })
  assert.match(String(promoted['message']), /record of other cannot be read/)
  const { spaces, unreadable } = await cluster.command('n1', { type: 'listSpaces' }) as {
    spaces?: { space: string }[]
    unreadable?: { space: string }[]
  }
  assert.equal(spaces?.map(({ space }) => space), ['teams'], 'it hides no other')
  assert.equal(unreadable?.map(({ space }) => space), ['other'])
})

test('a node reports the spaces that it may be a member of, and cannot hold', async () => {
  const cluster = await serving()
  const unheld = (): string[] =>
    cluster.running.map((node) =>
      [...node.actor.directory!.unheld].map(([space, reason]) => `${space}: ${reason}`).join()
    )
  assert.equal(unheld(), ['', '', ''])
  cluster.bucket.overwrite('space.other', Buffer.from('oops'))
  await cluster.run(3000)
  for (const found of unheld()) assert.match(found, /^other: .*record of other cannot be read/)
  cluster.bucket.remove('space.other')
  await cluster.run(3000)
  assert.equal(unheld(), ['', '', ''])
})

test('a record by which a node begins a space is remembered at once', async () => {
  const slow = new Set<string>()
  const arbiterDelayMs = (node: string) => (slow.has(node) ? 100 : 0)
  const cluster = await SimCluster.serving({ writes: 3, arbiterDelayMs })
  const primary = cluster.primary()!
  const [away] = cluster.running.filter((node) => node !== primary) as [SimNode]
  away.kill()
  primary.kill()
  await cluster.until('the third is primary',
    () => cluster.primary()?.space().member.own.epoch === 2)
  const holds = () => away.life?.actor.spaces.has('teams') === true
  // Between the start of the space and its next read of the record the arbiter goes away.
  slow.add(away.id)
  away.start()
  await cluster.until('it holds the space', holds)
  assert.is(away.space().member.known.epoch, 2)
  cluster.bucket.available = false
  await cluster.run(300)
  away.powerCut()
  away.start()
  await cluster.until('it holds the space again', holds)
  assert.is(away.space().member.known.epoch, 2, 'I9: over a restart, too')
  cluster.bucket.available = true
  slow.clear()
  primary.start()
  await cluster.check()
})

test('so is the first one, by which the node knows that it holds the space', async () => {
  const slow = new Set<string>()
  const arbiterDelayMs = (node: string) => (slow.has(node) ? 100 : 0)
  const cluster = await SimCluster.start({ arbiterDelayMs })
  const last = cluster.node('n3')
  const holds = () => last.life?.actor.spaces.has('teams') === true
  slow.add(last.id)
  await cluster.createSpace()
  await cluster.until('it holds the space', holds)
  cluster.bucket.available = false
  await cluster.run(300)
  last.powerCut()
  last.start()
  await cluster.until('it holds the space again, without the arbiter', holds)
  cluster.bucket.available = true
  slow.clear()
  await cluster.check()
})

test.run()
