import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Life, Vacancy } from '../../machines/base/ids.js'
import { compareLives, vacancyOf } from '../../machines/election/vacancy.js'
import type { VacancyEvidence } from '../../machines/election/vacancy.js'
import { assignmentOf } from './goldenRecords.js'
import type { RecordOf } from './goldenRecords.js'

const test = suite('machines/vacancy')

const life = (incarnation: number, connection: number): Life => ({ incarnation, connection })
const nothing: VacancyEvidence = {
  self: 'n2',
  life: life(1, 1),
  primaryEpoch: 0,
  heardLife: null,
  goneLife: null,
  resignedEpoch: 0,
  grantExpired: false,
}

test('the proofs that epoch 3 of n1 4.2 is over', () => {
  type Row = readonly [string, RecordOf, Partial<VacancyEvidence>, Vacancy | null]
  const table: readonly Row[] = [
    ['nothing is known', {}, {}, null],
    ['nobody is named', { primary: null }, {}, 'none'],
    ['vacant', { state: 'vacant' }, {}, 'none'],
    ['I am named and am not primary', { primary: 'n2' }, {}, 'own'],
    ['I am named and am primary', { primary: 'n2' }, { primaryEpoch: 3 }, null],
    ['I am named, and am primary of an earlier epoch', { primary: 'n2' }, { primaryEpoch: 2 },
      'own'],
    ['heard as it is', {}, { heardLife: life(4, 2) }, null],
    ['a new connection', {}, { heardLife: life(4, 3) }, 'restarted'],
    ['a new incarnation', {}, { heardLife: life(5, 1) }, 'restarted'],
    ['an earlier life was heard', {}, { heardLife: life(3, 9) }, null],
    ['it resigned', {}, { resignedEpoch: 3 }, 'resigned'],
    ['it resigned from an earlier epoch', {}, { resignedEpoch: 2 }, null],
    ['503', {}, { goneLife: life(4, 2) }, 'noResponders'],
    ['503 for an earlier connection', {}, { goneLife: life(4, 1) }, null],
    ['silence, longer than the grant', {}, { grantExpired: true }, 'grantExpired'],
    ['claimed and silent', { state: 'claimed' }, { grantExpired: true }, 'grantExpired'],
    ['proof goes before silence', {}, { goneLife: life(4, 2), grantExpired: true }, 'noResponders'],
  ]
  for (const [name, given, evidence, expected] of table) {
    const record = assignmentOf({ life: life(4, 2), ...given })
    assert.is(vacancyOf(record, { ...nothing, ...evidence }), expected, name)
  }
})

const anyLife = fc.record({
  incarnation: fc.integer({ min: 1, max: 4 }),
  connection: fc.integer({ min: 1, max: 4 }),
})
const anyEvidence = fc.record({
  heardLife: fc.option(anyLife),
  goneLife: fc.option(anyLife),
  resignedEpoch: fc.nat(6),
}).map((given) => ({ ...nothing, ...given }))

test('lives are in order: incarnation, then connection', () => {
  fc.assert(fc.property(anyLife, anyLife, anyLife, (a, b, c) => {
    assert.is(Math.sign(compareLives(a, b)), -Math.sign(compareLives(b, a)) + 0)
    assert.is(compareLives(a, b) === 0,
      a.incarnation === b.incarnation && a.connection === b.connection)
    if (compareLives(a, b) < 0 && compareLives(b, c) < 0) assert.ok(compareLives(a, c) < 0)
  }))
})

test('evidence about an older life never ends a newer epoch', () => {
  fc.assert(fc.property(anyEvidence, anyLife, fc.nat(3), (evidence, named, more) => {
    const { heardLife, goneLife, resignedEpoch } = evidence
    const isOlder = (heardLife === null || compareLives(heardLife, named) <= 0)
      && (goneLife === null || compareLives(goneLife, named) < 0)
    fc.pre(isOlder)
    const record = assignmentOf({ life: named, epoch: resignedEpoch + 1 + more })
    assert.is(vacancyOf(record, evidence), null)
  }))
})

test('whatever ended an epoch, a later life that wins again is not touched by it', () => {
  fc.assert(
    fc.property(anyEvidence, anyLife, fc.integer({ min: 1, max: 6 }), (evidence, named, epoch) => {
      fc.pre(vacancyOf(assignmentOf({ life: named, epoch }), evidence) !== null)
      const latest = [named, evidence.heardLife, evidence.goneLife]
        .reduce<Life>((a, b) => (b && compareLives(b, a) > 0 ? b : a), named)
      const next = life(latest.incarnation, latest.connection + 1)
      const again = assignmentOf({ life: next, epoch: Math.max(epoch, evidence.resignedEpoch) + 1 })
      assert.is(vacancyOf(again, evidence), null)
    }),
  )
})

test('evidence about the life of the primary or a later one ends its epoch', () => {
  fc.assert(fc.property(anyLife, anyLife, (named, seen) => {
    const record = assignmentOf({ life: named })
    const isLater = compareLives(seen, named) > 0
    const heard = vacancyOf(record, { ...nothing, heardLife: seen })
    const gone = vacancyOf(record, { ...nothing, goneLife: seen })
    assert.is(heard, isLater ? 'restarted' : null)
    assert.is(gone, isLater || compareLives(seen, named) === 0 ? 'noResponders' : null)
  }))
})

test('my own epoch is never vacant to me, whatever is said of my node', () => {
  fc.assert(fc.property(anyEvidence, anyLife, fc.boolean(), (evidence, named, grantExpired) => {
    const record = assignmentOf({ primary: 'n2', life: named, epoch: 5 })
    const serving = { ...evidence, resignedEpoch: 9, primaryEpoch: 5, grantExpired }
    assert.is(vacancyOf(record, serving), null)
  }))
})

test.run()
