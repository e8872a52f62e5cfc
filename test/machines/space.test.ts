import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromCallback } from 'xstate'
import type { AnyActorLogic } from 'xstate'
import { spaceMachine } from '../../machines/space.js'
import type { RoleInput, SpaceEvent } from '../../machines/space.js'
import { recordOf } from './goldenRecords.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/space')

const input = { space: 'demo', self: 'n2', damage: null }
type Role = 'replica' | 'promotion' | 'primary'

/** Roles that only note that they live, and with what input; `fails`: cannot even start. */
function provided(lived: string[] = [], inputs: RoleInput[] = [], fails?: Role) {
  const role = (name: Role): AnyActorLogic =>
    fromCallback<SpaceEvent, RoleInput>((given) => {
      if (name === fails) throw new Error(`no ${name}`)
      lived.push(`${name} starts`)
      inputs.push(given.input)
      return () => {
        lived.push(`${name} stops`)
      }
    })
  const actors = {
    replica: role('replica'),
    promotion: role('promotion'),
    primary: role('primary'),
  }
  return spaceMachine.provide({ actors })
}
const machine = provided()

const record = recordOf({ revision: 9, epoch: 4, primary: 'n2' })
const handedOver = recordOf({ revision: 8, epoch: 4, state: 'claimed', primary: 'n2' })
const recovered: SpaceEvent = { type: 'logRecovered' }
const seen = (primary: string): SpaceEvent => ({ type: 'primarySeen', primary, epoch: 4 })
const vacancyFound: SpaceEvent = { type: 'vacancyFound', reason: 'vacancy: noResponders' }
const won: SpaceEvent = { type: 'promotionOver', output: { kind: 'won', record, epochStart: 1041 } }
const stoodDown: SpaceEvent = { type: 'promotionOver',
  output: { kind: 'stoodDown', reason: 'n3 serves with valid grants' } }
const namedPrimary: SpaceEvent = { type: 'namedPrimary', record: handedOver }
const ordered: SpaceEvent = { type: 'promotionOrdered', reason: 'an operator forces it' }
const steppedDown: SpaceEvent = { type: 'steppedDown',
  output: { reason: 'handed over', handedTo: 'n3' } }
const busLost: SpaceEvent = { type: 'busLost', reason: 'no bus: stale' }
const damaged: SpaceEvent = { type: 'logDamaged', reason: 'a bad record in segment 3' }
const error = 'a bug'
const primaryFailed: SpaceEvent = { type: 'primaryFailed', error }
const promotionFailed: SpaceEvent = { type: 'promotionFailed', error }
const replicaFailed: SpaceEvent = { type: 'replicaFailed', error }
const toPrimary = [recovered, vacancyFound, won]

const run = (events: readonly SpaceEvent[], fails?: Role) => {
  const lived: string[] = []
  const inputs: RoleInput[] = []
  const running = runTimed(provided(lived, inputs, fails), input)
  for (const event of events) running.actor.send(event)
  return { ...running, lived, inputs }
}

test('replica, promoting, primary, handing over, replica', () => {
  const text = transcript(machine, input, [
    ...toPrimary,
    { type: 'handoverStarted' },
    { type: 'handoverAbandoned' },
    { type: 'handoverStarted' },
    steppedDown,
  ])
  assert.is(text, golden(`
    recovering
      progressed state:recovering
    > logRecovered
    replica
      progressed state:replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionOver output:{kind:won,record:epoch 4 open, n2 of n1+n2+n3 @9,epochStart:1041}
    primary.reigning: won the promotion
      progressed state:primary
    > handoverStarted
    primary.handingOver: won the promotion
      progressed state:handingOver
    > handoverAbandoned
    primary.reigning: won the promotion
    > handoverStarted
    primary.handingOver: won the promotion
      progressed state:handingOver
    > steppedDown output:{reason:handed over,handedTo:n3}
    replica: handed over
      progressed state:replica`))
})

test('a promotion that stands down leaves a replica', () => {
  const text = transcript(machine, input, [recovered, vacancyFound, stoodDown])
  assert.is(text, golden(`
    recovering
      progressed state:recovering
    > logRecovered
    replica
      progressed state:replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionOver output:{kind:stoodDown,reason:n3 serves with valid grants}
    replica: n3 serves with valid grants
      progressed state:replica`))
})

test('roles that fail end the epoch or the attempt, never the space', () => {
  const text = transcript(machine, input, [
    recovered,
    replicaFailed,
    vacancyFound,
    promotionFailed,
    vacancyFound,
    won,
    primaryFailed,
  ])
  assert.is(text, golden(`
    recovering
      progressed state:recovering
    > logRecovered
    replica
      progressed state:replica
    > replicaFailed error:a bug
    replica
      escalate error:a bug
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionFailed error:a bug
    replica: the promotion failed: a bug
      progressed state:replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionOver output:{kind:won,record:epoch 4 open, n2 of n1+n2+n3 @9,epochStart:1041}
    primary.reigning: won the promotion
      progressed state:primary
    > primaryFailed error:a bug
    replica: the primary failed: a bug
      resign
      progressed state:replica`))
})

test('without the bus there is no epoch and no promotion', () => {
  const text = transcript(machine, input, [
    recovered,
    busLost,
    vacancyFound,
    busLost,
    vacancyFound,
    won,
    busLost,
  ])
  assert.is(text, golden(`
    recovering
      progressed state:recovering
    > logRecovered
    replica
      progressed state:replica
    > busLost reason:no bus: stale
    replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > busLost reason:no bus: stale
    replica: no bus: stale
      progressed state:replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionOver output:{kind:won,record:epoch 4 open, n2 of n1+n2+n3 @9,epochStart:1041}
    primary.reigning: won the promotion
      progressed state:primary
    > busLost reason:no bus: stale
    replica: no bus: stale
      progressed state:replica`))
})

test('a damaged log takes the member out of every role, until it is repaired', () => {
  const text = transcript(machine, input, [
    ...toPrimary,
    damaged,
    vacancyFound,
    namedPrimary,
    ordered,
    { type: 'logRepaired' },
  ])
  assert.is(text, golden(`
    recovering
      progressed state:recovering
    > logRecovered
    replica
      progressed state:replica
    > vacancyFound reason:vacancy: noResponders
    promoting: vacancy: noResponders
      progressed state:promoting
    > promotionOver output:{kind:won,record:epoch 4 open, n2 of n1+n2+n3 @9,epochStart:1041}
    primary.reigning: won the promotion
      progressed state:primary
    > logDamaged reason:a bad record in segment 3
    damaged.waiting: a bad record in segment 3
      progressed state:damaged
    > vacancyFound reason:vacancy: noResponders
    damaged.waiting: a bad record in segment 3
    > namedPrimary record:epoch 4 claimed, n2 of n1+n2+n3 @8
    damaged.waiting: a bad record in segment 3
    > promotionOrdered reason:an operator forces it
    damaged.waiting: a bad record in segment 3
    > logRepaired
    replica: the log is whole again
      progressed state:replica`))
  const atStart = transcript(machine, { ...input, damage: 'segment 3' }, [recovered])
  assert.match(atStart, /\ndamaged/)
})

test('a damaged member has a replica again when another one is primary', () => {
  const { lived, actor } = run([recovered, damaged, seen('n2')])
  assert.equal(actor.getSnapshot().value, { damaged: 'waiting' })
  actor.send(seen('n1'))
  assert.equal(actor.getSnapshot().value, { damaged: 'refetching' })
  actor.send({ type: 'logRepaired' })
  assert.is(actor.getSnapshot().value, 'replica')
  assert.equal(lived, ['replica starts', 'replica stops', 'replica starts', 'replica stops',
    'replica starts'])
})

test('one role lives at a time, and stops before the next one starts', () => {
  const { lived } = run([...toPrimary, steppedDown, namedPrimary, damaged])
  assert.equal(lived, [
    'replica starts',
    'replica stops',
    'promotion starts',
    'promotion stops',
    'primary starts',
    'primary stops',
    'replica starts',
    'replica stops',
    'promotion starts',
    'promotion stops',
  ])
})

const inputsAfter = (...events: SpaceEvent[]) => run([recovered, ...events]).inputs.at(-1)

test('a role is started with what led to it', () => {
  const nothing = { space: 'demo', record: null, epochStart: 0, forced: false, adopted: null }
  assert.equal(inputsAfter(vacancyFound), nothing)
  assert.equal(inputsAfter(ordered), { ...nothing, forced: true })
  assert.equal(inputsAfter(namedPrimary), { ...nothing, adopted: handedOver })
  assert.equal(inputsAfter(vacancyFound, won), { ...nothing, record, epochStart: 1041 })
  assert.equal(inputsAfter(ordered, stoodDown, vacancyFound), nothing, 'a command counts once')
  assert.equal(inputsAfter(namedPrimary, stoodDown, vacancyFound), nothing)
  assert.equal(inputsAfter(namedPrimary, stoodDown, ordered), { ...nothing, forced: true })
})

test('a command reaches a promotion that is blocked: it begins anew, forced', () => {
  const { lived, inputs, actor } = run([recovered, vacancyFound, ordered])
  assert.equal(lived.slice(2).toSorted(), ['promotion starts', 'promotion starts',
    'promotion stops'])
  assert.is(inputs.at(-1)?.forced, true)
  assert.is(actor.getSnapshot().value, 'promoting')
})

test('a role that cannot start', () => {
  const promotion = run([recovered, vacancyFound], 'promotion')
  assert.is(promotion.actor.getSnapshot().value, 'replica')
  assert.match(promotion.actor.getSnapshot().context.lastReason, /no promotion/)
  const primary = run(toPrimary, 'primary')
  assert.is(primary.actor.getSnapshot().value, 'replica')
  assert.match(primary.actor.getSnapshot().context.lastReason, /no primary/)
  const replica = run([recovered], 'replica')
  assert.equal(replica.log.at(-1)?.effect, { type: 'escalate', error: new Error('no replica') })
})

test('events of a role that is over change nothing', () => {
  for (const late of [won, stoodDown, steppedDown, primaryFailed, promotionFailed]) {
    const { actor, lived } = run([recovered, late])
    assert.is(actor.getSnapshot().value, 'replica')
    assert.equal(lived, ['replica starts'])
  }
})

test('every state is reached', () => {
  assertCovered({
    machine,
    input,
    events: [
      ...toPrimary,
      stoodDown,
      namedPrimary,
      ordered,
      steppedDown,
      busLost,
      damaged,
      seen('n1'),
      primaryFailed,
      promotionFailed,
      replicaFailed,
      { type: 'handoverStarted' },
      { type: 'handoverAbandoned' },
      { type: 'logRepaired' },
    ],
    stopWhen: (snapshot) => snapshot.context.promotions > 1,
  })
})

test('every event is handled, or ignored for a reason', () => {
  const late = 'of a role that does not live any more'
  const orders = ['vacancyFound', 'namedPrimary', 'promotionOrdered']
  assertHandled({
    machine,
    events: [
      'logRecovered',
      'logDamaged',
      'logRepaired',
      ...orders,
      'promotionOver',
      'promotionFailed',
      'handoverStarted',
      'handoverAbandoned',
      'steppedDown',
      'primaryFailed',
      'replicaFailed',
      'busLost',
      'primarySeen',
    ],
    ignoreTable: [
      { state: '', events: ['logRecovered'], reason: 'sent once, at the start' },
      { state: '', events: ['logRepaired'], reason: 'nothing was damaged' },
      { state: '', events: ['promotionOver', 'promotionFailed', 'replicaFailed'], reason: late },
      { state: '', events: ['steppedDown', 'primaryFailed'], reason: late },
      { state: '', events: ['handoverStarted', 'handoverAbandoned'], reason: late },
      { state: 'recovering', events: orders, reason: 'the log is not known yet; all come again' },
      { state: 'damaged', events: orders, reason: 'it neither serves nor is a candidate' },
      { state: 'primary', events: orders, reason: 'it is primary' },
      {
        state: 'promoting',
        events: ['vacancyFound', 'namedPrimary'],
        reason: 'sent to a replica; the promotion under way reads the record itself',
      },
      ...['recovering', 'damaged'].map((state) => ({ state, events: ['busLost'],
        reason: 'no role needs the bus' })
      ),
      { state: '', events: ['primarySeen'], reason: 'only a damaged member waits for one' },
      { state: 'replica', events: ['busLost'], reason: 'the replica itself is notified' },
    ],
  })
})

test.run()
