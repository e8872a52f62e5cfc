/** I16: what may follow what in the record, and what each version has to be. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Assignment } from '../../machines/protocol/messages.js'
import { MemberChecks } from './checkers/members.js'

const test = suite('checker of members')

const add = { add: 'n4', since: 's', by: 'ann' }
const remove = { remove: 'n3', since: 's', by: 'ann' }

function record(nodes: readonly string[], over: Partial<Assignment> = {}): Assignment {
  return {
    version: 1,
    space: 'teams',
    uuid: 'u',
    epoch: 1,
    state: 'open',
    primary: { node: 'n1', incarnation: 1, connection: 1 },
    members: nodes.map((node) => ({ node, disk: `disk of ${node}` })),
    inSync: nodes,
    settings: { replicas: nodes.length - 1, ack: 'durable', minInSync: 1 },
    forced: false,
    nonce: '0',
    writer: 'n1',
    ...over,
  }
}

const three = record(['n1', 'n2', 'n3'])
const four = record(['n1', 'n2', 'n3', 'n4'])
const two = record(['n1', 'n2'])
const removed = (...nodes: string[]) => ({ removed: nodes.map((node) => ({ node, at: 'a' })) })

function found(versions: readonly Assignment[], orders: readonly object[] = []): string[] {
  const violations: string[] = []
  const checks = new MemberChecks({
    violate: (details) => violations.push(details.replace(/: by n1, in epoch .*/, '')),
    saw: () => undefined,
  })
  for (const order of orders) checks.ordered(order)
  let before: Assignment | null = null
  for (const version of versions) {
    checks.applied(before, version)
    before = version
  }
  return violations
}

test('a node is added, another one is taken out, and a change is cancelled', () => {
  const orders = [{ add: 'n4', remove: 'n3' }, { add: 'n4' }, { remove: 'n3' }, { cancel: true }]
  const both = { ...add, ...remove }
  assert.equal(found([
    three,
    { ...three, change: both },
    { ...three, change: both, epoch: 2, state: 'claimed' },
    { ...four, change: remove, epoch: 2 },
    record(['n1', 'n2', 'n4'], { epoch: 2, ...removed('n3') }),
  ], orders), [])
  assert.equal(found([three, { ...three, change: add }, { ...three, ...removed('n4') }], orders),
    [])
  assert.equal(found([three, { ...three, change: remove }, three], orders), [])
  assert.equal(
    found([{ ...three, ...removed('n4') }, { ...three, ...removed('n4'), change: add }, { ...four,
      ...removed() }], orders),
    [],
  )
})

test('a change comes and goes by orders only, goes forward, and alone', () => {
  const orders = [{ add: 'n4' }]
  assert.equal(found([three, { ...three, change: remove }], orders), [
    'ordered without an order, remove n3',
  ])
  assert.equal(found([three, { ...three, change: add }, { ...three, ...removed('n4') }], orders), [
    'cancelled without an order, no change',
  ])
  assert.equal(found([{ ...three, change: add }, { ...three, change: remove }], orders), [
    'add n4 becomes remove n3, and the members n1, n2, n3 become n1, n2, n3',
  ])
  assert.equal(found([three, { ...three, change: add, epoch: 2 }], orders), [
    'ordered together with epoch 2',
  ])
})

test('members come and go by the change only', () => {
  assert.equal(found([three, two]), ['same: the members n1, n2, n3 become n1, n2'])
  assert.equal(found([three, four]), ['same: the members n1, n2, n3 become n1, n2, n3, n4'])
  assert.equal(found([{ ...three, change: remove }, two]), ['removed nodes were , are '])
  const wrong = record(['n1', 'n3'], removed('n3'))
  assert.match(found([{ ...three, change: { ...remove, remove: 'n2' } }, wrong])[0] ?? '',
    /n3 is a member, and listed as removed/)
  assert.equal(found([{ ...three, change: add, inSync: ['n1', 'n2'] }, four]), [
    'added: in sync were n1, n2, are n1, n2, n3, n4',
  ])
  assert.equal(found([{ ...three, ...removed('n4') }, three]), ['removed nodes were n4, are '])
})

test('in sync are members, somebody is, and the learner is neither', () => {
  assert.equal(found([{ ...three, inSync: ['n1', 'n4'], change: add }]), [
    'n4 is in sync and no member',
  ])
  assert.equal(found([{ ...three, inSync: [] }]), ['nobody is in sync'])
  assert.equal(found([{ ...three, inSync: ['n2'] }]), ['the primary n1 is not in sync'])
  assert.equal(found([{ ...four, change: add }]), ['the learner n4 is a member'])
  assert.equal(found([record(['n1', 'n2', 'n2'])]), ['members twice: n1, n2, n2'])
  assert.equal(found([{ ...two, change: remove }]), ['n3, which is to be removed, is no member'])
  assert.match(found([{ ...two, settings: three.settings }])[0] ?? '', /2 members, and 2 replicas/)
})

test('nodes that held the space and are no members', () => {
  const checks = new MemberChecks({ violate: () => undefined, saw: () => undefined })
  for (const version of [three, { ...three, change: add }, two]) checks.applied(null, version)
  assert.equal(checks.away(two), ['n3', 'n4'])
  assert.equal(checks.away(null), [])
})

test.run()
