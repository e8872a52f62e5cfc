/** Assumptions about XState beyond its documentation: fails when an update breaks one. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createActor, createMachine, emit, fromCallback } from 'xstate'
import { dispose, isBusy, snapshotOf, wasIgnored } from '../../../runtime/host/xstate.js'

const test = suite('host and XState')

test('the mailbox says whether an event is being processed', () => {
  const seen: boolean[] = []
  const machine = createMachine({ on: { go: { actions: emit({ type: 'out' }) } } })
  const actor = createActor(machine)
  actor.on('*', () => seen.push(isBusy(actor)))
  actor.start()
  assert.not(isBusy(actor))
  actor.send({ type: 'go' })
  assert.equal(seen, [true])
  assert.not(isBusy(actor))
})

test('an ignored event leaves the very same snapshot; so may a handled one', () => {
  const machine = createMachine({
    initial: 'on',
    states: { on: { on: { out: { actions: emit({ type: 'out' }) }, quiet: {}, next: 'last' } },
      last: {} },
  })
  const actor = createActor(machine).start()
  const ignored = (type: string): boolean => {
    const before = snapshotOf(actor)
    actor.send({ type } as never)
    return wasIgnored(before, snapshotOf(actor), { type })
  }
  assert.equal(['nothing', 'out', 'quiet', 'next', 'next'].map(ignored), [true, false, false, false,
    true])
})

test('stopping runs no exit actions, and stops the children', () => {
  const seen: string[] = []
  const machine = createMachine({
    exit: () => void seen.push('exit'),
    invoke: { src: fromCallback(() => () => void seen.push('child')) },
  })
  const actor = createActor(machine).start()
  dispose(actor)
  assert.equal(seen, ['child'])
})

test('an errored actor leaves its children running, until the host disposes of them', () => {
  const seen: string[] = []
  const machine = createMachine({
    invoke: { src: fromCallback(() => () => void seen.push('child')) },
    on: { boom: { actions: () => {
      throw new Error('boom')
    } } },
  })
  const actor = createActor(machine)
  actor.subscribe({ error: () => {} })
  actor.start()
  actor.send({ type: 'boom' })
  assert.equal(seen, [])
  dispose(actor)
  assert.equal(seen, ['child'])
})

test('the set of children keeps its identity while it does not change', () => {
  const machine = createMachine({
    context: { n: 0 },
    invoke: { src: fromCallback(() => undefined), id: 'c' },
    initial: 'a',
    states: { a: { on: { go: 'b' } }, b: {} },
  })
  const actor = createActor(machine).start()
  const { children } = snapshotOf(actor)
  actor.send({ type: 'go' })
  assert.is(snapshotOf(actor).children, children)
})

test.run()
