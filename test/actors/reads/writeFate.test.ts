/** Entries that are in no log: lost, or never logged, as far as can be known. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../../actors/member/member.js'
import type { FateValue } from '../../../actors/ports/clientApi.js'
import { fateOf } from '../../../actors/reads/writeFate.js'
import type { ForkReport } from '../../../machines/log/forkNotes.js'
import { origin } from '../../../machines/log/positions.js'
import { report, salvage } from '../../support/forksKit.js'

const test = suite('write fate')

/** Epochs 2 (to 7), 3 (to 40, and left behind beyond) and 4, the present one, up to 60. */
const history = [{ epoch: 2, last: 7 }, { epoch: 3, last: 40 }, { epoch: 4, last: 60 }]

function memberWith(reports: readonly ForkReport[], disk: string, root = origin): Member {
  return {
    known: { epoch: 4, record: { assignment: { members: [{ node: 'n1', disk }] } } },
    log: {
      root,
      history,
      durable: { epoch: 4, sequence: 60 },
      safeSequence: 60,
      epochAt: (sequence: number) =>
        sequence < root.sequence ? 0 : history.find(({ last }) => sequence <= last)?.epoch,
    },
    store: {
      reports: () => reports,
      key: (key: string) => key === 'old' ? { epoch: 2, sequence: 5 } : undefined,
      keysRead: () => Promise.resolve(),
      quarantined: () => undefined,
    },
    overlay: { key: () => undefined },
  } as unknown as Member
}

async function ask(
  epoch: number,
  sequence: number,
  reports: readonly ForkReport[],
  disk = 'd1',
): Promise<Pick<FateValue, 'fate' | 'reason'>> {
  const { fate, reason } = await fateOf({ type: 'GetFate', epoch, sequence },
    memberWith(reports, disk), { origin: () => undefined } as never,
    () => Promise.resolve(undefined))
  return { fate, reason }
}

const closed = (over: Partial<ForkReport>): ForkReport =>
  report({ closedAtMs: 1, reason: 'as the test has it', ...over })
const taken = [salvage({ state: 'taken' })]

const cases: readonly [
  what: string,
  epoch: number,
  sequence: number,
  reports: ForkReport[],
  fate: FateValue['fate'],
  reason: RegExp,
][] = [
  ['a known one that is nowhere', 3, 50, [closed({ outcome: 'lost' })], 'lost', /is nowhere: the/],
  ['one beyond, the disk being gone', 3, 51, [closed({ outcome: 'lost' })], 'lost',
    /if there ever was such an entry.*50 is the last .* heard of/],
  ['one beyond what can have been acknowledged', 3, 46, [
    closed({ outcome: 'lost', lastKnown: 42, atMost: 5 }),
  ], 'unknown', /can have been acknowledged: epoch 3 had at most 5 beyond 40/],
  ['one that can have been', 3, 45, [closed({ outcome: 'lost', lastKnown: 42, atMost: 5 })], 'lost',
    /if there ever was/],
  ['one beyond a disk that came back', 3, 51, [closed({ outcome: 'reconciled', salvages: taken })],
    'unknown', /was ever on the disk of n1, which had 50 as the last of epoch 3/],
  ['one beyond a disk that had nothing more', 3, 41, [closed({ outcome: 'level', lastKnown: 40 })],
    'unknown', /had 40 as the last/],
  ['one that was heard of, and is not on the disk that came back', 3, 49, [
    closed({ outcome: 'level' }),
  ], 'lost', /is nowhere/],
  ['one beyond, an operator having closed the report', 3, 99, [closed({ outcome: 'dismissed' })],
    'unknown', /before n1 came back/],
  ['one before the epoch began', 3, 7, [closed({ outcome: 'lost' })], 'unknown',
    /ever logged: those up to 40 are of other epochs/],
  ['one before it, the report being open', 3, 2, [report()], 'unknown', /of other epochs/],
  ['one that is out with its node', 3, 45, [report()], 'unknown', /has not come back yet/],
  ['one in a salvage', 3, 45, [report({ salvages: [salvage()] })], 'salvaged', /waits on n1/],
  ['one that nobody keeps, the report being open', 3, 44, [report({ salvages: [
    salvage({ begins: 46 }),
  ] })], 'unknown', /n1 no longer keeps it, and the report on epoch 3 is still open/],
  ['one after those that nobody keeps', 3, 46, [report({ salvages: [salvage({ begins: 46 })] })],
    'salvaged', /waits on n1/],
  ['one that nobody keeps', 3, 60, [closed({ outcome: 'lost', salvages: [
    salvage({ state: 'taken', begins: 62, spans: [{ epoch: 3, last: 70, writes: 30 }] }),
  ] })], 'lost', /it is nowhere: the report on epoch 3 is closed/],
  ['one beyond an epoch that ended in order', 2, 8, [], 'unknown', /epoch 2 ended with entry 7/],
  ['one of an epoch that nobody knows', 1, 3, [], 'unknown', /none of epoch 1/],
  ['one that may come', 4, 61, [], 'unknown', /has not logged entry 61 yet/],
  ['one before the present epoch', 4, 12, [], 'unknown', /entry 12 is of epoch 3/],
  ['one of an epoch to come', 9, 1, [], 'unknown', /no epoch 9 yet: the latest is 4/],
]

for (const [what, epoch, sequence, reports, fate, reason] of cases) {
  test(`${what}: ${fate}`, async () => {
    const answer = await ask(epoch, sequence, reports)
    assert.is(answer.fate, fate, answer.reason)
    assert.match(answer.reason, reason)
  })
}

test('one in a salvage whose node has another disk since: unknown', async () => {
  const dismissed = closed({ outcome: 'dismissed', salvages: [salvage()] })
  assert.is((await ask(3, 45, [dismissed])).fate, 'salvaged', 'kept until it is brought in')
  const { fate, reason } = await ask(3, 45, [dismissed], 'd2')
  assert.is(fate, 'unknown')
  assert.match(reason, /it waited on n1, .* has another disk now/)
})

test('one whose entry was given up is where it was, whatever it was before', async () => {
  const at = { type: 'GetFate', epoch: 2, sequence: 5 } as const
  const askOf = (reports: ForkReport[]) =>
    fateOf(at, memberWith(reports, 'd1'), { origin: () => undefined } as never, () =>
      Promise.resolve('gone'))
  const { fate, now, reason } = await askOf([])
  assert.equal([fate, now], ['safe', { epoch: 2, sequence: 5 }])
  assert.match(reason, /as entry 5$/)
  // Only after a report can it be the write of a fork.
  const early = await askOf([closed({ opened: { epoch: 2, sequence: 2 } })])
  assert.equal([early.fate, early.now], [fate, now])
  assert.match(early.reason, /no longer kept: .* by the position at which it was logged first/)
  assert.is((await askOf([closed({ opened: { epoch: 3, sequence: 8 } })])).reason, reason)
})

test('below the root of the history only what is found by its key is known', async () => {
  const root = { epoch: 3, sequence: 30 }
  const askOf = (question: Parameters<typeof fateOf>[0], reports: ForkReport[] = []) =>
    fateOf(question, memberWith(reports, 'd1', root), { origin: () => undefined } as never, () =>
      Promise.resolve(undefined))
  for (const [epoch, sequence] of [[2, 5], [3, 5], [3, 29]] as const) {
    const { fate, reason } = await askOf({ type: 'GetFate', epoch, sequence })
    assert.is(fate, 'unknown')
    assert.match(reason, /of entries below 30 .* ask for the fate .* by its idempotency key/)
  }
  const there = await askOf({ type: 'GetFate', epoch: 3, sequence: 30 })
  assert.is(there.fate, 'safe', 'the root itself')
  const never = await askOf({ type: 'GetFate', epoch: 4, sequence: 29 })
  assert.match(never.reason, /no such entry was ever logged: .* of epoch 3 or a lower one/)
  const byKey = await askOf({ type: 'GetFate', key: 'old' })
  assert.equal([byKey.fate, byKey.sequence], ['safe', 5])
  const start = { epoch: 1, sequence: 3 }
  const left = report({ epoch: 2, start, forkPoint: start, lastKnown: 9, outcome: 'lost' })
  const lost = await askOf({ type: 'GetFate', epoch: 2, sequence: 8 }, [left])
  assert.is(lost.fate, 'lost', 'a fork that has a report')
})

test.run()
