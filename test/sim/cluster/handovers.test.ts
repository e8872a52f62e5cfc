/** Handovers under load, with messages late, lost, or not sent: no write twice, none refused. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SimCluster } from '../../support/simCluster.js'
import type { SimNode } from '../../support/simNode.js'

const test = suite('cluster: handovers')

async function serving(): Promise<SimCluster> {
  const cluster = await SimCluster.start()
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  await cluster.writes(5, 'committed')
  return cluster
}

function handOver(cluster: SimCluster, from: SimNode, to: SimNode): void {
  const command = JSON.stringify({ type: 'promote', space: 'teams', to: to.id })
  const options = { timeoutMs: 12_000 }
  cluster.client.request(`engram.v1.admin.${from.id}`, Buffer.from(command), options)
    .catch(() => undefined)
}

/** A handover whose target acknowledges nothing: it drains until its patience is over. */
async function draining(
  cluster: SimCluster,
  level: 'memory' | 'durable' = 'durable',
): Promise<{ from: SimNode; to: SimNode }> {
  const from = cluster.primary()!
  const to = cluster.running.find((node) => node !== from)!
  cluster.weather = (a, b) => (a === to.id && b === from.id ? 'lost' : 0.2)
  void cluster.send({ 'Engram-Ack': level })
  await cluster.run(5)
  assert.ok(from.space().handOver(to.id, 'a test'))
  await cluster.run(20)
  assert.is(from.space().roleState.state, 'handingOver.draining')
  return { from, to }
}

for (const lateMs of [450, 800]) {
  test(`the old primary hears the new one ${lateMs} ms late: no write is in twice`, async () => {
    const cluster = await serving()
    const from = cluster.primary()!
    const to = cluster.running.find((node) => node !== from)!
    const sent: Promise<unknown>[] = []
    handOver(cluster, from, to)
    for (let ms = 0; ms < 1500; ms += 1) {
      if (cluster.record()!.primary!.node === to.id) {
        cluster.weather = (a, b) => (a === to.id && b === from.id ? lateMs : 0.2)
      }
      if (ms % 5 === 0) sent.push(cluster.send({ 'Engram-Ack': 'durable' }))
      await cluster.run(1)
    }
    cluster.weather = () => 0.2
    await cluster.wait(Promise.all(sent))
    assert.is(cluster.primary(), to)
    await cluster.check()
  })
}

test('writes without a reply, and without a key, are in the log once each', async () => {
  const cluster = await serving()
  const from = cluster.primary()!
  const to = cluster.running.find((node) => node !== from)!
  handOver(cluster, from, to)
  const count = 3000
  for (let i = 0; i < count; i += 1) {
    const write = { type: 'StoreNode', node: { id: `q${i}`, content: 'x' } }
    cluster.client.publish('engram.v1.write.teams', Buffer.from(JSON.stringify(write)))
    await cluster.run(0.02)
  }
  await cluster.run(2000)
  assert.is(cluster.primary(), to)
  const times = new Map<string, number>()
  for (const { operation } of await cluster.entries(to.id)) {
    if (operation.type !== 'StoreNode') continue
    times.set(operation.node.id, (times.get(operation.node.id) ?? 0) + 1)
  }
  const ids = Array.from({ length: count }, (_, i) => `q${i}`)
  assert.equal(ids.filter((id) => times.get(id) !== 1), [])
})

test('a write passed on too late is refused with an unknown outcome, not taken again', async () => {
  const cluster = await serving()
  const write = { type: 'StoreNode', node: { id: 'late', content: 'x' } }
  const message = await cluster.wait(cluster.client.request(
    'engram.v1.write.teams',
    Buffer.from(JSON.stringify(write)),
    { timeoutMs: 2000, headers: { 'Engram-Forwarded': 'write' } },
  ))
  const answer = JSON.parse(Buffer.from(message.data).toString()) as Record<string, unknown>
  assert.equal([answer['code'], answer['outcome']], ['NOT_PRIMARY', 'unknown'])
})

test('only the former primary can say that a write was passed on, and that it was the last', async () => {
  const cluster = await serving()
  const from = cluster.primary()!
  const to = cluster.running.find((node) => node !== from)!
  // The former primary's forwarded writes come late: the new one waits for them.
  handOver(cluster, from, to)
  while (cluster.record()!.primary!.node !== to.id) await cluster.run(0.1)
  cluster.weather = (a, b) => (a === from.id && b === to.id ? 100 : 0.2)
  const forged = (mark: string, id: string): Promise<string> => {
    const write = JSON.stringify({ type: 'StoreNode', node: { id, content: 'x' } })
    return cluster.client.request('engram.v1.write.teams', Buffer.from(write), { timeoutMs: 2000,
      headers: { 'Engram-Forwarded': mark } })
      .then((message) =>
        (JSON.parse(Buffer.from(message.data).toString()) as { code: string; outcome: string }).code
      )
  }
  const mode = (): string | undefined => to.space().primaryRole?.['gate']['mode']
  await cluster.until('it waits for it', () => mode() === 'awaitingForwarded')
  const { nonce } = cluster.record()!
  const codes = await cluster.wait(Promise.all(
    ['write', 'end', 'true', `write ${nonce}`, `end ${nonce}`, 'end '].map((mark, index) =>
      forged(mark, `forged${index}`)
    ),
  ))
  assert.equal(new Set(codes), new Set(['NOT_PRIMARY']))
  assert.is(mode(), 'awaitingForwarded')
  cluster.weather = () => 0.2
  await cluster.run(2000)
  const ids = (await cluster.entries(to.id)).flatMap(({ operation }) =>
    operation.type === 'StoreNode' ? [operation.node.id] : []
  )
  assert.equal(ids.filter((id) => id.startsWith('forged')), [])
  await cluster.check()
})

test('a primary that drains for a handover gives way to a later epoch', async () => {
  const cluster = await serving()
  const { from, to } = await draining(cluster, 'memory')
  const third = cluster.running.find((node) => node !== from && node !== to)!
  await cluster.command(third.id, {
    type: 'promote',
    space: 'teams',
    to: third.id,
    force: true,
  })
  await cluster.run(50)
  assert.is(from.space().primaryRole, null, 'the forced epoch ended its own')
  assert.is(cluster.primary(), third)
})

test('a handover commanded while the arbiter is away holds no write up', async () => {
  const cluster = await serving()
  const from = cluster.primary()!
  const to = cluster.running.find((node) => node !== from)!
  cluster.bucket.available = false
  assert.ok(from.space().handOver(to.id, 'a test'))
  let answer: { ok: boolean } | null = null
  void cluster.send({ 'Engram-Ack': 'durable' }).then((given) => {
    answer = given
  })
  await cluster.run(7000)
  assert.ok((answer as { ok: boolean } | null)?.ok, JSON.stringify(answer))
  assert.is(cluster.primary(), from)
  cluster.bucket.available = true
  await cluster.check()
})

test('a handover right after another stays closed for writes until it is over', async () => {
  const cluster = await serving()
  const first = cluster.primary()!
  const [second, third] = cluster.running.filter((node) => node !== first) as [SimNode, SimNode]
  // What the first passes on to the second is lost, and so are its joins.
  cluster.transit = (from, to, subject) => {
    if (from === first.id && to === second.id && /\.(write|ack)\./.test(subject)) return []
    return [subject.includes('.ack.') && from === third.id ? 700 : 0.2]
  }
  handOver(cluster, first, second)
  await cluster.until('the second is primary', () => cluster.primary() === second, 5000)
  await cluster.run(400)
  handOver(cluster, second, third)
  await cluster.until('it drains', () => second.space().roleState.state.startsWith('handingOver'))
  const { log } = second.space().member
  const { sequence } = log.end
  const written = cluster.send({ 'Engram-Ack': 'durable' })
  while (second.space().roleState.state.startsWith('handingOver')) {
    assert.is(log.end.sequence, sequence, 'nothing is taken while a handover is under way')
    await cluster.run(5)
  }
  cluster.transit = null
  const answer = await cluster.wait(written)
  assert.ok(answer?.ok, JSON.stringify(answer))
})

test('a write for another epoch is refused while a handover holds the others', async () => {
  const cluster = await serving()
  const { epoch } = cluster.record()!
  await draining(cluster)
  const older = await cluster.wait(cluster.send({ 'Engram-Epoch': `${epoch + 7}` }))
  assert.is((older as { code?: string } | null)?.code, 'NOT_PRIMARY')
  const own = cluster.send({ 'Engram-Epoch': `${epoch}` })
  cluster.weather = () => 0.2
  const answer = await cluster.wait(own)
  assert.ok(answer?.ok, JSON.stringify(answer))
})

test('reads are answered while a handover drains', async () => {
  const cluster = await serving()
  await draining(cluster)
  const answer = await cluster.read({ type: 'GetNode', nodeId: 'w1' })
  assert.is(answer['ok'], true, JSON.stringify(answer))
})

test('a handover leaves no dead letter behind', async () => {
  const cluster = await serving()
  const from = cluster.primary()!
  const to = cluster.running.find((node) => node !== from)!
  handOver(cluster, from, to)
  await cluster.until('it is done', () => cluster.primary() === to)
  await cluster.run(500)
  assert.equal(from.log.filter(({ message }) => message === 'dead letter'), [])
})

test.run()
