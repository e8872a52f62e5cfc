import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { promotionMachine } from '../../machines/promotion.js'
import type { PromotionEvent, PromotionInput } from '../../machines/promotion.js'
import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import { answerOf, positionOf, recordOf } from './goldenRecords.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/promotion')

const input: PromotionInput = {
  space: 'demo',
  self: 'n2',
  disk: 'disk-n2',
  times: defaultTimes,
  jitterMs: 50,
  forced: false,
  adopted: null,
}
const position = positionOf(3, 1040)
const further = { epoch: 3, sequence: 1042 }
const read = recordOf()
const claim = recordOf({ revision: 8, epoch: 4, state: 'claimed', primary: 'n2' })
const shrunk = recordOf({
  revision: 9,
  epoch: 4,
  state: 'claimed',
  primary: 'n2',
  inSync: ['n2', 'n3'],
})
const open = recordOf({ revision: 9, epoch: 4, primary: 'n2' })
const shrunkOpen = recordOf({ revision: 10, epoch: 4, primary: 'n2', inSync: ['n2', 'n3'] })

const recordRead: PromotionEvent = { type: 'recordRead', record: read, position }
const surveyed = (...answers: ReturnType<typeof answerOf>[]): PromotionEvent => ({ type: 'surveyed',
  answers, position })
const alone = surveyed(answerOf('n3', { epoch: 3, sequence: 1038 }))
const outdone = surveyed(answerOf('n3', further))
const vacancyProven: PromotionEvent = { type: 'vacancyProven', vacancy: 'noResponders' }
const claimed: PromotionEvent = { type: 'claimed', record: claim }
const epochStarted: PromotionEvent = { type: 'epochStarted', sequence: 1041 }
const grantsHeld: PromotionEvent = { type: 'grantsHeld' }
const opened: PromotionEvent = { type: 'opened', record: open }
const missing = (shrinkable: boolean): PromotionEvent => ({ type: 'grantsMissing', nodes: ['n1'],
  shrinkable })
const refused: PromotionEvent = { type: 'compareAndSetRefused',
  reason: 'the record is at epoch 4 of n3' }
const primarySeen: PromotionEvent = { type: 'primarySeen', reason: 'n3 is primary in epoch 4' }
const rejected: PromotionEvent = { type: 'compareAndSetRejected', reason: 'maximum bytes exceeded' }
const toClaim = [recordRead, alone, vacancyProven]
const toGrants = [...toClaim, claimed, epochStarted]

test('a clean win', () => {
  const text = transcript(promotionMachine, input, [...toGrants, grantsHeld, opened])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking
      survey record:epoch 3 open, n1 of n1+n2+n3 @7
    > surveyed answers:[n3 at (3, 1038)],position:(3, 1040)
    awaitingVacancy: this member is at (3, 1040); n3 at (3, 1038)
      progressed state:awaitingVacancy
      watchVacancy record:epoch 3 open, n1 of n1+n2+n3 @7
    > vacancyProven vacancy:noResponders
    claiming: the epoch is over: noResponders
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1+n2+n3 @7,answers:[n3 at (3, 1038)],vacancy:noResponders
    > claimed record:epoch 4 claimed, n2 of n1+n2+n3 @8
    opening.appending: epoch 4 is claimed
      progressed state:opening
      startEpoch record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > epochStarted sequence:1041
    opening.awaitingGrants: epoch 4 is claimed
      watchGrants record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > grantsHeld
    confirming: the grants of all in-sync members are held
      progressed state:confirming
      open record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > opened record:epoch 4 open, n2 of n1+n2+n3 @9
    won: won`))
})

test('stands by for a better candidate, which then is silent, and wins', () => {
  const text = transcript(promotionMachine, input, [
    recordRead,
    outdone,
    { after: 'standBy' },
    recordRead,
    surveyed(),
    vacancyProven,
  ])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking
      survey record:epoch 3 open, n1 of n1+n2+n3 @7
    > surveyed answers:[n3 at (3, 1042)],position:(3, 1040)
    standingBy: stands by: n3 is at (3, 1042), this member is at (3, 1040)
      progressed state:standingBy
    > after standBy
    surveying.reading: stands by: n3 is at (3, 1042), this member is at (3, 1040)
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking: stands by: n3 is at (3, 1042), this member is at (3, 1040)
      survey record:epoch 3 open, n1 of n1+n2+n3 @7
    > surveyed answers:[],position:(3, 1040)
    awaitingVacancy: this member is at (3, 1040); nobody answered
      progressed state:awaitingVacancy
      watchVacancy record:epoch 3 open, n1 of n1+n2+n3 @7
    > vacancyProven vacancy:noResponders
    claiming: the epoch is over: noResponders
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1+n2+n3 @7,answers:[],vacancy:noResponders`))
})

test('a better candidate that never moves is not waited for without end', () => {
  const text = transcript(promotionMachine, input, [
    ...Array.from({ length: 4 }, () => [recordRead, outdone, { after: 'standBy' }]).flat(),
    recordRead,
    outdone,
    vacancyProven,
  ]).split('\n').slice(-8).join('\n')
  assert.is(text, golden(`
    > surveyed answers:[n3 at (3, 1042)],position:(3, 1040)
    awaitingVacancy: stands by: n3 is at (3, 1042), this member is at (3, 1040)
      progressed state:awaitingVacancy
      watchVacancy record:epoch 3 open, n1 of n1+n2+n3 @7
    > vacancyProven vacancy:noResponders
    claiming: the epoch is over: noResponders
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1+n2+n3 @7,answers:[n3 at (3, 1042)],vacancy:noResponders`))
})

test('one that serves ends the attempt', () => {
  const serving = surveyed(answerOf('n1', further, { serving: true }))
  const text = transcript(promotionMachine, input, [recordRead, serving])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking
      survey record:epoch 3 open, n1 of n1+n2+n3 @7
    > surveyed answers:[n1 at (3, 1042) serving],position:(3, 1040)
    stoodDown: n1 serves with valid grants
      progressed state:stoodDown`))
})

test('another one was faster with its claim', () => {
  const text = transcript(promotionMachine, input, [...toClaim, refused])
    .split('\n').slice(-6).join('\n')
  assert.is(text, golden(`
    claiming: the epoch is over: noResponders
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1+n2+n3 @7,answers:[n3 at (3, 1038)],vacancy:noResponders
    > compareAndSetRefused reason:the record is at epoch 4 of n3
    stoodDown: the record is at epoch 4 of n3
      progressed state:stoodDown`))
})

test('a handover in my favour: the claim is there already', () => {
  const text = transcript(promotionMachine, { ...input, adopted: claim }, [
    epochStarted,
    grantsHeld,
    opened,
  ])
  assert.is(text, golden(`
    opening.appending: epoch 4 is claimed
      progressed state:opening
      startEpoch record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > epochStarted sequence:1041
    opening.awaitingGrants: epoch 4 is claimed
      watchGrants record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > grantsHeld
    confirming: the grants of all in-sync members are held
      progressed state:confirming
      open record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > opened record:epoch 4 open, n2 of n1+n2+n3 @9
    won: won`))
})

test('a member whose grant is missing is waited for, then left out', () => {
  const text = transcript(promotionMachine, { ...input, adopted: claim }, [
    epochStarted,
    missing(false),
    missing(true),
    { type: 'inSyncShrunk', record: shrunk },
    grantsHeld,
    { type: 'opened', record: shrunkOpen },
  ])
  assert.is(text, golden(`
    opening.appending: epoch 4 is claimed
      progressed state:opening
      startEpoch record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > epochStarted sequence:1041
    opening.awaitingGrants: epoch 4 is claimed
      watchGrants record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > grantsMissing nodes:[n1],shrinkable:false
    opening.awaitingGrants: waits for the grants of n1
    > grantsMissing nodes:[n1],shrinkable:true
    opening.shrinking: no grant from n1
      progressed state:opening
      shrink record:epoch 4 claimed, n2 of n1+n2+n3 @8,without:[n1]
    > inSyncShrunk record:epoch 4 claimed, n2 of n2+n3 @9
    opening.awaitingGrants: no grant from n1
      watchGrants record:epoch 4 claimed, n2 of n2+n3 @9
    > grantsHeld
    confirming: the grants of all in-sync members are held
      progressed state:confirming
      open record:epoch 4 claimed, n2 of n2+n3 @9
    > opened record:epoch 4 open, n2 of n2+n3 @10
    won: won`))
})

test('a grant that runs out while the opening is confirmed', () => {
  const text = transcript(promotionMachine, { ...input, adopted: claim }, [
    epochStarted,
    grantsHeld,
    { type: 'leaseLapsed', reason: 'no valid grant from n3' },
  ]).split('\n').slice(-6).join('\n')
  assert.is(text, golden(`
    confirming: the grants of all in-sync members are held
      progressed state:confirming
      open record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > leaseLapsed reason:no valid grant from n3
    stoodDown: no valid grant from n3
      progressed state:stoodDown`))
})

test('blocked: not in sync, then an epoch is seen', () => {
  const record = recordOf({ inSync: ['n1'] })
  const text = transcript(promotionMachine, input, [
    { type: 'recordRead', record, position },
    { after: 'blockedRetry' },
    { type: 'recordRead', record, position },
    primarySeen,
  ])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1 @7,position:(3, 1040)
    blocked: blocked: n2 is not in sync; waiting for one of n1
      progressed state:blocked
    > after blockedRetry
    surveying.reading: blocked: n2 is not in sync; waiting for one of n1
      readRecord
    > recordRead record:epoch 3 open, n1 of n1 @7,position:(3, 1040)
    blocked: blocked: n2 is not in sync; waiting for one of n1
      progressed state:blocked
    > primarySeen reason:n3 is primary in epoch 4
    stoodDown: n3 is primary in epoch 4
      progressed state:stoodDown`))
})

test('blocked: back with another disk', () => {
  const text = transcript(promotionMachine, { ...input, disk: 'new' }, [recordRead])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    blocked: blocked: n2 came back with another disk; waiting for one of n1, n2, n3
      progressed state:blocked`))
})

test('the arbiter is away for a while', () => {
  const text = transcript(promotionMachine, input, [
    { type: 'recordUnavailable', reason: 'timeout' },
    { after: 'retry' },
    recordRead,
  ])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordUnavailable reason:timeout
    surveying.waitingForArbiter: timeout
      progressed state:waitingForArbiter
    > after retry
    surveying.reading: timeout
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking: timeout
      survey record:epoch 3 open, n1 of n1+n2+n3 @7`))
})

test('blocked: the arbiter rejects what this member writes, then takes it', () => {
  const text = transcript(promotionMachine, input, [
    ...toClaim,
    rejected,
    { after: 'blockedRetry' },
    ...toClaim,
    claimed,
    rejected,
  ])
  assert.is(text.slice(text.indexOf('> compareAndSetRejected')), golden(`
    > compareAndSetRejected reason:maximum bytes exceeded
    blocked: blocked: maximum bytes exceeded
      progressed state:blocked
    > after blockedRetry
    surveying.reading: blocked: maximum bytes exceeded
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking: blocked: maximum bytes exceeded
      survey record:epoch 3 open, n1 of n1+n2+n3 @7
    > surveyed answers:[n3 at (3, 1038)],position:(3, 1040)
    awaitingVacancy: this member is at (3, 1040); n3 at (3, 1038)
      progressed state:awaitingVacancy
      watchVacancy record:epoch 3 open, n1 of n1+n2+n3 @7
    > vacancyProven vacancy:noResponders
    claiming: the epoch is over: noResponders
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1+n2+n3 @7,answers:[n3 at (3, 1038)],vacancy:noResponders
    > claimed record:epoch 4 claimed, n2 of n1+n2+n3 @8
    opening.appending: epoch 4 is claimed
      progressed state:opening
      startEpoch record:epoch 4 claimed, n2 of n1+n2+n3 @8
    > compareAndSetRejected reason:maximum bytes exceeded
    blocked: blocked: maximum bytes exceeded
      progressed state:blocked`))
})

test('held: an operator wants no failover; released, it goes on at once', () => {
  const held: PromotionEvent = { ...recordRead, hold: 'paused since t by ann' } as PromotionEvent
  const text = transcript(promotionMachine, input, [
    held,
    { after: 'heldRetry' },
    held,
    { type: 'released', reason: 'nothing holds it any more' },
    recordRead,
  ])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040),hold:paused since t by ann
    held: held: paused since t by ann
      progressed state:held
    > after heldRetry
    surveying.reading: held: paused since t by ann
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040),hold:paused since t by ann
    held: held: paused since t by ann
      progressed state:held
    > released reason:nothing holds it any more
    surveying.reading: nothing holds it any more
      readRecord
    > recordRead record:epoch 3 open, n1 of n1+n2+n3 @7,position:(3, 1040)
    surveying.asking: nothing holds it any more
      survey record:epoch 3 open, n1 of n1+n2+n3 @7`))
})

test('a member that is not in sync is blocked, held or not; a forced one is neither', () => {
  const stranger = { type: 'recordRead', record: recordOf({ inSync: ['n1'] }), position, hold: 'x' }
  const run = runTimed(promotionMachine, input)
  run.actor.send(stranger as PromotionEvent)
  assert.is(run.actor.getSnapshot().value, 'blocked')
  const forced = runTimed(promotionMachine, { ...input, forced: true })
  forced.actor.send(stranger as PromotionEvent)
  assert.equal(forced.actor.getSnapshot().value, { surveying: 'asking' })
})

test('a node that is no member is blocked, also when it is forced', () => {
  const record = recordOf({ inSync: ['n1'] })
  const members = record.assignment.members.filter(({ node }) => node !== input.self)
  const without = { ...record, assignment: { ...record.assignment, members } }
  const run = runTimed(promotionMachine, { ...input, forced: true })
  run.actor.send({ type: 'recordRead', record: without, position, hold: null })
  assert.is(run.actor.getSnapshot().value, 'blocked')
  assert.match(run.actor.getSnapshot().context.lastReason, /n2 is no member of the space/)
})

test('blocked: the record cannot be stood upon', () => {
  const unusable: PromotionEvent = { type: 'recordUnusable', reason: 'a newer node wrote it' }
  const text = transcript(promotionMachine, input, [unusable])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordUnusable reason:a newer node wrote it
    blocked: blocked: a newer node wrote it
      progressed state:blocked`))
})

test('while the arbiter rejects, it is asked less and less often, and at once when it is not', () => {
  const run = runTimed(promotionMachine, input)
  const waits: number[] = []
  for (let attempt = 0; attempt < 7; attempt += 1) {
    for (const event of [...toClaim, rejected]) run.actor.send(event)
    let waitedMs = 0
    while (run.actor.getSnapshot().value === 'blocked') {
      run.clock.advance(50)
      waitedMs += 50
    }
    waits.push(waitedMs)
  }
  assert.equal(waits, [650, 1250, 2450, 4850, 4850, 4850, 4850], 'two stand-bys and the jitter')
  for (const event of [...toClaim, claimed]) run.actor.send(event)
  const { obstacle, obstructions } = run.actor.getSnapshot().context
  assert.equal([obstacle, obstructions], [null, 0])
})

test('an operator forces it: neither the in-sync rule nor one that serves is in the way', () => {
  const record = recordOf({ inSync: ['n1'] })
  const text = transcript(promotionMachine, { ...input, forced: true }, [
    { type: 'recordRead', record, position },
    primarySeen,
    surveyed(answerOf('n1', further, { serving: true })),
    { type: 'vacancyProven', vacancy: 'none' },
  ])
  assert.is(text, golden(`
    surveying.reading
      readRecord
    > recordRead record:epoch 3 open, n1 of n1 @7,position:(3, 1040)
    surveying.asking
      survey record:epoch 3 open, n1 of n1 @7
    > primarySeen reason:n3 is primary in epoch 4
    surveying.asking
    > surveyed answers:[n1 at (3, 1042) serving],position:(3, 1040)
    awaitingVacancy: n1 serves with valid grants
      progressed state:awaitingVacancy
      watchVacancy record:epoch 3 open, n1 of n1 @7
    > vacancyProven vacancy:none
    claiming: the epoch is over: none
      progressed state:claiming
      claim record:epoch 3 open, n1 of n1 @7,answers:[n1 at (3, 1042) serving],vacancy:none`))
})

test('a forced claim stands down, as any, before a later epoch', () => {
  for (const last of [refused, primarySeen]) {
    const run = runTimed(promotionMachine, { ...input, forced: true })
    for (const event of [...toClaim, claimed, last]) run.actor.send(event)
    assert.is(run.actor.getSnapshot().value, 'stoodDown')
  }
})

const endings: readonly [string, readonly PromotionEvent[], string][] = [
  ['won', [...toGrants, grantsHeld, opened], 'won'],
  ['the open was refused', [...toGrants, grantsHeld, refused], 'the record is at epoch 4 of n3'],
  ['the shrink was refused', [...toGrants, missing(true), refused],
    'the record is at epoch 4 of n3'],
  ['a later epoch while opening', [...toClaim, claimed, primarySeen], 'n3 is primary in epoch 4'],
  ['a later epoch while waiting', [recordRead, alone, primarySeen], 'n3 is primary in epoch 4'],
  ['a later epoch while standing by', [recordRead, outdone, primarySeen],
    'n3 is primary in epoch 4'],
  ['the disk', [...toClaim, claimed, { type: 'stepFailed', reason: 'disk full' }], 'disk full'],
]

test('how it ends', () => {
  for (const [name, events, reason] of endings) {
    const run = runTimed(promotionMachine, input)
    for (const event of events) run.actor.send(event)
    const { output } = run.actor.getSnapshot()
    if (reason === 'won') assert.equal(output, { kind: 'won', record: open, epochStart: 1041 })
    else assert.equal(output, { kind: 'stoodDown', reason }, name)
  }
})

test('the compare-and-set in flight decides, not what is heard beside it', () => {
  const places: readonly [readonly PromotionEvent[], string][] = [[toClaim, 'claiming'], [[
    ...toGrants,
    grantsHeld,
  ], 'confirming']]
  for (const [before, state] of places) {
    const run = runTimed(promotionMachine, input)
    for (const event of before) run.actor.send(event)
    run.actor.send(primarySeen)
    assert.is(run.actor.getSnapshot().value, state)
  }
})

test('patience: stand-by with jitter, retries, and a primary that is heard after all', () => {
  const standingBy = runTimed(promotionMachine, input)
  for (const event of [recordRead, outdone]) standingBy.actor.send(event)
  standingBy.clock.advance(349)
  assert.is(standingBy.actor.getSnapshot().value, 'standingBy')
  standingBy.clock.advance(1)
  assert.equal(standingBy.actor.getSnapshot().value, { surveying: 'reading' })

  const waiting = runTimed(promotionMachine, input)
  for (const event of [recordRead, alone]) waiting.actor.send(event)
  waiting.clock.advance(2000 * 1.1 * 1.5 - 1)
  assert.is(waiting.actor.getSnapshot().value, 'awaitingVacancy', 'longer than any grant')
  waiting.clock.advance(1)
  assert.match(waiting.actor.getSnapshot().context.lastReason, /no proof that its epoch is over/)
})

test('every state is reached', () => {
  const blocked: PromotionEvent = { type: 'recordRead', record: recordOf({ inSync: ['n1'] }),
    position }
  assertCovered({
    machine: promotionMachine,
    input,
    events: [
      ...toGrants,
      grantsHeld,
      opened,
      outdone,
      missing(false),
      missing(true),
      blocked,
      { type: 'inSyncShrunk', record: shrunk },
      refused,
      primarySeen,
      { type: 'recordUnavailable', reason: 'timeout' },
      { type: 'stepFailed', reason: 'x' },
      { type: 'leaseLapsed', reason: 'x' },
      rejected,
      { type: 'recordUnusable', reason: 'x' },
      { type: 'recordRead', record: read, position, hold: 'paused' },
      { type: 'released', reason: 'x' },
    ],
    stopWhen: ({ context }) => context.standBys > 1 || context.obstructions > 1,
  })
})

test('every event is handled, or ignored for a reason', () => {
  const once = 'the outcome of one effect, sent in the state that asked for it'
  assertHandled({
    machine: promotionMachine,
    events: [
      'recordRead',
      'recordUnavailable',
      'surveyed',
      'vacancyProven',
      'claimed',
      'compareAndSetRefused',
      'epochStarted',
      'stepFailed',
      'grantsHeld',
      'grantsMissing',
      'inSyncShrunk',
      'opened',
      'leaseLapsed',
      'primarySeen',
      'recordUnusable',
      'compareAndSetRejected',
      'released',
    ],
    ignoreTable: [
      {
        state: '',
        reason: once,
        events: ['recordRead', 'recordUnavailable', 'recordUnusable', 'surveyed', 'claimed',
          'epochStarted', 'inSyncShrunk', 'opened'],
      },
      { state: '', events: ['vacancyProven'], reason: 'sent while it is watched for' },
      { state: '', events: ['grantsHeld', 'grantsMissing'], reason: 'sent while they are watched' },
      { state: '', events: ['released'], reason: 'sent to a held member' },
      ...['surveying', 'standingBy', 'held', 'blocked', 'awaitingVacancy'].map((state) => ({
        state,
        events: ['compareAndSetRefused', 'compareAndSetRejected'],
        reason: 'none was sent yet',
      })),
      ...['surveying', 'standingBy', 'held', 'blocked', 'awaitingVacancy', 'claiming', 'opening']
        .map((state) => ({
          state,
          events: ['leaseLapsed'],
          reason: 'no lease yet: it begins with the second step',
        })),
      ...['claiming', 'confirming'].map((state) => ({
        state,
        events: ['primarySeen'],
        reason: 'the compare-and-set in flight is refused when another epoch came before it',
      })),
    ],
  })
})

test.run()
