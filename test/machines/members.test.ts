/** Changes of a space's members, as functions of its record. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { claimed, handedOver, tombstone, withInSync, withPaused,
  withPromoter } from '../../machines/protocol/assignments.js'
import { cancelled, holdersOf, isHolder, leavingOf, learnerOf, ordered, orderFault, removalObstacle,
  removedMax, showChange, withoutMember } from '../../machines/protocol/members.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { preferredPrimary } from '../../machines/protocol/spacePlacement.js'
import { assignment as schema } from '../../runtime/codec/schemas.js'

const test = suite('members')

const at = '2026-01-02T03:04:05.678Z'
const signature = { writer: 'n1', nonce: 'a' }

const record: Assignment = {
  version: 1,
  space: 'demo',
  uuid: 'u',
  epoch: 4,
  state: 'open',
  primary: { node: 'n1', incarnation: 1, connection: 1 },
  members: ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk-${node}` })),
  inSync: ['n1', 'n2'],
  settings: { replicas: 2, ack: 'durable', minInSync: 2 },
  forced: false,
  nonce: '0',
  writer: 'n1',
}

const replace = ordered(record, { add: 'n4', remove: 'n2', by: 'ann' }, at, signature)
const diskOf = (node: string) => `new-${node}`
const nodes = ({ members }: Assignment) => members.map(({ node }) => node)

test('a learner holds the space, and is no member', () => {
  assert.equal(replace.change, { add: 'n4', remove: 'n2', since: at, by: 'ann' })
  assert.is(learnerOf(replace), 'n4')
  assert.equal(holdersOf(replace), ['n1', 'n2', 'n3', 'n4'])
  assert.ok(isHolder(replace, 'n4'))
  assert.equal(nodes(replace), ['n1', 'n2', 'n3'])
  // Not yet: another one is to be added first.
  assert.is(leavingOf(replace), null)
})

test('it is a member once it is in sync, with the disk that it joined with', () => {
  const joined = withInSync(replace, ['n1', 'n2', 'n4'], diskOf, signature)
  assert.equal(joined.members.at(-1), { node: 'n4', disk: 'new-n4' })
  assert.equal(joined.change, { remove: 'n2', since: at, by: 'ann' })
  assert.is(leavingOf(joined), 'n2')
  // One more than wanted, for as long as the other one is there.
  assert.is(joined.settings.replicas, 2)
  assert.ok(schema.safeParse(joined).success)
})

test('a learner whose disk is not known stays one', () => {
  const next = withInSync(replace, ['n1', 'n2', 'n4'], () => undefined, signature)
  assert.equal([next.inSync, next.change], [['n1', 'n2'], replace.change])
})

test('another change of the in-sync set leaves the change and the members as they are', () => {
  for (const inSync of [['n1'], ['n1', 'n2', 'n3']]) {
    const next = withInSync(replace, inSync, diskOf, signature)
    assert.equal([next.change, nodes(next)], [replace.change, ['n1', 'n2', 'n3']])
  }
})

test('claims and pauses carry the change and the removed nodes, a tombstone ends the change', () => {
  const both = { ...replace, removed: [{ node: 'n9', at }] }
  const claimant = { node: 'n2', incarnation: 3, connection: 1, disk: 'disk-n2' }
  const next = claimed(both, 5, claimant, ['n2'], false, [], signature)
  assert.equal([next.change, next.removed], [both.change, both.removed])
  assert.equal(withPaused(both, { since: at, by: 'ann' }, signature).change, both.change)
  assert.is(tombstone(both, { since: at, by: 'ann' }, signature).change, undefined)
})

test('a member leaves in-sync set and members in one step, and is listed as removed', () => {
  const joined = withInSync(replace, ['n1', 'n2', 'n4'], diskOf, signature)
  const done = withoutMember(joined, 'n2', at, signature)
  assert.equal(nodes(done), ['n1', 'n3', 'n4'])
  assert.equal(done.inSync, ['n1', 'n4'])
  assert.equal(done.removed, [{ node: 'n2', at }])
  assert.is(done.change, undefined)
  assert.is(done.settings.replicas, 2)
  assert.ok(schema.safeParse(done).success)
})

test('settings follow the number of members', () => {
  const fewer = withoutMember(
    withoutMember(record, 'n3', at, signature),
    'n2',
    at,
    signature,
  )
  assert.equal(fewer.settings, { replicas: 0, ack: 'durable', minInSync: 1 })
  const add = ordered(record, { add: 'n4', by: 'ann' }, at, signature)
  assert.is(withInSync(add, ['n1', 'n2', 'n4'], diskOf, signature).settings.replicas, 3)
})

test('a node that is added again is no removed one; the list is bounded', () => {
  let next: Assignment = record
  for (let number = 10; number < 40; number += 1) {
    const add = ordered(next, { add: `n${number}`, by: 'ann' }, at, signature)
    next = cancelled(add, at, signature)
  }
  assert.is(next.removed!.length, removedMax)
  assert.is(next.removed!.at(-1)!.node, 'n39')
  const again = ordered(next, { add: 'n39', by: 'ann' }, at, signature)
  const joined = withInSync(again, ['n1', 'n39'], diskOf, signature)
  assert.not(joined.removed!.some(({ node }) => node === 'n39'))
})

test('cancelling names the learner as removed, and keeps what was done', () => {
  const stopped = cancelled(replace, at, signature)
  assert.equal([stopped.change, stopped.removed], [undefined, [{ node: 'n4', at }]])
  const joined = withInSync(replace, ['n1', 'n2', 'n4'], diskOf, signature)
  const half = cancelled(joined, at, signature)
  assert.equal([half.change, half.removed], [undefined, undefined])
  assert.equal([nodes(half).length, half.settings.replicas], [4, 3])
})

test('a removal waits for others in sync', () => {
  const wait = (inSync: string[], over: Partial<Assignment> = {}) =>
    removalObstacle({ ...record, ...over }, 'n2', new Set(inSync))
  assert.is(wait(['n1', 'n3']), null)
  assert.match(wait(['n1', 'n2']) ?? '', /once 2 other members are in sync \(1 now\)/)
  // It is not in sync, and no copy.
  assert.is(wait(['n1']), null)
  assert.match(wait([]) ?? '', /once 1 other member is in sync \(0 now\)/)
  // The only member was replaced: there is one other, and no more.
  const two = { members: record.members.slice(0, 2) }
  assert.is(wait(['n1', 'n2'], two), null)
  assert.match(wait(['n2'], two) ?? '', /once 1 other member is in sync \(0 now\)/)
})

test('orders that make no sense', () => {
  const fault = (order: object, over: Partial<Assignment> = {}) =>
    orderFault({ ...record, ...over }, { by: 'ann', ...order },
      (node) => (node === 'n8' ? 'n8 is drained' : null)) ?? ''
  assert.is(fault({ add: 'n4' }), '')
  assert.is(fault({ add: 'n4', remove: 'n1' }), '')
  assert.is(fault({ remove: 'n1', force: true }), '')
  assert.match(fault({}), /name a node/)
  assert.match(fault({ add: 'n1' }), /is a member of demo already/)
  assert.match(fault({ add: 'n8' }), /is drained/)
  assert.match(fault({ remove: 'n7' }), /its members are n1, n2, n3/)
  assert.match(fault({ remove: 'n1' }), /2 members instead of 3/)
  const many = Array.from({ length: 16 }, (_, n) => ({ node: `m${n}`, disk: 'd' }))
  assert.match(fault({ add: 'n4' }, { members: many }), /16 members at most/)
  assert.match(fault({ remove: 'n1', force: true }, { members: [record.members[0]!] }), /drop/)
  assert.match(fault({ add: 'n5' }, { change: replace.change! }), /replace n2 by n4/)
})

test('a change in words', () => {
  assert.equal([{ add: 'n4' }, { remove: 'n2' }, { add: 'n4', remove: 'n2' }].map(showChange), [
    'add n4',
    'remove n2',
    'replace n2 by n4',
  ])
})

test('a record whose learner is a member is refused', () => {
  const bad = { ...record, change: { add: 'n2', since: at, by: 'ann' } }
  assert.match(schema.safeParse(bad).error?.message ?? '', /n2 is to be added, and is a member/)
})

test('who chose the primary stays in the record, until an epoch comes without a choice', () => {
  const preferred = preferredPrimary('demo', nodes(record))!
  const [other = ''] = nodes(record).filter((node) => node !== preferred)
  const life = { incarnation: 1, connection: 1 }
  const to = (node: string) => handedOver(record, 5, node, life, 9, signature)
  const chosen = withPromoter(to(other), 'ann')
  assert.is(chosen.promotedBy, 'ann')
  assert.ok(schema.safeParse(chosen).success)
  assert.is(withPromoter(to(preferred), 'ann').promotedBy, undefined)
  assert.is(withPromoter(to(other), null).promotedBy, undefined)
  const same = withInSync(chosen, ['n1', 'n2', 'n3'], diskOf, signature)
  assert.is(same.promotedBy, 'ann')
  assert.is(handedOver(chosen, 6, preferred, life, 9, signature).promotedBy, undefined)
  const claimant = { node: other, disk: `disk-${other}`, ...life }
  assert.is(claimed(chosen, 6, claimant, ['n1'], false, [], signature).promotedBy, undefined)
})

test.run()
