import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createMachine, fromCallback } from 'xstate'
import { kit } from '../../support/hostKit.js'

const test = suite('host inspection')

const machine = createMachine({
  initial: 'off',
  invoke: { src: fromCallback(() => undefined), id: 'side' },
  states: { off: { on: { toggle: 'on' } }, on: { on: { toggle: 'off' } } },
})
const input = () => undefined

test('an observer from the start gets XState events and host events of every actor', () => {
  const seen: string[] = []
  const { host } = kit({
    inspect: (event, { node, actor }) => seen.push(`${node} ${actor} ${event.type}`),
  })
  const actor = host.spawn({ id: 'a', logic: machine, input })
  actor.send({ type: 'toggle' })
  host.ref('n1', 'nobody').send({ type: 'x' })
  actor.stop()
  for (const type of [
    'engram.spawn',
    '@xstate.actor',
    '@xstate.microstep',
    '@xstate.event',
    '@xstate.snapshot',
    'engram.exit',
  ]) {
    assert.ok(seen.includes(`n1 a ${type}`), type)
  }
  assert.ok(seen.includes('n1 nobody engram.deadLetter'))
})

test('a later observer gets the living, children too, and then all that happens', () => {
  const { host } = kit()
  const actor = host.spawn({ id: 'a', logic: machine, input })
  const seen: string[] = []
  const end = host.inspect((event) => {
    if (!('actorRef' in event)) return
    const { id } = event.actorRef as unknown as { id: string }
    seen.push(`${id} ${event.type}`)
  })
  assert.equal(seen, [
    'a @xstate.actor',
    'a @xstate.snapshot',
    'side @xstate.actor',
    'side @xstate.snapshot',
  ])
  actor.send({ type: 'toggle' })
  assert.ok(seen.filter((line) => line === 'a @xstate.snapshot').length === 2)
  const { length } = seen
  end()
  actor.send({ type: 'toggle' })
  assert.is(seen.length, length)
})

test('an observer that throws harms nobody', () => {
  const { host, escalations, logger } = kit({ inspect: () => {
    throw new Error('observer')
  } })
  const actor = host.spawn({ id: 'a', logic: machine, input })
  actor.send({ type: 'toggle' })
  assert.is(actor.snapshot()?.value, 'on')
  assert.is(escalations.length, 0)
  assert.ok(logger.lines.some(({ message }) => message === 'an inspection observer threw'))
})

test('restart and kill show in the stream', () => {
  const { host, clock } = kit()
  const seen: string[] = []
  host.inspect((event) => {
    if (event.type.startsWith('engram.')) seen.push(event.type)
  })
  host.spawn({
    id: 'a',
    logic: machine,
    input,
    supervision: { maxRestarts: 1, withinMs: 1_000, backoffMs: 10, backoffMaxMs: 10 },
  })
  host.kill('a', 'chaos')
  clock.advance(10)
  host.kill('a', 'chaos')
  assert.equal(seen, [
    'engram.spawn',
    'engram.kill',
    'engram.restart',
    'engram.kill',
    'engram.exit',
    'engram.escalation',
  ])
})

test.run()
