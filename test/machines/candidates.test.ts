import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { betterCandidate, isInSync, judgeSurvey } from '../../machines/election/candidates.js'
import type { Candidate } from '../../machines/election/candidates.js'
import { answerOf, assignmentOf } from './goldenRecords.js'

const test = suite('machines/candidates')

const nodes = ['n1', 'n2', 'n3'] as const
// Few values, so that ties are frequent.
const position = fc.record({ epoch: fc.nat(2), sequence: fc.nat(2) })
const former = fc.option(fc.constantFrom(...nodes, 'n4'))
const others = fc.tuple(position, position, position).map((positions) =>
  positions.map((p, i): Candidate => ({ node: nodes[i] ?? '', position: p }))
)

const at = (node: string, epoch: number, sequence: number) => ({ node,
  position: { epoch, sequence } })

test('position, then the former primary, then the lower id', () => {
  const table: readonly [Candidate, Candidate, string | null][] = [
    [at('n3', 3, 1), at('n1', 2, 9), 'n1'],
    [at('n3', 3, 2), at('n1', 3, 1), 'n1'],
    [at('n3', 3, 1), at('n1', 3, 1), 'n3'],
    [at('n1', 3, 1), at('n3', 3, 1), null],
    [at('n1', 3, 1), at('n3', 3, 1), 'n2'],
  ]
  for (const [better, worse, before] of table) {
    assert.ok(betterCandidate(better, worse, before))
    assert.not(betterCandidate(worse, better, before))
  }
})

test('the order of different nodes is total and antisymmetric', () => {
  fc.assert(fc.property(others, former, (three, before) => {
    for (const a of three) {
      for (const b of three) {
        if (a === b) continue
        assert.not.equal(betterCandidate(a, b, before), betterCandidate(b, a, before))
      }
    }
  }))
})

test('and transitive: three candidates have one best', () => {
  fc.assert(fc.property(others, former, (three, before) => {
    const wins = three.map((a) => three.filter((b) => a !== b && betterCandidate(a, b, before)))
    assert.equal(wins.map((beaten) => beaten.length).toSorted(), [0, 1, 2])
  }))
})

test('among members that hear each other exactly one is the candidate', () => {
  fc.assert(fc.property(others, fc.option(fc.constantFrom(...nodes)), (three, before) => {
    const record = assignmentOf({ primary: before })
    const verdicts = three.map((self) =>
      judgeSurvey(self, record, three.filter((c) =>
        c !== self
      ).map((c) => answerOf(c.node, c.position)))
    )
    const best = three.filter((_, i) => verdicts[i]?.kind === 'best')
    assert.is(best.length, 1)
    for (const verdict of verdicts) {
      if (verdict.kind === 'better') assert.is(verdict.node, best[0]?.node)
    }
  }))
})

test('the order of the answers does not matter', () => {
  fc.assert(fc.property(others, fc.boolean(), (three, isServing) => {
    const [self, b, c] = three
    if (!self || !b || !c) return
    const answers = [answerOf('n2', b.position, { serving: isServing }), answerOf('n3', c.position)]
    const judge = (list: typeof answers) => {
      const { reason: _, ...verdict } = judgeSurvey(self, assignmentOf(), list)
      return verdict
    }
    assert.equal(judge(answers), judge(answers.toReversed()))
  }))
})

const mine = { node: 'n2', position: { epoch: 3, sequence: 1040 } }
const further = { epoch: 3, sequence: 1042 }

test('the verdict of a survey, and its reason', () => {
  const record = assignmentOf()
  const judge = (...answers: ReturnType<typeof answerOf>[]) => judgeSurvey(mine, record, answers)
  assert.equal(judge(), { kind: 'best', reason: 'this member is at (3, 1040); nobody answered' })
  assert.equal(judge(answerOf('n3', { epoch: 2, sequence: 2000 })), { kind: 'best',
    reason: 'this member is at (3, 1040); n3 at (2, 2000)' })
  assert.equal(judge(answerOf('n3', further)), {
    kind: 'better',
    node: 'n3',
    reason: 'stands by: n3 is at (3, 1042), this member is at (3, 1040)',
  })
  assert.equal(judge(answerOf('n3', further), answerOf('n1', mine.position, { serving: true })), {
    kind: 'served',
    reason: 'n1 serves with valid grants',
  })
  assert.is(judge(answerOf('n1', mine.position)).kind, 'better', 'n1 was primary')
})

test('only an in-sync member with its disk and a whole journal can be better', () => {
  const record = assignmentOf({ inSync: ['n1', 'n2'] })
  const excluded = [
    answerOf('n3', further),
    answerOf('n1', further, { disk: 'new' }),
    answerOf('n1', further, { whole: false }),
    answerOf('n9', further),
  ]
  for (const answer of excluded) assert.is(judgeSurvey(mine, record, [answer]).kind, 'best')
  assert.is(judgeSurvey(mine, record, [answerOf('n1', further)]).kind, 'better')
  // One that serves ends the attempt, in whatever shape it is.
  const serving = answerOf('n3', further, { serving: true, whole: false, disk: 'new' })
  assert.is(judgeSurvey(mine, record, [serving]).kind, 'served')
})

test('in sync with that very disk', () => {
  const record = assignmentOf({ inSync: ['n1', 'n2'] })
  assert.ok(isInSync(record, 'n1', 'disk-n1'))
  assert.not(isInSync(record, 'n1', 'new'), 'another disk is another member')
  assert.not(isInSync(record, 'n3', 'disk-n3'), 'a member, but not in sync')
  assert.not(isInSync({ ...record, inSync: ['n4'] }, 'n4', 'disk-n4'), 'listed, but no member')
})

test.run()
