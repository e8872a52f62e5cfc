import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assign, createMachine, emit, fromCallback, setup } from 'xstate'
import { readEnvelope } from '../../../runtime/inspect/schema.js'
import { summaryOf } from '../../../runtime/inspect/summary.js'
import { MemoryBroker } from '../../fakes/memoryBus.js'
import { eventsOf, feedKit, only, read, secret } from '../../support/inspectKit.js'

const test = suite('inspection feed')

test('nothing is hooked in while nobody listens, and nothing after the last has gone', () => {
  const { feed, spawn, hooks, clock } = feedKit()
  spawn('a').send({ type: 'pressed' })
  assert.equal(hooks(), { observations: 0, ended: 0 })
  assert.is(clock.nextDueMs(), null, 'no timer runs')
  const ends = [feed.listen(() => {}), feed.listen(() => {})]
  assert.equal(hooks(), { observations: 1, ended: 0 }, 'two listeners, one observation')
  for (const end of ends) end()
  ends[0]?.()
  assert.equal(hooks(), { observations: 1, ended: 1 })
  assert.is(clock.nextDueMs(), null)
})

test('the present state: chart, definition, state, reason, parent, context', () => {
  const { feed, spawn } = feedKit()
  spawn('space.demo').send({ type: 'pressed' })
  spawn('space.demo.primary', 'space.demo')
  feed.listen(() => {})
  const envelopes = feed.present().map(read)
  assert.equal(envelopes.map(({ present }) => present), [{ part: 1, parts: 1 }])
  const [envelope] = envelopes
  assert.equal([envelope?.node, envelope?.incarnation, envelope?.number], ['n1', 7, 0])
  const events = envelope?.events ?? []
  assert.equal(events.map(({ type }) => type), ['chart', 'actor', 'actor'])
  const [chart] = only(events, 'chart')
  assert.is(JSON.parse(chart?.definition ?? '').states.off.on.pressed.target, 'on')
  const [space, primary] = only(events, 'actor')
  assert.is(space?.actor, 'space.demo')
  assert.is(space?.chart, 'lamp')
  assert.is(space?.state, 'on')
  assert.is(space?.status, 'active')
  assert.is(space?.reason, 'it was dark')
  assert.is(space?.summary['presses'], 1)
  assert.is(space?.parent, null)
  assert.is(primary?.parent, 'space.demo')
  assert.is(primary?.reason, null)
})

test('a change of state is sent with its reason; what changes none is counted', () => {
  const { feed, spawn, clock } = feedKit()
  const actor = spawn('a')
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  actor.send({ type: 'pressed' })
  for (let i = 0; i < 30; i += 1) actor.send({ type: 'looked' })
  clock.advance(50)
  const [change, ...others] = eventsOf(texts)
  assert.is(others.length, 0, 'counts are sent less often')
  if (change?.type !== 'transition') throw new Error(`not a transition: ${change?.type}`)
  assert.equal([change.actor, change.from, change.state, change.event, change.reason], ['a', 'off',
    'on', 'pressed', 'it was dark'])
  clock.advance(500)
  const [progress] = only(eventsOf(texts), 'progress')
  assert.equal(progress?.counts, { looked: 30 })
  clock.advance(2_000)
  assert.is(only(eventsOf(texts), 'progress').length, 1, 'silence when nothing happens')
  assert.equal(texts.map((text) => read(text).number), [1, 2])
})

test('a change of state names the transitions taken, as the chart has them', () => {
  const { feed, clock, host } = feedKit()
  const machine = setup({
    guards: { isReady: () => true, isBlocked: () => false },
    delays: { patience: 400 },
  }).createMachine({
    id: 'judge',
    initial: 'waiting',
    states: {
      waiting: {
        on: {
          asked: [{ guard: 'isBlocked', target: 'over' }, { guard: 'isReady', target: 'judging' }],
        },
      },
      judging: { always: { target: 'deciding.first' } },
      deciding: { initial: 'first', states: { first: { after: { patience: '#judge.over' } } } },
      over: {},
    },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const actor = host.spawn({ id: 'j', logic: machine, input: () => undefined })
  clock.advance(100)
  actor.send({ type: 'asked' })
  const askedAtMs = Date.now()
  clock.advance(50)
  const [asked] = only(eventsOf(texts), 'transition')
  assert.equal(asked?.taken, [
    { source: 'waiting', trigger: 'event', name: 'asked', guard: 'isReady', targets: ['judging'] },
    { source: 'judging', trigger: 'always', name: '', guard: null, targets: ['deciding.first'] },
  ])
  const [timer] = asked?.timers ?? []
  assert.equal(asked?.timers?.length, 1)
  assert.equal({ ...timer, startedAtMs: 0 }, { name: 'patience', state: 'deciding.first',
    startedAtMs: 0, delayMs: 400 })
  assert.ok(Math.abs((timer?.startedAtMs ?? 0) - askedAtMs) < 1_000, `${timer?.startedAtMs}`)
  const again = only(eventsOf(feed.present()), 'actor')[0]?.timers?.[0]
  assert.is(again?.startedAtMs, timer?.startedAtMs, 'however often one looks')
  clock.advance(500)
  const over = only(eventsOf(texts), 'transition')[1]
  assert.equal(over?.taken?.map(({ trigger, name }) => `${trigger} ${name}`), ['after patience'])
  assert.is(over?.timers, undefined)
})

test('without payloads no text of a context leaves the node; with them it does', () => {
  for (const payloads of [false, true]) {
    const { feed, spawn, clock } = feedKit({ payloads })
    const actor = spawn('a')
    const texts: string[] = []
    feed.listen((envelope) => texts.push(envelope))
    actor.send({ type: 'pressed', secret })
    actor.send({ type: 'looked' })
    clock.advance(1_000)
    texts.push(...feed.present())
    const shown = only(eventsOf(texts), 'transition')[0]?.summary['secret']
    assert.is(shown, payloads ? secret : `(${secret.length} characters)`)
    assert.is(texts.join('').includes(secret), payloads)
  }
})

test('too fast: what is beyond the bound is dropped and counted, and the present is right', () => {
  const { feed, spawn, clock } = feedKit()
  const actor = spawn('a')
  const texts: string[] = []
  const dropped: number[] = []
  feed.listen((envelope, count) => {
    texts.push(envelope)
    dropped.push(count)
  })
  for (let i = 0; i < 5_001; i += 1) actor.send({ type: 'pressed' })
  clock.advance(50)
  assert.is(eventsOf(texts).length, 2_000)
  assert.is(dropped.reduce((sum, count) => sum + count, 0), 3_001)
  assert.is(feed.droppedTotal, 3_001)
  assert.ok(texts.every((text) => Buffer.byteLength(text) < 512 * 1024))
  assert.is(only(eventsOf(feed.present()), 'actor')[0]?.state, 'on')
})

test('kill, restart, exit; the next life is an actor anew', () => {
  const { feed, spawn, clock, host } = feedKit()
  const actor = spawn('a')
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  host.kill('a', 'chaos')
  clock.advance(60)
  actor.stop()
  clock.advance(50)
  const events = eventsOf(texts).filter(({ type }) => type !== 'chart' && type !== 'transition')
  assert.equal(events.map(({ type }) => type), ['kill', 'restart', 'actor', 'exit'])
  const [restart] = only(events, 'restart')
  assert.equal([restart?.attempt, restart?.delayMs], [1, 10])
  assert.is(only(eventsOf(feed.present()), 'actor').length, 0)
})

test('a restart ends what was below the former life, and its counts', () => {
  const { feed, clock, host } = feedKit()
  let lives = 0
  const machine = setup({ actors: { side: fromCallback(() => undefined) } }).createMachine({
    id: 'parent',
    initial: 'alone',
    states: {
      alone: { on: { entered: 'with' } },
      with: { invoke: { src: 'side', id: 'side' }, on: { looked: { actions: assign({}) } } },
    },
  })
  const actor = host.spawn({
    id: 'p',
    logic: machine,
    input: () => {
      lives += 1
      return undefined
    },
    supervision: { maxRestarts: 3, withinMs: 1_000, backoffMs: 10, backoffMaxMs: 10 },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  actor.send({ type: 'entered' })
  for (let i = 0; i < 5; i += 1) actor.send({ type: 'looked' })
  clock.advance(60)
  host.kill('p', 'chaos')
  clock.advance(60)
  assert.is(lives, 2)
  const ends = only(eventsOf(texts), 'exit').map(({ actor: path }) => path)
  assert.equal(ends, ['p/side'])
  texts.length = 0
  clock.advance(1_000)
  assert.equal(only(eventsOf(texts), 'progress'), [], 'nothing of the former life')
  assert.equal(only(eventsOf(feed.present()), 'actor').map(({ state }) => state), ['alone'])
})

test('children of a chart come and go with its states', () => {
  const { feed, clock, host } = feedKit()
  const machine = setup({ actors: { side: fromCallback(() => undefined) } }).createMachine({
    id: 'parent',
    initial: 'with',
    states: {
      with: { invoke: { src: 'side', id: 'side' }, on: { left: 'without' } },
      without: { on: { entered: 'with' } },
    },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const actor = host.spawn({ id: 'p', logic: machine, input: () => undefined })
  const paths = () => only(eventsOf(feed.present()), 'actor').map(({ actor: path }) => path)
  assert.equal(paths().toSorted(), ['p', 'p/side'])
  actor.send({ type: 'left' })
  assert.equal(paths(), ['p'])
  actor.send({ type: 'entered' })
  clock.advance(50)
  assert.equal(paths().toSorted(), ['p', 'p/side'])
  assert.ok(only(eventsOf(texts), 'exit').some(({ actor: path }) => path === 'p/side'))
  assert.is(only(eventsOf(feed.present()), 'actor').find((a) => a.actor === 'p/side')?.parent, 'p')
})

test('an actor ends after the transition that ended it, and before what its parent does', () => {
  const { feed, clock, host } = feedKit()
  const child = setup({}).createMachine({
    id: 'child',
    initial: 'running',
    states: {
      running: { on: { asked: 'leaving' } },
      leaving: { always: 'over' },
      over: { type: 'final' },
    },
  })
  const parent = setup({}).createMachine({
    id: 'parent',
    initial: 'with',
    states: { with: { on: { childDone: 'without' } }, without: {} },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const above = host.spawn({ id: 'p', logic: parent, input: () => undefined })
  const below = host.spawn({ id: 'p.c', parent: 'p', logic: child, input: () => undefined,
    onExit: () => above.send({ type: 'childDone' }) })
  clock.advance(50)
  texts.length = 0
  below.send({ type: 'asked' })
  clock.advance(1_000)
  const events = eventsOf(texts)
  assert.equal(
    events.map((event) =>
      event.type === 'transition'
        ? `${event.actor} ${event.event} ${event.state} ${event.status}`
        : event.type === 'exit'
        ? `${event.actor} ends ${event.kind}`
        : event.type
    ),
    ['p.c asked over done', 'p.c ends done', 'p childDone without active'],
  )
  assert.equal(only(events, 'transition')[0]?.taken?.map(({ targets }) => targets), [['leaving'], [
    'over',
  ]])
  assert.equal(only(eventsOf(feed.present()), 'actor').map(({ actor }) => actor), ['p'])
})

test('an actor begins after the transition that begins it', () => {
  const { feed, clock, host } = feedKit()
  const child = setup({}).createMachine({ id: 'child', initial: 'on', states: { on: {} } })
  const spawn = (id: string, parent?: string) =>
    host.spawn({ id, logic: child, input: () => undefined,
      ...(parent === undefined ? {} : { parent }) })
  // As roles of a space, the host does not know whose child `role` is; of `below` it does.
  const side = fromCallback(() => spawn('role').stop)
  const parent = setup({ actors: { side }, types: { emitted: {} as { type: 'left' } } })
    .createMachine({
      id: 'parent',
      initial: 'without',
      states: {
        without: {
          on: { asked: 'with', left: { target: 'gone', actions: emit({ type: 'left' }) } },
        },
        with: { invoke: { src: 'side', id: 'side' } },
        gone: {},
      },
    })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const [first, second] = ['p', 'q'].map((id) =>
    host.spawn({ id, logic: parent, input: () => undefined, effects: () =>
      void spawn('below', id) })
  )
  clock.advance(50)
  texts.length = 0
  first!.send({ type: 'asked' })
  second!.send({ type: 'left' })
  clock.advance(1_000)
  const events = eventsOf(texts).flatMap((event) =>
    'actor' in event ? [`${event.type} ${event.actor}`] : []
  )
  assert.equal(events, ['transition p', 'actor role', 'actor p/side', 'transition q',
    'actor below'])
  first!.send({ type: 'nothing' })
  clock.advance(1_000)
  assert.equal(only(eventsOf(texts), 'progress').map(({ counts }) => counts), [{ nothing: 1 }])
})

test('an actor that is done when it begins has a beginning before its end', () => {
  const { feed, clock, host } = feedKit()
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const logic = setup({}).createMachine({ id: 'brief', initial: 'over',
    states: { over: { type: 'final' } } })
  host.spawn({ id: 'b', logic, input: () => undefined })
  clock.advance(50)
  assert.equal(eventsOf(texts).map(({ type }) => type), ['chart', 'actor', 'exit'])
})

test('an actor that stops or fails in its own turn is not heard of after its end', () => {
  const { feed, clock, host } = feedKit()
  const logic = setup({ types: { emitted: {} as { type: 'left' } } }).createMachine({
    id: 'leaver',
    initial: 'here',
    states: { here: { on: { asked: { target: 'gone', actions: emit({ type: 'left' }) } } },
      gone: {} },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const stopped = host.spawn({ id: 's', logic, input: () => undefined,
    effects: (_, self) => self.stop() })
  const failed = host.spawn({ id: 'f', logic, input: () => undefined, effects: () => {
    throw new Error('bug')
  } })
  clock.advance(50)
  texts.length = 0
  stopped.send({ type: 'asked' })
  failed.send({ type: 'asked' })
  clock.advance(1_000)
  assert.equal(
    eventsOf(texts).map((event) => 'actor' in event ? `${event.actor} ${event.type}` : event.type),
    ['s transition', 's exit', 'f transition', 'f exit', 'f escalation'],
  )
})

test('a child that a chart begins anew ends once, and is presented', () => {
  const { feed, clock, host } = feedKit()
  const side = setup({}).createMachine({ id: 'side', initial: 'on',
    states: { on: { on: { turned: 'off' } }, off: {} } })
  const machine = setup({ actors: { side, watch: fromCallback(() => undefined) } }).createMachine({
    id: 'parent',
    initial: 'with',
    states: {
      with: {
        invoke: [{ src: 'side', id: 'side' }, { src: 'watch', id: 'watch' }],
        on: { again: { target: 'with', reenter: true } },
      },
    },
  })
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const actor = host.spawn({ id: 'p', logic: machine, input: () => undefined })
  clock.advance(50)
  texts.length = 0
  actor.send({ type: 'again' })
  clock.advance(50)
  const lives = eventsOf(texts).flatMap((event) =>
    event.type === 'actor' || event.type === 'exit' ? [`${event.type} ${event.actor}`] : []
  )
  assert.equal(lives.toSorted(), ['actor p/side', 'actor p/watch', 'exit p/side', 'exit p/watch'])
  for (const path of ['p/side', 'p/watch']) {
    assert.ok(lives.indexOf(`exit ${path}`) < lives.indexOf(`actor ${path}`), path)
  }
  assert.equal(
    only(eventsOf(texts), 'exit').map(({ actor: path, chart }) => [path, chart]).toSorted(),
    [['p/side', 'side'], ['p/watch', null]],
  )
  const present = only(eventsOf(feed.present()), 'actor').map(({ actor: path }) => path)
  assert.equal(present.toSorted(), ['p', 'p/side', 'p/watch'])
})

test('many actors: the present comes in parts that fit into a message', () => {
  const { feed, spawn } = feedKit()
  for (let i = 0; i < 1_000; i += 1) spawn(`space.s${i}`)
  feed.listen(() => {})
  const texts = feed.present()
  const parts = texts.map((text) => read(text).present)
  assert.ok(texts.length > 1)
  assert.equal(parts, texts.map((_, i) => ({ part: i + 1, parts: texts.length })))
  assert.is(only(eventsOf(texts), 'actor').length, 1_000)
  assert.ok(texts.every((text) => Buffer.byteLength(text) < 512 * 1024))
})

test('the present in slices: what happens meanwhile is sent after it, in order', () => {
  const { feed, spawn, clock } = feedKit()
  const actors = Array.from({ length: 200 }, (_, i) => spawn(`space.s${i}`))
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  // Each look at the clock takes a millisecond: a slice is over after some actors.
  let lookedMs = 0
  clock.monotonicMs = () => (lookedMs += 1)
  const again: string[] = []
  feed.presentTo((envelope) => texts.push(envelope))
  assert.is(texts.length, 0, 'it has only begun')
  actors[0]!.send({ type: 'pressed' })
  actors[199]!.send({ type: 'pressed' })
  actors[199]!.send({ type: 'pressed' })
  spawn('space.late')
  feed.presentTo((envelope) => again.push(envelope))
  while (texts.length < 2) clock.advance(0)
  const [present, after] = texts.map(read)
  assert.equal([present?.present?.parts, after?.present], [1, null])
  assert.is(only(present!.events, 'actor').length, 201)
  assert.is(only(present!.events, 'actor')[0]?.state, 'off', 'as it was when its turn came')
  assert.equal(only(after!.events, 'transition').map(({ actor, state }) => [actor, state]), [[
    'space.s0',
    'on',
  ], ['space.s199', 'on'], ['space.s199', 'off']])
  assert.equal(again, texts.slice(0, 1), 'one for all who asked before it was sent')
  assert.ok((after?.number ?? 0) > (present?.number ?? 0))
})

test('thousands of events while the present is sent: nothing is dropped, and some at a time', () => {
  const { feed, spawn, clock } = feedKit()
  const actors = Array.from({ length: 50 }, (_, i) => spawn(`s${i}`))
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  let lookedMs = 0
  clock.monotonicMs = () => (lookedMs += 1)
  feed.presentTo(() => {})
  for (let i = 0; i < 5_000; i += 1) actors[i % 50]!.send({ type: 'pressed' })
  const perFlush: number[] = []
  const sent = () => only(eventsOf(texts), 'transition').length
  while (sent() < 5_000 && perFlush.length < 100) {
    const before = sent()
    clock.advance(1)
    perFlush.push(sent() - before)
  }
  assert.is(sent(), 5_000)
  assert.ok(Math.max(...perFlush) <= 2_000)
  assert.is(feed.droppedTotal, 0)
  for (let i = 0; i < 5_000; i += 1) actors[i % 50]!.send({ type: 'pressed' })
  clock.advance(50)
  assert.is(feed.droppedTotal, 3_000, 'and the bound is the usual one again')
})

test('a context that is no object, is deep, or throws harms nobody', () => {
  const { feed, host, logger } = feedKit()
  const deep = { a: { b: { c: { d: { e: 1 } } } }, list: Array.from({ length: 99 }, () => 1) }
  const bad = { get boom(): number {
    throw new Error('getter')
  } }
  for (const [id, context] of Object.entries({ deep, bad, bytes: { data: new Uint8Array(9) } })) {
    host.spawn({ id, logic: createMachine({ context: context as object }), input: () => undefined })
  }
  feed.listen(() => {})
  const shown = Object.fromEntries(only(eventsOf(feed.present()), 'actor')
    .map(({ actor, summary }) => [actor, summary]))
  assert.equal(shown, {
    deep: { a: { b: { c: { d: '(object)' } } }, list: '(99 items)' },
    bad: {},
    bytes: { data: '(9 bytes)' },
  })
  assert.is(logger.lines.filter(({ level }) => level === 'error').length, 0)
})

test('summaries: words of the protocol are shown, other texts by their length', () => {
  assert.equal(summaryOf({
    lastReason: 'because',
    inSync: ['n1', 'n2'],
    content: 'private',
    key: 'k1',
    big: 5n,
    nested: { primary: 'n1', note: 'private' },
    nothing: null,
    run: () => 1,
  }), {
    lastReason: 'because',
    inSync: ['n1', 'n2'],
    content: '(7 characters)',
    key: '(2 characters)',
    big: '5',
    nested: { primary: 'n1', note: '(7 characters)' },
    nothing: null,
  })
  assert.equal(summaryOf('text'), {})
})

test('messages between nodes are counted by kind and receiver, while somebody listens', async () => {
  const { feed, traffic, clock } = feedKit()
  const connection = await traffic.over(new MemoryBroker().bus()).connect()
  const send = () => {
    for (const subject of [
      'engram.v1.wal.demo.n2',
      'engram.v1.wal.demo.n2',
      'engram.v1.heartbeat.n1',
      'engram.v1.ack.demo.n3',
      '_INBOX.x.1',
      'engram.v1.inspect.n1',
      '$KV.engram.node.n1',
    ]) connection.publish(subject, new Uint8Array(10))
  }
  send()
  const texts: string[] = []
  const end = feed.listen((envelope) => texts.push(envelope))
  send()
  clock.advance(500)
  const seen = only(eventsOf(texts), 'messages')
    .map(({ kind, space, to, count, bytes }) => [kind, space, to, count, bytes])
  assert.equal(seen, [
    ['wal', 'demo', 'n2', 2, 20],
    ['heartbeat', null, null, 1, 10],
    ['ack', 'demo', 'n3', 1, 10],
  ])
  end()
  send()
  assert.equal(traffic.take(), [])
})

test('an envelope of a later version is refused; unknown events and fields are passed over', () => {
  const head = {
    version: 1,
    node: 'n1',
    incarnation: 1,
    stream: '1.1',
    number: 1,
    dropped: 0,
    present: null,
  }
  const exit = { type: 'exit', actor: 'a', atMs: 1, kind: 'done', new: true }
  const envelope = read(JSON.stringify({ ...head, events: [{ type: 'later' }, exit], new: 1 }))
  assert.equal(envelope.events.map(({ type }) => type), ['exit'])
  assert.type(readEnvelope(JSON.stringify({ ...head, version: 2, events: [] })), 'string')
  assert.type(readEnvelope('{'), 'string')
})

test('assign that throws under observation fails the actor, not the feed', () => {
  const { feed, host, clock, escalations } = feedKit()
  const texts: string[] = []
  feed.listen((envelope) => texts.push(envelope))
  const machine = createMachine({
    on: { x: { actions: assign(() => {
      throw new Error('bug')
    }) } },
  })
  host.spawn({ id: 'a', logic: machine, input: () => undefined }).send({ type: 'x' })
  clock.advance(50)
  assert.is(escalations.length, 1)
  assert.equal(only(eventsOf(texts), 'exit').map(({ kind }) => kind), ['failed'])
  assert.is(only(eventsOf(texts), 'escalation')[0]?.error, 'bug')
})

test.run()
