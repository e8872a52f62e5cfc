/** `engram rehearse`: from the reports of the nodes to what is shown. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultTimes } from '../../../machines/protocol/defaultTimes.js'
import type { ArbiterView } from '../../../machines/rehearsal/situation.js'
import { showRehearsals } from '../../../runtime/cli/rehearseText.js'
import { rehearsalOf } from '../../../runtime/status/rehearsal.js'
import type { RehearsalOf } from '../../../runtime/status/rehearsal.js'
import { situationOf } from '../../../runtime/status/situation.js'
import type { MemberStatus, NodeStatus, NodeStatusReport } from '../../../runtime/status/status.js'
import { runHere } from '../../support/cli.js'
import { report } from '../../support/pageKit.js'

const test = suite('engram rehearse')

const all = ['n1', 'n2', 'n3']

interface Over {
  readonly member?: Partial<MemberStatus>
  readonly members?: Readonly<Record<string, Partial<MemberStatus>>>
  readonly nodes?: Readonly<Record<string, Partial<NodeStatus>>>
  readonly silent?: readonly string[]
  readonly spaces?: readonly string[]
}

/** n1 is primary; all are in sync, and n2 lacks one entry. */
function reports(over: Over = {}): NodeStatusReport[] {
  return all.filter((id) => !over.silent?.includes(id)).map((id) => {
    const { node, spaces: [member] } = report(id)
    const sequence = id === 'n2' ? 41 : 42
    const own: MemberStatus = {
      ...member!,
      members: all,
      inSync: all,
      minInSync: 2,
      rf: 3,
      ack: 'durable',
      endSequence: 42,
      arbiter: 'reachable',
      lossWindow: { entries: 2, bytes: 2100, ms: 12 },
      election: { position: { epoch: 3, sequence }, committed: { epoch: 3, sequence: 40 },
        highestEpoch: 3 },
      ...(id === 'n1' && { disks: Object.fromEntries(all.map((one) => [one, `disk of ${one}`])) }),
      ...over.member,
      ...over.members?.[id],
    }
    const peers = Object.fromEntries(all.filter((peer) => peer !== id)
      .map((peer) => [peer, { state: 'alive', silenceMs: 30, reason: '' }]))
    return {
      format: 1,
      node: { ...node, connection: 1, disk: `disk of ${id}`, natsServer: 'A', peers,
        times: defaultTimes, ...over.nodes?.[id] },
      spaces: (over.spaces ?? ['demo']).map((space) => ({ ...own, space })),
    }
  })
}

const told = (over?: Over, of: RehearsalOf = { space: 'demo' },
  arbiters: ReadonlyMap<string, ArbiterView> = new Map()) =>
  rehearsalOf(reports(over), { arbiters, absent: new Set() }, of)

test('one space, in full', () => {
  assert.equal(showRehearsals(told(), null).split('\n'), [
    'demo, epoch 3: n1 is primary',
    '',
    'If the process of n1 were gone now:',
    '  n3 is primary in about 0.1 s: NATS says that n1 is no longer connected',
    '    MEMBER  AT       IN SYNC  THEN',
    '    n2      (3, 41)  yes      stands by: n3 is at (3, 42), this member is at (3, 41)',
    '    n3      (3, 42)  yes      takes over',
    '  at risk: 2 acknowledged writes (2.1 kB) not safe yet; n3 has all entries of n1',
    '  weakest point then: 2 members in sync, minInSync is 2: the next loss stops `committed` '
    + 'writes',
    '',
    'If n1 hung:',
    '  n3 is primary in about 2.2 s: n1 was not heard for the length of a lease',
    '    MEMBER  AT       IN SYNC  THEN',
    '    n2      (3, 41)  yes      stands by: n3 is at (3, 42), this member is at (3, 41)',
    '    n3      (3, 42)  yes      takes over',
    '  at risk: 2 acknowledged writes (2.1 kB) not safe yet; n3 has all entries of n1',
    '  weakest point then: 2 members in sync, minInSync is 2: the next loss stops `committed` '
    + 'writes',
  ])
})

test('what blocks it', () => {
  const paused = { since: '2026-11-30T12:00:00Z', by: 'ann' }
  const lines = showRehearsals(told({ member: { paused } }), null).split('\n')
  assert.is(lines[3], '  blocked: n2, n3: held: paused since 2026-11-30T12:00:00Z by ann')
  assert.is(lines[7], '  at risk: 2 acknowledged writes (2.1 kB) not safe yet')
  assert.is(lines[8], '  weakest point then: no write is taken until that is mended')
})

test('a node with several spaces: one line each, and why one is blocked', () => {
  const arbiters = new Map<string, ArbiterView>(
    all.map((id) => [id, { kind: 'unreachable', reason: 'no leader' }]),
  )
  const over = { spaces: ['a', 'b'] }
  assert.equal(showRehearsals(told(over, { node: 'n1' }), 'n1').split('\n'), [
    'SPACE  ROLE     IF n1 IS GONE  IF IT HANGS  AT RISK  WEAKEST POINT THEN',
    'a      primary  n3 in 0.1 s    n3 in 2.2 s        2  2 members in sync, minInSync is 2: the '
    + 'next loss stops `committed` writes',
    'b      primary  n3 in 0.1 s    n3 in 2.2 s        2  2 members in sync, minInSync is 2: the '
    + 'next loss stops `committed` writes',
  ])
  const blocked = showRehearsals(told(over, { node: 'n1' }, arbiters), 'n1').split('\n')
  assert.equal(blocked.slice(3), ['a: blocked: n2, n3: no leader', 'b: blocked: n2, n3: no leader'])
  const replica = showRehearsals(told(over, { node: 'n2' }), 'n2').split('\n')
  assert.match(replica[1]!, /^a +in sync +n1 goes on +n1 goes on +0 /)
})

test('a replica of one space', () => {
  const lines = showRehearsals(told({}, { node: 'n2' }), 'n2').split('\n')
  assert.equal(lines.slice(0, 7), [
    'demo, epoch 3: n2 is no primary, n1 is',
    '',
    'If the process of n2 were gone now:',
    '  n1 goes on, and takes n2 out of the in-sync set as NATS says that n2 is no longer connected',
    '  `committed` writes wait for about 0.3 s',
    '  at risk: nothing',
    '  weakest point then: 2 members in sync, minInSync is 2: the next loss stops `committed` '
    + 'writes',
  ])
})

test('without a primary that answers, nothing is said of the space', () => {
  const blocked = 'blocked: n2 is not in sync; waiting for one of n1'
  const without = told({ silent: ['n1'], member: { blocked } })
  assert.equal(without, { rehearsals: [],
    unknown: [{ space: 'demo', reason: `it has no primary that answers: ${blocked}` }] })
  assert.is(showRehearsals(without, null),
    `demo: nothing can be said: it has no primary that answers: ${blocked}`)
  assert.is(showRehearsals(told({}, { node: 'n9' }), 'n9'),
    'n9 is a member of no space: nothing depends on it.')
})

test('members of an earlier version count as silent; a primary of one says too little', () => {
  const { rehearsals: [one] } = told({ members: { n3: { election: undefined as never } } })
  assert.equal([one!.gone.winner, one!.gone.candidates[1]!.state], ['n2', 'unanswered'])
  const { unknown: [other] } = told({ nodes: { n1: { times: null } } })
  assert.is(other!.reason, 'n1 is of an earlier version, which says too little of elections')
})

test('what the nodes say of the arbiter', () => {
  const seen = (member: Partial<MemberStatus>, asked?: ArbiterView) => {
    const situation = situationOf('demo', reports({ member }), {
      arbiters: new Map(asked ? [['n2', asked]] : []),
      absent: new Set(),
    })
    return typeof situation === 'string' ? situation : situation.members.get('n2')!.arbiter
  }
  const away: ArbiterView = { kind: 'unreachable', reason: 'no leader' }
  const here: ArbiterView = { kind: 'reachable' }
  assert.equal(seen({}), here)
  assert.equal(seen({}, away), away)
  assert.equal(seen({ arbiter: 'unreachable' }).valueOf(), { kind: 'unreachable',
    reason: 'the arbiter does not answer' })
  assert.equal(seen({ arbiter: 'unreachable' }, here), here)
  assert.equal(seen({ arbiter: 'refuses', arbiterReason: 'full' }, here), { kind: 'refuses',
    reason: 'full' })
  assert.equal(seen({ arbiter: 'newer', arbiterReason: 'version 9' }), { kind: 'unusable',
    reason: 'version 9' })
})

test('either a space or a node', async () => {
  for (const args of [[], ['demo', '--node', 'n1']]) {
    const { code, err } = await runHere(['rehearse', ...args], { cwd: '/', env: {} })
    assert.is(code, 2)
    assert.match(err, 'rehearse needs a space or --node')
  }
})

test.run()
