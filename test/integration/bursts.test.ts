/**
 * Every request of readers and operators, 30,000 times at once: everything is answered, with
 * a value or an error, and no lease lapses for it.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createInbox, headers as natsHeaders } from 'nats'
import type { MsgHdrs, NatsConnection } from 'nats'
import * as assert from 'uvu/assert'
import { subjects } from '../../machines/protocol/subjects.js'
import { positive } from '../support/client.js'
import { space } from '../support/cluster.js'
import type { Cluster } from '../support/cluster.js'
import { note, scenario, suite } from '../support/scenario.js'
import { notYet, waitFor } from '../support/wait.js'

const bursts = suite('integration: bursts')

const count = 30_000
/** A heavy kind is turned away for the most part, and worked off for the queue's two seconds. */
const patienceSeconds = 30

interface Burst {
  readonly what: string
  readonly subject: string
  readonly body: object | string
  readonly headers?: Readonly<Record<string, string>>
  /** Number of nodes that answer each request. Default 1. */
  readonly answering?: number
}

interface Outcome {
  readonly values: number
  readonly errors: ReadonlyMap<string, number>
  readonly ms: number
}

function headersOf(burst: Burst): MsgHdrs | undefined {
  if (!burst.headers) return undefined
  const set = natsHeaders()
  for (const [name, value] of Object.entries(burst.headers)) set.set(name, value)
  return set
}

const positiveStart = Buffer.from('{"ok":true')

async function send(nc: NatsConnection, burst: Burst): Promise<Outcome> {
  const inbox = createInbox()
  const wanted = count * (burst.answering ?? 1)
  const errors = new Map<string, number>()
  let [values, answers] = [0, 0]
  const subscription = nc.subscribe(`${inbox}.*`, {
    callback: (_, { data }) => {
      answers += 1
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
      const isError = !bytes.subarray(0, positiveStart.length).equals(positiveStart)
        && bytes.includes('"ok":false')
      const code = !isError ? '' : (JSON.parse(bytes.toString()) as { code: string }).code
      if (isError) errors.set(code, (errors.get(code) ?? 0) + 1)
      else values += 1
    },
  })
  const set = headersOf(burst)
  const data = Buffer.from(
    typeof burst.body === 'string' ? burst.body : JSON.stringify(burst.body),
  )
  const begunMs = performance.now()
  for (let index = 0; index < count; index += 1) {
    const reply = `${inbox}.${index}`
    nc.publish(burst.subject, data, set ? { reply, headers: set } : { reply })
  }
  await waitFor(`${wanted} answers to ${burst.what}`,
    () => answers >= wanted || notYet(`${answers} answers`), { seconds: patienceSeconds })
  subscription.unsubscribe()
  assert.is(answers, wanted, `${burst.what}: each is answered once`)
  return { values, errors, ms: performance.now() - begunMs }
}

/** Lost leases and stalled loops, from the logs of all nodes. */
function complaints(cluster: Cluster): string[] {
  return [...cluster.nodes.values()].flatMap(({ id, place }) =>
    readFileSync(place.logFile, 'utf8').split('\n')
      // A stall in which the process did not run was made by whatever else runs on this machine.
      .filter((line) => /lease[^"]*lapsed|own loop stalled for \d+ ms"/.test(line))
      .map((line) => `${id}: ${line}`)
  )
}

async function withstands(cluster: Cluster, all: readonly Burst[]): Promise<void> {
  const nc = await cluster.connect('burst')
  const before = await cluster.primary()
  for (const burst of all) {
    const { values, errors, ms } = await send(nc, burst)
    const refused = [...errors].map(([code, times]) => `${times} ${code}`)
    note(`${burst.what}: ${values} values, ${refused.join(', ') || 'no errors'}, `
      + `${(ms / 1000).toFixed(1)} s`)
    assert.equal(complaints(cluster), [], burst.what)
    assert.equal(await cluster.primary(), before, `${burst.what}: the same primary, the same epoch`)
  }
  await cluster.inSync(3)
}

/** Large nodes, small ones, a hub, keys: something for each query to find. */
async function fill(cluster: Cluster): Promise<void> {
  const write = async (operations: readonly object[], key?: string): Promise<void> => {
    positive(await cluster.client.write({ operations } as never, key ? { key } : {}), 'a write')
  }
  const large = 'x'.repeat(60 * 1024)
  for (let index = 0; index < 16; index += 1) {
    await write([{ type: 'StoreNode', node: {
      id: `large-${String(index).padStart(2, '0')}`,
      content: large,
      embedding: Array.from({ length: 2048 }, (_, at) => Math.sin(at * (index + 1))),
    } }])
  }
  for (let from = 0; from < 3000; from += 500) {
    await write(Array.from({ length: 500 }, (_, index) => ({ type: 'StoreEdge', edge: {
      source: 'hub',
      target: `target-${from + index}`,
      kind: 'causal',
      weight: 0.5,
    } })), `hub-${from}`)
  }
  await write(
    Array.from({ length: 500 },
      (_, index) => ({ type: 'StoreNode', node: { id: `small-${index}`, content: 'y' } })),
  )
}

const queries: readonly (readonly [string, object | string])[] = [
  ['GetNode', { type: 'GetNode', nodeId: 'small-1' }],
  ['GetNode of 100 KB', { type: 'GetNode', nodeId: 'large-01' }],
  ['GetEdges', { type: 'GetEdges', nodeId: 'hub', direction: 'both' }],
  ['ListNodes of large ones', { type: 'ListNodes', limit: 1000 }],
  ['ListNodes of small ones', { type: 'ListNodes', after: 'm', limit: 1000 }],
  ['GetEntries', { type: 'GetEntries', from: 1, limit: 1000 }],
  ['GetHistory', { type: 'GetHistory' }],
  ['GetForks', { type: 'GetForks' }],
  ['GetQuarantine', { type: 'GetQuarantine' }],
  ['GetFate by key', { type: 'GetFate', key: 'hub-500' }],
  ['GetFate by place', { type: 'GetFate', epoch: 1, sequence: 20 }],
  ['no query', 'hello'],
]

scenario(bursts, 'each query, to the primary', async (stage) => {
  const cluster = await stage.cluster()
  await fill(cluster)
  const subject = subjects.read(space)
  await withstands(cluster, [
    ...queries.map(([what, body]) => ({ what, subject, body })),
    {
      what: 'committed',
      subject,
      body: { type: 'GetNode', nodeId: 'small-1' },
      headers: { 'Engram-Read': 'committed' },
    },
  ])
}, 300)

scenario(bursts, 'each query, to any member, waiting ones among them', async (stage) => {
  const cluster = await stage.cluster()
  await fill(cluster)
  await cluster.converged()
  const subject = subjects.readAny(space)
  const body = { type: 'GetHistory' }
  await withstands(cluster, [
    ...queries.map(([what, query]) => ({ what, subject, body: query })),
    {
      what: 'a sequence that does not come',
      subject,
      body,
      headers: { 'Engram-Min-Sequence': '999999999' },
    },
    {
      what: 'no staleness at all',
      subject,
      body,
      headers: { 'Engram-Max-Staleness-Ms': '0' },
    },
    { what: 'a header that there is not', subject, body, headers: { 'Engram-Nothing': '1' } },
  ])
}, 300)

scenario(bursts, 'each question of an operator', async (stage) => {
  const cluster = await stage.cluster()
  await fill(cluster)
  const all = { subject: subjects.status('_all'), answering: 3 }
  await withstands(cluster, [
    { what: 'status of a node', subject: subjects.status('n1'), body: '' },
    { what: 'status of all nodes', ...all, body: '' },
    { what: 'who', ...all, body: { type: 'who' } },
    { what: 'a page of the status', subject: subjects.status('n2'), body: {
      type: 'status',
      after: '',
      limit: 1,
    } },
    { what: 'listSpaces', subject: subjects.admin('n1'), body: { type: 'listSpaces' } },
    { what: 'a command that does not exist', subject: subjects.admin('n1'), body: { type: 'x' } },
    { what: 'ping', subject: subjects.ping('n1'), body: '' },
    { what: 'inspection', subject: `${subjects.inspect('n1')}.start`, body: {
      version: 1,
      inspector: 'i1',
      leaseMs: 1000,
      present: true,
    } },
  ])
}, 300)

/** A reader that asks, and takes no byte of what it is sent, until the server has enough of it. */
async function silentReader(url: string, subject: string, body: object): Promise<() => void> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'data')
  socket.pause()
  const payload = JSON.stringify(body)
  const inbox = createInbox()
  const asked = Array.from({ length: 2000 },
    (_, index) => `PUB ${subject} ${inbox}.${index} ${payload.length}\r\n${payload}\r\n`)
  socket.write(`CONNECT {"verbose":false}\r\nSUB ${inbox}.* 1\r\n${asked.join('')}`)
  return () => socket.destroy()
}

scenario(bursts, 'readers that take no answer', async (stage) => {
  const cluster = await stage.cluster()
  await fill(cluster)
  const before = await cluster.primary()
  const ends: (() => void)[] = []
  for (const [, body] of queries.slice(1, 4)) {
    ends.push(await silentReader(cluster.broker.url, subjects.read(space), body as object))
  }
  const [endMs, tookMs] = [performance.now() + 6_000, [] as number[]]
  while (performance.now() < endMs) {
    const begunMs = performance.now()
    positive(await cluster.client.write({ operations: [
      { type: 'StoreNode', node: { id: 'small-1', content: 'z' } },
    ] } as never), 'a write')
    tookMs.push(performance.now() - begunMs)
  }
  note(`${tookMs.length} writes, the slowest took ${Math.max(...tookMs).toFixed(0)} ms`)
  for (const end of ends) end()
  assert.equal(complaints(cluster), [])
  assert.equal(await cluster.primary(), before, 'the same primary, the same epoch')
})

bursts.run()
