/** The gate between a primary's subscription and its ingest loop. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeContext } from '../../../actors/member/context.js'
import { forwardedHeader } from '../../../actors/messaging/headers.js'
import { NoRespondersError } from '../../../actors/ports/bus.js'
import type { PublishOptions } from '../../../actors/ports/bus.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import { WriteGate } from '../../../actors/primary/writeGate.js'
import { Budget } from '../../../actors/structures/budget.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { answersOver, message, noTelemetry } from '../../support/actorKit.js'

const test = suite('write gate')

/** Each write takes `writeMs` to be taken. `silent`: a peer that is not heard. */
function kit(writeMs: number, silent = '') {
  const clock = new VirtualClock()
  const budget = new Budget(1 << 30)
  const refused: string[] = []
  const taken: string[] = []
  const forwarded: string[] = []
  let busyMs = 0
  let isHeard = true
  const now = clock.monotonicMs.bind(clock)
  clock.monotonicMs = () => now() + busyMs
  const context = {
    settings: defaultSettings,
    budget,
    ports: { clock, telemetry: noTelemetry },
    peers: { isProvenDead: () => false, isSuspect: (peer: string) => peer === silent },
    answers: answersOver(clock, (to) => {
      refused.push(to)
      busyMs += writeMs
    }),
    wire: {
      life: { incarnation: 1, connection: 1 },
      request: async () => {
        if (!isHeard) throw new NoRespondersError('engram.v1.write.demo')
      },
      publish: (_: string, _data: Uint8Array, { reply, headers }: PublishOptions) => {
        forwarded.push(reply?.slice('_INBOX.'.length) ?? String(headers?.[forwardedHeader]))
        busyMs += writeMs
      },
    },
  } as unknown as NodeContext
  const gate = new WriteGate({
    context,
    space: 'demo',
    epoch: { number: 1, isGivenAway: false },
    ingest: {
      onWrite: ({ reply }) => {
        taken.push(reply!.slice('_INBOX.'.length))
        busyMs += writeMs
      },
    },
  })
  const write = (name: string): void => gate.onWrite(message({}, {}, `_INBOX.${name}`))
  const reconnect = (): void => {
    Object.assign(context.wire, { life: { incarnation: 1, connection: 2 } })
  }
  const answering = (yes: boolean): void => {
    isHeard = yes
  }
  return { clock, budget, gate, write, reconnect, answering, taken, forwarded, refused }
}

test('held writes are taken in many turns; later ones wait behind them', () => {
  const { clock, budget, gate, write, taken } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd', 'e']) write(name)
  gate.open()
  assert.equal(taken, ['a', 'b', 'c'])
  write('f')
  assert.equal(taken, ['a', 'b', 'c'])
  clock.advance(0)
  assert.equal(taken, ['a', 'b', 'c', 'd', 'e', 'f'])
  assert.is(budget.usedBytes, 0)
  write('g')
  assert.is(taken.at(-1), 'g')
})

test('another handover, or the end, while it is being taken: the rest waits, or is refused', () => {
  const { clock, gate, write, taken, refused } = kit(5)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd']) write(name)
  gate.open()
  gate.hold()
  clock.advance(0)
  assert.equal(taken, ['a'])
  gate.open()
  assert.equal(taken, ['a', 'b'])
  gate.close('over')
  clock.advance(0)
  assert.equal([taken, refused], [['a', 'b'], ['_INBOX.c', '_INBOX.d']])
})

test('held writes are forwarded in many turns, in order, and marked; then it is done', () => {
  const { clock, budget, gate, write, forwarded, refused } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd', 'e']) write(name)
  let done = 0
  const forward = (): void =>
    gate.forwardHeld('n', () => {
      done += 1
    })
  forward()
  assert.equal(forwarded, ['a', 'b', 'c'])
  write('f')
  assert.equal(refused, ['_INBOX.f'], 'it comes too late to be held')
  forward()
  gate.close('over')
  assert.equal([forwarded.length, refused.length, done], [3, 1, 0], 'that goes on by itself')
  clock.advance(0)
  assert.equal(forwarded, ['a', 'b', 'c', 'd', 'e', 'end n'])
  assert.equal([refused.length, done, budget.usedBytes], [1, 1, 0])
})

test('while the end of what was forwarded is not marked, it is not empty', () => {
  const { clock, gate, write, forwarded } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c']) write(name)
  gate.forwardHeld('n', () => undefined)
  assert.equal([forwarded, gate.isEmpty], [['a', 'b', 'c'], false])
  clock.advance(0)
  assert.equal([forwarded.at(-1), gate.isEmpty], ['end n', true])
})

test('once it has ended, nothing is forwarded: earlier writes were refused', () => {
  const { clock, gate, write, forwarded, refused } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd', 'e']) write(name)
  gate.close('over')
  gate.forwardHeld('n', () => undefined)
  clock.advance(0)
  assert.equal([forwarded, refused.length], [[], 5])
})

test('what is left to forward when the connection is another one is refused', () => {
  const { clock, gate, write, reconnect, forwarded, refused } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd', 'e']) write(name)
  let done = 0
  gate.forwardHeld('n', () => {
    done += 1
  })
  reconnect()
  clock.advance(0)
  assert.equal([forwarded, refused, done], [['a', 'b', 'c'], ['_INBOX.d', '_INBOX.e'], 1],
    'nor is the end marked')
})

test('at the end, held writes are refused in many turns', () => {
  const { clock, budget, gate, write, refused } = kit(1)
  gate.hold()
  for (const name of ['a', 'b', 'c', 'd', 'e']) write(name)
  gate.close('over')
  assert.equal(refused, ['_INBOX.a', '_INBOX.b', '_INBOX.c'])
  assert.is(gate.isEmpty, false)
  clock.advance(0)
  assert.equal(refused.slice(3), ['_INBOX.d', '_INBOX.e'])
  assert.equal([gate.isEmpty, budget.usedBytes], [true, 0])
})

test('without a word of the new primary: forwarded if somebody takes writes, else refused', async () => {
  for (const isHeard of [true, false]) {
    const { clock, gate, write, answering, forwarded, refused } = kit(1)
    answering(isHeard)
    gate.hold()
    for (const name of ['a', 'b']) write(name)
    let done = 0
    await gate.forwardUnasked('n', () => {
      done += 1
    })
    clock.advance(0)
    assert.equal([forwarded, refused, done],
      isHeard ? [['a', 'b', 'end n'], [], 1] : [[], ['_INBOX.a', '_INBOX.b'], 1])
    await gate.forwardUnasked('n', () => {
      done += 1
    })
    assert.is(done, 1, 'once')
  }
})

/** A gate of the target of a handover by n1, with a write that came directly. */
function target(silent = '') {
  const parts = kit(1, silent)
  parts.gate.awaitForwarded('n1', 1, 'n')
  parts.write('a')
  assert.equal(parts.taken, [])
  return parts
}

test('the target waits for the forwarded writes for 850 ms at most', () => {
  const { clock, gate, taken } = target()
  clock.advance(849)
  gate.tick()
  assert.equal(taken, [])
  clock.advance(1)
  assert.equal(taken, ['a'])
})

test('nor when the former primary joins, which then has none', () => {
  const { gate, taken } = target()
  gate.joined('n2')
  assert.equal(taken, [])
  gate.joined('n1')
  assert.equal(taken, ['a'])
})

test('nor when the former primary hangs', () => {
  const { gate, taken } = target('n1')
  gate.tick()
  assert.equal(taken, ['a'])
})

test.run()
