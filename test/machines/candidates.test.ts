import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { betterCandidate, isInSync, judgeSurvey } from '../../machines/election/candidates.js'
import type { Candidate } from '../../machines/election/candidates.js'
import { preferredPrimary } from '../../machines/protocol/spacePlacement.js'
import { answerOf, assignmentOf } from './goldenRecords.js'

const test = suite('machines/candidates')

const nodes = ['n1', 'n2', 'n3'] as const
// Few values, so that ties are frequent.
const position = fc.record({ epoch: fc.nat(2), sequence: fc.nat(2) })
const former = fc.option(fc.constantFrom(...nodes, 'n4')).map((primary) =>
  assignmentOf({ primary })
)
const others = fc.tuple(position, position, position).map((positions) =>
  positions.map((p, i): Candidate => ({ node: nodes[i] ?? '', position: p }))
)

/** The nodes in the order in which the space of the records is placed on them. */
const placed = (two: [string, string]): [string, string] =>
  preferredPrimary(assignmentOf().space, two) === two[0] ? two : [two[1], two[0]]

const at = (node: string, epoch: number, sequence: number) => ({ node,
  position: { epoch, sequence } })

test('position, then the former primary, then the place of the space', () => {
  const record = (primary: string | null) => assignmentOf({ primary })
  const [first, second] = placed(['n1', 'n3'])
  const table: readonly [Candidate, Candidate, string | null][] = [
    [at('n3', 3, 1), at('n1', 2, 9), 'n1'],
    [at('n3', 3, 2), at('n1', 3, 1), 'n1'],
    [at('n3', 3, 1), at('n1', 3, 1), 'n3'],
    [at('n1', 3, 1), at('n3', 3, 1), 'n1'],
    [at(first, 3, 1), at(second, 3, 1), null],
    [at(first, 3, 1), at(second, 3, 1), 'n2'],
  ]
  for (const [better, worse, before] of table) {
    assert.ok(betterCandidate(record(before), better, worse))
    assert.not(betterCandidate(record(before), worse, better))
  }
})

test('the spaces of a node that dies are shared by those that are left', () => {
  const spaces = Array.from({ length: 1000 }, (_, i) => `s${i}`)
  const won = spaces.filter((space) =>
    betterCandidate({ space, primary: null }, at('n2', 1, 1), at('n3', 1, 1))
  )
  assert.ok(won.length > 450 && won.length < 550, `${won.length} of 1000`)
})

test('the order of different nodes is total and antisymmetric', () => {
  fc.assert(fc.property(others, former, (three, before) => {
    for (const a of three) {
      for (const b of three) {
        if (a === b) continue
        assert.not.equal(betterCandidate(before, a, b), betterCandidate(before, b, a))
      }
    }
  }))
})

test('and transitive: three candidates have one best', () => {
  fc.assert(fc.property(others, former, (three, before) => {
    const wins = three.map((a) => three.filter((b) => a !== b && betterCandidate(before, a, b)))
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
