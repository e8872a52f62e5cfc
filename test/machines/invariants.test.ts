import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EpochSpan, Position } from '../../machines/base/ids.js'
import { assertCheckpointWhole, assertCommitDurable, assertHistoryWellFormed, assertInstalled,
  assertInvariant, assertPositionMonotone, assertSessionProgress, assertStoreCommitted,
  historyFault, InvariantViolation, invariants } from '../../machines/log/invariants.js'
import { origin } from '../../machines/log/positions.js'

const test = suite('machines/invariants')

const violates = (name: string, run: () => void) => {
  try {
    run()
  } catch (error) {
    assert.instance(error, InvariantViolation)
    const violation = error as InvariantViolation
    assert.is(violation.invariant, name)
    assert.is(violation.code, 'INVARIANT_VIOLATION')
    assert.match(violation.message, violation.details)
    return
  }
  assert.unreachable(`${name} holds`)
}

test('each with its sentence', () => {
  const numbers = Array.from({ length: 16 }, (_, i) => i + 1)
  assert.equal(Object.keys(invariants), numbers.map((number) => `I${number}`))
})

test('a checkpoint and an install are whole', () => {
  const at = { epoch: 3, sequence: 500 }
  assertCheckpointWhole('demo', at, null)
  violates('I13', () => assertCheckpointWhole('demo', at, '2 nodes, and its header says 3'))
  assertInstalled('u1', at, null)
  violates('I15', () => assertInstalled('u1', at, '2 nodes, and its header says 3'))
})

test('details are put together only when it is violated', () => {
  assertInvariant('I7', true, () => assert.unreachable() as never)
  violates('I7', () => assertInvariant('I7', false, () => 'key k took effect twice'))
})

test('the cheap checks', () => {
  assertPositionMonotone('end', { epoch: 1, sequence: 9 }, { epoch: 2, sequence: 4 })
  violates('I9',
    () => assertPositionMonotone('end', { epoch: 2, sequence: 4 }, { epoch: 1, sequence: 9 }))
  assertCommitDurable(5, 5)
  violates('I4', () => assertCommitDurable(6, 5))
  assertStoreCommitted(5, 6, 5)
  violates('I8', () => assertStoreCommitted(6, 6, 5))
  violates('I8', () => assertStoreCommitted(6, 5, 6))
})

test('a history rises in epoch and sequence', () => {
  const isWellFormed = (history: EpochSpan[], root: Position = origin) =>
    assertHistoryWellFormed({ root, history })
  isWellFormed([])
  isWellFormed([{ epoch: 1, last: 3 }, { epoch: 4, last: 5 }])
  violates('I3', () => isWellFormed([{ epoch: 1, last: 3 }, { epoch: 1, last: 5 }]))
  violates('I3', () => isWellFormed([{ epoch: 1, last: 3 }, { epoch: 2, last: 3 }]))
  isWellFormed([{ epoch: 3, last: 5 }], { epoch: 3, sequence: 5 })
  isWellFormed([{ epoch: 3, last: 9 }], { epoch: 3, sequence: 5 })
  violates('I3', () => isWellFormed([], { epoch: 3, sequence: 5 }))
  violates('I3', () => isWellFormed([{ epoch: 3, last: 4 }], { epoch: 3, sequence: 5 }))
  violates('I3', () => isWellFormed([{ epoch: 4, last: 9 }], { epoch: 3, sequence: 5 }))
  violates('I3', () => isWellFormed([{ epoch: 3, last: 9 }], { epoch: 3, sequence: 0 }))
  violates('I3', () => isWellFormed([{ epoch: 3, last: 9 }], { epoch: 0, sequence: 5 }))
  assert.match(historyFault([{ epoch: 1, last: 0.5 }]) ?? '', 'no safe integers')
  assert.match(historyFault([{ epoch: 0, last: 1 }]) ?? '', 'follows epoch 0')
})

test('progress counts within one session only', () => {
  const before = { session: 4, durableSequence: 9, appliedSequence: 8 }
  assertSessionProgress(before, { ...before, durableSequence: 10 }, 10)
  assertSessionProgress(before, { session: 5, durableSequence: 2, appliedSequence: 2 }, 10)
  violates('I9', () => assertSessionProgress(before, { ...before, durableSequence: 8 }, 10))
  violates('I3', () => assertSessionProgress(before, { ...before, durableSequence: 11 }, 10))
  violates('I8', () => assertSessionProgress(before, { ...before, appliedSequence: 10 }, 10))
})

test.run()
