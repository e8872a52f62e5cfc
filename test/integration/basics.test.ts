/** The outside contract of a healthy cluster: writes, reads, answers, commands. */
import * as assert from 'uvu/assert'
import type { WriteAnswer } from '../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import { subjects } from '../../machines/protocol/subjects.js'
import type { ClusterStatus } from '../../runtime/status/status.js'
import { entriesOf } from '../support/audit.js'
import { Client, decodeBody, encodeBody, positive, refused,
  type WriteBody } from '../support/client.js'
import { findObjects } from '../support/cli.js'
import { space, type Cluster } from '../support/cluster.js'
import { scenario, shared, suite } from '../support/scenario.js'
import { waitFor } from '../support/wait.js'

const basics = suite('integration: basics')
const test = shared(basics, 'basics', (stage) => stage.cluster())

const storeNode = (id: string, content = `content of ${id}`): WriteBody => ({ type: 'StoreNode',
  node: { id, content, activation: 0.5, confidence: 0.9 } })

async function write(
  cluster: Cluster,
  body: WriteBody,
  options: Parameters<Client['write']>[1] = {},
): Promise<WriteAnswer> {
  const what = `write ${JSON.stringify(body).slice(0, 200)} ${JSON.stringify(options)}`
  return positive(await cluster.client.write(body, options), what)
}

for (const encoding of ['json', 'msgpack'] as const) {
  for (const isUntyped of [false, true]) {
    const how = `${encoding}${isUntyped ? ' without Content-Type' : ''}`
    test(`each operation in ${how}, answered in ${encoding}`, async (cluster) => {
      const a = `${encoding}-${isUntyped}-a`
      const b = `${encoding}-${isUntyped}-b`
      const bodies: WriteBody[] = [
        { type: 'StoreNode',
          node: { id: a, content: 'ä 語 🙂', embedding: [0.25, -1.5, 3],
            metadata: { tags: ['x', 1, true, null], nested: { deep: { er: 1.5 } } } } },
        storeNode(b),
        { type: 'UpdateActivation', nodeId: a, activation: 0.8 },
        { type: 'StoreEdge', edge: { source: a, target: b, kind: 'causal', weight: 0.7 } },
      ]
      let previous = 0
      for (const body of bodies) {
        const answer = await write(cluster, body, { encoding, isUntyped })
        assert.is(cluster.client.lastEncoding, encoding, 'the answer uses the same encoding')
        assert.is(answer.space, space)
        assert.is(answer.count, 1)
        assert.is(answer.ack, 'durable')
        assert.is(answer.duplicate, false)
        assert.ok(answer.epoch >= 1 && Number.isSafeInteger(answer.safeSequence))
        assert.ok(previous === 0 || answer.sequence === previous + 1,
          `sequence ${answer.sequence} after ${previous}`)
        previous = answer.sequence
      }
      const read = positive(
        await cluster.client.read({ type: 'GetNode', nodeId: a }, { encoding }),
        `GetNode ${a}`,
      )
      const [node] = findObjects<MemoryNode>(read.value, (one) => one['id'] === a)
      assert.is(node?.activation, 0.8)
      assert.is(node?.content, 'ä 語 🙂')
      assert.equal(node?.embedding, [0.25, -1.5, 3])
      assert.equal(node?.metadata, { tags: ['x', 1, true, null], nested: { deep: { er: 1.5 } } })
      for (const [nodeId, direction, count] of [
        [a, 'out', 1],
        [a, 'in', 0],
        [b, 'in', 1],
        [b, 'both', 1],
      ] as const) {
        const query = { type: 'GetEdges', nodeId, direction }
        const edges = positive(await cluster.client.read(query, { encoding }), 'GetEdges')
        const found = findObjects<MemoryEdge>(edges.value, (one) => one['kind'] === 'causal')
        assert.is(found.length, count, `edges of ${nodeId} ${direction}: ${JSON.stringify(edges)}`)
      }
    })
  }
}

test('a batch is all or nothing and has consecutive sequences', async (cluster) => {
  const operations = Array.from({ length: 1000 }, (_, n) => ({
    type: 'StoreNode' as const,
    node: { id: `batch-${n}`, content: 'x' },
  }))
  const before = await write(cluster, storeNode('before-batch'))
  const answer = await write(cluster, { operations }, { encoding: 'msgpack', key: 'batch-key' })
  assert.is(answer.count, 1000)
  assert.is(answer.sequence, before.sequence + 1000, 'sequence is that of the last operation')
  const again = await write(cluster, { operations }, { key: 'batch-key' })
  assert.is(again.duplicate, true)
  assert.is(again.sequence, answer.sequence)
  assert.is(again.count, 1000)

  const bad = [...operations.slice(0, 3), { type: 'UpdateActivation', nodeId: 'x', activation: 7 }]
  const reply = await cluster.client.write({ operations: bad } as WriteBody)
  const error = refused(reply, 'INVALID_OPERATION', 'batch with one bad operation')
  assert.match(error.message, /activation/)
  const after = await write(cluster, storeNode('after-batch'))
  assert.is(after.sequence, answer.sequence + 1, 'nothing of what was refused is in the log')
})

for (const ack of ['memory', 'durable', 'committed'] as const) {
  test(`ack level ${ack} is reached and stated`, async (cluster) => {
    const answer = await write(cluster, storeNode(`level-${ack}`), { ack })
    assert.is(answer.ack, ack)
    const read = positive(
      await cluster.client.read({ type: 'GetNode', nodeId: `level-${ack}` }),
      'own write',
    )
    assert.ok(read.value, 'a writer reads its own write at the primary')
    assert.is(read.role, 'primary')
    assert.ok(read.sequence >= answer.sequence, `as of ${read.sequence}, ${answer.sequence}`)
  })
}

test('the same key again has the first answer and no second effect', async (cluster) => {
  const first = await write(cluster, storeNode('keyed', 'first'), { key: 'once' })
  const again = await write(cluster, storeNode('keyed', 'second'), { key: 'once' })
  assert.is(first.duplicate, false)
  assert.is(again.duplicate, true)
  assert.is(again.sequence, first.sequence)
  const together = await Promise.all(
    Array.from({ length: 20 },
      () => write(cluster, storeNode('raced'), { key: 'raced', ack: 'committed' })),
  )
  assert.is(together.filter((answer) => !answer.duplicate).length, 1, 'one of 20 takes effect')
  assert.is(new Set(together.map((answer) => answer.sequence)).size, 1)
  const read = positive(await cluster.client.read({ type: 'GetNode', nodeId: 'keyed' }), 'keyed')
  assert.match(JSON.stringify(read.value), /first/)
})

test('requests of one connection are logged in their order', async (cluster) => {
  const count = 500
  const answers = await Promise.all(
    Array.from({ length: count },
      (_, n) => write(cluster, storeNode(`order-${n}`), { ack: n % 3 ? 'durable' : 'committed' })),
  )
  for (const [n, answer] of answers.entries()) {
    const previous = answers[n - 1]
    assert.ok(!previous || answer.sequence > previous.sequence,
      `request ${n} has ${answer.sequence}, the one before ${previous?.sequence}`)
  }
})

test('a write without reply subject is taken', async (cluster) => {
  cluster.nc.publish(subjects.write(space), encodeBody(storeNode('silent')))
  await waitFor('the node of an unanswered write', async () => {
    const reply = await cluster.client.read({ type: 'GetNode', nodeId: 'silent' })
    return positive(reply, 'GetNode silent').value
  })
})

test('members answer reads, and wait for Engram-Min-Sequence', async (cluster) => {
  const seen = new Map<string, string>()
  for (let n = 0; n < 300 && (seen.size < 3 || n < 30); n += 1) {
    const { sequence } = await write(cluster, storeNode(`ryw-${n}`))
    const reply = await cluster.client.read(
      { type: 'GetNode', nodeId: `ryw-${n}` },
      { any: true, minSequence: sequence },
    )
    const answer = positive(reply, `read your write ${sequence} on any member`)
    assert.ok(answer.value, `${answer.node} answered as of ${answer.sequence}, without ryw-${n}`)
    assert.ok(answer.sequence >= sequence, `as of ${answer.sequence}, asked for ${sequence}`)
    assert.ok(answer.stalenessMs >= 0)
    seen.set(answer.node, answer.role)
  }
  assert.ok([...seen.values()].includes('replica'), `replicas answer, too: ${[...seen]}`)
  const committed = positive(await cluster.client.read(
    { type: 'GetNode', nodeId: 'ryw-0' },
    { committed: true },
  ), 'committed read')
  assert.ok(committed.value)
  const stale = await cluster.client.read({ type: 'GetNode', nodeId: 'ryw-0' }, { any: true,
    minSequence: 9_000_000_000, timeoutMs: 15_000 })
  refused(stale, 'STALE_READ', 'a sequence that is far in the future')
})

test('GetEntries and ListNodes page through everything', async (cluster) => {
  const last = await write(cluster, storeNode('last-entry'), { key: 'entry-key' })
  let next = 1
  while (next <= last.sequence) {
    const query = { type: 'GetEntries', from: next, limit: 300 }
    const page = entriesOf(positive(await cluster.client.read(query), 'GetEntries').value)
    assert.ok(page.length > 0 && page.length <= 300, `${page.length} entries from ${next}`)
    for (const entry of page) {
      assert.is(entry.sequence, next)
      assert.ok(entry.epoch >= 1 && entry.timestamp > 1.6e12, JSON.stringify(entry))
      assert.type(entry.vectorClock, 'object')
      next += 1
      if (entry.sequence === last.sequence) assert.is(entry.writeId, 'entry-key')
    }
  }
  const ids = new Set<string>()
  for (let after = '';;) {
    const query = { type: 'ListNodes', after, limit: 250 }
    const value = positive(await cluster.client.read(query), 'ListNodes').value
    const page = findObjects<MemoryNode>(value, (one) => typeof one['id'] === 'string')
    for (const { id } of page) ids.add(id)
    const end = page.at(-1)
    if (!end) break
    assert.ok(Buffer.compare(Buffer.from(end.id), Buffer.from(after)) > 0, 'by id order')
    after = end.id
  }
  for (const id of ['batch-0', 'batch-999', 'order-499', 'last-entry']) assert.ok(ids.has(id), id)
})

const node = (fields: object): unknown => ({ type: 'StoreNode', node: { id: 'bad', ...fields } })
const edge = (fields: object): unknown => ({ type: 'StoreEdge',
  edge: { source: 'a', target: 'b', kind: 'k', ...fields } })
const deep = (levels: number): unknown => levels === 0 ? 1 : { d: deep(levels - 1) }

const invalid: readonly (readonly [body: unknown, names: RegExp])[] = [
  [{ type: 'Nonsense' }, /type/],
  [{}, /type|operations/],
  [[1], /./],
  ['text', /./],
  [node({ id: '' }), /id/],
  [node({ id: 'x'.repeat(257) }), /id/],
  [node({ id: 7 }), /id/],
  [node({ id: 'ü'.repeat(129) }), /id/],
  [node({ content: 7 }), /content/],
  [node({ content: 'x'.repeat(65_537) }), /content/],
  [node({ activation: 1.01 }), /activation/],
  [node({ activation: -0.1 }), /activation/],
  [node({ confidence: 'high' }), /confidence/],
  [node({ embedding: [1, 'x'] }), /embedding/],
  [node({ embedding: Array.from({ length: 4097 }, () => 0) }), /embedding/],
  [node({ metadata: deep(9) }), /metadata/],
  [node({ metadata: 'x' }), /metadata/],
  [node({ metadata: { big: 'x'.repeat(17_000) } }), /metadata/],
  [node({ surprise: 1 }), /surprise/],
  [{ ...node({}) as object, extra: 1 }, /extra/],
  [edge({ weight: 2 }), /weight/],
  [edge({ kind: undefined }), /kind/],
  [edge({ source: '' }), /source/],
  [edge({ target: null }), /target/],
  [{ type: 'UpdateActivation', nodeId: 'a' }, /activation/],
  [{ type: 'UpdateActivation', activation: 0.5 }, /nodeId/],
  [{ operations: [] }, /operations/],
  [{ operations: 'x' }, /operations/],
  [{ operations: Array.from({ length: 1001 }, () => (
    { type: 'UpdateActivation', nodeId: 'a', activation: 0 }
  )) }, /operations/],
]

test('INVALID_OPERATION names the field, and nothing enters the log', async (cluster) => {
  const before = await write(cluster, storeNode('before-bad'))
  for (const [body, names] of invalid) {
    const what = JSON.stringify(body).slice(0, 120)
    const reply = await cluster.client.writeRaw(encodeBody(body))
    const error = refused(reply, 'INVALID_OPERATION', what)
    assert.match(error.message, names, `${what}: ${error.message}`)
    assert.is(error.outcome, 'notTaken')
  }
  const nan = encodeBody(node({ activation: Number.NaN }), 'msgpack')
  const reply = await cluster.client.writeRaw(nan, { encoding: 'msgpack' })
  assert.match(refused(reply, 'INVALID_OPERATION', 'NaN').message, /activation/)
  for (const junk of ['{', '', '{"type":', '\u0000\u0001', '\u00ff\u00fe\u00fd']) {
    const answer = await cluster.client.writeRaw(Buffer.from(junk, 'latin1'), { isUntyped: true })
    refused(answer, 'INVALID_OPERATION', `bytes ${JSON.stringify(junk)}`)
  }
  const after = await write(cluster, storeNode('after-bad'))
  assert.is(after.sequence, before.sequence + 1, 'nothing of what was refused is in the log')
})

test('PAYLOAD_TOO_LARGE above 256 KiB, and not below', async (cluster) => {
  const operations = Array.from({ length: 5 }, (_, n) => ({
    type: 'StoreNode' as const,
    node: { id: `large-${n}`, content: 'x'.repeat(60_000) },
  }))
  const reply = await cluster.client.write({ operations })
  const error = refused(reply, 'PAYLOAD_TOO_LARGE', 'a request of 300 kB')
  assert.is(error.outcome, 'notTaken')
  const answer = await write(cluster, { operations: operations.slice(0, 4) })
  assert.is(answer.count, 4)
})

test('bad headers and bad queries are refused, not misread', async (cluster) => {
  const ack = 'certainly' as 'durable'
  const level = await cluster.client.write(storeNode('bad-level'), { ack })
  assert.match(refused(level, 'INVALID_OPERATION', 'unknown Engram-Ack').message, /Engram-Ack/i)
  const key = await cluster.client.write(storeNode('bad-key'), { key: 'k'.repeat(2000) })
  assert.match(refused(key, 'INVALID_OPERATION', 'key of 2000 bytes').message, /Nats-Msg-Id/i)
  for (const query of [{ type: 'GetAll' }, { type: 'GetNode' }, { type: 'GetNode', nodeId: 7 }, {
    type: 'GetEdges',
    nodeId: 'a',
    direction: 'up',
  }, { type: 'GetEntries', from: -1 }]) {
    refused(await cluster.client.read(query), 'INVALID_OPERATION', JSON.stringify(query))
  }
})

test('an unknown space: 503 for data, UNKNOWN_SPACE for administration', async (cluster) => {
  const nowhere = new Client(cluster.nc, 'nowhere')
  refused(await nowhere.write(storeNode('x')), 'NO_RESPONDERS', 'write to an unknown space')
  const reply = await cluster.admin('n1', { type: 'promote', space: 'nowhere' })
  refused(reply, 'UNKNOWN_SPACE', 'promotion in an unknown space')
})

test('status: of each node, of all, and merged by the command', async (cluster) => {
  const inbox = `_INBOX.status.${Date.now()}`
  const heard = new Set<string>()
  const subscription = cluster.nc.subscribe(inbox, {
    callback: (_error, message) => {
      const [report] = findObjects<{ node: { id: string } }>(
        decodeBody(message.data),
        (one) => typeof one['node'] === 'object',
      )
      if (report) heard.add(report.node.id)
    },
  })
  cluster.nc.publish('engram.v1.status._all', Buffer.from('{}'), { reply: inbox })
  await waitFor('answers of n1, n2, n3 on engram.v1.status._all', () => heard.size === 3)
  subscription.unsubscribe()

  await cluster.converged()
  const status = await cluster.status() as ClusterStatus
  assert.equal(status.nodes.map((one) => one.id), ['n1', 'n2', 'n3'])
  for (const one of status.nodes) {
    assert.is(one.pid, cluster.node(one.id).pid, `pid of ${one.id}`)
    assert.is(one.state, 'running')
    assert.ok(one.http && one.natsServer && one.data && (one.incarnation ?? 0) >= 1)
  }
  const found = status.spaces.find((one) => one.id === space)
  assert.ok(found, 'the space is listed')
  assert.is(found.primary, (await cluster.primary()).node)
  assert.equal(found.inSync.toSorted(), ['n1', 'n2', 'n3'])
  assert.is(found.members.length, 3)
  assert.is(found.lossWindow.entries, 0)
  assert.is(found.safeSequence, found.commitSequence)
  assert.is(new Set(found.members.map((one) => one.digest)).size, 1, 'digests are equal')
  assert.is(found.members.filter((one) => one.role === 'primary').length, 1)
})

test('HTTP: /healthz, /readyz, /metrics, /status', async (cluster) => {
  const { node: primary } = await cluster.primary()
  await cluster.inSync(3)
  for (const id of cluster.nodes.keys()) {
    const { http } = (await cluster.report(id)).node
    assert.ok(http, `${id} reports its HTTP address`)
    for (const path of ['/healthz', '/readyz', '/metrics', '/status']) {
      const response = await fetch(http + path)
      const text = await response.text()
      assert.is(response.status, 200, `${id} ${path}: ${text.slice(0, 200)}`)
      if (path === '/status') assert.is(JSON.parse(text).node.id, id)
      if (path !== '/metrics' || id !== primary) continue
      for (const name of ['engram_replication_lag_seconds', 'engram_replication_lag_bytes',
        'engram_loss_window_', 'engram_in_sync_members', 'engram_journal_', 'engram_promotion'])
      {
        assert.match(text, name, `metric ${name} of ${id}`)
      }
      assert.match(text, /engram_in_sync_members\{[^}]*demo[^}]*\} 3/)
    }
    assert.is((await fetch(`${http}/nowhere`)).status, 404)
  }
})

scenario(basics, 'NOT_ENOUGH_IN_SYNC with the replicas down', async (stage) => {
  const cluster = await stage.cluster()
  const { node: primary } = await cluster.primary()
  const replicas = cluster.others(primary)
  await Promise.all(replicas.map((replica) => replica.kill()))
  await cluster.inSync([primary])
  const reply = await cluster.client.write(storeNode('alone'), { ack: 'committed' })
  const error = refused(reply, 'NOT_ENOUGH_IN_SYNC', 'committed with one member in sync')
  assert.is(error.outcome, 'notTaken')
  const durable = await write(cluster, storeNode('alone'), { ack: 'durable' })
  const { safeSequence, lossWindow } = await cluster.member(primary)
  assert.ok(safeSequence < durable.sequence, `safe ${safeSequence} stays below while alone`)
  assert.ok(lossWindow.entries >= 1, `loss window ${JSON.stringify(lossWindow)}`)
  await Promise.all(replicas.map((replica) => replica.start()))
  await cluster.converged()
  await write(cluster, storeNode('together'), { ack: 'committed' })
  await cluster.converged()
  assert.is((await cluster.member(primary)).lossWindow.entries, 0)
})

basics.run()
