/** What would happen if a node failed: winner, evidence, time, what blocks it, the weakest point. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Position } from '../../machines/base/ids.js'
import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import type { Assignment } from '../../machines/protocol/messages.js'
import { rehearse } from '../../machines/rehearsal/rehearse.js'
import type { Rehearsed } from '../../machines/rehearsal/rehearse.js'
import type { ArbiterView, Failure, HeardNode, RehearsedMember, RehearsedNode,
  Situation } from '../../machines/rehearsal/situation.js'
import { weakestPoint } from '../../machines/rehearsal/weakestPoint.js'

const test = suite('rehearsal')

const at = (sequence: number, epoch = 3): Position => ({ epoch, sequence })
const heardNow: HeardNode = { silenceMs: 30, isAlive: true, isGone: false }

interface Over {
  readonly nodes?: readonly string[]
  readonly silent?: readonly string[]
  readonly absent?: readonly string[]
  readonly record?: Partial<Assignment>
  readonly members?: Readonly<Record<string, Partial<RehearsedMember>>>
  readonly on?: Readonly<Record<string, Partial<RehearsedNode>>>
  /** Pairs of nodes that do not hear each other. */
  readonly apart?: readonly (readonly [string, string])[]
  readonly endSequence?: number
}

/** n1 is primary; all are in sync and have 42 entries. */
function situation(over: Over = {}): Situation {
  const names = over.nodes ?? ['n1', 'n2', 'n3']
  const present = names.filter((node) => !over.silent?.includes(node))
  const isApart = (a: string, b: string) =>
    over.apart?.some((pair) => pair.includes(a) && pair.includes(b)) ?? false
  const nodes = new Map(present.map((node): [string, RehearsedNode] => [node, {
    node,
    disk: `disk of ${node}`,
    server: 'A',
    zone: '',
    isTilted: false,
    times: defaultTimes,
    heard: new Map(names.filter((peer) => peer !== node).map((peer) => [
      peer,
      !present.includes(peer) || isApart(node, peer)
        ? { silenceMs: 5000, isAlive: false, isGone: false }
        : heardNow,
    ])),
    ...over.on?.[node],
  }]))
  const record: Assignment = {
    version: 1,
    space: 'demo',
    uuid: 'u',
    epoch: 3,
    state: 'open',
    primary: { node: 'n1', incarnation: 7, connection: 1 },
    members: names.map((node) => ({ node, disk: `disk of ${node}` })),
    inSync: names,
    settings: { replicas: names.length - 1, ack: 'durable', minInSync: 2 },
    forced: false,
    nonce: '',
    writer: 'n1',
    ...over.record,
  }
  const members = new Map(
    [...nodes].filter(([node]) => record.members.some((one) => one.node === node))
      .map(([node, on]): [string, RehearsedMember] => [node, {
        on,
        position: at(42),
        committed: at(40),
        highestEpoch: 3,
        unfit: null,
        fault: null,
        arbiter: { kind: 'reachable' },
        ...over.members?.[node],
      }]),
  )
  return { record, nodes, members, absent: new Set(over.absent),
    atRisk: { entries: 2, bytes: 200, ms: 5 }, endSequence: over.endSequence ?? 42 }
}

const primaryFails = (failure: Failure, over?: Over): Rehearsed =>
  rehearse(situation(over), 'n1', failure)

const unreachable: ArbiterView = { kind: 'unreachable', reason: 'no leader' }

test('the process is gone: NATS proves it, within a heartbeat', () => {
  const told = primaryFails('gone')
  assert.equal([told.outcome, told.winner, told.orElse, told.evidence, told.certainty], [
    'promotion',
    'n2',
    [],
    'noResponders',
    'proof',
  ])
  assert.is(told.reason, 'NATS says that n1 is no longer connected')
  // 70 ms to the next check, two writes to the arbiter, a read, a flush.
  assert.ok(told.afterMs! > 70 && told.afterMs! < 150, `${told.afterMs} ms`)
  assert.equal(told.inSync, ['n2', 'n3'])
  assert.equal(told.candidates.map(({ node, state }) => `${node} ${state}`), ['n2 won',
    'n3 standingBy'])
  assert.is(told.candidates[1]!.reason, 'stands by: n2 is at (3, 42), this member is at (3, 42)')
  assert.is(told.weakest.code, 'noSpare')
})

test('it hangs: the last grant has to run out', () => {
  const told = primaryFails('hangs')
  assert.equal([told.winner, told.evidence, told.certainty], ['n2', 'grantExpired', 'grant'])
  assert.ok(told.afterMs! > 2150 && told.afterMs! < 2400, `${told.afterMs} ms`)
  assert.equal(told.inSync, ['n2', 'n3'])
})

test('the member that is further wins, also by its epoch', () => {
  const further = primaryFails('gone', { members: { n3: { position: at(44) } }, endSequence: 45 })
  assert.equal([further.winner, further.missing], ['n3', 1])
  assert.equal(further.atRisk, { entries: 2, bytes: 200, ms: 5 })
  const later = primaryFails('gone', { members: { n2: { position: at(50, 2) } } })
  assert.is(later.winner, 'n3')
})

test('a member that is not in sync, or has another disk, is none', () => {
  const out = primaryFails('gone', { record: { inSync: ['n1', 'n3'] },
    members: { n2: { position: at(50) } } })
  assert.equal([out.winner, out.inSync], ['n3', ['n3']])
  assert.is(out.candidates[0]!.reason, 'blocked: n2 is not in sync; waiting for one of n1, n3')
  assert.is(out.weakest.code, 'committedRefused')
  const other = primaryFails('gone', { on: { n2: { disk: 'another' } } })
  assert.is(other.winner, 'n3')
  assert.match(other.candidates[0]!.reason, /n2 came back with another disk/)
})

test('nobody is in sync beside the primary', () => {
  const told = primaryFails('gone', { record: { inSync: ['n1'] } })
  assert.equal([told.outcome, told.winner, told.certainty, told.afterMs], ['blocked', null, 'never',
    null])
  assert.is(told.reason, 'n2: blocked: n2 is not in sync; waiting for one of n1; '
    + 'n3: blocked: n3 is not in sync; waiting for one of n1')
  assert.equal([told.weakest.code, told.missing], ['noPrimary', null])
})

test('paused, and drained', () => {
  const paused = primaryFails('gone', { record: { paused: { since: 'noon', by: 'ann' } } })
  assert.is(paused.reason, 'n2, n3: held: paused since noon by ann')
  const drained = { unfit: 'n2 is drained since noon by ann' }
  const one = primaryFails('gone', { members: { n2: drained } })
  assert.is(one.winner, 'n3')
  assert.is(one.candidates[0]!.reason, 'held: n2 is drained since noon by ann')
  assert.equal(one.weakest, { code: 'noSuccessor',
    text: 'nobody could take over from n3: n2 is drained since noon by ann' })
  const both = primaryFails('gone', { members: { n2: drained, n3: { unfit: 'n3 is drained' } } })
  assert.is(both.reason, 'n2: held: n2 is drained since noon by ann; n3: held: n3 is drained')
})

test('a member with a fault is no candidate, and nobody waits for it', () => {
  const fault = 'its journal cannot be written'
  const told = primaryFails('gone', {
    members: { n2: { unfit: fault, fault, position: at(45) } },
  })
  assert.is(told.winner, 'n3')
  assert.ok(told.afterMs! < 150, `${told.afterMs} ms`)
  assert.equal([told.candidates[0]!.state, told.candidates[0]!.reason], ['unfit',
    `is not a candidate: ${fault}`])
})

test('the arbiter is away: for all, and for the best alone', () => {
  const all = primaryFails('gone', {
    members: { n2: { arbiter: unreachable }, n3: { arbiter: unreachable } },
  })
  assert.equal([all.outcome, all.reason], ['blocked', 'n2, n3: no leader'])
  assert.equal(all.candidates.map(({ state }) => state), ['waitingForArbiter', 'waitingForArbiter'])
  // The other one stands by four times, and goes on then.
  const best = primaryFails('gone', { members: { n2: { arbiter: unreachable } } })
  assert.is(best.winner, 'n3')
  assert.ok(best.afterMs! > 1300 && best.afterMs! < 2000, `${best.afterMs} ms`)
})

test('the arbiter stores nothing, or no record that can be read', () => {
  const full: ArbiterView = { kind: 'refuses', reason: 'maximum bytes exceeded' }
  const told = primaryFails('gone', { members: { n2: { arbiter: full }, n3: { arbiter: full } } })
  assert.is(told.reason, 'n2, n3: blocked: maximum bytes exceeded')
  const torn: ArbiterView = { kind: 'unusable', reason: 'the record is torn' }
  const none = primaryFails('gone', { members: { n2: { arbiter: torn }, n3: { arbiter: torn } } })
  assert.is(none.reason, 'n2, n3: blocked: the record is torn')
})

test('another NATS server: a witness there proves it, else the grant has to run out', () => {
  const elsewhere = { on: { n2: { server: 'B' }, n3: { server: 'B' } } }
  assert.is(primaryFails('gone', elsewhere).certainty, 'grant')
  const witness = primaryFails('gone', { ...elsewhere, nodes: ['n1', 'n2', 'n3', 'n4'],
    record: { members: ['n1', 'n2', 'n3'].map((node) => ({ node, disk: `disk of ${node}` })),
      inSync: ['n1', 'n2', 'n3'] } })
  assert.equal([witness.certainty, witness.winner], ['proof', 'n2'])
})

test('a member that does not answer is named, and leaves the set', () => {
  const told = primaryFails('gone', { silent: ['n2'] })
  assert.equal([told.winner, told.inSync], ['n3', ['n3']])
  assert.equal([told.candidates[0]!.position, told.candidates[0]!.state], [null, 'unanswered'])
  assert.is(told.weakest.code, 'committedRefused')
  assert.match(told.candidates[0]!.reason, /^it does not answer: if it lives, and is further/)
})

test('a survey waits for a member that hangs, and not for one that is not there', () => {
  const on = { n3: { heard: new Map([['n1', heardNow], ['n2', heardNow]]) } }
  const hangs = primaryFails('gone', { silent: ['n2'], on })
  const absent = primaryFails('gone', { silent: ['n2'], on, absent: ['n2'] })
  assert.is(hangs.afterMs! - absent.afterMs!, 150 - 2)
  assert.equal([absent.candidates[0]!.state, absent.candidates[0]!.reason], ['absent',
    'it is not connected to NATS'])
  assert.equal(absent.inSync, ['n2', 'n3'], 'its grant has not run out')
})

test('two that do not hear each other both claim: the arbiter decides', () => {
  const told = primaryFails('gone', { apart: [['n2', 'n3']] })
  assert.equal([told.winner, ...told.orElse].toSorted(), ['n2', 'n3'])
})

test('a node in doubt concludes nothing', () => {
  const told = primaryFails('gone', { on: { n2: { isTilted: true }, n3: { isTilted: true } } })
  assert.is(told.outcome, 'blocked')
  assert.match(told.reason, /n2 doubts its own clock or event loop/)
})

test('a replica in sync fails: the primary goes on, if the arbiter lets it', () => {
  const gone = rehearse(situation(), 'n3', 'gone')
  assert.equal([gone.outcome, gone.winner, gone.inSync, gone.certainty, gone.weakest.code], [
    'stays',
    'n1',
    ['n1', 'n2'],
    'proof',
    'noSpare',
  ])
  assert.is(gone.atRisk.entries, 0)
  assert.is(gone.afterMs, 277, 'it is suspected after three heartbeats')
  const hangs = rehearse(situation(), 'n3', 'hangs')
  assert.equal([hangs.certainty, hangs.afterMs], ['grant', 1005])
  const cut = rehearse(situation({ members: { n1: { arbiter: unreachable } } }), 'n3', 'gone')
  assert.equal([cut.outcome, cut.winner], ['blocked', null])
  assert.is(cut.reason, 'n1 cannot take n3 out of the in-sync set (no leader), and its lease '
    + 'ends without the grant of n3, after 2.0 s')
})

test('a member that is not in sync, and a node that is no member, are missed by nobody', () => {
  const lagging = rehearse(situation({ record: { inSync: ['n1', 'n2'] } }), 'n3', 'gone')
  assert.equal([lagging.outcome, lagging.reason], ['unaffected',
    'n3 is not in sync: nothing waits for it'])
  assert.is(rehearse(situation(), 'n9', 'hangs').reason, 'n9 is no member: nothing waits for it')
})

test('the only member', () => {
  const told = primaryFails('gone', { nodes: ['n1'] })
  assert.equal([told.outcome, told.reason], ['blocked', 'it has no other member'])
})

test('weakest points', () => {
  const code = (
    count: number,
    minInSync: number,
    more: object = {},
    { zone = '', obstacle = null }: { zone?: string; obstacle?: string | null } = {},
  ) => {
    const nodes = ['n1', 'n2', 'n3', 'n4', 'n5']
    const record = {
      members: nodes.map((node) => ({ node, disk: '' })),
      primary: { node: 'n1', incarnation: 1, connection: 1 },
      settings: { replicas: 4, ack: 'durable' as const, minInSync, ...more },
    }
    return weakestPoint(record, nodes.slice(0, count), () => zone, () => obstacle).code
  }
  assert.equal([1, 2, 3, 4].map((count) => code(count, 2)), ['committedRefused', 'noSpare', 'none',
    'none'])
  assert.equal([1, 2, 3].map((count) => code(count, 1)), ['lastCopy', 'twoCopies', 'none'])
  assert.is(code(1, 1, { whenUnderReplicated: 'wait' }), 'writesHeld')
  assert.is(code(3, 2, {}, { zone: 'a' }), 'oneZone')
  assert.equal([1, 2, 3].map((count) => code(count, 1, {}, { obstacle: 'it is drained' })), [
    'lastCopy',
    'noSuccessor',
    'noSuccessor',
  ])
})

test.run()
