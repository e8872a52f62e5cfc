import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assign, createMachine, emit, fromCallback, fromPromise, setup } from 'xstate'
import type { Supervision } from '../../../actors/host/actorHost.js'
import { ActorFailedError, ActorKilledError } from '../../../runtime/host/index.js'
import { hostEvents, kit } from '../../support/hostKit.js'

const test = suite('host supervision')

const supervision: Supervision = {
  maxRestarts: 3,
  withinMs: 10_000,
  backoffMs: 100,
  backoffMaxMs: 1_000,
}

/** Throws on `boom`, emits what it gets on `say`, done on `end`. */
const fragile = setup({
  types: {
    context: {} as { life: number; said: number },
    input: {} as { life: number },
    events: {} as { type: 'boom' } | { type: 'say'; word: string } | { type: 'end' },
    emitted: {} as { type: 'started'; life: number } | { type: 'said'; word: string },
    output: {} as { said: number },
  },
  actions: { explode: () => {
    throw new Error('boom')
  } },
}).createMachine({
  context: ({ input }) => ({ life: input.life, said: 0 }),
  entry: emit(({ context }) => ({ type: 'started', life: context.life })),
  initial: 'on',
  output: ({ context }) => ({ said: context.said }),
  states: {
    on: {
      on: {
        boom: { actions: 'explode' },
        say: {
          actions: [
            assign({ said: ({ context }) => context.said + 1 }),
            emit(({ event }) => ({ type: 'said', word: event.word })),
          ],
        },
        end: 'over',
      },
    },
    over: { type: 'final' },
  },
})

const input = () => ({ life: 1 })

test('emits of entry actions reach the effects, and restarts get fresh input', () => {
  const { host, clock } = kit()
  const effects: unknown[] = []
  let lives = 0
  const actor = host.spawn({
    id: 'a',
    logic: fragile,
    supervision,
    input: () => ({ life: lives += 1 }),
    effects: (effect) => effects.push(effect),
  })
  actor.send({ type: 'boom' })
  assert.is(actor.snapshot(), undefined, 'between two lives')
  assert.is(host.report().actors[0]?.state, 'restarting')
  clock.advance(99)
  assert.is(lives, 1)
  clock.advance(1)
  assert.equal(effects, [{ type: 'started', life: 1 }, { type: 'started', life: 2 }])
  assert.is(actor.snapshot()?.context.life, 2)
})

test('effects are performed in order, after the snapshot was committed', () => {
  const { host } = kit()
  const seen: unknown[] = []
  host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    effects: (effect, self) => {
      if (effect.type === 'said') seen.push([effect.word, self.snapshot()?.context.said])
      if (effect.type === 'said' && effect.word === 'one') self.send({ type: 'say', word: 'two' })
    },
    onSnapshot: (snapshot) => seen.push(snapshot.context.said),
  }).send({ type: 'say', word: 'one' })
  assert.equal(seen, [0, ['one', 1], 1, ['two', 2], 2])
})

test('the pause before a restart doubles up to its maximum, and a quiet period resets it', () => {
  const { host, clock } = kit()
  const pauses: number[] = []
  host.inspect((event) => {
    if (event.type === 'engram.restart') pauses.push(event.delayMs)
  })
  const actor = host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    supervision: { maxRestarts: 5, withinMs: 5_000, backoffMs: 300, backoffMaxMs: 1_000 },
  })
  for (const pause of [300, 600, 1_000]) {
    actor.send({ type: 'boom' })
    clock.advance(pause)
  }
  clock.advance(5_000)
  actor.send({ type: 'boom' })
  assert.equal(pauses, [300, 600, 1_000, 300])
})

test('one restart more than allowed within the period escalates', () => {
  const { host, clock, escalations } = kit()
  const events = hostEvents(host)
  const exits: unknown[] = []
  const deaths: unknown[] = []
  const actor = host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    supervision,
    onExit: (exit) => exits.push(exit.kind),
  })
  host.watch('a', (exit) => deaths.push(exit))
  for (let times = 0; times < 4; times += 1) {
    actor.send({ type: 'boom' })
    clock.advance(1_000)
  }
  assert.is(events.filter((event) => event === 'a engram.restart').length, 3)
  assert.equal(exits, ['failed'])
  assert.equal(deaths, [{ id: 'a', kind: 'failed' }])
  assert.is(escalations.length, 1)
  assert.instance(escalations[0], ActorFailedError)
  assert.match(String(escalations[0]?.cause), 'boom')
  assert.equal(host.ids(), [])
})

test('an actor that fails at every start is given up, without recursion', () => {
  const { host, clock, escalations } = kit()
  host.spawn({
    id: 'a',
    logic: fragile,
    supervision: { ...supervision, backoffMs: 0 },
    input: () => {
      throw new Error('no input')
    },
  })
  clock.advance(0)
  assert.is(escalations.length, 1)
  assert.match(escalations[0]?.message ?? '', 'no input')
})

test('without supervision a failure escalates at once', () => {
  const { host, escalations } = kit()
  host.spawn({ id: 'a', logic: fragile, input: () => ({ life: 1 }) }).send({ type: 'boom' })
  assert.is(escalations.length, 1)
})

test('escalation climbs: child to parent to grandparent to the host', () => {
  const { host, clock, escalations } = kit()
  const events = hostEvents(host)
  host.spawn({ id: 'top', logic: fragile, input })
  host.spawn({
    id: 'mid',
    logic: fragile,
    input,
    parent: 'top',
    supervision: { ...supervision, maxRestarts: 1 },
  })
  const low = host.spawn({ id: 'low', logic: fragile, input, parent: 'mid' })
  low.send({ type: 'boom' })
  assert.equal(host.ids(), ['top', 'mid'], 'the parent is restarted; what was below is gone')
  clock.advance(100)
  host.spawn({ id: 'low', logic: fragile, input, parent: 'mid' }).send({ type: 'boom' })
  assert.equal(host.ids(), [])
  assert.match(escalations[0]?.message ?? '', /top gave up.*mid gave up.*low gave up.*boom/)
  assert.equal(events.filter((event) => event.endsWith('escalation')), [
    'low engram.escalation',
    'low engram.escalation',
    'mid engram.escalation',
    'top engram.escalation',
  ])
})

test('an effect handler that throws fails the actor, and later effects are not performed', () => {
  const { host, clock } = kit()
  const twice = setup({
    types: { emitted: {} as { type: 'first' } | { type: 'second' }, events: {} as { type: 'go' } },
  }).createMachine({
    on: { go: { actions: [emit({ type: 'first' }), emit({ type: 'second' })] } },
  })
  const seen: string[] = []
  const actor = host.spawn({
    id: 'a',
    logic: twice,
    supervision,
    input: () => undefined,
    effects: (effect) => {
      seen.push(effect.type)
      if (seen.length === 1) throw new Error('disk')
    },
  })
  actor.send({ type: 'go' })
  assert.equal(seen, ['first'])
  clock.advance(100)
  actor.send({ type: 'go' })
  assert.equal(seen, ['first', 'first', 'second'])
})

test('an async effect handler that rejects fails the actor', async () => {
  const { host, clock, escalations } = kit()
  host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    effects: async () => {
      throw new Error('late')
    },
  })
  await clock.settle()
  assert.match(escalations[0]?.message ?? '', 'late')
})

test('a throw in onSnapshot fails the actor', () => {
  const { host, escalations } = kit()
  host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    onSnapshot: () => {
      throw new Error('view')
    },
  })
  assert.match(escalations[0]?.message ?? '', 'view')
})

test('done: output, death watch, what is below stops first, and the id is free', () => {
  const { host } = kit()
  const order: string[] = []
  const parent = host.spawn({
    id: 'p',
    logic: fragile,
    input,
    onExit: (exit) => order.push(`p ${exit.kind} ${exit.kind === 'done' ? exit.output.said : ''}`),
  })
  for (const id of ['c1', 'c2']) {
    host.spawn({
      id,
      logic: fragile,
      input,
      parent: 'p',
      onExit: (exit) => order.push(`${id} ${exit.kind}`),
    })
  }
  parent.send({ type: 'say', word: 'x' })
  parent.send({ type: 'end' })
  assert.equal(order, ['c2 stopped', 'c1 stopped', 'p done 1'])
  assert.is(parent.snapshot()?.status, 'done')
  host.spawn({ id: 'p', logic: fragile, input })
  assert.equal(host.ids(), ['p'])
})

test('stop is idempotent, ends the pause before a restart, and spares a namesake', () => {
  const { host, clock } = kit()
  const first = host.spawn({ id: 'a', logic: fragile, input, supervision })
  first.send({ type: 'boom' })
  first.stop()
  clock.advance(1_000)
  assert.equal(host.ids(), [])
  host.spawn({ id: 'a', logic: fragile, input })
  first.stop()
  assert.equal(host.ids(), ['a'])
  assert.is(clock.pending, 0)
})

test('kill: no exit actions, effects of the step under way are not performed', () => {
  const { host, clock } = kit()
  const seen: string[] = []
  const machine = setup({
    types: { events: {} as { type: 'go' }, emitted: {} as { type: 'one' } | { type: 'two' } },
    actions: { leave: () => seen.push('exit action') },
  }).createMachine({
    exit: 'leave',
    on: { go: { actions: [emit({ type: 'one' }), emit({ type: 'two' })] } },
  })
  const actor = host.spawn({
    id: 'a',
    logic: machine,
    input: () => undefined,
    supervision,
    effects: (effect) => {
      seen.push(effect.type)
      if (seen.length === 1) host.kill('a', 'chaos')
    },
  })
  const events = hostEvents(host)
  actor.send({ type: 'go' })
  assert.equal(seen, ['one'])
  assert.equal(events, ['a engram.kill', 'a engram.restart'])
  assert.ok(host.kill('a'), 'between two lives: known, and nothing left to kill')
  clock.advance(100)
  actor.send({ type: 'go' })
  assert.equal(seen, ['one', 'one', 'two'])
  assert.not(host.kill('nobody'))
})

test('kill without supervision reaches onEscalation as ActorKilledError', () => {
  const { host, escalations } = kit()
  host.spawn({ id: 'a', logic: fragile, input: () => ({ life: 1 }) })
  host.kill('a', 'chaos')
  assert.instance(escalations[0]?.cause, ActorKilledError)
})

test('children of an errored actor are disposed of, at any depth', () => {
  const { host, escalations } = kit()
  const disposed: string[] = []
  const callback = (name: string) => fromCallback(() => () => void disposed.push(name))
  const inner = createMachine({
    invoke: { src: callback('inner') },
    on: { boom: { actions: () => {
      throw new Error('inner')
    } } },
  })
  const outer = createMachine({
    invoke: [
      { src: callback('outer') },
      { src: inner, id: 'inner', onError: { target: '.rest' } },
    ],
    initial: 'work',
    states: { work: {}, rest: {} },
    on: {
      inner: {
        actions: ({ self }) => self.getSnapshot().children['inner']?.send({ type: 'boom' }),
      },
      boom: { actions: () => {
        throw new Error('outer')
      } },
    },
  })
  const actor = host.spawn({ id: 'a', logic: outer, input: () => undefined })
  actor.send({ type: 'inner' })
  assert.equal(disposed, ['inner'], 'the parent handled the error; XState leaves it running')
  assert.is(escalations.length, 0)
  actor.send({ type: 'boom' })
  assert.equal(disposed, ['inner', 'outer'])
  assert.is(escalations.length, 1)
})

test('an error of a child that nobody handles fails the actor', async () => {
  const { host, clock, escalations } = kit()
  const machine = createMachine({
    invoke: { src: fromPromise(() => Promise.reject(new Error('child'))) },
  })
  host.spawn({ id: 'a', logic: machine, input: () => undefined })
  await clock.settle()
  assert.match(escalations[0]?.message ?? '', 'child')
})

test('timers run on the clock port and die with their life', () => {
  const { host, clock } = kit()
  let ticks = 0
  const ticking = createMachine({
    initial: 'on',
    states: {
      on: { after: { 100: { target: 'on', reenter: true, actions: () => {
        ticks += 1
      } } } },
    },
  })
  const actor = host.spawn({ id: 'a', logic: ticking, input: () => undefined, supervision })
  clock.advance(1_000)
  assert.is(ticks, 10)
  host.kill('a')
  clock.advance(100)
  assert.is(ticks, 10)
  clock.advance(100)
  assert.is(ticks, 11)
  actor.stop()
  assert.is(clock.pending, 0)
})

test('a callback at the end that throws is escalated, not lost', () => {
  const { host, escalations } = kit()
  host.spawn({
    id: 'a',
    logic: fragile,
    input: () => ({ life: 1 }),
    onExit: () => {
      throw new Error('in onExit')
    },
  }).stop()
  assert.match(escalations[0]?.message ?? '', 'in onExit')
})

test('a tree that grows while it ends is ended all the same', () => {
  const { host, escalations } = kit()
  host.spawn({ id: 'p', logic: fragile, input })
  host.spawn({
    id: 'c',
    logic: fragile,
    input,
    parent: 'p',
    onExit: () => void host.spawn({ id: 'c', logic: fragile, input, parent: 'p' }),
  })
  host.shutdown()
  assert.equal(host.ids(), [])
  assert.is(escalations.length, 0)
})

test('spawn refuses bad ids, ids in use, and parents that do not exist', () => {
  const { host } = kit()
  const spawn = (id: string, parent?: string) => () =>
    void host.spawn({ id, logic: fragile, input, ...(parent === undefined ? {} : { parent }) })
  for (const id of ['', 'a b', 'a.', '.a', 'a*', '>', 'a'.repeat(65), '$host']) {
    assert.throws(spawn(id), /tokens/, id)
  }
  spawn('a')()
  assert.throws(spawn('a'), /exists/)
  assert.throws(spawn('b', 'nobody'), /not alive/)
})

test('a storm: 200 actors that fail at each event are counted right', () => {
  const { host, clock, escalations } = kit()
  const actors = Array.from({ length: 200 }, (_, index) =>
    host.spawn({
      id: `a${index}`,
      logic: fragile,
      input: () => ({ life: 1 }),
      supervision,
    }))
  for (let round = 0; round < 4; round += 1) {
    for (const actor of actors) actor.send({ type: 'boom' })
    clock.advance(1_000)
  }
  assert.is(host.report().restarts, 600)
  assert.is(escalations.length, 200)
  assert.is(clock.pending, 0)
})

test.run()
