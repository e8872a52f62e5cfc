import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createMachine, emit, fromCallback, setup } from 'xstate'
import type { MailboxPolicy, Supervision } from '../../../actors/host/actorHost.js'
import { MailboxOverflowError } from '../../../runtime/host/index.js'
import { kit } from '../../support/hostKit.js'

const test = suite('host mailbox')

const supervision: Supervision = {
  maxRestarts: 3,
  withinMs: 10_000,
  backoffMs: 100,
  backoffMaxMs: 1_000,
}

type NoteEvent = { type: 'note'; n: number }

/** Emits each number it gets. */
const echo = setup({
  types: { events: {} as NoteEvent, emitted: {} as { type: 'noted'; n: number } },
}).createMachine({
  on: { note: { actions: emit(({ event }) => ({ type: 'noted', n: event.n })) } },
})

const note = (n: number): NoteEvent => ({ type: 'note', n })

/** An echo that gets 1 to 6 while it works on 0. */
function flooded(mailbox: MailboxPolicy, alsoSupervised = false) {
  const all = kit()
  const seen: number[] = []
  const actor = all.host.spawn({
    id: 'a',
    logic: echo,
    input: () => undefined,
    mailbox,
    ...(alsoSupervised ? { supervision } : {}),
    effects: ({ n }, self) => {
      seen.push(n)
      if (n !== 0) return
      for (let more = 1; more <= 6; more += 1) self.send(note(more))
    },
  })
  actor.send(note(0))
  return { ...all, seen, actor }
}

test('a send to an idle actor is processed before it returns', () => {
  const { host } = kit()
  let count = 0
  const actor = host.spawn({
    id: 'a',
    logic: echo,
    input: () => undefined,
    effects: () => {
      count += 1
    },
  })
  actor.send(note(1))
  assert.is(count, 1)
})

test('re-entrant sends wait their turn, across actors too', () => {
  const { host } = kit()
  const seen: string[] = []
  const spawn = (id: string, other: string) =>
    host.spawn({
      id,
      logic: echo,
      input: () => undefined,
      effects: ({ n }) => {
        seen.push(`${id}${n} begins`)
        if (n < 3) host.ref<NoteEvent>('n1', other).send(note(n + 1))
        seen.push(`${id}${n} ends`)
      },
    })
  const a = spawn('a', 'b')
  spawn('b', 'a')
  a.send(note(1))
  assert.equal(seen, [
    'a1 begins',
    'b2 begins',
    'b2 ends',
    'a1 ends',
    'a3 begins',
    'a3 ends',
  ])
})

test('dropNewest keeps what came first', () => {
  const { seen, letters, host } = flooded({ capacity: 4, overflow: 'dropNewest' })
  assert.equal(seen, [0, 1, 2, 3, 4])
  assert.equal(letters.map(({ event, reason }) => [event?.['n'], reason]), [
    [5, 'overflow'],
    [6, 'overflow'],
  ])
  assert.is(host.report().deadLetters.overflow, 2)
})

test('dropOldest keeps what came last', () => {
  const { seen, letters } = flooded({ capacity: 4, overflow: 'dropOldest' })
  assert.equal(seen, [0, 3, 4, 5, 6])
  assert.equal(letters.map(({ event }) => event?.['n']), [1, 2])
})

test('fail fails the actor; the next life begins with what came after', () => {
  const { seen, letters, clock, escalations, actor } = flooded({ capacity: 4, overflow: 'fail' },
    true)
  assert.equal(seen, [0])
  assert.equal(letters.map(({ event }) => event?.['n']), [5, 1, 2, 3, 4])
  clock.advance(100)
  assert.equal(seen, [0, 6])
  actor.send(note(7))
  assert.equal(seen, [0, 6, 7])
  assert.is(escalations.length, 0)
})

test('fail without supervision escalates as MailboxOverflowError', () => {
  const { escalations } = flooded({ capacity: 4, overflow: 'fail' })
  assert.instance(escalations[0]?.cause, MailboxOverflowError)
})

test('between two lives events wait, within the bound; a kill in a burst keeps the rest', () => {
  const { host, clock, letters } = kit()
  const seen: number[] = []
  const actor = host.spawn({
    id: 'a',
    logic: echo,
    input: () => undefined,
    supervision,
    mailbox: { capacity: 3, overflow: 'dropNewest' },
    effects: ({ n }, self) => {
      seen.push(n)
      if (n !== 0) return
      self.send(note(1))
      self.send(note(2))
      host.kill('a')
    },
  })
  actor.send(note(0))
  actor.send(note(3))
  actor.send(note(4))
  assert.equal(seen, [0])
  assert.equal(letters.map(({ event }) => event?.['n']), [4])
  clock.advance(100)
  assert.equal(seen, [0, 1, 2, 3])
})

test('events that wait when the actor is over become dead letters', () => {
  const { host, letters } = kit()
  const actor = host.spawn({ id: 'a', logic: echo, input: () => undefined, supervision })
  host.kill('a')
  actor.send(note(1))
  actor.stop()
  actor.send(note(2))
  assert.equal(letters.map(({ event, reason }) => [event?.['n'], reason]), [
    [1, 'actorOver'],
    [2, 'actorOver'],
  ])
})

test('events sent while the actor starts wait for it', () => {
  const { host } = kit()
  const seen: string[] = []
  const machine = setup({
    types: {
      events: {} as { type: 'opened' },
      emitted: {} as { type: 'open' } | { type: 'ready' },
    },
  }).createMachine({
    initial: 'opening',
    states: {
      opening: { entry: emit({ type: 'open' }), on: { opened: 'open' } },
      open: { entry: emit({ type: 'ready' }) },
    },
  })
  host.spawn({
    id: 'a',
    logic: machine,
    input: () => undefined,
    effects: (effect, self) => {
      seen.push(effect.type)
      if (effect.type === 'open') self.send({ type: 'opened' })
    },
  })
  assert.equal(seen, ['open', 'ready'])
})

test('sends during a step that a child caused are bounded and processed soon after', async () => {
  const { host, clock, letters } = kit()
  const seen: number[] = []
  const handle: { poke?: () => void } = {}
  const machine = setup({
    types: {
      events: {} as { type: 'poked' } | NoteEvent,
      emitted: {} as { type: 'flood' } | { type: 'noted'; n: number },
    },
    actors: {
      poker: fromCallback(({ sendBack }) => {
        handle.poke = () => sendBack({ type: 'poked' })
      }),
    },
  }).createMachine({
    invoke: { src: 'poker' },
    on: {
      poked: { actions: emit({ type: 'flood' }) },
      note: { actions: emit(({ event }) => ({ type: 'noted', n: event.n })) },
    },
  })
  const actor = host.spawn({
    id: 'a',
    logic: machine,
    input: () => undefined,
    mailbox: { capacity: 2, overflow: 'dropNewest' },
    effects: (effect, self) => {
      if (effect.type === 'noted') seen.push(effect.n)
      else for (const n of [1, 2, 3]) self.send(note(n))
    },
  })
  handle.poke?.()
  actor.send(note(4))
  assert.equal(seen, [1, 2, 4], 'the order is kept when somebody sends before the microtask')
  handle.poke?.()
  await clock.settle()
  assert.equal(seen, [1, 2, 4, 1, 2])
  assert.is(letters.length, 2)
})

test('sends during a step that a timer caused are processed within it', () => {
  const { host, clock } = kit()
  const seen: number[] = []
  const machine = setup({
    types: {
      events: {} as NoteEvent,
      emitted: {} as { type: 'due' } | { type: 'noted'; n: number },
    },
  }).createMachine({
    initial: 'waiting',
    states: { waiting: { after: { 10: 'over' } }, over: { entry: emit({ type: 'due' }) } },
    on: { note: { actions: emit(({ event }) => ({ type: 'noted', n: event.n })) } },
  })
  host.spawn({
    id: 'a',
    logic: machine,
    input: () => undefined,
    effects: (effect, self) => {
      if (effect.type === 'due') self.send(note(1))
      else seen.push(effect.n)
    },
  })
  clock.advance(10)
  assert.equal(seen, [1])
})

test('events that a state does not handle are counted per type', () => {
  const { host } = kit()
  const machine = createMachine({
    types: {} as { events: { type: 'ping' } | { type: 'pong' } | { type: 'never' } },
    initial: 'on',
    states: {
      on: {
        on: {
          ping: { actions: emit({ type: 'pinged' }) },
          pong: {},
          never: { guard: () => false, actions: emit({ type: 'x' }) },
        },
      },
    },
  })
  const actor = host.spawn({ id: 'a', logic: machine, input: () => undefined })
  for (const type of ['ping', 'pong', 'never', 'never'] as const) actor.send({ type })
  actor.send({ type: 'unheard' } as never)
  assert.equal(host.report().actors[0]?.unhandled, { never: 2, unheard: 1 })
})

test('events in XState\'s own name are refused: they would end the actor unseen', () => {
  const { host, letters } = kit()
  const actor = host.spawn({ id: 'a', logic: echo, input: () => undefined })
  actor.send({ type: 'xstate.stop' } as never)
  actor.send({} as never)
  assert.is(actor.snapshot()?.status, 'active')
  assert.equal(letters.map(({ reason }) => reason), ['reservedEvent', 'reservedEvent'])
})

test('dead letters are logged once a second per reason, with the count of those left out', () => {
  const { host, clock, logger } = kit()
  const ref = host.ref<NoteEvent>('n1', 'nobody')
  for (let n = 0; n < 50; n += 1) ref.send(note(n))
  clock.advance(1_000)
  ref.send(note(50))
  const lines = logger.lines.filter(({ message }) => message === 'dead letter')
  assert.equal(lines.map(({ fields }) => (fields as { before: number }).before), [0, 49])
  assert.is(host.report().deadLetters.total, 51)
})

test('a mailbox of nothing is refused', () => {
  const { host } = kit()
  assert.throws(() =>
    host.spawn({
      id: 'a',
      logic: echo,
      input: () => undefined,
      mailbox: { capacity: 0, overflow: 'fail' },
    }), /at least 1/)
  assert.equal(host.ids(), [])
})

test.run()
