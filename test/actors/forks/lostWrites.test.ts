/** How many writes a report counts as lost. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import * as steps from '../../../actors/forks/lostWrites.js'
import type { KnownSalvage } from '../../../actors/forks/lostWrites.js'
import type { Steps } from '../../../actors/structures/inSlices.js'
import { report, salvage } from '../../support/forksKit.js'

const test = suite('lost writes')

/** The result of work that is done in steps. */
function resultOf<T>(work: Steps<T>): T {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}
const closing = (...of: Parameters<typeof steps.closing>) => resultOf(steps.closing(...of))
const lostIn = (...of: Parameters<typeof steps.lostIn>) => resultOf(steps.lostIn(...of))
const notKept = (...of: Parameters<typeof steps.notKept>) => resultOf(steps.notKept(...of))

const at = (sequence: number) => ({ epoch: 3, sequence })
/** Those sequences of epoch 3 were found. */
const found = (...sequences: number[]) => ({
  origin: (epoch: number, sequence: number) =>
    (epoch === 3 && sequences.includes(sequence) ? {} : undefined) as never,
})
const view = (...sequences: number[]) => ({ store: found(...sequences), isOwnOnly: true })

/** n2 keeps what it has from that entry on, up to 90. */
function from(begins: number, over: Partial<ReturnType<typeof salvage>> = {}): KnownSalvage {
  const { state, ...note } = salvage({ node: 'n2', state: 'taken', begins, checkpoint: at(80),
    spans: [{ epoch: 3, last: 90, writes: 50 }], ...over })
  return { note, state }
}

test('what a salvage misses is lost, unless it was found or another one has it', () => {
  const one = report()
  assert.equal(notKept(one, [from(60)], found()), { count: 19,
    reason:
      'n2 no longer keeps entries 41 to 59 of that log: its checkpoint at 80 has their effect' })
  assert.is(notKept(one, [from(60)], found(41, 50, 59, 70)).count, 16)
  assert.is(notKept(one, [from(60), from(45)], found()).count, 4)
  assert.is(notKept(one, [from(60), from(45, { state: 'gone' })], found()).count, 19)
  assert.is(notKept(one, [from(60)], found(), 50).count, 9)
  assert.equal(notKept(one, [from(41)], found()), { count: 0, reason: '' })
})

test('entries that this log has are not lost, nor is the first one of the epoch', () => {
  const began = report({ start: { epoch: 2, sequence: 40 }, forkPoint: { epoch: 2, sequence: 40 } })
  const whole = from(60, { common: { epoch: 2, sequence: 40 } })
  assert.is(notKept(began, [whole], found()).count, 18)
  assert.is(notKept(report({ forkPoint: at(95) }), [from(60)], found()).count, 0)
  const unknown = from(60, { common: { epoch: 0, sequence: 30 } })
  assert.is(notKept(report(), [unknown], found()).count, 19)
})

test('the reason names the newest checkpoint, and what is left of the entries', () => {
  const older = from(60, { node: 'n3', name: 's3', checkpoint: at(70) })
  assert.match(notKept(report(), [older, from(60)], found(41, 59)).reason,
    /^n2 no longer keeps entries 42 to 58 of that log: its checkpoint at 80/)
  const { checkpoint: _, ...note } = older.note
  assert.is(notKept(report(), [{ ...older, note }], found(...range(41, 58))).reason,
    'n3 no longer keeps entry 59 of that log, and no checkpoint with their effect was found there')
})

test('of very many only the latest are looked up', () => {
  const end = 10 ** 12
  let looked = 0
  const store = { origin: (_: number, sequence: number) => {
    looked += 1
    return sequence === end ? {} as never : undefined
  } }
  const huge = from(end + 1, { spans: [{ epoch: 3, last: end, writes: end }] })
  const { count, reason } = notKept(report(), [huge], store)
  assert.equal([count, looked], [end - 40 - 1, 100_000])
  assert.match(reason, new RegExp(`entries 41 to ${end - 1} of`))
})

test('a report closes as lost with them, and with what is beyond all salvages', () => {
  const close = (over: object, salvages: readonly KnownSalvage[], ...sequences: number[]) => {
    const note = closing(report(over), 'd1', salvages, view(...sequences))
    return [note.outcome, note.lost]
  }
  assert.equal(close({}, [from(60)]), ['lost', 19])
  assert.equal(close({ lastKnown: 93 }, [from(60)]), ['lost', 22])
  assert.equal(close({}, [from(60)], ...range(41, 59)), ['reconciled', 0])
  assert.equal(close({}, [from(41)]), ['reconciled', 0])
  assert.equal(close({ lastKnown: 40 }, []), ['level', 0])
})

test('those that were heard of are counted once when the disk or a salvage is gone', () => {
  const salvages = [from(60)]
  assert.is(lostIn(report({ lastKnown: 50 }), salvages, view()), 19)
  assert.is(lostIn(report({ lastKnown: 50 }), salvages, view(42, 55)), 17)
  assert.is(lostIn(report({ lastKnown: 70 }), salvages, view()), 30)
  const note = closing(report({ disk: 'd2' }), 'd1', salvages, view())
  assert.equal([note.outcome, note.lost, note.reason], ['lost', 19,
    'n1 came back with another disk'])
})

function range(first: number, last: number): number[] {
  return Array.from({ length: last + 1 - first }, (_, index) => first + index)
}

test.run()
