/** The actor host as a program creates it, on a real NATS server. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'nats'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assign, emit, setup } from 'xstate'
import { Inspector } from '../../runtime/inspect/inspector.js'
import { InspectionSnapshot } from '../../runtime/inspect/snapshot.js'
import { createActorHost, reply } from '../../runtime/standalone/index.js'
import type { ActorHostSettings, Reply, ReplyTo,
  StandaloneActorHost } from '../../runtime/standalone/index.js'
import { root } from '../support/environment.js'
import { waitFor } from '../support/wait.js'
import { NatsFixture, within } from './natsFixture.js'

const test = suite('actor host on NATS')
const fixture = new NatsFixture()
const hosts: StandaloneActorHost[] = []

test.before(async () => void await fixture.start())
test.after.each(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()))
})
test.after(() => fixture.stop())

type CounterEvent = { type: 'add'; n: number } | { type: 'total'; replyTo?: ReplyTo }

const counter = setup({
  types: {
    context: {} as { total: number },
    events: {} as CounterEvent,
    emitted: {} as Reply,
  },
}).createMachine({
  id: 'counter',
  context: { total: 0 },
  on: {
    add: { actions: assign({ total: ({ context, event }) => context.total + event.n }) },
    total: { actions: emit(({ context, event }) => reply(event, context.total)) },
  },
})

const silent = { debug() {}, info() {}, warn() {}, error() {} }

async function started(node: string, more: Partial<ActorHostSettings> = {}) {
  const host = createActorHost({
    node,
    nats: { servers: [fixture.server.url] },
    logger: silent,
    watchRenewalMs: 100,
    nodeSilentMs: 700,
    ...more,
  })
  hosts.push(host)
  await within(5_000, host.connected(), `the connection of ${node}`)
  return host
}

test('two hosts: events, an answer, and what nobody takes', async () => {
  const [one, two] = [await started('one'), await started('two')]
  two.spawn({ id: 'counter', logic: counter, input: () => undefined })
  const ref = one.ref<CounterEvent>('two', 'counter')
  for (const n of [1, 2, 3]) ref.send({ type: 'add', n })
  assert.is(await ref.ask<number>({ type: 'total' }), 6)
  const letters: string[] = []
  one.onDeadLetter(({ reason, to }) => letters.push(`${reason} ${to.node} ${to.actor}`))
  one.ref('two', 'nobody').send({ type: 'add' })
  one.ref('two', 'counter').send({ type: 'explode' })
  await waitFor('the notices', () => letters.length === 2)
  assert.equal(letters, ['noSuchActor two nobody', 'refused two counter'])
})

test('an event to a host that does not run is a dead letter, and an ask ends at once', async () => {
  const one = await started('one')
  const letters: string[] = []
  one.onDeadLetter(({ reason, to, event }) =>
    letters.push(`${reason} ${to.node} ${to.actor} ${event?.type}`)
  )
  const ref = one.ref<CounterEvent>('nowhere', 'counter')
  ref.send({ type: 'add', n: 1 })
  await waitFor('the letter', () => letters.length === 1)
  const failure: unknown = await ref.ask({ type: 'total' }, { timeoutMs: 60_000 }).catch(String)
  assert.match(String(failure), 'no host nowhere')
  assert.equal(letters, ['noSuchNode nowhere counter add', 'noSuchNode nowhere counter total'])
  const two = await started('two')
  two.spawn({ id: 'counter', logic: counter, input: () => undefined })
  assert.is(await one.ref<CounterEvent>('two', 'counter').ask({ type: 'total' }), 0)
  await two.close()
  one.ref('two', 'counter').send({ type: 'add', n: 1 })
  await waitFor('the letter', () => letters.at(-1) === 'noSuchNode two counter add')
})

test('an actor that ends, and a node that is gone, are noticed', async () => {
  const gaveUp: string[] = []
  const one = await started('one')
  const two = await started('two', { onEscalation: ({ message }) => gaveUp.push(message) })
  for (const id of ['a', 'b']) two.spawn({ id, logic: counter, input: () => undefined })
  const deaths: string[] = []
  for (const id of ['a', 'b']) {
    one.watchRemote('two', id, (exit) => deaths.push(`${exit.id} ${exit.kind}`))
  }
  assert.is(await one.ref<CounterEvent>('two', 'a').ask({ type: 'total' }), 0)
  two.kill('a')
  await waitFor('the first death', () => deaths.length === 1)
  // Its process is as good as gone: nothing is said any more.
  two.detachBus()
  await waitFor('the second death', () => deaths.length === 2)
  assert.equal(deaths, ['a failed', 'b nodeDown'])
  assert.equal(gaveUp, ['actor a gave up: actor a was killed: killed'])
})

test('the first program of its document prints what the document says', () => {
  const text = readFileSync(join(root, 'docs', 'actor-host.md'), 'utf8')
  const [, program = ''] = /```js\n([\s\S]*?)```/.exec(text) ?? []
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program],
    { cwd: root, encoding: 'utf8', timeout: 20_000 })
  const [, said] = /^It prints `(\w+)`/m.exec(text) ?? []
  assert.equal([stdout, stderr], [`${said}\n`, ''])
})

test('its document names every option', () => {
  const text = readFileSync(join(root, 'docs', 'actor-host.md'), 'utf8')
  const source = readFileSync(join(root, 'runtime', 'host', 'types.ts'), 'utf8')
  const [, members = ''] = /interface ActorHostOptions \{\n([\s\S]*?)\n\}/.exec(source) ?? []
  const names = [...members.matchAll(/^ {2}readonly (\w+)/gm)].map(([, name]) => name!)
  assert.ok(names.length >= 10)
  const shown = [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  // `nats` stands in its place.
  assert.equal(names.filter((name) => name !== 'bus' && !shown.includes(name)), [])
})

test('an actor that gives up and has no parent ends the process, unless it is said otherwise', () => {
  const script = `
    import { createActorHost } from 'engram-replication/host'
    import { createMachine } from 'xstate'
    const host = createActorHost({ node: 'one' })
    host.spawn({ id: 'a', logic: createMachine({}), input: () => undefined })
    host.kill('a', 'on purpose')
    setTimeout(() => console.log('still here'), 1_000)`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval',
    script], { cwd: root, encoding: 'utf8', timeout: 20_000 })
  assert.equal([status, stdout], [1, ''])
  assert.match(stderr, 'actor a gave up: actor a was killed: on purpose')
})

test('it connects again, and blames nobody for the time between', async () => {
  const [one, two] = [await started('one'), await started('two')]
  two.spawn({ id: 'counter', logic: counter, input: () => undefined })
  const deaths: string[] = []
  one.watchRemote('two', 'counter', ({ kind }) => deaths.push(kind))
  const ref = one.ref<CounterEvent>('two', 'counter')
  assert.is(await ref.ask({ type: 'total' }), 0)
  await fixture.server.stop()
  await waitFor('a refused ask',
    async () =>
      await ref.ask({ type: 'total' }).then(() => false, (error) => error.reason === 'detached'))
  await fixture.start()
  await within(15_000, Promise.all([one.connected(), two.connected()]))
  assert.is(await ref.ask({ type: 'total' }), 0)
  assert.equal(deaths, [])
})

test('a server that refuses says so to whoever waits, and close ends the attempts', async () => {
  const host = createActorHost({
    node: 'one',
    logger: silent,
    nats: { servers: fixture.server.url, credsFile: '/nowhere/at-all.creds' },
  })
  hosts.push(host)
  const error = await host.connected().then(() => null, (reason: unknown) => reason)
  assert.match(String(error), 'at-all.creds')
  await within(5_000, host.close())
})

test('the inspector of the command line sees its actors', async () => {
  const host = await started('seen')
  host.spawn({ id: 'counter', logic: counter, input: () => undefined })
  const connection = await connect({ servers: fixture.server.url })
  const snapshot = new InspectionSnapshot()
  const inspector = new Inspector({
    connection,
    inboxPrefix: '_INBOX',
    onEnvelope: (envelope) => void snapshot.apply(envelope),
  })
  await inspector.start()
  await waitFor('the actor', () => snapshot.actor('seen', 'counter'))
  host.spawn({ id: 'later', logic: counter, input: () => undefined })
  await waitFor('the actor that came later', () => snapshot.actor('seen', 'later'))
  inspector.stop()
  await connection.close()
})

test.run()
