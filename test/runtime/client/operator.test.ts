/** The operator's side: nodes are found, and what they have to say is read page by page. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as natsConnect } from 'nats'
import type { NatsConnection, Subscription } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { subjects } from '../../../machines/protocol/subjects.js'
import { connect } from '../../../runtime/client/client.js'
import { ReadError } from '../../../runtime/client/errors.js'
import type { EngramClient } from '../../../runtime/client/client.js'
import { startNatsServer } from '../../../runtime/cluster/natsServer.js'
import type { NatsServer } from '../../../runtime/cluster/natsServer.js'
import { statusOfAll } from '../../../runtime/status/status.js'
import { Responder } from '../../support/responder.js'

const test = suite('operator')
const storeDir = mkdtempSync(join(tmpdir(), 'engram-operator-'))
let server: NatsServer
let nats: NatsConnection
let client: EngramClient
let subscriptions: Subscription[] = []
let asked: string[] = []

type Question = Readonly<Record<string, unknown>>

/** null: no answer. */
function on(subject: string, answer: (question: Question) => object | null): void {
  subscriptions.push(nats.subscribe(subject, { callback: (_, message) => {
    const text = Buffer.from(message.data).toString()
    asked.push(`${subject.split('.').slice(2).join('.')} ${text}`)
    const said = answer(text === '' ? {} : JSON.parse(text) as Question)
    if (said) message.respond(Buffer.from(JSON.stringify(said)))
  } }))
}

test.before(async () => {
  server = await startNatsServer({ storeDir })
  nats = await natsConnect({ servers: server.url })
})
test.after(async () => {
  await nats.close()
  await server.stop()
  rmSync(storeDir, { recursive: true, force: true })
})
test.before.each(async () => {
  client = await connect({ servers: server.url, protect: false })
  asked = []
})
test.after.each(async () => {
  for (const subscription of subscriptions.splice(0)) subscription.unsubscribe()
  await client.close()
})

const names = ['a', 'b', 'c', 'd', 'e']

function reportOf(node: string, spaces: readonly string[]): ReturnType<Responder['report']> {
  const responder = new Responder(nats, 'demo', node)
  const report = responder.report()
  const members = spaces.map((space) => ({ ...responder.member(), space }))
  return { ...report, node: { ...report.node, peers: {} }, spaces: members }
}

/** A node that lists two spaces at a time. */
function pagingNode(id: string, alive: readonly string[]): void {
  on(statusOfAll, ({ type }) =>
    type !== 'who' ? null : {
      format: 1,
      type: 'who',
      id,
      state: 'running',
      incarnation: 1,
      http: null,
      spaces: names.length,
      alive,
    })
  on(subjects.status(id), ({ after = '', space }) => {
    const later = space ? [space as string] : names.filter((name) => name > String(after))
    const some = later.slice(0, 2)
    const goOn = later.length > 2 ? { more: true, after: some.at(-1) } : {}
    return { ...reportOf(id, some), ...goOn }
  })
}

test('the status of all: who there is, then the pages of each', async () => {
  pagingNode('n1', ['n2'])
  pagingNode('n2', ['n1'])
  await nats.flush()
  const { nodes, spaces } = await client.status()
  assert.equal(nodes.map(({ id, state }) => `${id} ${state}`), ['n1 running', 'n2 running'])
  assert.equal(spaces.map(({ id }) => id), names)
  assert.equal(asked.filter((one) => one.startsWith('status.n1')), [
    'status.n1 {"type":"status"}',
    'status.n1 {"type":"status","after":"b"}',
    'status.n1 {"type":"status","after":"d"}',
  ])
})

test('a question about one space reads nothing else', async () => {
  pagingNode('n1', [])
  await nats.flush()
  const { spaces } = await client.status({ space: 'c' })
  assert.equal(spaces.map(({ id }) => id), ['c'])
  assert.equal(asked.filter((one) => one.startsWith('status.n1')), [
    'status.n1 {"type":"status","space":"c"}',
  ])
})

test('nodes of an earlier release say all at once; one that dies meanwhile is left out', async () => {
  pagingNode('n1', ['n2', 'n3'])
  // The answers come in any order: each says who is waited for.
  const alive = { state: 'alive', silenceMs: 0, reason: '' }
  on(statusOfAll, () => {
    const { node, ...report } = reportOf('n2', ['a', 'z'])
    return { ...report, node: { ...node, peers: { n1: alive } } }
  })
  on(statusOfAll, () => ({
    format: 1,
    type: 'who',
    id: 'n3',
    state: 'running',
    incarnation: 1,
    http: null,
    spaces: 1,
    alive: ['n1', 'n2'],
  }))
  await nats.flush()
  const { nodes, spaces } = await client.status()
  assert.equal(nodes.map(({ id }) => id), ['n1', 'n2'])
  assert.equal(spaces.map(({ id }) => id), [...names, 'z'])
  assert.not.ok(asked.some((one) => one.startsWith('status.n2')))
})

test('spaces are listed to the end', async () => {
  pagingNode('n1', [])
  on(subjects.admin('n1'), ({ after = '' }) => {
    const later = names.filter((name) => name > String(after))
    return {
      ok: true,
      spaces: later.slice(0, 2).map((space) => ({ space })),
      ...(later.length > 1 && { unreadable: [{ space: later[1], reason: 'of a newer version' }] }),
      ...(later.length > 2 && { more: true, after: later[1] }),
    }
  })
  await nats.flush()
  const { spaces, unreadable } = await client.listSpaces()
  assert.equal(spaces.map(({ space }) => space), names)
  assert.equal(unreadable.map(({ space }) => space), ['b', 'd'])
})

/** Pages of two, as of a primary. */
function primary(): void {
  on(subjects.read('demo'), ({ after = '', limit }) => {
    const later = names.filter((name) => name > String(after))
    const some = later.slice(0, Math.min(2, Number(limit)))
    const goOn = later.length > some.length ? { more: true, after: some.at(-1) } : {}
    return {
      ok: true,
      value: some.map((id) => ({ id })),
      sequence: 7,
      epoch: 1,
      node: 'n1',
      role: 'primary',
      stalenessMs: 0,
      ...goOn,
    }
  })
}

test('a list is read page by page, or as a whole, up to its limit', async () => {
  primary()
  await nats.flush()
  const sizes: number[] = []
  for await (const { value } of client.pages('demo', { type: 'ListNodes', after: '', limit: 5 })) {
    sizes.push(value.length)
  }
  assert.equal(sizes, [2, 2, 1])
  const all = await client.readAll('demo', { type: 'ListNodes', after: 'a', limit: 1000 })
  assert.equal(all.map(({ id }) => id), ['b', 'c', 'd', 'e'])
  const some = await client.readAll('demo', { type: 'ListNodes', after: '', limit: 3 })
  assert.equal(some.map(({ id }) => id), ['a', 'b', 'c'])
  assert.ok(asked.at(-1)!.endsWith('{"type":"ListNodes","after":"b","limit":1}'), asked.at(-1))
  const page = await client.read('demo', { type: 'ListNodes', after: '', limit: 5 })
  assert.equal([page.value.length, page.more, page.after], [2, true, 'b'])
})

/** A log of which entries up to 40 are given up, and up to `thenBase` after the second page. */
function trimmedLog(thenBase = 40): number[] {
  const asked: number[] = []
  on(subjects.read('demo'), ({ from, after, limit }) => {
    const first = Math.max(Number(from ?? 1), Number(after ?? 0) + 1)
    asked.push(first)
    const base = asked.length > 3 ? thenBase : 40
    if (first <= base) {
      return { ok: false, code: 'TRUNCATED', message: 'no longer kept', outcome: 'notTaken',
        retryable: false, firstSequence: base + 1, epoch: 1, sequence: 45 }
    }
    const last = Math.min(45, first + Math.min(2, Number(limit)) - 1)
    const value = Array.from({ length: Math.max(0, last - first + 1) },
      (_, n) => ({ epoch: 1, sequence: first + n }))
    return { ok: true, value, sequence: 45, epoch: 1, node: 'n1', role: 'primary', stalenessMs: 0,
      ...(last < 45 && { more: true, after: last }) }
  })
  return asked
}

test('entries from the first one on begin where the log does', async () => {
  const begun = trimmedLog()
  await nats.flush()
  const all = await client.readAll('demo', { type: 'GetEntries', from: 'first' })
  assert.equal(all.map(({ sequence }) => sequence), [41, 42, 43, 44, 45])
  assert.equal(begun, [1, 41, 43, 45])
  const some = await client.readAll('demo', { type: 'GetEntries', from: 'first', limit: 3 })
  assert.equal(some.map(({ sequence }) => sequence), [41, 42, 43])
})

test('what is given up below a reader, or asked for by its number, is an error', async () => {
  trimmedLog(44)
  await nats.flush()
  const codeOf = async (from: number | 'first') => {
    const query = { type: 'GetEntries', from, limit: 1000 } as const
    const error = await client.readAll('demo', query as Parameters<typeof client.readAll>[1])
      .catch((e: unknown) => e)
    assert.instance(error, ReadError)
    const { code, retryable, firstSequence } = error as ReadError
    return [code, retryable, firstSequence]
  }
  assert.equal(await codeOf(40), ['TRUNCATED', false, 41])
  assert.equal(await codeOf('first'), ['TRUNCATED', false, 45])
})

test('a limit that nodes of an earlier release would refuse is sent only where one is given', async () => {
  const limits: unknown[] = []
  on(subjects.read('demo'), ({ type, limit }) => {
    limits.push([type, limit])
    return {
      ok: true,
      value: [],
      sequence: 7,
      epoch: 1,
      node: 'n1',
      role: 'primary',
      stalenessMs: 0,
    }
  })
  await nats.flush()
  const edges = { type: 'GetEdges', nodeId: 'a', direction: 'out' } as const
  await client.readAll('demo', edges)
  await client.readAll('demo', { ...edges, limit: 3 })
  await client.readAll('demo', { type: 'GetForks' })
  await client.readAll('demo', { type: 'GetEntries', from: 1, limit: 3000 })
  assert.equal(limits, [['GetEdges', undefined], ['GetEdges', 3], ['GetForks', undefined], [
    'GetEntries',
    1000,
  ]])
})

test.run()
