import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assign, emit, sendTo, setup } from 'xstate'
import type { ActorHost, Supervision } from '../../../actors/host/actorHost.js'
import { hosted } from '../../../actors/host/invokeHosted.js'
import { kit } from '../../support/hostKit.js'

const test = suite('invoke hosted')

const supervision: Supervision = {
  maxRestarts: 1,
  withinMs: 10_000,
  backoffMs: 100,
  backoffMaxMs: 1_000,
}

type WorkEvent = { type: 'work'; n: number } | { type: 'finish' } | { type: 'boom' }

const worker = setup({
  types: {
    context: {} as { done: number },
    events: {} as WorkEvent,
    emitted: {} as { type: 'worked'; n: number },
    output: {} as { done: number },
  },
  actions: { explode: () => {
    throw new Error('boom')
  } },
}).createMachine({
  context: () => ({ done: 0 }),
  initial: 'on',
  output: ({ context }) => ({ done: context.done }),
  states: {
    on: {
      on: {
        work: {
          actions: [
            assign({ done: ({ context }) => context.done + 1 }),
            emit(({ event }) => ({ type: 'worked', n: event.n })),
          ],
        },
        finish: 'over',
        boom: { actions: 'explode' },
      },
    },
    over: { type: 'final' },
  },
})

interface Options {
  readonly onWorked?: (n: number) => void
  readonly supervision?: Supervision
  readonly failsAtStart?: boolean
}

/** A chart that runs a hosted worker while `busy`; `again` re-enters. */
function boss(host: ActorHost, options: Options = {}) {
  return setup({
    types: {
      context: {} as { log: string[] },
      events: {} as
        | { type: 'toWorker'; event: WorkEvent }
        | { type: 'again' | 'leave' | 'deaf' }
        | { type: 'workerDone'; output: { done: number } }
        | { type: 'workerFailed'; error: unknown },
    },
    actors: {
      worker: hosted(host, ({ input }: { input: { space: string } }) => ({
        id: `space.${input.space}.worker`,
        logic: worker,
        input: () => {
          if (options.failsAtStart === true) throw new Error('no input')
          return undefined
        },
        parent: 'boss',
        effects: ({ n }) => options.onWorked?.(n),
        ...(options.supervision === undefined ? {} : { supervision: options.supervision }),
      }), { doneType: 'workerDone', failedType: 'workerFailed' }),
    },
  }).createMachine({
    context: () => ({ log: [] }),
    initial: 'busy',
    states: {
      busy: {
        invoke: { src: 'worker', id: 'worker', input: { space: 'demo' }, onError: 'idle' },
        on: {
          toWorker: { actions: sendTo('worker', ({ event }) => event.event) },
          again: { target: 'busy', reenter: true },
          leave: 'idle',
          deaf: '.deaf',
          workerDone: {
            target: 'idle',
            actions: assign({
              log: ({ context, event }) => [...context.log, `done ${event.output.done}`],
            }),
          },
          workerFailed: {
            target: 'idle',
            guard: ({ context }) => !context.log.includes('deaf'),
            actions: assign({
              log: ({ context, event }) => [...context.log, String(event.error)],
            }),
          },
        },
        initial: 'hearing',
        states: {
          hearing: {},
          deaf: { entry: assign({ log: () => ['deaf'] }) },
        },
      },
      idle: { on: { again: 'busy' } },
    },
  })
}

const id = 'space.demo.worker'

function started(options: Options & { bossSupervision?: Supervision } = {}) {
  const all = kit()
  const actor = all.host.spawn({
    id: 'boss',
    logic: boss(all.host, options),
    input: () => undefined,
    ...(options.bossSupervision === undefined ? {} : { supervision: options.bossSupervision }),
  })
  return { ...all, actor }
}

test('runs while the state is active, and gets what the chart sends', () => {
  const seen: number[] = []
  const { host, actor } = started({ onWorked: (n) => seen.push(n) })
  assert.equal(host.ids(), ['boss', id])
  actor.send({ type: 'toWorker', event: { type: 'work', n: 7 } })
  assert.equal(seen, [7])
  actor.send({ type: 'leave' })
  assert.equal(host.ids(), ['boss'])
  actor.send({ type: 'again' })
  assert.equal(host.ids(), ['boss', id])
})

test('done reports the output', () => {
  const { actor, host } = started()
  actor.send({ type: 'toWorker', event: { type: 'work', n: 1 } })
  actor.send({ type: 'toWorker', event: { type: 'finish' } })
  assert.equal(actor.snapshot()?.context.log, ['done 1'])
  assert.equal(host.ids(), ['boss'])
})

test('restarts are the host\'s business; the final failure is the chart\'s', () => {
  const { actor, host, clock, escalations } = started({ supervision })
  actor.send({ type: 'toWorker', event: { type: 'boom' } })
  assert.equal(actor.snapshot()?.value, { busy: 'hearing' })
  clock.advance(100)
  host.kill(id, 'chaos')
  assert.is(actor.snapshot()?.value, 'idle')
  assert.match(actor.snapshot()?.context.log[0] ?? '', 'chaos')
  assert.is(escalations.length, 0)
})

test('a failure that the chart cannot take goes the usual way', () => {
  const { actor, host, escalations } = started()
  actor.send({ type: 'deaf' })
  host.kill(id, 'chaos')
  assert.match(escalations[0]?.message ?? '', /boss gave up.*worker gave up.*chaos/)
  assert.equal(host.ids(), [])
})

test('a failure at the very start is reported, too', () => {
  const { actor, escalations } = started({ failsAtStart: true })
  assert.is(actor.snapshot()?.value, 'idle')
  assert.match(actor.snapshot()?.context.log[0] ?? '', 'no input')
  assert.is(escalations.length, 0)
})

test('re-entry starts a fresh one under the same id', () => {
  const { actor, host } = started()
  actor.send({ type: 'toWorker', event: { type: 'work', n: 1 } })
  actor.send({ type: 'again' })
  assert.equal(host.ids(), ['boss', id])
  actor.send({ type: 'toWorker', event: { type: 'finish' } })
  assert.equal(actor.snapshot()?.context.log, ['done 0'])
})

test('re-entry while the former one is on the stack', () => {
  const handle: { again?: () => void } = {}
  const { actor, host } = started({ onWorked: () => handle.again?.() })
  handle.again = () => actor.send({ type: 'again' })
  actor.send({ type: 'toWorker', event: { type: 'work', n: 1 } })
  assert.equal(host.ids(), ['boss', id])
  handle.again = () => {}
  actor.send({ type: 'toWorker', event: { type: 'work', n: 2 } })
  actor.send({ type: 'toWorker', event: { type: 'finish' } })
  assert.equal(actor.snapshot()?.context.log, ['done 1'])
})

test('the chart\'s failure takes it along, and the next life has its own', () => {
  const { host, clock } = started({ bossSupervision: supervision })
  host.kill('boss')
  assert.equal(host.ids(), ['boss'])
  clock.advance(100)
  assert.equal(host.ids(), ['boss', id])
  host.shutdown()
  assert.equal(host.ids(), [])
  assert.is(clock.pending, 0)
})

test('an id in use is an error of the invocation', () => {
  const all = kit()
  all.host.spawn({ id, logic: worker, input: () => undefined })
  const actor = all.host.spawn({
    id: 'boss',
    logic: boss(all.host),
    input: () => undefined,
  })
  assert.is(actor.snapshot()?.value, 'idle')
  assert.equal(all.host.ids(), [id, 'boss'])
})

test.run()
