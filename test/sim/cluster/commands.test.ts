/** Commands and reads, in a simulated cluster. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: commands')

const serving = () => SimCluster.serving({ writes: 3 })

test('orders that make no sense are refused with a code', async () => {
  const cluster = await serving()
  const codes: unknown[] = []
  for (const command of [
    [],
    { type: 'explode' },
    { type: 'createSpace', space: 'a.b' },
    { type: 'createSpace', space: 'x', replicas: -1 },
    { type: 'createSpace', space: 'x', ack: 'quorum' },
    { type: 'createSpace', space: 'x', minInSync: 9 },
    { type: 'createSpace', space: 'x', replicas: 5 },
    { type: 'createSpace', space: 'teams', replicas: 1 },
    { type: 'promote', space: 'nowhere' },
    { type: 'promote', space: 'teams', to: 'n9' },
    { type: 'promote', space: 'teams', force: true },
  ]) codes.push((await cluster.command('n2', command))['code'])
  assert.equal(codes, [
    'INVALID_OPERATION',
    'INVALID_OPERATION',
    'INVALID_OPERATION',
    'INVALID_OPERATION',
    'INVALID_OPERATION',
    'INVALID_OPERATION',
    'NOT_ENOUGH_IN_SYNC',
    'INVALID_OPERATION',
    'UNKNOWN_SPACE',
    'INVALID_OPERATION',
    'INVALID_OPERATION',
  ])
  const data = Buffer.from('no json')
  const message = await cluster.wait(cluster.client.request(subjects.admin('n1'), data, {
    timeoutMs: 1000,
  }))
  assert.match(Buffer.from(message.data).toString(), /INVALID_OPERATION/)
})

test('a space is created once, whoever asks and whatever answer is lost', async () => {
  const cluster = await SimCluster.start()
  cluster.bucket.loseAnswers('applied')
  const sent = ['n1', 'n2', 'n3'].map((node) =>
    cluster.command(node, { type: 'createSpace', space: 'teams' })
  )
  const answers = await Promise.all(sent)
  assert.equal(answers.map((answer) => answer['ok']), [true, true, true])
  assert.is(answers.filter((answer) => answer['created'] === true).length, 1)
  await cluster.until('it has a primary', () => cluster.primary() !== null)
  const listed = await cluster.command('n3', { type: 'listSpaces' })
  assert.is((listed['spaces'] as object[]).length, 1)
})

test('promote hands over to the node that is named, or to the best', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const to = cluster.running.find((node) => node !== old)!
  const named = await cluster.command(to.id, { type: 'promote', space: 'teams', to: to.id })
  assert.equal([named['ok'], named['primary']], [true, to.id])
  const again = await cluster.command('n1', { type: 'promote', space: 'teams', to: to.id })
  assert.equal([again['ok'], again['epoch']], [true, 2])
  const best = await cluster.command('n1', { type: 'promote', space: 'teams' })
  assert.is(best['ok'], true)
  assert.is.not(best['primary'], to.id)
  await cluster.check()
})

test('a node that is asked to stop hands its spaces over and ends with 0', async () => {
  const cluster = await serving()
  const old = cluster.primary()!
  const pending: Promise<unknown>[] = []
  old.actor.drain('SIGTERM')
  for (let i = 0; i < 150; i += 1) {
    pending.push(cluster.send())
    await cluster.run(2)
  }
  await cluster.until('it ended', () => old.exitCode !== null)
  assert.is(old.exitCode, 0)
  const answers = await cluster.wait(Promise.all(pending))
  assert.equal(answers.filter((answer) => !(answer as { ok?: boolean } | null)?.ok), [])
  old.start()
  await cluster.check()
})

test('a writer reads its own writes; committed reads see what is committed', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  cluster.weather = (from, to) => (from === primary.id && to !== 'client' ? 'lost' : 0.2)
  await cluster.writes(1)
  const { ids, answer } = cluster.acknowledged.at(-1)!
  const query = { type: 'GetNode', nodeId: ids[0] }
  const latest = await cluster.read(query)
  assert.ok(latest.ok && (latest.value as { id: string }).id === ids[0])
  assert.is(latest.ok && latest.sequence, answer.sequence)
  const committed = await cluster.read(query, { 'Engram-Read': 'committed' })
  assert.is(committed.ok && committed.value, null)
  cluster.weather = () => 0.2
  await cluster.converged()
  const any = await cluster.read(query, { 'Engram-Min-Sequence': `${answer.sequence}` },
    subjects.readAny('teams'))
  assert.is(any.ok && (any.value as { id: string }).id, ids[0])
})

test('a read sees every answer given before it, of a backlog of many flushes too', async () => {
  const cluster = await SimCluster.start({ settings: { frameBytesMax: 1000, flushBytesMax: 2000 } })
  await cluster.createSpace()
  const answers: { sequence?: number }[] = []
  for (let i = 0; i < 300; i += 1) {
    void cluster.send({ 'Engram-Ack': 'memory' }).then((answer) => answers.push(answer ?? {}))
  }
  await cluster.until('all are answered', () => answers.length === 300)
  const { durable } = cluster.primary()!.space().member.log
  assert.ok(durable.sequence < 300, 'or there is no backlog')
  const highest = Math.max(...answers.map(({ sequence }) => sequence ?? 0))
  const read = await cluster.read({ type: 'GetNode', nodeId: 'w1' })
  assert.ok(read.ok && read.sequence! >= highest, `${JSON.stringify(read)}, answered ${highest}`)
})

test('reads wait for what is asked for, bounded, and refuse what is too old', async () => {
  const cluster = await serving()
  const any = subjects.readAny('teams')
  const query = { type: 'ListNodes', after: '', limit: 10 }
  const code = async (headers: Record<string, string>, subject = any) => {
    const answer = await cluster.read(query, headers, subject)
    return answer.ok ? 'ok' : answer.code
  }
  const before = cluster.clock.monotonicMs()
  assert.is(await code({ 'Engram-Min-Sequence': '999' }), 'STALE_READ')
  assert.ok(cluster.clock.monotonicMs() - before >= defaultSettings.readWaitMs)
  assert.is(await code({ 'Engram-Max-Staleness-Ms': '1000' }), 'ok')
  assert.is(await code({ 'Engram-Min-Sequence': '-1' }), 'INVALID_OPERATION')
  assert.is(await code({ 'Engram-Max-Staleness-Ms': 'soon' }), 'INVALID_OPERATION')
  assert.is(await code({ 'Engram-Read': 'dirty' }, subjects.read('teams')), 'INVALID_OPERATION')
  for (const node of cluster.running) {
    if (node !== cluster.primary()) node.kill()
  }
})

test('log entries are read in pages, up to what may be seen', async () => {
  const cluster = await serving()
  await cluster.writes(30, 'committed')
  await cluster.converged()
  const pages: number[] = []
  for (const subject of [subjects.read('teams'), subjects.readAny('teams')]) {
    for (let from = 1; from <= 34; from += 10) {
      const answer = await cluster.read({ type: 'GetEntries', from, limit: 10 }, {}, subject)
      assert.ok(answer.ok)
      const sequences = (answer.value as { sequence: number }[]).map((e) => e.sequence)
      assert.is(sequences[0], from)
      pages.push(sequences.length)
    }
  }
  assert.equal(pages, [10, 10, 10, 4, 10, 10, 10, 4])
})

test('a primary without a lease answers no read', async () => {
  const cluster = await serving()
  const primary = cluster.primary()!
  cluster.weather = (from, to) => (from !== 'client' && to !== 'client' ? 'lost' : 0.2)
  cluster.bucket.available = false
  await cluster.run(2500)
  assert.is(primary.space().serves, false)
  const answer = await cluster.wait(
    cluster.client.request(subjects.read('teams'), Buffer.from('{"type":"GetNode","nodeId":"w1"}'),
      {
        timeoutMs: 100,
      })
      .then(() => 'answered', (error: Error) => error.name),
  )
  assert.is(answer, 'NoRespondersError')
})

type Changed = Record<string, unknown> & { readonly settings?: unknown }

function setSpace(cluster: SimCluster, settings: object, node = 'n2'): Promise<Changed> {
  return cluster.command(node, { type: 'setSpace', space: 'teams', settings })
}

test('changes of the settings at one time: each is made upon the one before it', async () => {
  const cluster = await serving()
  const answers = await cluster.wait(Promise.all([
    setSpace(cluster, { ack: 'committed' }),
    setSpace(cluster, { reconcile: 'manual' }, 'n1'),
    setSpace(cluster, { maxLoss: { ms: 9 } }),
    setSpace(cluster, { maxLoss: { entries: 7 } }),
    setSpace(cluster, { minInSync: 9 }),
    setSpace(cluster, { keys: { ms: 5000 } }),
  ]))
  const written = cluster.record()!.settings
  assert.equal(answers.map(({ ok, code }) => code ?? ok), [true, true, true, true,
    'INVALID_OPERATION', true])
  assert.equal(written, {
    replicas: 2,
    ack: 'committed',
    minInSync: 2,
    maxLoss: { ms: 9, entries: 7 },
    reconcile: 'manual',
    keys: { ms: 5000 },
  })
  const shown = answers.filter(({ ok }) => ok).map(({ settings }) => JSON.stringify(settings))
  assert.is(new Set(shown).size, 5, 'each answer shows what was written for it')
  await cluster.check()
})

test('a change of the settings that changes nothing writes nothing', async () => {
  const cluster = await serving()
  await setSpace(cluster, { maxLoss: { bytes: 5000, entries: 7 } })
  const { nonce } = cluster.record()!
  const same = await setSpace(cluster, { maxLoss: { entries: 7 }, ack: 'durable' })
  assert.is(same['ok'], true, JSON.stringify(same))
  assert.equal(same.settings, cluster.record()!.settings)
  assert.is(cluster.record()!.nonce, nonce)
  const again = await cluster.command('n1', {
    type: 'createSpace',
    space: 'teams',
    maxLoss: { bytes: 5000, entries: 7 },
  })
  assert.equal([again['ok'], again['created']], [true, false], JSON.stringify(again))
})

test('changes of the settings that are not made in time are refused, and never made', async () => {
  const cluster = await serving()
  const before = cluster.record()!.settings
  // A request in flight settles late; those that waited behind it have been given up by then.
  cluster.bucket.loseAnswers(...Array.from({ length: 1000 }, () => 'lost' as const))
  const sent = Array.from({ length: 18 },
    (_, index) => setSpace(cluster, { maxLoss: { entries: index + 1 } }, cluster.primary()!.id))
  await cluster.run(1000)
  const answers = await cluster.wait(Promise.all(sent))
  assert.equal(answers.map(({ code }) => code), [
    ...Array.from({ length: 17 }, () => 'ACK_TIMEOUT'),
    'OVERLOADED',
  ])
  assert.ok(answers.every(({ retryable }) => retryable === true))
  assert.equal(cluster.record()!.settings, before)
  cluster.bucket.keepAnswers()
  await cluster.run(1000)
  assert.equal(cluster.record()!.settings, { ...before, maxLoss: { entries: 1 } },
    'the one in flight came yet')
  const after = await setSpace(cluster, { ack: 'memory' })
  assert.equal(after.settings, { ...before, ack: 'memory', maxLoss: { entries: 1 } })
})

test.run()
