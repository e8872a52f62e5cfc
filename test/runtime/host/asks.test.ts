/** Request and reply, what a sender learns of events that reach nobody, and silent nodes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { emit, setup } from 'xstate'
import { encodeEnvelope } from '../../../runtime/host/envelope.js'
import type { ActorHostOptions, Reply, ReplyTo } from '../../../runtime/host/index.js'
import { AskError, reply } from '../../../runtime/host/index.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { kit, Wire } from '../../support/hostKit.js'

const test = suite('host asks')

type AdderEvent =
  | { type: 'double'; n: unknown; replyTo?: ReplyTo }
  | { type: 'silent'; replyTo?: ReplyTo }

const adder = setup({
  types: { events: {} as AdderEvent, emitted: {} as Reply },
}).createMachine({
  on: {
    double: {
      actions: emit(({ event }) =>
        reply(event, typeof event.n === 'number' ? event.n * 2 : event.n)
      ),
    },
    silent: {},
  },
})

/** Two hosts on one wire; `adder` runs on n2. */
function pair(options: Partial<ActorHostOptions> = {}) {
  const clock = new VirtualClock()
  const wire = new Wire()
  const [first, second] = [wire.connect(), wire.connect()]
  const one = kit({ clock, bus: first, incarnation: () => 3, ...options })
  const two = kit({ clock, node: 'n2', bus: second, incarnation: () => 5, ...options })
  const actor = two.host.spawn({
    id: 'adder',
    logic: adder,
    input: () => undefined,
    refuseRemote: () => null,
  })
  return { clock, wire, one, two, actor, second, ref: one.host.ref<AdderEvent>('n2', 'adder') }
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(() => null, (reason: unknown) => reason)
  assert.instance(error, AskError)
  const { reason, message } = error as AskError
  return `${reason}: ${message}`
}

test('an actor answers what it is asked, here and from afar', async () => {
  const { ref, two } = pair()
  assert.is(await ref.ask({ type: 'double', n: 21 }), 42)
  const local = two.host.ref<AdderEvent>('n2', 'adder')
  const answers = await Promise.all([1, 2].map((n) => local.ask<number>({ type: 'double', n })))
  assert.equal(answers, [2, 4])
})

test('an event that is sent, not asked, gets no answer', () => {
  const { ref, wire } = pair()
  ref.send({ type: 'double', n: 1 })
  assert.is(wire.published.length, 1)
})

test('without an answer an ask ends in time', async () => {
  const { ref, clock } = pair()
  const asked = failure(ref.ask({ type: 'silent' }, { timeoutMs: 700 }))
  clock.advance(699)
  assert.ok(clock.pending > 0)
  clock.advance(1)
  assert.is(await asked, 'timeout: actor adder of n2 gave no answer within 700 ms')
  assert.is(clock.pending, 0)
})

test('an ask that reaches nobody ends at once', async () => {
  const { one, two, actor, ref, second } = pair()
  two.host.spawn({ id: 'closed', logic: adder, input: () => undefined })
  const ask = (id: string) => failure(one.host.ref<AdderEvent>('n2', id).ask({ type: 'silent' }))
  assert.is(await ask('nobody'), 'noSuchActor: actor nobody of n2: there is no actor of that id')
  assert.is(await ask('closed'),
    'refused: actor closed of n2: the actor takes no events from other nodes')
  assert.match(await failure(ref.ask({ type: 'double', n: () => 1 })), /^unencodable: /)
  assert.is(await failure(two.host.ref('n2', 'nobody').ask({ type: 'silent' })),
    'noSuchActor: actor nobody of n2: there is no actor of that id')
  actor.stop()
  assert.match(await failure(ref.ask({ type: 'silent' })), /^noSuchActor/)
  second.drop()
  assert.match(await failure(two.host.ref('n1', 'x').ask({ type: 'silent' })), /^detached/)
})

test('a repeated event refuses nothing: the first may still be answered', async () => {
  const { ref, wire, clock, two } = pair()
  const asked = failure(ref.ask({ type: 'silent' }))
  const { subject, data } = wire.published[0]!
  wire.publish(subject, data)
  assert.equal(two.letters.map(({ reason }) => reason), ['stale'])
  clock.advance(5_000)
  assert.match(await asked, /^timeout/)
})

test('answers that nobody waits for are dropped', () => {
  const { wire, one } = pair()
  for (const [index, ask] of [1, 99].entries()) {
    wire.publish('engram.v1.actor.n1.$host', encodeEnvelope({
      head: { node: 'n9', actor: null, incarnation: 1, number: index + 1 },
      body: { kind: 'answer', ask, life: 3, value: 'unasked' },
    }))
  }
  assert.equal(one.letters, [])
})

test('a long reason of a refusal is cut', async () => {
  const { one, two } = pair()
  two.host.spawn({
    id: 'wordy',
    logic: adder,
    input: () => undefined,
    refuseRemote: () => 'no'.repeat(5_000),
  })
  assert.match(await failure(one.host.ref<AdderEvent>('n2', 'wordy').ask({ type: 'silent' })),
    /^refused: actor wordy of n2: (no){128}$/)
})

test('an answer that cannot be sent is refused, not kept back', async () => {
  const { clock, wire } = pair()
  const host = kit({ clock, node: 'n4', bus: wire.connect() }).host
  const sparse = setup({ types: { events: {} as AdderEvent, emitted: {} as Reply } })
    .createMachine({ on: { silent: { actions: emit(({ event }) => reply(event, () => 1)) } } })
  host.spawn({ id: 'odd', logic: sparse, input: () => undefined, refuseRemote: () => null })
  const asker = kit({ clock, node: 'n5', bus: wire.connect() }).host
  assert.match(await failure(asker.ref('n4', 'odd').ask({ type: 'silent' })),
    /^unencodable: actor odd of n4: the answer: /)
})

test('an answer to an earlier life of the asker settles nothing', async () => {
  const clock = new VirtualClock()
  const wire = new Wire()
  const heard: ReplyTo[] = []
  const keeper = setup({ types: { events: {} as AdderEvent } }).createMachine({
    on: { silent: { actions: ({ event }) => void heard.push(event.replyTo!) } },
  })
  const two = kit({ clock, node: 'n2', bus: wire.connect(), refuseRemote: () => null })
  two.host.spawn({ id: 'keeper', logic: keeper, input: () => undefined })
  const lives = [7, 8].map((life) => kit({ clock, bus: wire.connect(), incarnation: () => life }))
  const [early, late] = lives.map(({ host }) =>
    host.ref('n2', 'keeper').ask({ type: 'silent' }).catch(() => 'none')
  )
  assert.equal(heard.map(({ ask, life }) => [ask, life]), [[1, 7], [1, 8]])
  two.host.reply({ type: 'engram.reply', to: heard[0], value: 'for the first' })
  two.host.reply({ type: 'engram.reply', to: { node: 'n 1', ask: 1, life: 1 }, value: 'odd' })
  await clock.advanceAsync(6_000)
  assert.equal([await early, await late], ['for the first', 'none'])
})

test('a host that is shut down, and a node that is down, end their asks', async () => {
  const { one, ref } = pair()
  const asked = failure(ref.ask({ type: 'silent' }))
  one.host.nodeDown('n2')
  assert.is(await asked, 'nodeDown: n2 is down')
  const again = failure(ref.ask({ type: 'silent' }))
  one.host.shutdown()
  assert.match(await again, /^shutdown: /)
})

test('the sender learns of events that another node could not deliver', async () => {
  const { one, two, clock } = pair()
  const heard: string[] = []
  one.host.spawn({
    id: 'sender',
    logic: adder,
    input: () => undefined,
    onUndelivered: ({ reason, to, event }) => {
      heard.push(`${reason} ${to.node} ${to.actor} ${event?.type}`)
    },
  })
  one.host.ref<AdderEvent>('n2', 'nobody', 'sender').send({ type: 'double', n: 1 })
  one.host.ref<AdderEvent>('n1', 'nobody', 'sender').send({ type: 'silent' })
  one.host.ref<AdderEvent>('n2', 'nobody').send({ type: 'silent' })
  await clock.advanceAsync(10)
  assert.equal(heard, ['noSuchActor n2 nobody double', 'noSuchActor n1 nobody silent'])
  assert.equal(one.letters.map(({ detail, from }) => [detail, from?.actor]), [
    ['n2 could not deliver it: there is no actor of that id', 'sender'],
    ['there is no actor of that id', 'sender'],
    ['n2 could not deliver it: there is no actor of that id', null],
  ])
  assert.is(two.letters.length, 2)
})

test('an error in onUndelivered fails the actor', async () => {
  const { one, clock } = pair()
  one.host.spawn({
    id: 'sender',
    logic: adder,
    input: () => undefined,
    onUndelivered: () => {
      throw new Error('cannot go on')
    },
  })
  one.host.ref<AdderEvent>('n2', 'nobody', 'sender').send({ type: 'silent' })
  await clock.advanceAsync(10)
  assert.match(one.escalations[0]?.message ?? '', 'cannot go on')
})

test('notices do not double a flood', () => {
  const { one, wire, clock } = pair()
  const ref = one.host.ref<AdderEvent>('n2', 'nobody')
  for (let times = 0; times < 5_000; times += 1) ref.send({ type: 'silent' })
  assert.is(wire.published.length, 6_000)
  clock.advance(1_000)
  ref.send({ type: 'silent' })
  assert.is(wire.published.length, 6_002)
})

test('a watched node that falls silent is down; who watches and who asks learns it', async () => {
  const { one, ref, clock, second } = pair({ nodeSilentMs: 3_000 })
  const deaths: string[] = []
  one.host.watchRemote('n2', 'adder', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(20_000)
  assert.equal(deaths, [])
  second.drop()
  const asked = failure(ref.ask({ type: 'silent' }, { timeoutMs: 60_000 }))
  await clock.advanceAsync(2_900)
  assert.equal(deaths, [])
  await clock.advanceAsync(2_000)
  assert.equal(deaths, ['nodeDown'])
  assert.is(await asked, 'nodeDown: n2 is down')
  await clock.advanceAsync(1_000)
  assert.is(clock.pending, 0, 'nothing is renewed when nothing is watched')
})

test('a host without a connection of its own blames nobody', async () => {
  const { one, clock, wire } = pair({ nodeSilentMs: 3_000 })
  const deaths: string[] = []
  one.host.watchRemote('n2', 'adder', ({ kind }) => deaths.push(kind))
  await clock.advanceAsync(1_500)
  one.host.detachBus()
  await clock.advanceAsync(60_000)
  one.host.attachBus(wire.connect())
  await clock.advanceAsync(10_000)
  assert.equal(deaths, [])
})

test('a host can say for all its actors what they take from afar', () => {
  const { one, two } = pair({ refuseRemote: ({ type }) => type === 'silent' ? null : 'not that' })
  two.host.spawn({ id: 'open', logic: adder, input: () => undefined })
  const ref = one.host.ref<AdderEvent>('n2', 'open')
  ref.send({ type: 'silent' })
  ref.send({ type: 'double', n: 1 })
  assert.equal(two.letters.map(({ detail }) => detail), ['not that'])
})

test.run()
