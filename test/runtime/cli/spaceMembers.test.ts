/** `engram space members`: the listing, the orders, and what --wait shows. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listingOf, showMembers } from '../../../runtime/cli/membersText.js'
import type { MembersListing } from '../../../runtime/cli/membersText.js'
import { MembersWait } from '../../../runtime/cli/membersWait.js'
import type { ChangeStatus } from '../../../runtime/status/memberChange.js'
import { mergeStatus } from '../../../runtime/status/mergeStatus.js'
import type { MemberStatus } from '../../../runtime/status/status.js'
import { report } from '../../support/pageKit.js'
import { runHere } from '../../support/cli.js'

const test = suite('engram space members')

const since = '2026-11-30T12:00:00Z'
const change: ChangeStatus = { add: 'n3', remove: 'n2', since, by: 'ann@ops', ageMs: 12_000,
  waitsFor: 'n3 has not joined yet' }
const lag = {
  n2: { lagBytes: 10, lagMs: 20, durableSequence: 1_204, appliedSequence: 1_204,
    state: 'streaming' },
}
const primary: Partial<MemberStatus> = { change, lag, state: 'serving', endSequence: 1_204,
  durableSequence: 1_204, disks: { n1: 'aaaaaaaa-1', n2: 'bbbbbbbb-2' } }

function listed(...reports: Parameters<typeof mergeStatus>[0]): MembersListing {
  const { spaces, nodes } = mergeStatus(reports)
  return listingOf(spaces[0]!, nodes)
}

/** What the primary says, with `over`. */
const at = (over: Partial<MemberStatus> = {}): MembersListing =>
  listed(report('n1', { ...primary, ...over }))

test('members, then the learner, the change, and nodes that were taken out', () => {
  const removed = ['n3', 'n4', 'n5', 'n6'].map((node) => ({ node, at: since }))
  const listing = listed(report('n1', { ...primary, removed }),
    report('n4', { role: 'removed', reason: 'kept for removedKeepMs' }),
    report('n5', { space: 'other' }))
  assert.equal(listing.removed.map(({ node, hasData }) => `${node} ${hasData}`), ['n4 true',
    'n5 false', 'n6 null'])
  assert.equal(showMembers(listing).split('\n'), [
    'SPACE demo   epoch 3   primary n1   in sync n1 n2 (2 of 2)',
    '  MEMBER  ROLE     IN SYNC  BEHIND  BYTES  DURABLE  DISK      STATE',
    '  n1      primary  yes           -      -    1,204  aaaaaaaa  serving',
    '  n2      unknown  yes       20 ms   10 B    1,204  bbbbbbbb  unreachable',
    '  n3      learner  no            -      -        -  -         unreachable',
    'change   replace n2 by n3, ordered by ann@ops 12.0 s ago',
    'waits    n3 has not joined yet',
    'removed  n4, since 2026-11-30 12:00 UTC; it still has its data (kept for removedKeepMs)',
    'removed  n5, since 2026-11-30 12:00 UTC; it has no data of the space',
    'removed  n6, since 2026-11-30 12:00 UTC; it does not answer',
  ])
})

test('nothing under way; without a primary; the learner is installed', () => {
  assert.not.match(showMembers(at({ change: null })), /change|waits|removed/)
  const vacant = showMembers(at({ role: 'replica' }))
  assert.match(vacant, /primary none/)
  assert.match(vacant, /waits {4}no primary answers; the next one goes on with the change/)
  const install = { phase: 'pulling', source: 'n2', doneBytes: 1, totalBytes: 2,
    minimum: 7 } as const
  const learning = { ...lag, n3: { ...lag.n2, state: 'snapshotting', install } }
  assert.match(showMembers(at({ lag: learning })), /waits {4}n3 installs 1 of 2 B from n2$/)
})

test('--wait: each step once, to the end', () => {
  const waiting = new MembersWait({ add: 'n3', remove: 'n2', since }, ['n1', 'n2'])
  const steps = (listing: MembersListing | null, atMs = 0) => {
    const { steps, end } = waiting.look(listing, atMs)
    return [...steps, ...(end === null ? [] : [`(${end})`])]
  }
  assert.equal(steps(at()), ['n3 has not joined yet'])
  assert.equal(steps(at()), [])
  const behind = (has: number) => at({ change: { ...change, waitsFor: `n3 is at ${has}` } })
  assert.equal(steps(behind(5)), ['n3 is at 5'])
  assert.equal(steps(behind(6)), [], 'only the number differs')
  assert.equal(steps(null), ['no member answers'])
  const added = { members: ['n1', 'n2', 'n3'],
    change: { ...change, add: null, waitsFor: 'n2 is the primary, and hands over to n1 first' } }
  assert.equal(steps(at(added)), ['n3 is a member now; members: n1 n2 n3',
    'n2 is the primary, and hands over to n1 first'])
  const over = { members: ['n1', 'n3'], change: null }
  assert.equal(steps(at({ ...over, role: 'replica' })), [
    'no primary answers; the next one goes on with the change',
  ], 'a replica may not have heard')
  assert.equal(steps(at({ ...over, epoch: 4 })), ['n2 is no member any more; members: n1 n3',
    '(done)'])
})

test('--wait: progress of an install now and then', () => {
  const waiting = new MembersWait({ add: 'n3', remove: 'n2', since })
  const pulled = (doneBytes: number) => {
    const install = { phase: 'pulling', source: 'n2', doneBytes, totalBytes: 9,
      minimum: 7 } as const
    return at({ lag: { n3: { ...lag.n2, state: 'snapshotting', install } } })
  }
  assert.is(waiting.look(pulled(1), 0).steps.length, 1)
  assert.is(waiting.look(pulled(2), 4_999).steps.length, 0)
  assert.equal(waiting.look(pulled(3), 5_000).steps, ['n3 installs 3 of 9 B from n2'])
})

test('--wait: a change that vanished was not done', () => {
  const goal = { add: 'n3', remove: 'n2', since }
  const ends = (over: Partial<MemberStatus>): string | null =>
    new MembersWait(goal).look(at(over), 0).end
  assert.is(ends({ change: null }), 'gone')
  assert.is(ends({ change: null, members: ['n1', 'n2', 'n3'] }), 'gone', 'half of it')
  assert.is(ends({ change: null, members: ['n1', 'n3'] }), 'done')
  const other = { ...change, add: 'n4', since: '2026-11-30T13:00:00Z' }
  assert.is(ends({ change: other }), 'gone')
  assert.is(ends({ change: other, members: ['n1', 'n3'] }), 'done')
  assert.is(ends({ change: { ...change, add: 'n4' } }), 'gone', 'within the same second')
  const waiting = new MembersWait(goal)
  assert.is(waiting.look(at({ epoch: 4 }), 0).end, null)
  assert.is(waiting.look(at({ epoch: 3, change: null }), 0).end, null, 'a former primary')
})

test('--wait without an order: what is under way, if anything is', () => {
  const idle = new MembersWait()
  assert.equal(idle.look(at({ change: null }), 0), { steps: [], end: 'done' })
  assert.is(idle.name, null)
  const waiting = new MembersWait()
  assert.is(waiting.look(at(), 0).end, null)
  assert.is(waiting.name, 'replace n2 by n3')
  assert.is(waiting.look(at({ change: null }), 0).end, 'gone')
})

test('orders that contradict themselves are refused before anything is asked', async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const where = { cwd: '/', env: { ENGRAM_NATS_URL: 'nats://127.0.0.1:1' } }
    const { code, err } = await runHere(['space', 'members', 'demo', ...args], where)
    assert.is(code, 2, err)
    return err
  }
  assert.match(await refused('--cancel', '--add', 'n4'), /--cancel cannot be combined/)
  assert.match(await refused('--replace', 'n3=n4', '--remove', 'n3'), /--replace cannot be/)
  for (const wrong of ['n3', 'n3=', '=n4', 'n3=n3', 'a=b=c']) {
    assert.match(await refused('--replace', wrong), /does not name two nodes\n.*--replace n3=n4/)
  }
  assert.match(await refused('--add', 'a.b'), /invalid node name/)
  assert.match(await refused('--yes'), /--yes confirms nothing/)
})

test.run()
