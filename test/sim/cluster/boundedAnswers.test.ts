/** Reads, status and lists of whole nodes: bounded, and each is answered. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ReadAnswer } from '../../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode } from '../../../machines/graph/graph.js'
import type { LogEntry } from '../../../machines/log/entries.js'
import { subjects } from '../../../machines/protocol/subjects.js'
import { SimCluster } from '../../support/simCluster.js'

const test = suite('cluster: bounded answers')

type Json = Record<string, unknown>

async function serving(options: Parameters<typeof SimCluster.start>[0] = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start(options)
  await cluster.createSpace()
  await cluster.until('all in sync', () => cluster.record()!.inSync.length === 3)
  return cluster
}

async function ask(cluster: SimCluster, subject: string, body: object | string): Promise<Json> {
  const data = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  const message = await cluster.wait(cluster.client.request(subject, data, { timeoutMs: 5000 }))
  return JSON.parse(Buffer.from(message.data).toString()) as Json
}

async function store(cluster: SimCluster, operations: readonly object[]): Promise<void> {
  const answer = await ask(cluster, subjects.write('teams'), { operations })
  assert.ok(answer['ok'], JSON.stringify(answer))
}

/** The items of all pages, and the size of each page. */
async function pages(
  cluster: SimCluster,
  query: object,
  subject = subjects.read('teams'),
): Promise<{ items: unknown[]; sizes: number[] }> {
  const items: unknown[] = []
  const sizes: number[] = []
  let goOn: object = {}
  for (;;) {
    const answer = await cluster.read({ ...query, ...goOn }, {}, subject)
    assert.ok(answer.ok, JSON.stringify(answer))
    const { value, more, after } = answer as ReadAnswer & { value: unknown[] }
    items.push(...value)
    sizes.push(value.length)
    assert.is(more === true, after !== undefined, 'a place to go on is where there is more')
    if (!more) return { items, sizes }
    goOn = { after }
  }
}

test('every list goes on behind its page until there is no more', async () => {
  const cluster = await serving()
  const ids = Array.from({ length: 25 }, (_, index) => `n${String(index).padStart(2, '0')}`)
  await store(cluster, ids.map((id) => ({ type: 'StoreNode', node: { id } })))
  await store(cluster, ids.map((id) => ({ type: 'StoreEdge', edge: {
    source: 'hub',
    target: id,
    kind: 'k',
  } })))
  await store(cluster, ids.slice(0, 8).flatMap((id) => [
    { type: 'StoreEdge', edge: { source: id, target: 'hub', kind: 'k' } },
    { type: 'StoreEdge', edge: { source: 'hub', target: 'hub', kind: id } },
  ]))
  // The latest half of it is in the overlay only, and then all is in the store.
  for (const subject of [subjects.read('teams'), subjects.readAny('teams')]) {
    if (subject === subjects.readAny('teams')) await cluster.converged()
    const nodes = await pages(cluster, { type: 'ListNodes', limit: 10 }, subject)
    assert.equal([nodes.sizes, (nodes.items as MemoryNode[]).map(({ id }) => id)], [[10, 10, 5],
      ids])
    const exact = await pages(cluster, { type: 'ListNodes', after: 'n04', limit: 20 }, subject)
    assert.equal(exact.sizes, [20], 'a full page behind which nothing is says no more')
    const edges = { type: 'GetEdges', nodeId: 'hub', limit: 9 }
    for (const [direction, sizes] of [
      ['out', [9, 9, 9, 6]],
      ['in', [9, 7]],
      ['both', [9, 9, 9, 9, 5]],
    ] as const) {
      const found = await pages(cluster, { ...edges, direction }, subject)
      assert.equal(found.sizes, sizes, direction)
      const names = (found.items as MemoryEdge[]).map((edge) => JSON.stringify(edge))
      assert.is(new Set(names).size, names.length, 'each edge once')
    }
    const entries = await pages(cluster, { type: 'GetEntries', from: 1, limit: 20 }, subject)
    assert.equal((entries.items as LogEntry[]).map(({ sequence }) => sequence),
      Array.from({ length: entries.items.length }, (_, index) => index + 1))
    assert.ok(entries.sizes.length > 3)
  }
  await cluster.check()
})

test('a reader\'s encoding decides what fits: the same list has other pages', async () => {
  const cluster = await serving()
  const node = (index: number): object => ({ type: 'StoreNode', node: {
    id: `n${index}`,
    embedding: Array.from({ length: 4096 }, (_, at) => Math.sin(at + index)),
  } })
  for (let index = 0; index < 20; index += 1) await store(cluster, [node(index)])
  const json = await pages(cluster, { type: 'ListNodes', limit: 1000 })
  assert.equal(json.sizes, [6, 6, 6, 2])
  const message = await cluster.wait(
    cluster.client.request(subjects.read('teams'), Buffer.from('{"type":"ListNodes"}'), {
      timeoutMs: 5000,
      headers: { 'Content-Type': 'application/json' },
    }),
  )
  assert.ok(message.data.length <= 512 * 1024 + 1024, `${message.data.length} bytes`)
  await cluster.check()
})

test('metadata is slow to read: pages of it are shorter', async () => {
  const cluster = await serving()
  const metadata = Object.fromEntries(Array.from({ length: 1000 }, (_, key) => [`k${key}`, key]))
  for (let index = 0; index < 40; index += 1) {
    await store(cluster, [{ type: 'StoreNode', node: { id: `n${index}`, metadata } }])
  }
  const { sizes } = await pages(cluster, { type: 'ListNodes', limit: 1000 })
  assert.ok(sizes[0]! >= 10 && sizes[0]! <= 20, `${sizes.join()}`)
})

test('reads that wait for a sequence: answered when it comes, or refused', async () => {
  const cluster = await serving()
  await cluster.writes(3, 'committed')
  const subject = subjects.readAny('teams')
  const headers = { 'Engram-Min-Sequence': '9' }
  const ask = (): Promise<unknown> =>
    cluster.client
      .request(subject, Buffer.from('{"type":"GetHistory"}'), { timeoutMs: 8000, headers })
      .then((message) => (JSON.parse(Buffer.from(message.data).toString()) as Json)['code'] ?? 'ok')
  const late = Array.from({ length: 500 }, ask)
  await cluster.run(2500)
  assert.equal(new Set(await cluster.wait(Promise.all(late))), new Set(['STALE_READ']))
  const waiting = Array.from({ length: 500 }, ask)
  await cluster.run(100)
  await cluster.writes(6, 'committed')
  assert.equal(new Set(await cluster.wait(Promise.all(waiting))), new Set(['ok']))
})

test('more reads than a node has room for are turned away, and the room comes back', async () => {
  const cluster = await serving({ settings: { readQueueBytes: 64 * 1024 } })
  const headers = { 'Engram-Min-Sequence': '1000000' }
  const read = (): Promise<unknown> =>
    cluster.client
      .request(subjects.readAny('teams'), Buffer.from('{"type":"GetHistory"}'), { timeoutMs: 8000,
        headers })
      .then((message) => (JSON.parse(Buffer.from(message.data).toString()) as Json)['code'])
  const codes = await cluster.wait(Promise.all(Array.from({ length: 1000 }, read)))
  const counted = (code: string): number => codes.filter((one) => one === code).length
  assert.is(counted('STALE_READ') + counted('OVERLOADED'), 1000)
  // 64 KiB hold some 120 of them at each of three nodes.
  assert.ok(counted('STALE_READ') >= 340 && counted('STALE_READ') <= 370, `${codes.length}`)
  const answer = await cluster.read({ type: 'GetHistory' })
  assert.ok(answer.ok)
})

test('malformed requests are refused: headers, queries, questions, commands', async () => {
  const cluster = await serving()
  const code = async (
    subject: string,
    body: string,
    headers: Record<string, string> = {},
  ): Promise<unknown> => {
    const message = await cluster.wait(
      cluster.client.request(subject, Buffer.from(body), { timeoutMs: 5000, headers }),
    )
    const { code: said, message: text } = JSON.parse(Buffer.from(message.data).toString()) as Json
    return `${String(said)}: ${String(text)}`
  }
  const write = '{"type":"StoreNode","node":{"id":"a"}}'
  const [writes, reads] = [subjects.write('teams'), subjects.read('teams')]
  assert.match(await code(writes, write, { 'Engram-Acks': 'durable' }) as string,
    'INVALID_OPERATION: unknown header Engram-Acks;')
  assert.match(await code(writes, write, { 'nats-msg-id': 'k' }) as string, 'spelt Nats-Msg-Id')
  assert.match(await code(reads, '{"type":"GetHistory"}', { 'Engram-Ack': 'durable' }) as string,
    'unknown header Engram-Ack;')
  assert.match(await code(reads, 'hello') as string, 'INVALID_OPERATION: not valid JSON')
  assert.match(await code(subjects.status('n1'), '[') as string, 'a request must be a JSON object')
  assert.match(await code(subjects.status('n1'), '{"type":"x"}') as string, 'who or status')
  assert.match(await code(subjects.admin('n1'), 'x'.repeat(20_000)) as string, 'PAYLOAD_TOO_LARGE')
  const { applied } = cluster.primary()!.space().member.store
  assert.is(applied.sequence, 1, 'nothing of it is in the log')
})

test('a command with a forbidden reply subject is not carried out', async () => {
  const cluster = await serving()
  const command = Buffer.from('{"type":"createSpace","space":"other"}')
  cluster.client.publish(subjects.admin('n1'), command, { reply: '$KV.engram.space.teams' })
  await cluster.run(1000)
  assert.is(cluster.record('other'), null)
  cluster.client.publish(subjects.admin('n1'), command)
  await cluster.run(1000)
  assert.ok(cluster.record('other'), 'without one it is, and not answered')
})

test('spaces are listed page by page', async () => {
  const cluster = await serving()
  const names = Array.from({ length: 40 }, (_, index) => `s${String(index).padStart(2, '0')}`)
  for (const name of names) await cluster.createSpace({ replicas: 0, minInSync: 1 }, name)
  await cluster.run(1000)
  const found: string[] = []
  let after: unknown
  const sizes: number[] = []
  do {
    const page = await cluster.command('n2', { type: 'listSpaces', limit: 17, after })
    const spaces = page['spaces'] as { space: string }[]
    sizes.push(spaces.length)
    found.push(...spaces.map(({ space }) => space))
    after = page['more'] ? page['after'] : undefined
  } while (after !== undefined)
  assert.equal([sizes, found], [[17, 17, 7], [...names, 'teams']])
  const all = await cluster.command('n2', { type: 'listSpaces' })
  assert.equal([(all['spaces'] as object[]).length, all['more']], [41, undefined])
  assert.is((await cluster.command('n2', { type: 'listSpaces', limit: 0 }))['code'],
    'INVALID_OPERATION')
})

test('commands that take long are bounded in number', async () => {
  const cluster = await serving()
  const other = cluster.running.find((node) => node !== cluster.primary())!
  // It never answers: each command to it waits for seconds.
  other.freeze()
  const command = Buffer.from(
    JSON.stringify({ type: 'promote', space: 'teams', to: other.id, force: true }),
  )
  const asked = cluster.running.find((node) => node !== other && node !== cluster.primary())!
  const answers = Array.from({ length: 100 }, () =>
    cluster.client
      .request(subjects.admin(asked.id), command, { timeoutMs: 14_000 })
      .then((message) => (JSON.parse(Buffer.from(message.data).toString()) as Json)['code']))
  const codes = await cluster.wait(Promise.all(answers), 15_000)
  assert.is(codes.filter((code) => code === 'OVERLOADED').length, 36)
  other.thaw()
})

test.run()
