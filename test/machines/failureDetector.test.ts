import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { failureDetectorMachine } from '../../machines/failureDetector.js'
import type { FailureDetectorEvent } from '../../machines/failureDetector.js'
import { assertCovered, assertHandled, golden, runTimed, showState, transcript } from './paths.js'

const test = suite('machines/failureDetector')
const input = { peer: 'n2', heartbeatMs: 100, probeMs: 50, ownServer: 's1', silentProbesMax: 2 }

type Event = FailureDetectorEvent
const life = (connection: number) => ({ incarnation: 1, connection })
const heard = (connection: number, number: number, server = 's1', leaving = false): Event => ({
  type: 'heartbeatReceived',
  life: life(connection),
  number,
  server,
  leaving,
})
const gone = (connection: number): Event => ({ type: 'probeGone', life: life(connection) })
const answered = (connection: number): Event => ({ type: 'probeAnswered', life: life(connection) })
const silent: Event = { type: 'probeSilent' }
const grantExpired: Event = { type: 'grantExpired' }
/** A heartbeat is missed; all of the silence is still to come. */
const overdue: Event = { type: 'heartbeatOverdue', silenceMs: 0 }
const watched = (on: boolean): Event => ({ type: 'closelyWatched', on })
const run = (...events: Event[]) => {
  const timed = runTimed(failureDetectorMachine, input)
  for (const event of events) timed.actor.send(event)
  return timed
}
const stateOf = (timed: ReturnType<typeof run>) => showState(timed.actor.getSnapshot())
const reasonOf = (timed: ReturnType<typeof run>) => timed.actor.getSnapshot().context.lastReason

/** Whether the first probe of a silent peer asks a witness. */
const indirect = (...events: Event[]) => {
  const timed = run(...events, overdue)
  timed.clock.advance(400)
  return timed.log.flatMap(({ effect }) => (effect.type === 'probe' ? [effect.indirect] : []))[0]
}

test('silence makes a suspect, a 503 makes it dead, a newer life revives it', () => {
  const text = transcript(failureDetectorMachine, input, [
    heard(1, 5),
    { type: 'heartbeatOverdue', silenceMs: 200 },
    { after: 'restOfSilence' },
    silent,
    gone(2),
    gone(1),
    heard(1, 6),
    heard(2, 7),
  ])
  assert.is(text, golden(`
    alive.listening.waiting | alive.watch.loose: watched from now on
    > heartbeatReceived life:{incarnation:1,connection:1},number:5,server:s1,leaving:false
    alive.listening.waiting | alive.watch.loose: heartbeats of n2 1.1 arrive
      peerRestarted peer:n2,life:{incarnation:1,connection:1},reason:discovered n2, life 1.1
    > heartbeatOverdue silenceMs:200
    alive.watch.loose | alive.listening.overdue: heartbeats of n2 1.1 arrive
    > after restOfSilence
    suspect: n2 1.1 silent for 300 ms: suspect
      peerSuspected peer:n2,life:{incarnation:1,connection:1}
      probe peer:n2,life:{incarnation:1,connection:1},indirect:false,server:s1
    > probeSilent
    probing: n2 1.1 silent for 300 ms, and to a probe: probing
      probe peer:n2,life:{incarnation:1,connection:1},indirect:false,server:s1
    > probeGone life:{incarnation:1,connection:2}
    probing: ignored: a 503 for n2 1.2, last heard as 1.1
      ignored peer:n2,event:probeGone
    > probeGone life:{incarnation:1,connection:1}
    dead.gone: 503: the connection of n2 1.1 is gone
      peerDied peer:n2,vacancy:noResponders,life:{incarnation:1,connection:1}
    > heartbeatReceived life:{incarnation:1,connection:1},number:6,server:s1,leaving:false
    dead.gone: ignored: a heartbeat of n2 1.1, whose connection is proven gone
      ignored peer:n2,event:heartbeatReceived
    > heartbeatReceived life:{incarnation:1,connection:2},number:7,server:s1,leaving:false
    alive.listening.waiting | alive.watch.loose: a heartbeat of n2 1.2 arrived: alive
      peerRestarted peer:n2,life:{incarnation:1,connection:2},reason:n2 has the new life 1.2: 1.1 is over
      peerReturned peer:n2,life:{incarnation:1,connection:2}`))
})

test('unreachable until the grant has run out; then the same life may return', () => {
  const timed = run(heard(1, 1), overdue)
  timed.take()
  timed.clock.advance(300)
  timed.actor.send(silent)
  timed.actor.send(silent)
  assert.is(stateOf(timed), 'unreachable')
  assert.is(reasonOf(timed), 'n2 1.1 silent to 2 probes: unreachable')
  timed.take()
  timed.clock.advance(250)
  assert.equal(timed.take(), ['400 probe', '500 probe'])
  timed.actor.send(grantExpired)
  assert.is(stateOf(timed), 'dead.expired')
  timed.clock.advance(1000)
  assert.equal(timed.take(), ['550 peerDied'])
  timed.actor.send(heard(1, 1))
  assert.is(reasonOf(timed), 'ignored: heartbeat 1 of n2 comes after 1')
  timed.actor.send(heard(1, 2))
  assert.equal(timed.take(), ['1550 ignored', '1550 peerReturned'])
})

test('three missed heartbeats, counted from the last one; then a probe every 50 ms', () => {
  const timed = run()
  for (let number = 1; number <= 5; number++) {
    timed.actor.send(heard(1, number))
    timed.clock.advance(180)
    timed.actor.send({ type: 'heartbeatOverdue', silenceMs: 180 })
    timed.clock.advance(119)
  }
  assert.equal(timed.take(), ['0 peerRestarted'])
  timed.clock.advance(101)
  assert.equal(timed.take(), ['1496 peerSuspected', '1496 probe', '1546 probe', '1596 probe'])
})

test('a missed heartbeat that comes in time ends the count; more silence than counts is at once', () => {
  const timed = run(heard(1, 1), { type: 'heartbeatOverdue', silenceMs: 180 }, heard(1, 2))
  assert.match(stateOf(timed), 'alive.listening.waiting')
  timed.clock.advance(1000)
  timed.take()
  timed.actor.send({ type: 'heartbeatOverdue', silenceMs: 1000 })
  timed.clock.advance(0)
  assert.equal(timed.take(), ['1000 peerSuspected', '1000 probe'])
})

test('the primary of a shared space is watched closely, whatever its heartbeats do', () => {
  const timed = run(watched(true), heard(1, 1), overdue)
  assert.match(stateOf(timed), 'alive.watch.close')
  timed.actor.send(gone(1))
  assert.is(stateOf(timed), 'dead.gone')
  assert.equal(timed.take(), ['0 peerRestarted', '0 peerDied'])
  assert.match(stateOf(run(heard(1, 1), watched(true), watched(false))), 'alive.watch.loose')
})

test('probes go directly on the same server and connection, else by a witness', () => {
  assert.is(indirect(heard(1, 1)), false)
  assert.is(indirect(heard(1, 1, 's2')), true)
  assert.is(indirect(heard(1, 1), { type: 'isolated' }, { type: 'rejoined', ownServer: 's1' }),
    true)
  assert.is(
    indirect(heard(1, 1), { type: 'isolated' }, { type: 'rejoined', ownServer: 's1' }, heard(1, 2)),
    false,
  )
  assert.is(
    indirect(heard(1, 1), { type: 'isolated' }, { type: 'rejoined', ownServer: 's3' }, heard(1, 2)),
    true,
  )
  assert.is(indirect(heard(1, 1), answered(2)), true, 'its server is not known')
})

test('a peer never heard of is not probed, and dies by its grant alone', () => {
  const timed = run(gone(1), overdue)
  timed.clock.advance(600)
  assert.is(stateOf(timed), 'unreachable')
  assert.is(reasonOf(timed), 'nothing was heard of n2: its grant has to run out')
  timed.actor.send(grantExpired)
  assert.equal(timed.take(), ['0 ignored', '300 peerSuspected', '600 peerDied'])
})

test('one that answers probes is a suspect, no more', () => {
  const timed = run(heard(1, 1), overdue)
  timed.clock.advance(300)
  timed.actor.send(silent)
  timed.actor.send(answered(1))
  assert.is(stateOf(timed), 'suspect')
  timed.actor.send(silent)
  timed.take()
  timed.actor.send(answered(2))
  assert.is(stateOf(timed), 'suspect')
  assert.equal(timed.take(), ['300 peerRestarted', '300 probe'])
  timed.actor.send(gone(1))
  assert.is(reasonOf(timed), 'ignored: a 503 for n2 1.1, last heard as 1.2')
})

test('a detector started while isolated learns of its server later', () => {
  const timed = runTimed(failureDetectorMachine, { ...input, ownServer: null })
  timed.actor.send({ type: 'rejoined', ownServer: 's1' })
  timed.actor.send(heard(1, 1))
  timed.actor.send(overdue)
  timed.clock.advance(300)
  const probe = timed.log.find(({ effect }) => effect.type === 'probe')?.effect
  assert.is(probe?.type === 'probe' && probe.indirect, false)
})

test('tilt observes and does not act', () => {
  const timed = run(heard(1, 1), { type: 'tiltStarted', reason: 'own loop stalled 900 ms' })
  timed.take()
  assert.is(reasonOf(timed), 'tilt: own loop stalled 900 ms')
  for (const event of [gone(1), grantExpired]) timed.actor.send(event)
  timed.actor.send(heard(2, 9))
  timed.clock.advance(1000)
  assert.equal(timed.take(), ['0 ignored', '0 ignored'])
  timed.actor.send({ type: 'isolated' })
  timed.actor.send({ type: 'tiltEnded' })
  assert.is(stateOf(timed), 'tilt.isolated')
  timed.actor.send({ type: 'rejoined', ownServer: 's1' })
  assert.equal(timed.take(), ['1000 peerRestarted'])
  timed.actor.send(overdue)
  timed.clock.advance(300)
  assert.is(stateOf(timed), 'suspect')
})

test('a death proven before a tilt stays proven', () => {
  const tilt: Event[] = [{ type: 'tiltStarted' }, { type: 'tiltEnded' }]
  assert.is(stateOf(run(heard(1, 1), gone(1), ...tilt)), 'dead.gone')
  assert.is(stateOf(run(heard(1, 1, 's1', true), ...tilt)), 'left.leaving')
  assert.is(stateOf(run(heard(1, 1, 's1', true), gone(1), ...tilt)), 'left.gone')
  const revived = run(heard(1, 1), gone(1), { type: 'tiltStarted' }, heard(2, 2), {
    type: 'tiltEnded',
  })
  assert.match(stateOf(revived), /alive/)
})

test('a peer that leaves is probed until that is proven, and has left all the same', () => {
  const timed = run(heard(1, 1), heard(1, 2, 's1', true))
  assert.equal(timed.take(), ['0 peerRestarted', '0 peerLeft'])
  timed.clock.advance(200)
  assert.equal(timed.take(), ['100 probe', '200 probe'])
  timed.actor.send(heard(1, 3, 's1', true))
  assert.is(stateOf(timed), 'left.leaving')
  assert.is(reasonOf(timed), 'ignored: n2 1.1 has left already')
  timed.take()
  timed.actor.send(gone(1))
  assert.is(stateOf(timed), 'left.gone')
  assert.is(reasonOf(timed), 'n2 1.1 has left: its connection is gone')
  for (let beat = 0; beat < 3; beat++) timed.actor.send(grantExpired)
  assert.is(stateOf(timed), 'left.expired')
  timed.clock.advance(1000)
  assert.equal(timed.take(), ['200 peerDied', '200 peerDied'], 'each proof once, no more probes')
  assert.match(stateOf(run(heard(1, 1, 's1', true), heard(2, 2))), /alive/)
})

test('a peer that has left comes back as a new life, or as the same one if it did not go', () => {
  for (const proof of [[], [gone(1)], [grantExpired], [gone(1), grantExpired]]) {
    const left = [heard(1, 1), heard(1, 2, 's1', true), ...proof]
    assert.match(stateOf(run(...left, heard(2, 3))), /alive/)
    assert.is(stateOf(run(...left, answered(2))), 'suspect')
    const isGone = proof.includes(proof.find((event) => event.type === 'probeGone')!)
    assert.match(stateOf(run(...left, heard(1, 3))), isGone ? /left/ : /alive/)
  }
})

test('every state is reached, every event handled or ignored for a reason', () => {
  assertCovered({
    machine: failureDetectorMachine,
    input,
    events: [
      heard(1, 1),
      heard(1, 2),
      heard(1, 3, 's1', true),
      gone(1),
      silent,
      answered(1),
      grantExpired,
      overdue,
      watched(true),
      watched(false),
      { type: 'tiltStarted' },
      { type: 'tiltEnded' },
      { type: 'isolated' },
      { type: 'rejoined', ownServer: 's1' },
    ],
    key: ({ value, context: c }) =>
      JSON.stringify([value, c.life, c.goneLife, c.leftLife, c.silentProbes, c.isCloselyWatched]),
    stopWhen: ({ context }) => context.silentProbes > 2,
  })
  const notTilted = 'no tilt of this kind to end'
  const ended = { events: ['tiltEnded'], reason: notTilted }
  assertHandled({
    machine: failureDetectorMachine,
    events: [
      'heartbeatReceived',
      'probeAnswered',
      'probeGone',
      'probeSilent',
      'grantExpired',
      'heartbeatOverdue',
      'closelyWatched',
      'tiltStarted',
      'tiltEnded',
      'isolated',
      'rejoined',
    ],
    ignoreTable: [
      ...['alive', 'suspect', 'probing', 'unreachable', 'dead', 'left']
        .map((state) => ({ state, ...ended })),
      { state: 'tilt.isolated', events: ['tiltEnded'], reason: notTilted },
      ...['alive.listening.overdue', 'alive.watch']
        .map((state) => ({ state, events: ['heartbeatOverdue'],
          reason: 'known, or not its matter' })
        ),
      ...['suspect', 'probing', 'unreachable', 'dead', 'left', 'tilt']
        .map((state) => ({ state, events: ['heartbeatOverdue'], reason: 'was of before' })),
      { state: 'tilt', events: ['probeSilent'], reason: 'silence proves nothing' },
      { state: 'alive', events: ['probeSilent'], reason: 'a probe of before, heard since' },
      { state: 'unreachable', events: ['probeSilent'], reason: 'as expected' },
      { state: 'dead', events: ['probeSilent'], reason: 'as expected' },
      { state: 'left', events: ['probeSilent'], reason: 'as expected' },
      { state: 'dead.expired', events: ['grantExpired'], reason: 'known, and reported again' },
      { state: 'left.expired', events: ['grantExpired'], reason: 'known, and reported again' },
    ],
  })
})

test.run()
