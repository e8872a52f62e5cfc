/** The bridge to Stately's inspector, read by that package's own receiver. */
import { readFileSync } from 'node:fs'
import { createInspector, createWebSocketReceiver } from '@statelyai/inspect'
import type { StatelyInspectionEvent } from '@statelyai/inspect'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { WebSocket } from 'ws'
import { createMachine } from 'xstate'
import type { InspectionEvent } from 'xstate'
import { InspectionSnapshot } from '../../../runtime/inspect/snapshot.js'
import { statelyEvents, statelySnapshot, statelyVersion,
  stoppedEvent } from '../../../runtime/inspect/stately.js'
import { startStatelyServer } from '../../../runtime/inspect/statelyServer.js'
import type { StatelyServer } from '../../../runtime/inspect/statelyServer.js'
import { repositoryFile } from '../../../runtime/system/paths.js'
import { kit } from '../../support/hostKit.js'
import { feedKit, lamp, read } from '../../support/inspectKit.js'
import { waitFor } from '../../support/wait.js'

const test = suite('stately')

/** A node's feed, through the bridge, to the official receiver. */
async function bridgeKit() {
  const it = feedKit()
  const snapshot = new InspectionSnapshot()
  const server = await startStatelyServer({ port: 0, greeting: () => statelySnapshot(snapshot) })
  const take = (text: string): void => {
    const envelope = read(text)
    const gone = snapshot.apply(envelope)
    server.send(statelyEvents(envelope, snapshot, gone))
  }
  it.feed.listen(take)
  const present = () => it.feed.present().forEach(take)
  return { ...it, server, snapshot, present, take }
}

function receive(server: StatelyServer): StatelyInspectionEvent[] {
  const seen: StatelyInspectionEvent[] = []
  createWebSocketReceiver({ server: server.webSocketUrl }).subscribe((event) => seen.push(event))
  return seen
}

const of = (seen: readonly StatelyInspectionEvent[], type: string) =>
  seen.filter((event) => event.type === type) as (StatelyInspectionEvent & {
    snapshot: { status: string; value?: unknown; context?: Record<string, unknown> }
    event: { type: string } & Record<string, unknown>
    definition: string
    parentId?: string
    sourceId?: string
    name: string
  })[]

test('the version is that of the package', () => {
  const file = repositoryFile('node_modules/@statelyai/inspect/package.json')
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
  assert.is(statelyVersion, version)
})

test('the official receiver gets actors with their charts, events and snapshots', async () => {
  const { server, spawn, clock, present } = await bridgeKit()
  const actor = spawn('space.demo')
  spawn('space.demo.primary', 'space.demo')
  present()
  const seen = receive(server)
  await waitFor('the actors', () => of(seen, '@xstate.actor').length === 2)
  const [space, primary] = of(seen, '@xstate.actor')
  assert.equal([space?.sessionId, space?.rootId, space?._version], ['n1/space.demo', 'n1',
    statelyVersion])
  assert.is(space?.parentId, undefined)
  assert.is(primary?.parentId, 'n1/space.demo')
  assert.is(space?.snapshot.value, 'off')
  // The inspector page does the same: it builds the machine, and draws that.
  const machine = createMachine(JSON.parse(space?.definition ?? '') as object)
  assert.equal(Object.keys(machine.states), ['off', 'on'])
  actor.send({ type: 'pressed' })
  clock.advance(50)
  await waitFor('the snapshot', () => of(seen, '@xstate.snapshot').length === 1)
  const [event] = of(seen, '@xstate.event')
  assert.equal([event?.sessionId, event?.event], ['n1/space.demo', { type: 'pressed' }])
  const [snapshot] = of(seen, '@xstate.snapshot')
  assert.is(snapshot?.snapshot.value, 'on')
  assert.is(snapshot?.snapshot.status, 'active')
  assert.is(snapshot?.snapshot.context?.['presses'], 1)
  assert.equal(snapshot?.event, { type: 'pressed', reason: 'it was dark' })
  actor.stop()
  clock.advance(50)
  await waitFor('the end', () => of(seen, '@xstate.snapshot').at(-1)?.snapshot.status === 'stopped')
  await server.close()
})

test('the package takes what an observer of the host gets: standard XState events', async () => {
  const seen: StatelyInspectionEvent[] = []
  const inspector = createInspector({ send: (event) => seen.push(event) })
  const { host } = kit({
    inspect: (event) => {
      // The host's own events are beside those of XState.
      if (event.type.startsWith('@xstate.')) inspector.inspect.next?.(event as InspectionEvent)
    },
  })
  host.spawn({ id: 'a', logic: lamp, input: () => undefined }).send({ type: 'pressed' })
  await waitFor('the snapshot', () =>
    of(seen, '@xstate.snapshot')
      .some(({ snapshot }) => snapshot.value === 'on'))
  assert.equal(of(seen, '@xstate.actor').map(({ name }) => name), ['a'])
  assert.ok(of(seen, '@xstate.event').some(({ event }) => event.type === 'pressed'))
})

test('a later receiver gets the present, without what is over', async () => {
  const { server, spawn, clock, present } = await bridgeKit()
  present()
  spawn('a').send({ type: 'pressed' })
  spawn('b').stop()
  clock.advance(50)
  const seen = receive(server)
  await waitFor('the actor', () => of(seen, '@xstate.actor').length > 0)
  assert.equal(of(seen, '@xstate.actor').map((e) => [e.sessionId, e.snapshot.value]), [['n1/a',
    'on']])
  await server.close()
})

test('messages between nodes are events from one actor to another', async () => {
  const { snapshot, take, server } = await bridgeKit()
  const shown = (node: string, actors: readonly string[]) =>
    JSON.stringify({
      version: 1,
      node,
      incarnation: 1,
      stream: '1',
      number: 1,
      dropped: 0,
      present: { part: 1, parts: 1 },
      events: actors.map((actor) => ({
        type: 'actor',
        actor,
        atMs: 1,
        parent: null,
        chart: null,
        status: 'active',
        state: null,
        reason: null,
        summary: {},
      })),
    })
  take(shown('n1', ['space.demo.primary', 'node']))
  take(shown('n2', ['space.demo.replica', 'detector.n1']))
  const sent = read(JSON.stringify({
    version: 1,
    node: 'n1',
    incarnation: 1,
    stream: '1',
    number: 2,
    dropped: 0,
    present: null,
    events: [
      { type: 'messages', atMs: 2, kind: 'wal', space: 'demo', to: 'n2', count: 3, bytes: 99 },
      { type: 'messages', atMs: 2, kind: 'heartbeat', space: null, to: null, count: 5, bytes: 9 },
      { type: 'messages', atMs: 2, kind: 'wal', space: 'demo', to: 'n9', count: 3, bytes: 99 },
    ],
  }))
  const events = of(statelyEvents(sent, snapshot, []), '@xstate.event')
  assert.equal(events.map((e) => [e.sourceId, e.sessionId, e.event['count']]), [
    ['n1/space.demo.primary', 'n2/space.demo.replica', 3],
    ['n1/node', 'n2/detector.n1', 5],
  ])
  assert.is(
    of([stoppedEvent('n1', snapshot.drop('n1')[0]!)], '@xstate.snapshot')[0]?.snapshot.status,
    'stopped',
  )
  await server.close()
})

test('a new life of a node replaces what it showed before', async () => {
  const { snapshot, take, server } = await bridgeKit()
  const life = (incarnation: number, actor: string) =>
    JSON.stringify({
      version: 1,
      node: 'n1',
      incarnation,
      stream: `${incarnation}`,
      number: 1,
      dropped: 0,
      present: { part: 1, parts: 1 },
      events: [{
        type: 'actor',
        actor,
        atMs: 1,
        parent: null,
        chart: null,
        status: 'active',
        state: null,
        reason: null,
        summary: {},
      }],
    })
  take(life(1, 'old'))
  const envelope = read(life(2, 'new'))
  const gone = snapshot.apply(envelope)
  const events = statelyEvents(envelope, snapshot, gone)
  assert.equal(of(events, '@xstate.snapshot').map((e) => [e.sessionId, e.snapshot.status]), [[
    'n1/old',
    'stopped',
  ]])
  assert.equal(of(events, '@xstate.actor').map((e) => e.sessionId), ['n1/new'])
  await server.close()
})

function upgrade(server: StatelyServer, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(server.webSocketUrl, { headers })
    socket.on('open', () => {
      resolve(101)
      socket.close()
    })
    socket.on('unexpected-response', (_, response) => {
      resolve(response.statusCode ?? 0)
      response.resume()
    })
    socket.on('error', () => undefined)
  })
}

test('pages of other origins and other names of this host are refused', async () => {
  const { server } = await bridgeKit()
  const own = server.url.replace('http://', '')
  assert.is(await upgrade(server, { Host: own, Origin: `http://${own}` }), 101)
  assert.is(await upgrade(server, { Host: own, Origin: 'https://evil.example' }), 403)
  assert.is(await upgrade(server, { Host: 'evil.example', Origin: 'http://evil.example' }), 403)
  await server.close()
})

test('the page frames the inspector, and allows nothing else', async () => {
  const { server } = await bridgeKit()
  const page = await fetch(server.url)
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, /frame-src https:\/\/stately\.ai;/)
  const nonce = /'nonce-([^']+)'/.exec(policy)?.[1] ?? ''
  const html = await page.text()
  assert.ok(html.includes(`<script nonce="${nonce}">`))
  assert.ok(html.includes('src="https://stately.ai/inspect"'))
  await server.close()
})

test('a reader that hangs is left out, and gets the snapshot when it reads again', async () => {
  const snapshot = new InspectionSnapshot()
  const event = stoppedEvent('n1', {
    type: 'actor',
    actor: 'big',
    atMs: 1,
    parent: null,
    chart: null,
    status: 'active',
    state: null,
    reason: null,
    summary: { text: 'x'.repeat(100_000) },
  })
  let greetings = 0
  const server = await startStatelyServer({
    port: 0,
    limits: { waitingBytes: 1_000_000 },
    greeting: () => {
      greetings += 1
      return statelySnapshot(snapshot)
    },
  })
  const socket = new WebSocket(server.webSocketUrl)
  await new Promise((resolve) => socket.once('open', resolve))
  socket.pause()
  await waitFor('skipped events', async () => {
    server.send([event])
    await new Promise<void>((resolve) => setImmediate(resolve))
    return server.skipped > 100
  }, { everyMs: 1 })
  assert.is(greetings, 1)
  socket.resume()
  await waitFor('the snapshot again', () => {
    server.send([event])
    return greetings === 2
  })
  await server.close()
  await waitFor('the end', () => socket.readyState === WebSocket.CLOSED)
})

test('a reader that hangs for good is cut off', async () => {
  const server = await startStatelyServer({
    port: 0,
    greeting: () => [],
    limits: { waitingBytes: 1, stuckMs: 50 },
  })
  const socket = new WebSocket(server.webSocketUrl)
  await new Promise((resolve) => socket.once('open', resolve))
  socket.on('error', () => undefined)
  socket.pause()
  const actor = {
    type: 'actor',
    actor: 'big',
    atMs: 1,
    parent: null,
    chart: null,
    status: 'active',
    state: null,
    reason: null,
    summary: { text: 'x'.repeat(1_000_000) },
  } as const
  await waitFor('the cut', () => {
    server.send([stoppedEvent('n1', actor)])
    return server.readers === 0
  })
  socket.terminate()
  await server.close()
})

test.run()
