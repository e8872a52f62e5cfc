/** A change of the members in the merged status, and in words. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readiness } from '../../../runtime/http/readiness.js'
import { changeName, changeText } from '../../../runtime/status/memberChange.js'
import type { ChangeStatus } from '../../../runtime/status/memberChange.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import type { MemberStatus } from '../../../runtime/status/status.js'
import { report } from '../../support/pageKit.js'

const test = suite('status: changes of members')

const change = (over: Partial<ChangeStatus> = {}): ChangeStatus => ({
  add: 'n3',
  remove: 'n2',
  since: '2026-11-30T12:00:00Z',
  by: 'ann@ops',
  ageMs: 12_000,
  waitsFor: 'n3 has not joined yet',
  ...over,
})

const merged = (...reports: Parameters<typeof mergeStatus>[0]) => mergeStatus(reports).spaces[0]!

const roles = (...reports: Parameters<typeof mergeStatus>[0]): string[] =>
  merged(...reports).members.map(({ node, role }) => `${node} ${role}`)

test('in words', () => {
  assert.is(changeName(change()), 'replace n2 by n3')
  assert.is(changeName(change({ add: null })), 'remove n2')
  assert.is(changeText(change()),
    'replace n2 by n3, ordered by ann@ops 12.0 s ago; n3 has not joined yet')
  assert.match(changeText(change({ waitsFor: null })), /; it goes on as soon as there is a primary/)
})

test('the learner is a row, whether it answers or not, and its node is one', () => {
  const primary = report('n1', { change: change() })
  assert.equal(roles(primary, report('n2')), ['n1 primary', 'n2 replica', 'n3 learner'])
  const silent = merged(primary).members.at(-1)!
  assert.equal([silent.state, silent.inSync, silent.epoch], ['unreachable', false, null])
  assert.equal(mergeStatus([primary]).nodes.map(({ id }) => id), ['n1', 'n2', 'n3'])
  const own = report('n3', { role: 'learner', state: 'joining', change: change() })
  assert.equal(roles(primary, own), ['n1 primary', 'n2 unknown', 'n3 learner'])
  assert.is(merged(primary, own).members.at(-1)!.state, 'joining')
  assert.equal(roles(primary, report('n3', { role: 'damaged' })).at(-1), 'n3 damaged')
})

test('the primary\'s record counts, whatever a node believes of itself', () => {
  const after = report('n1', { members: ['n1', 'n3'], change: null })
  assert.equal(roles(after, report('n2'), report('n3', { role: 'learner' })), ['n1 primary',
    'n2 removed', 'n3 replica'])
  // It hears of nothing that comes after.
  const stale = { primary: 'n2', endSequence: 9 } as const
  const behind = { role: 'replica', endSequence: 5, members: ['n1', 'n3'] } as const
  const space = merged(report('n2', { ...stale, role: 'removed' }), report('n1', behind))
  assert.is(space.endSequence, 5)
  assert.equal(roles(report('n2', { role: 'recovering', members: [] })), ['n2 recovering'],
    'without a record nobody knows')
})

test('the change, who was taken out, and the disks', () => {
  const removed = [{ node: 'n9', at: '2026-11-30T12:00:00Z' }]
  const space = merged(report('n1', { change: change(), removed, disks: { n1: 'a', n2: 'b' } }))
  assert.equal(space.change, change())
  assert.equal(space.removed, removed)
  assert.equal(space.members.map(({ disk }) => disk), ['a', 'b', null])
  const plain = merged(report('n1'))
  assert.equal([plain.change, plain.removed], [null, []])
})

test('a learner and a removed node are no reason for a node not to be ready', () => {
  const of = (over: Partial<MemberStatus>): unknown =>
    readiness(report('n3', { state: 'joining', reason: 'r', ...over })).at(-1)?.missing
  assert.match(String(of({ role: 'replica' })), /has not joined/)
  assert.is(of({ role: 'learner' }), null)
  assert.is(of({ role: 'removed', blocked: 'x' }), null)
  const install = { phase: 'asking', source: null, doneBytes: 0, totalBytes: 0,
    bytesPerSecond: null, etaMs: null, minimum: null } as const
  assert.is(of({ role: 'learner', install }), null)
  assert.match(String(of({ role: 'damaged' })), /damaged/)
})

test.run()
