/** Writes that are kept, sent again and given up, over successions of epochs. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KeptWrites } from '../../../runtime/client/keptWrites.js'
import type { Kept, Taken } from '../../../runtime/client/keptWrites.js'
import { ResendWorld } from '../../support/resendWorld.js'

const test = suite('kept writes')

function keptWrites(): KeptWrites & { readonly given: number[] } {
  const given: number[] = []
  const made = new KeptWrites({
    onSafe: ({ number }) => given.push(number),
    touches: ({ key }) => [key],
    resendingMax: 2,
  })
  return Object.assign(made, { given })
}

function taken(epoch: number, sequence: number, more: Partial<Taken> = {}): Taken {
  return { epoch, sequence, ack: 'durable', safeSequence: 0, duplicate: false, ...more }
}

function write(number: number,
  key = `k${number}`): Omit<Kept, 'level' | 'keptAtMs' | 'origin' | 'position'>
{
  return { number, key, data: new Uint8Array(10), bytes: 10 }
}

const numberOf = (kept: Kept | null): number | null => kept && kept.number

test('kept until the epoch that has it says that it is safe', () => {
  const it = keptWrites()
  assert.ok(it.answered(write(1), taken(3, 41), 5))
  assert.ok(it.answered(write(2), taken(3, 42), 6))
  assert.equal([it.writes, it.bytes, it.oldestAtMs], [2, 20, 5])
  it.safe(3, 41)
  assert.equal([it.writes, it.bytes, it.oldestAtMs, it.given], [1, 10, 6, [1]])
  it.answered(write(3), taken(3, 43, { safeSequence: 43 }), 7)
  assert.equal([it.writes, it.given], [0, [1, 2]], 'an answer says it, too')
})

test('safe at once, or committed: not kept', () => {
  const it = keptWrites()
  assert.not(it.answered(write(1), taken(1, 5, { safeSequence: 5 }), 0))
  assert.not(it.answered(write(2), taken(1, 6, { ack: 'committed' }), 0))
  assert.is(it.writes, 0)
})

test('two promotions in a row: a safe sequence of the second releases nothing unproven', () => {
  const it = keptWrites()
  it.answered(write(1), taken(1, 40), 0)
  it.answered(write(2), taken(1, 45), 0)
  // Nothing was heard of epoch 2, which cut the log at 42.
  it.answered(write(3), taken(3, 60, { safeSequence: 50 }), 0)
  assert.equal(it.given, [], '45 is below 50, in another log')
  assert.ok(it.isDoubtful && it.isBehind)
  assert.is(it.next(), null, 'what is lost is not known yet')
  it.takeOver(3, [{ epoch: 1, last: 42 }, { epoch: 2, last: 48 }, { epoch: 3, last: 60 }])
  assert.is(numberOf(it.next()), 2)
  it.safe(3, 60)
  assert.equal(it.given, [1, 3])
})

test('an epoch that was overtaken whole: its entries are not those of the same sequences', () => {
  const it = keptWrites()
  it.answered(write(1), taken(4, 93), 0)
  it.takeOver(5, [{ epoch: 3, last: 100 }, { epoch: 5, last: 101 }])
  assert.is(numberOf(it.next()), 1, 'the entry at 93 is of epoch 3')
})

test('lost by one epoch, and there in the next: not sent again, or taken back', () => {
  const it = keptWrites()
  it.answered(write(1), taken(1, 45), 0)
  it.answered(write(2), taken(1, 46), 0)
  it.takeOver(2, [{ epoch: 1, last: 40 }, { epoch: 2, last: 41 }])
  assert.is(numberOf(it.next()), 1)
  it.takeOver(3, [{ epoch: 1, last: 46 }, { epoch: 3, last: 47 }])
  assert.is(it.next(), null)
  assert.not(it.isBehind)
  it.safe(3, 46)
  assert.equal(it.given, [1, 2])
})

test('sent again oldest first, also what was sent again before; one by one where they touch', () => {
  const it = keptWrites()
  it.answered(write(1, 'x'), taken(1, 45), 0)
  it.answered(write(2, 'y'), taken(1, 46), 0)
  it.answered(write(3, 'x'), taken(1, 47), 0)
  it.takeOver(2, [{ epoch: 1, last: 40 }, { epoch: 2, last: 41 }])
  const first = it.next()!
  assert.equal([first.number, numberOf(it.next()), it.next()], [1, 2, null], 'x waits for x')
  assert.ok(it.resent(first, taken(2, 42)))
  assert.is(numberOf(it.next()), 3)
  // 1 is logged as (2, 42) and lost once more; 2 and 3 never were: still 1, 2, 3.
  it.takeOver(3, [{ epoch: 1, last: 40 }, { epoch: 3, last: 41 }])
  assert.equal([numberOf(it.next()), numberOf(it.next())], [1, 2])
  assert.equal(first.origin, { epoch: 1, sequence: 45 })
})

test('a duplicate counts where it is logged, not where the answer comes from', () => {
  const it = keptWrites()
  const again = taken(2, 40, { duplicate: true, loggedEpoch: 1 })
  it.answered(write(1), again, 0)
  it.answered(write(2), taken(2, 41, { duplicate: true }), 0)
  it.takeOver(3, [{ epoch: 1, last: 41 }, { epoch: 3, last: 42 }])
  assert.is(numberOf(it.next()), 2, 'an old node does not say where: it goes again')
  assert.is(it.next(), null)
})

test('late: an answer, a safe sequence, an announcement of an epoch that is over', () => {
  const it = keptWrites()
  it.takeOver(2, [{ epoch: 2, last: 1 }])
  assert.not(it.answered(write(1), taken(1, 7), 0))
  it.answered(write(2), taken(2, 5), 0)
  it.safe(1, 9)
  it.takeOver(1, [{ epoch: 1, last: 9 }])
  it.takeOver(2, [{ epoch: 1, last: 4 }, { epoch: 2, last: 9 }])
  assert.equal([it.writes, it.given, it.isBehind, it.epoch], [1, [], false, 2])
})

test('a history that is not of the epoch proves nothing', () => {
  const it = keptWrites()
  it.answered(write(1), taken(1, 7), 0)
  it.heard(2)
  it.takeOver(2, [])
  it.takeOver(2, [{ epoch: 1, last: 9 }])
  assert.ok(it.isDoubtful)
  it.takeOver(2, null)
  assert.is(numberOf(it.next()), 1, 'and without any, all goes again')
})

test('another space of that name: everything goes again, whatever its numbers', () => {
  const it = keptWrites()
  it.answered(write(1), taken(7, 3), 0)
  it.renewed()
  it.takeOver(7, [{ epoch: 7, last: 9 }])
  assert.is(numberOf(it.next()), 1)
})

test('another space whose log is shorter: what is beyond its end is not there', () => {
  const it = keptWrites()
  it.answered(write(1), taken(7, 500), 0)
  it.renewed()
  it.takeOver(1, [{ epoch: 1, last: 1 }])
  assert.is(numberOf(it.next()), 1)
})

test('refused for good: kept, in nobody\'s way, tried with the next epoch', () => {
  const it = keptWrites()
  it.answered(write(1, 'x'), taken(1, 2), 0)
  it.answered(write(2, 'x'), taken(1, 3), 0)
  it.takeOver(2, [{ epoch: 2, last: 1 }])
  it.refused(it.next()!)
  assert.ok(it.resent(it.next()!, taken(2, 2)))
  assert.equal([it.writes, it.isBehind], [2, false])
  it.takeOver(3, [{ epoch: 3, last: 1 }])
  assert.equal([numberOf(it.next())], [1])
})

/** Unbiased: zero is what loses and doubles a message. */
const numbers = fc.noBias(fc.nat({ max: 60 }))
const steps = ['issue', 'issue', 'issue', 'attempt', 'attempt', 'attempt', 'deliver', 'deliver',
  'deliver', 'deliver', 'deliver', 'deliver', 'makeSafe', 'promote', 'announce', 'lookUp', 'resend',
  'resend', 'retry', 'answerUnwritten'] as const

test('any interleaving: nothing unsafe given up, nothing that survived sent again, in order', () => {
  const seen = { resends: 0, lost: 0, safe: 0 }
  fc.assert(fc.property(
    fc.array(fc.tuple(fc.constantFrom(...steps), numbers, numbers), {
      minLength: 50,
      maxLength: 400,
      size: 'max',
    }),
    (run) => {
      const world = new ResendWorld()
      for (const [step, a, b] of run) {
        if (step === 'makeSafe') world.makeSafe(a % 3)
        else if (step === 'issue') world.issue(a)
        else if (step === 'announce' || step === 'lookUp') world[step]()
        else if (step === 'resend') world.resend(a)
        else world[step](a, b)
      }
      world.settle()
      seen.resends += world.resends
      seen.lost += world.lostOnce
      seen.safe += world.safe.size
    },
  ), { numRuns: 2500 })
  // A world in which nothing is lost would prove nothing.
  assert.ok(seen.lost > 500 && seen.resends > seen.lost && seen.safe > 4000, JSON.stringify(seen))
})

test.run()
