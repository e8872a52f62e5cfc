import { encode } from '@msgpack/msgpack'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { emit, setup } from 'xstate'
import { decodeEnvelope, encodeEnvelope } from '../../../runtime/host/envelope.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { kit, Wire } from '../../support/hostKit.js'

const test = suite('host remote')

type NoteEvent = { type: 'note'; n: number; bytes?: Uint8Array }

const echo = setup({
  types: { events: {} as NoteEvent | { type: 'end' }, emitted: {} as { type: 'noted'; n: number } },
}).createMachine({
  initial: 'on',
  states: {
    on: {
      on: { end: 'over', note: { actions: emit(({ event }) => ({ type: 'noted', n: event.n })) } },
    },
    over: { type: 'final' },
  },
})

/** Two hosts on one wire, an echo `a.b` on n2 that takes events whose `n` is below 100. */
function pair() {
  const clock = new VirtualClock()
  const wire = new Wire()
  const one = kit({ clock, bus: wire.connect(), incarnation: () => 3 })
  const life = { incarnation: 5 }
  const connection = wire.connect()
  const two = kit({ clock, node: 'n2', bus: connection, incarnation: () => life.incarnation })
  const seen: number[] = []
  const spawn = (id = 'a.b') =>
    two.host.spawn({
      id,
      logic: echo,
      input: () => undefined,
      effects: ({ n }) => seen.push(n),
      refuseRemote: (event) => {
        const { n } = event as NoteEvent
        if (n === 13) throw new Error('unlucky')
        return n < 100 ? null : 'n is too large'
      },
    })
  return { clock, wire, one, two, seen, spawn, life, connection }
}

test('a reference reaches an actor of another node, over its subject', () => {
  const { one, seen, spawn, wire } = pair()
  spawn()
  one.host.ref<NoteEvent>('n2', 'a.b', 'me').send({ type: 'note', n: 1 })
  assert.equal(seen, [1])
  assert.is(wire.published[0]?.subject, 'engram.v1.actor.n2.a.b')
})

test('an actor decides what it takes from afar; without refuseRemote nothing', () => {
  const { one, two, seen, spawn } = pair()
  spawn()
  two.host.spawn({ id: 'closed', logic: echo, input: () => undefined })
  const ref = one.host.ref<NoteEvent>('n2', 'a.b', 'me')
  ref.send({ type: 'note', n: 100 })
  ref.send({ type: 'note', n: 13 })
  one.host.ref<NoteEvent>('n2', 'closed').send({ type: 'note', n: 1 })
  one.host.ref<NoteEvent>('n2', 'nobody').send({ type: 'note', n: 1 })
  assert.equal(seen, [])
  assert.equal(two.letters.map(({ reason, detail }) => `${reason}: ${detail}`), [
    'refused: n is too large',
    'refused: refuseRemote threw: unlucky',
    'refused: the actor takes no events from other nodes',
    'noSuchActor: there is no actor of that id',
  ])
  assert.equal(two.letters[0]?.from, { node: 'n1', actor: 'me' })
})

test('an event to a host that does not run is a dead letter, and its actor learns of it', async () => {
  const { one, wire, clock } = pair()
  const undelivered: string[] = []
  one.host.spawn({
    id: 'me',
    logic: echo,
    input: () => undefined,
    onUndelivered: ({ reason, to, event }) =>
      undelivered.push(`${reason} ${to.node} ${to.actor} ${event?.type}`),
  })
  one.host.ref<NoteEvent>('n9', 'a.b', 'me').send({ type: 'note', n: 1 })
  await clock.advanceAsync(10)
  assert.equal(undelivered, ['noSuchNode n9 a.b note'])
  assert.equal(one.letters.map(({ detail, from }) => [detail, from]), [['no host n9 is connected', {
    node: 'n1',
    actor: 'me',
  }]])
  one.host.watchRemote('n9', 'a.b', () => undefined)
  assert.is(one.letters.length, 1, 'a watch is renewed instead')
  const heard = one.letters.length
  wire.publish('_INBOX.sent_n1.7-n8', new Uint8Array(0))
  assert.is(one.letters.length, heard, 'only what the server says counts')
})

test('more events than are remembered: the letters of the first ones name the host only', () => {
  const { one, wire } = pair()
  const late: (() => void)[] = []
  const deliver = wire.onUnheard
  wire.onUnheard = (run) => late.push(run)
  const ref = one.host.ref<NoteEvent>('n9', 'a.b', 'me')
  for (let n = 0; n < 4_097; n += 1) ref.send({ type: 'note', n })
  wire.onUnheard = deliver
  for (const run of late) run()
  assert.equal([one.letters[0]?.event, one.letters[0]?.to], [undefined, { node: 'n9', actor: '' }])
  assert.equal(one.letters.slice(1).filter(({ event }) => event === undefined).length, 0)
  assert.is(one.letters.length, 4_097)
})

test('a new connection: what the former one says does not count any more', () => {
  const { one, wire } = pair()
  const late: (() => void)[] = []
  wire.onUnheard = (run) => late.push(run)
  const ref = one.host.ref<NoteEvent>('n9', 'a.b')
  ref.send({ type: 'note', n: 1 })
  one.host.attachBus(wire.connect())
  for (const run of late.splice(0)) run()
  assert.equal(one.letters, [])
  ref.send({ type: 'note', n: 2 })
  for (const run of late) run()
  assert.is(one.letters.length, 1)
})

test('local references take no detour', () => {
  const { two, wire, seen, spawn } = pair()
  spawn()
  two.host.ref<NoteEvent>('n2', 'a.b').send({ type: 'note', n: 200 })
  assert.equal(seen, [200])
  assert.is(wire.published.length, 0)
})

test('an event that cannot be sent is a dead letter: detached, too large, unencodable', async () => {
  const clock = new VirtualClock()
  const wire = new Wire()
  const { host, letters } = kit({ clock, envelopeBytesMax: 1_000 })
  const ref = host.ref<{ type: 'note'; what: unknown }>('n2', 'a')
  ref.send({ type: 'note', what: 1 })
  const connection = wire.connect(900)
  host.attachBus(connection)
  ref.send({ type: 'note', what: new Uint8Array(950) })
  ref.send({ type: 'note', what: () => 1 })
  ref.send({ type: 'note', what: 1n })
  connection.drop()
  ref.send({ type: 'note', what: 1 })
  await clock.settle()
  host.attachBus(wire.connect())
  host.detachBus()
  ref.send({ type: 'note', what: 1 })
  assert.equal(letters.map(({ reason }) => reason), [
    'detached',
    'tooLarge',
    'unencodable',
    'unencodable',
    'detached',
    'detached',
  ])
  assert.equal(wire.published, [])
})

test('names that do not fit a subject are a bug of the caller', () => {
  const { one } = pair()
  assert.throws(() => one.host.ref('n 2', 'a'), RangeError)
  assert.throws(() => one.host.ref('n2', 'a.*'), RangeError)
})

test('repeated, late, and former-life messages are refused; gaps are counted', () => {
  const counts: [string, number][] = []
  const clock = new VirtualClock()
  const wire = new Wire()
  const telemetry = {
    count: (name: string, by = 1) => void counts.push([name, by]),
    observe: () => {},
  }
  const { host, letters } = kit({ clock, bus: wire.connect(), telemetry })
  const seen: number[] = []
  host.spawn({
    id: 'a',
    logic: echo,
    input: () => undefined,
    effects: ({ n }) => seen.push(n),
    refuseRemote: () => null,
  })
  const send = (incarnation: number, number: number, n: number): void => {
    const head = { node: 'n9', actor: null, incarnation, number }
    const event = { type: 'note', n }
    wire.publish('engram.v1.actor.n1.a', encodeEnvelope({ head, body: { kind: 'event', event } }))
  }
  for (const [incarnation, number] of [[2, 1], [2, 1], [2, 5], [2, 4], [3, 1], [2, 6]] as const) {
    send(incarnation, number, incarnation * 10 + number)
  }
  assert.equal(seen, [21, 25, 31])
  assert.equal(letters.map(({ reason }) => reason), ['stale', 'stale', 'stale'])
  assert.equal(counts.filter(([name]) => name === 'engram_host_lost_messages_total'), [
    ['engram_host_lost_messages_total', 3],
  ])
})

function rawEnvelope(fields: Partial<Record<number, unknown>>): Uint8Array {
  const good: unknown[] = [1, 'event', 'n2', null, 1, 1, { type: 'note' }]
  for (const [at, value] of Object.entries(fields)) good[Number(at)] = value
  return encode(good)
}

test('hostile bytes never throw, and never reach an actor', () => {
  const clock = new VirtualClock()
  const wire = new Wire()
  const { host, letters } = kit({ clock, bus: wire.connect() })
  let events = 0
  host.spawn({
    id: 'a',
    logic: echo,
    input: () => undefined,
    refuseRemote: () => {
      events += 1
      return 'all'
    },
  })
  const nested = (depth: number): unknown => depth === 0 ? 1 : [nested(depth - 1)]
  const hostile: Uint8Array[] = [
    new Uint8Array(),
    new Uint8Array([0xc1]),
    new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]),
    new Uint8Array([0xdb, 0xff, 0xff, 0xff, 0xff]),
    new Uint8Array([0xc6]),
    // 50,000 nested arrays, each of which claims 16,384 elements.
    new Uint8Array(200_000).map((_, index) => [0xdc, 0x40, 0x00][index % 3] as number),
    new Uint8Array(300_000),
    encode(7),
    encode([]),
    encode('x'.repeat(1_000)),
    new Uint8Array([...rawEnvelope({}), 0]),
    rawEnvelope({}).slice(0, -1),
    rawEnvelope({ 0: 2 }),
    rawEnvelope({ 0: 'a'.repeat(99) }),
    rawEnvelope({ 1: 'explode' }),
    rawEnvelope({ 2: 'n 2' }),
    rawEnvelope({ 2: null }),
    rawEnvelope({ 3: 7 }),
    rawEnvelope({ 4: -1 }),
    rawEnvelope({ 4: 1.5 }),
    rawEnvelope({ 5: 0 }),
    rawEnvelope({ 6: null }),
    rawEnvelope({ 6: [] }),
    rawEnvelope({ 6: {} }),
    rawEnvelope({ 6: { type: 7 } }),
    rawEnvelope({ 6: { type: 'xstate.stop' } }),
    rawEnvelope({ 6: { type: 'x'.repeat(200) } }),
    rawEnvelope({ 6: { type: 'a', deep: nested(60) } }),
    rawEnvelope({ 6: new Date() }),
    rawEnvelope({ 1: 'death', 6: { watch: 1, exit: 'odd' } }),
    rawEnvelope({ 1: 'answer', 6: { ask: -1, life: 1 } }),
    rawEnvelope({ 1: 'answer', 6: { ask: 1, life: 1, refusal: { reason: 'odd', detail: '' } } }),
    rawEnvelope({ 1: 'undelivered', 6: { actor: 'a', from: 7, type: 'x', reason: 'refused' } }),
    rawEnvelope({ 1: 'watch', 6: { watch: -1, id: 'a' } }),
    rawEnvelope({ 7: 1 }),
  ]
  for (const bytes of hostile) wire.publish('engram.v1.actor.n1.a', bytes)
  wire.publish('engram.v1.actor.n1.', rawEnvelope({ 5: 1 }))
  wire.publish('engram.v1.actor.n1.$host', rawEnvelope({ 5: 2 }))
  assert.is(events, 0)
  assert.is(letters.length, hostile.length + 2)
  assert.is(host.ids().length, 1)
})

test('random damage to a good envelope never throws', () => {
  const head = { node: 'n2', actor: 'a', incarnation: 1, number: 1 }
  const event = { type: 'note', list: [1, 2, { a: 'b', c: new Uint8Array(20) }], n: -5.5,
    long: 1e15 }
  const good = encodeEnvelope({ head, body: { kind: 'event', event } })
  assert.equal(decodeEnvelope(good), { head, body: { kind: 'event', event } })
  const random = new SeededRandom(11)
  for (let times = 0; times < 20_000; times += 1) {
    const bad = good.slice(0, random.chance(0.3) ? random.integer(good.length) : good.length)
    for (let flips = 0; flips < 3 && bad.length > 0; flips += 1) {
      bad[random.integer(bad.length)] = random.integer(256)
    }
    const result = decodeEnvelope(bad)
    assert.ok(typeof result === 'string' || result.head !== undefined)
  }
})

test('events keep no view of the received bytes', () => {
  const head = { node: 'n2', actor: null, incarnation: 1, number: 1 }
  const event = { type: 'note', bytes: new Uint8Array([1, 2, 3]) }
  const received = encodeEnvelope({ head, body: { kind: 'event', event } })
  const envelope = decodeEnvelope(received)
  received.fill(0)
  assert.ok(typeof envelope !== 'string' && envelope.body.kind === 'event')
  if (typeof envelope === 'string' || envelope.body.kind !== 'event') return
  assert.equal([...envelope.body.event['bytes'] as Uint8Array], [1, 2, 3])
})

test('local watch: unknown, and an ended watch stays silent', async () => {
  const { host, clock } = kit()
  const deaths: unknown[] = []
  host.watch('nobody', (exit) => deaths.push(exit))
  host.watch('nobody', (exit) => deaths.push(exit))()
  assert.equal(deaths, [])
  await clock.settle()
  assert.equal(deaths, [{ id: 'nobody', kind: 'unknown' }])
})

test('remote watch: unknown, done, stopped, failed, each reported once', async () => {
  const { clock, one, two, spawn } = pair()
  const deaths: string[] = []
  const watch = (id: string) =>
    one.host.watchRemote('n2', id, (exit) => {
      deaths.push(`${exit.node} ${exit.id} ${exit.kind}`)
    })
  const actors = ['a', 'b', 'c'].map((id) => spawn(id))
  for (const id of ['a', 'b', 'c', 'nobody']) watch(id)
  await clock.advanceAsync(5_000)
  actors[0]?.send({ type: 'end' })
  actors[1]?.stop()
  two.host.kill('c')
  await clock.advanceAsync(5_000)
  assert.equal(deaths, ['n2 nobody unknown', 'n2 a done', 'n2 b stopped', 'n2 c failed'])
  assert.is(clock.pending, 0, 'nothing is renewed when nothing is watched')
})

test('remote watch survives lost messages, even when the id lives again', async () => {
  const { clock, one, wire, spawn } = pair()
  const deaths: string[] = []
  const actor = spawn('a')
  wire.lose = 1
  one.host.watchRemote('n2', 'a', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(1_500)
  wire.lose = 1
  actor.stop()
  spawn('a')
  assert.equal(deaths, [])
  await clock.advanceAsync(1_000)
  assert.equal(deaths, ['stopped'])
})

test('remote watch: the node down, or in a later life', async () => {
  const { clock, one, spawn, life, two } = pair()
  const deaths: string[] = []
  spawn('a')
  one.host.watchRemote('n2', 'a', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(100)
  one.host.nodeDown('n2')
  one.host.nodeDown('n2')
  assert.equal(deaths, ['nodeDown'])
  one.host.watchRemote('n2', 'a', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(100)
  life.incarnation = 6
  two.host.ref<NoteEvent>('n1', 'nobody').send({ type: 'note', n: 1 })
  assert.equal(deaths, ['nodeDown', 'failed'])
})

test('remote watch: ended by the watcher, and over a new connection', async () => {
  const { clock, one, two, spawn, wire, connection } = pair()
  const deaths: string[] = []
  const actor = spawn('a')
  const end = one.host.watchRemote('n2', 'a', () => deaths.push('ended'))
  one.host.watchRemote('n2', 'a', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(100)
  end()
  connection.drop()
  await clock.settle()
  actor.stop()
  await clock.advanceAsync(3_000)
  assert.equal(deaths, [])
  two.host.attachBus(wire.connect())
  await clock.advanceAsync(1_500)
  assert.equal(deaths, ['stopped'])
})

test.run()
