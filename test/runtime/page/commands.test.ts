/** Orders of a page: who may give them, what is refused and why, and what carries them out. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import { AdminError } from '../../../runtime/client/errors.js'
import { startHttpServer } from '../../../runtime/http/server.js'
import type { OrderFrame, PageCommand } from '../../../runtime/page/protocol.js'
import { commandsRoute } from '../../../runtime/page/server/commands.js'
import type { CommandsOptions } from '../../../runtime/page/server/commands.js'
import { Playground } from '../../../runtime/page/server/playground.js'
import type { PlaygroundCluster } from '../../../runtime/page/server/playground.js'
import { SteadyWriters } from '../../../runtime/page/server/steadyWriters.js'
import { ask, order } from '../../support/page.js'
import { waitFor } from '../../support/wait.js'

const test = suite('page commands')

async function serve(over: Partial<CommandsOptions> = {}) {
  const performed: PageCommand[] = []
  const done: OrderFrame[] = []
  const server = await startHttpServer({
    address: '127.0.0.1:0',
    routes: {},
    posts: {
      '/api/orders': commandsRoute({
        perform: (what) => {
          performed.push(what)
          return Promise.resolve(what.type === 'killNode'
            ? { ok: false, message: 'it is down already' }
            : { ok: true, message: 'done' })
        },
        onDone: (frame) => done.push(frame),
        payloads: false,
        ...over,
      }),
    },
  })
  return { url: server.url, server, performed, done }
}

const write = { type: 'write', space: 'demo', id: 'a', content: 'what nobody should see' } as const

test('a command is performed, answered, and published without the content of a memory', async () => {
  const { url, server, performed, done } = await serve()
  const { status, answer } = await order(url, write, { Origin: url })
  assert.equal([status, answer], [200, { ok: true, message: 'done' }])
  assert.equal(performed, [write])
  assert.equal(done.map(({ order: sent }) => sent), [{ ...write, content: '(22 characters)' }])
  const refused = await order(url, { type: 'killNode', node: 'n1' })
  assert.equal([refused.status, refused.answer], [409, { ok: false,
    message: 'it is down already' }])
  assert.is(done.length, 1, 'what was not done is not published')
  await server.close()
})

test('with payloads the content is published', async () => {
  const { url, server, done } = await serve({ payloads: true })
  await order(url, write)
  assert.equal(done[0]?.order, write)
  await server.close()
})

test('without a playground every order is refused, with what to do', async () => {
  const { url, server } = await serve({ perform: null })
  const { status, answer } = await order(url, write)
  assert.is(status, 403)
  assert.match(answer.message, /--playground/)
  await server.close()
})

test('pages of other sites order nothing: origin, name of the host, content type', async () => {
  const { url, server, performed } = await serve()
  const { host } = new URL(url)
  const tries: Record<string, string>[] = [
    { Origin: 'http://evil.example' },
    { Origin: 'null' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { Host: 'evil.example', Origin: 'http://evil.example' },
    { Origin: `http://127.0.0.1:${server.port + 1}` },
  ]
  for (const headers of tries) {
    const { status } = await ask(url, '/api/orders', {
      method: 'POST',
      body: JSON.stringify(write),
      headers: { 'Content-Type': 'application/json', ...headers },
    })
    assert.is(status, 403, JSON.stringify(headers))
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data',
    'text/json', 'application/json-seq'])
  {
    const { status } = await order(url, write, { 'Content-Type': type, Origin: `http://${host}` })
    assert.is(status, 415, type)
  }
  assert.equal(performed, [])
  const utf8 = await order(url, write, { 'Content-Type': 'application/json; charset=utf-8' })
  assert.is(utf8.status, 200)
  await server.close()
})

test('an invalid command is refused, and the field named', async () => {
  const { url, server, performed } = await serve()
  const bad: [object | string, RegExp][] = [
    ['{', /not JSON/],
    [{ type: 'dropSpace' }, /type/],
    [{ ...write, space: 'a b' }, /space/],
    [{ ...write, more: 1 }, /more/],
    [{ type: 'steady', space: 'demo', perSecond: 1_001 }, /perSec/],
    [{ type: 'steady', space: 'demo', perSecond: -1 }, /perSecond/],
    [{ type: 'pauseNode', node: 'n1', forMs: 1e9 }, /forMs/],
    [{ type: 'killNode', node: '../n1' }, /node/],
    [{ ...write, content: 'x'.repeat(20_000) }, /content/],
  ]
  for (const [body, named] of bad) {
    const got = await ask(url, '/api/orders', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    assert.is(got.status, 400, got.body)
    assert.match(JSON.parse(got.body).message, named)
  }
  const large = await order(url, { ...write, content: 'x'.repeat(200_000) })
  assert.is(large.status, 413)
  assert.equal(performed, [])
  await server.close()
})

const answer: WriteAnswer = {
  ok: true,
  space: 'demo',
  epoch: 3,
  sequence: 42,
  count: 1,
  ack: 'durable',
  safeSequence: 41,
  node: 'n1',
  duplicate: false,
}

function cluster(over: Partial<PlaygroundCluster> = {}) {
  const done: string[] = []
  const node = (id: string, pid: number | null) => ({
    id,
    pid,
    death: null as { how: string } | null,
    log: `${id}.log`,
    pause: (forMs: number) => new Promise<void>((resolve) => setTimeout(resolve, forMs)),
  })
  const nodes = [node('n1', 11), node('n2', null)]
  const it: PlaygroundCluster = {
    nodes,
    killNode: (id) => {
      done.push(`kill ${id}`)
      return Promise.resolve()
    },
    startNode: (id) => {
      done.push(`start ${id}`)
      nodes[1]!.pid = 22
    },
    running: () =>
      Promise.resolve(new Map(
        nodes.filter(({ pid }) => pid !== null).map(({ id, pid }) => [id, pid]),
      )),
    write: () => Promise.resolve(answer),
    admin: (request, { node: to }) => {
      done.push(`${JSON.stringify(request)} ${to ?? ''}`)
      return Promise.resolve({ ok: true, primary: 'n2', epoch: 4 })
    },
    ...over,
  }
  return { done, nodes, playground: new Playground({ cluster: it, idleMs: () => 0 }) }
}

test('kill, start, pause: done, or refused in words', async () => {
  const { playground, done, nodes } = cluster()
  const say = async (what: PageCommand) => (await playground.perform(what)).message
  assert.match(await say({ type: 'killNode', node: 'n1' }), /n1 \(pid 11\) was killed/)
  assert.match(await say({ type: 'killNode', node: 'n2' }), /n2 is already down/)
  assert.match(await say({ type: 'killNode', node: 'n9' }),
    /no node n9 in this cluster; its nodes: n1, n2/)
  assert.match(await say({ type: 'startNode', node: 'n1' }), /n1 already runs/)
  assert.match(await say({ type: 'startNode', node: 'n2' }), /n2 runs again, pid 22/)
  assert.equal(done, ['kill n1', 'start n2'])
  assert.match(await say({ type: 'pauseNode', node: 'n1', forMs: 150 }), /is paused for 150 ms/)
  assert.match(await say({ type: 'pauseNode', node: 'n1', forMs: 150 }), /is already paused/)
  await waitFor('the end of the pause',
    async () => /for 150 ms/.test(await say({ type: 'pauseNode', node: 'n1', forMs: 150 })))
  nodes[0]!.pid = null
  assert.match(await say({ type: 'pauseNode', node: 'n1', forMs: 150 }), /start it first/)
})

test('a node that does not come up: the answer has the reason and its log', async () => {
  const { playground, nodes } = cluster({
    startNode: () => {
      nodes[1]!.death = { how: 'exit code 1' }
    },
  })
  const got = await playground.perform({ type: 'startNode', node: 'n2' })
  assert.equal(got, { ok: false, message: 'n2 did not start: exit code 1; its log: n2.log' })
})

test('kill of an actor and handover go to the nodes; a refusal of theirs is passed on', async () => {
  const { playground, done } = cluster()
  await playground.perform({ type: 'killActor', node: 'n1', actor: 'space.demo.primary' })
  const over = await playground.perform({ type: 'handOver', space: 'demo', to: null })
  assert.equal(done, ['{"type":"killActor","actor":"space.demo.primary"} n1',
    '{"type":"promote","space":"demo"} '])
  assert.equal(over, { ok: true, message: 'n2 is the primary of demo, in epoch 4' })
  const refusing = cluster({
    admin: () => Promise.reject(new AdminError('NOT_ENOUGH_IN_SYNC', 'n2 is not in sync', true)),
  })
  assert.equal(await refusing.playground.perform({ type: 'handOver', space: 'demo', to: 'n2' }), {
    ok: false,
    message: 'n2 is not in sync',
  })
})

test('a write is answered with where it stands', async () => {
  const { playground } = cluster()
  const got = await playground.perform(write)
  assert.equal(got, { ok: true, message: 'written to demo: sequence 42, epoch 3, durable at n1' })
})

test('a steady writer keeps its rate, is changed, and stops', async () => {
  const written: string[] = []
  const writers = new SteadyWriters({
    write: (space, id) => Promise.resolve(written.push(`${space} ${id}`)),
    idleMs: () => 0,
  })
  assert.match(writers.set('demo', 200), /writing to demo 200 times a second/)
  const begunMs = performance.now()
  await waitFor('some writes', () => written.length >= 60)
  const perSecond = written.length / (performance.now() - begunMs) * 1000
  assert.ok(perSecond < 260, `${perSecond} a second`)
  assert.is(new Set(written).size, written.length)
  assert.match(writers.set('demo', 0),
    new RegExp(`stopped the writer of demo: ${written.length} written, 0 refused`))
  const before = written.length
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.is(written.length, before)
  assert.match(writers.set('demo', 0), /has no steady writer/)
})

test('a cluster that does not answer gets no backlog; its answers are counted', async () => {
  let asked = 0
  const writers = new SteadyWriters({
    write: () => {
      asked += 1
      return asked < 10 ? Promise.reject(new Error('no')) : new Promise(() => undefined)
    },
    idleMs: () => 0,
  })
  writers.set('demo', 1_000)
  await waitFor('the bound', () => asked >= 256)
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.ok(asked <= 256 + 9, `${asked} asked`)
  assert.match(writers.set('demo', 0), /0 written, 9 refused or unknown/)
})

test('when nobody looks any more, the writers stop; too many spaces are refused', async () => {
  let written = 0
  let idleMs = 0
  const writers = new SteadyWriters({
    write: () => Promise.resolve(written += 1),
    idleMs: () => idleMs,
    idleMaxMs: 100,
  })
  writers.set('demo', 1_000)
  await waitFor('a write', () => written > 0)
  idleMs = 1e6
  await waitFor('the end', () => /has no steady writer/.test(writers.set('demo', 0)), {
    everyMs: 200,
  })
  for (let n = 0; n < 8; n += 1) writers.set(`s${n}`, 1)
  assert.throws(() => writers.set('s8', 1), /8 spaces/)
  writers.close()
})

test.run()
