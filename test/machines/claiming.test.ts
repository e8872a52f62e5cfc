/** Rules of a candidate: whom it asks, whom it claims in sync, whose grants it waits for. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { epochAbove, isSilent, missingGrants,
  staysInSync } from '../../machines/election/claiming.js'
import type { OldMember } from '../../machines/election/claiming.js'
import { holdOf } from '../../machines/election/pause.js'
import type { Assignment, SurveyAnswer } from '../../machines/protocol/messages.js'

const test = suite('claiming')

const times = { grantMs: 2000 }
const record = {
  members: ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk of ${node}` })),
  inSync: ['n1', 'n2', 'n3'],
  primary: { node: 'n1', incarnation: 1, connection: 1 },
  paused: null,
} as unknown as Assignment

test('who would not answer is not asked', () => {
  const view = { isProvenDead: false, isGrantExpired: false, quietMs: 0 }
  assert.not.ok(isSilent(view, times))
  assert.ok(isSilent({ ...view, isProvenDead: true }, times))
  assert.ok(isSilent({ ...view, isGrantExpired: true, quietMs: 1000 }, times))
  // The own connection was away: everybody seems silent.
  assert.not.ok(isSilent({ ...view, isGrantExpired: true, quietMs: 999 }, times))
})

test('who stays in sync', () => {
  const answer = { node: 'n2', disk: 'disk of n2', position: { epoch: 3, sequence: 40 } }
  const stays = (over: Partial<OldMember>) =>
    staysInSync(record, 'n2', { isProvenDead: false, isUnregistered: false, quietMs: 0, disk: null,
      answer: undefined, ...over }, { epoch: 3, sequence: 40 }, times)
  const answered = (over: Partial<SurveyAnswer>) =>
    stays({ quietMs: 5000, answer: { ...answer, ...over } as SurveyAnswer })
  assert.is(stays({}), true)
  assert.is(stays({ quietMs: 1000 }), false)
  assert.is(answered({}), true)
  assert.is(answered({ disk: 'another' }), false)
  assert.is(answered({ position: { epoch: 3, sequence: 39 } }), 'lacking')
  assert.is(stays({ isProvenDead: true }), false)
  assert.is(stays({ isUnregistered: true }), false)
  assert.is(stays({ disk: 'another' }), false)
})

test('whose grants are missing, and who is given up', () => {
  const missing = (without: readonly string[], dead: readonly string[], waitedMs: number) =>
    missingGrants(record, 'n1', {
      isGranted: (node) => !without.includes(node),
      isProvenDead: (node) => dead.includes(node),
    }, waitedMs, times)
  assert.is(missing(['n1'], [], 0), null)
  assert.equal(missing(['n2', 'n3'], [], 1000), { nodes: ['n2', 'n3'], shrinkable: false })
  assert.equal(missing(['n2', 'n3'], ['n3'], 0), { nodes: ['n3'], shrinkable: true })
  assert.equal(missing(['n2', 'n3'], [], 1001), { nodes: ['n2', 'n3'], shrinkable: true })
})

test('the epoch is above all that is known', () => {
  assert.is(epochAbove([3, 2], []), 4)
  assert.is(epochAbove([3], [{ highestEpoch: 7 } as SurveyAnswer]), 8)
})

test('what holds a member back', () => {
  const [n1, n2] = record.members
  const paused = { ...record, paused: { since: 'noon', by: 'ann' } }
  assert.is(holdOf(record, n2!, null), null)
  assert.is(holdOf(paused, n2!, null), 'paused since noon by ann')
  assert.is(holdOf(paused, n2!, null, true), null)
  assert.is(holdOf(paused, n1!, null), null)
  assert.is(holdOf(paused, n2!, 'n2 is drained', true), 'n2 is drained')
})

test.run()
