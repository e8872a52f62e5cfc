/** The gate between a primary's subscription and its ingest loop. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeContext } from '../../../actors/member/context.js'
import { defaultSettings } from '../../../actors/ports/settings.js'
import { HandoverGate } from '../../../actors/primary/handoverGate.js'
import { Budget } from '../../../actors/structures/budget.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { answersOver, message, noTelemetry } from '../../support/actorKit.js'

const test = suite('handover gate')

/** Each write takes `writeMs` to be taken. */
function kit(writeMs: number) {
  const clock = new VirtualClock()
  const budget = new Budget(1 << 30)
  const refused: string[] = []
  const taken: string[] = []
  let busyMs = 0
  const now = clock.monotonicMs.bind(clock)
  clock.monotonicMs = () => now() + busyMs
  const context = {
    settings: defaultSettings, budget, ports: { clock, telemetry: noTelemetry },
    answers: answersOver(clock, (to) => void refused.push(to)),
  } as unknown as NodeContext
  const gate = new HandoverGate({
    context, space: 'demo', epoch: 1, isGivenAway: () => false,
    take: ({ reply }) => {
      taken.push(reply!.slice('_INBOX.'.length))
      busyMs += writeMs
    },
  })
  const write = (name: string): void => gate.onWrite(message({}, {}, `_INBOX.${name}`))
  return { clock, budget, gate, write, taken, refused }
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

test.run()
