import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultTimes } from '../../machines/protocol/defaultTimes.js'
import { replicaMachine } from '../../machines/replica.js'
import type { InstallOffer } from '../../machines/protocol/installMessages.js'
import type { ReplicaEvent } from '../../machines/replica.js'
import { positionOf } from './goldenRecords.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/replica')

const input = { space: 'demo', self: 'n2', times: defaultTimes, joins: 0 }
const primarySeen = (primary: string, epoch: number): ReplicaEvent => ({ type: 'primarySeen',
  primary, epoch })
interface Joined {
  readonly session?: number
  readonly isFork?: boolean
  readonly snapshotNeeded?: boolean
  readonly install?: InstallOffer | null
}
const joined = (number: number, over: Joined = {}): ReplicaEvent => ({
  type: 'joined',
  number,
  session: 7,
  common: positionOf(3, 40),
  primaryEnd: 90,
  isFork: false,
  snapshotNeeded: false,
  install: null,
  ...over,
})
const measured = (durable: number, primaryEnd: number): ReplicaEvent => ({ type: 'measured',
  durable, primaryEnd })
const gapFound: ReplicaEvent = {
  type: 'gapFound',
  position: positionOf(4, 95),
  reason: 'frame 98 after (4, 97), mine ends at (4, 95)',
}
const sessionLost: ReplicaEvent = { type: 'sessionLost',
  reason: 'the primary knows another session' }
const primaryLost: ReplicaEvent = { type: 'primaryLost', reason: 'epoch 4 is over: noResponders' }
const forkTruncated: ReplicaEvent = { type: 'forkTruncated' }
const truncationFailed: ReplicaEvent = { type: 'truncationFailed', reason: 'ENOSPC' }
const joinFailed = (number: number): ReplicaEvent => ({ type: 'joinFailed', number,
  reason: 'n1 does not answer' })

const install: InstallOffer = { minimum: 80, sources: ['n3', 'n1'], replaces: false,
  salvageAfter: 40 }
const installed = (number: number) =>
  joined(number, { isFork: true, snapshotNeeded: true, install })
const forkSalvaged: ReplicaEvent = { type: 'forkSalvaged' }
const salvageFailed: ReplicaEvent = { type: 'salvageFailed', reason: 'ENOSPC' }
const opened: ReplicaEvent = { type: 'checkpointOpened', source: 'n3', position: positionOf(4, 85),
  totalBytes: 90 }
const noSource: ReplicaEvent = { type: 'noSource', reason: 'n3 has no checkpoint from 80 on' }
const pulled: ReplicaEvent = { type: 'pulled' }
const sourceLost: ReplicaEvent = { type: 'sourceLost', reason: 'n3 does not answer' }
const verified: ReplicaEvent = { type: 'verified' }
const unusable: ReplicaEvent = { type: 'unusable', reason: 'a wrong hash' }
const switchAllowed: ReplicaEvent = { type: 'switchAllowed' }
const switched: ReplicaEvent = { type: 'switched', position: positionOf(4, 85) }
const switchRefused: ReplicaEvent = { type: 'switchRefused', reason: 'given up up to 90' }

test('joins an epoch, catches up, streams, until the epoch is over', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1),
    measured(60, 90),
    measured(90, 90),
    measured(92, 92),
    primaryLost,
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      leave
      progressed state:waiting
    > primarySeen primary:n1,epoch:4
    joining.asking: n1 is primary in epoch 4
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp
    > measured durable:60,primaryEnd:90
    catchingUp: session 7 of n1, common point (3, 40)
    > measured durable:90,primaryEnd:90
    streaming: session 7 of n1, common point (3, 40)
      progressed state:streaming
    > measured durable:92,primaryEnd:92
    streaming: session 7 of n1, common point (3, 40)
    > primaryLost reason:epoch 4 is over: noResponders
    waiting: epoch 4 is over: noResponders
      leave
      progressed state:waiting`))
})

test('entries beyond the common point are salvaged and truncated before it follows', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1, { isFork: true }),
    forkTruncated,
    measured(90, 90),
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      leave
      progressed state:waiting
    > primarySeen primary:n1,epoch:4
    joining.asking: n1 is primary in epoch 4
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:true,snapshotNeeded:false,install:null
    truncating.salvaging: session 7 of n1, common point (3, 40)
      truncate common:(3, 40),epoch:4,session:7
      progressed state:truncating
    > forkTruncated
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp
    > measured durable:90,primaryEnd:90
    streaming: session 7 of n1, common point (3, 40)
      progressed state:streaming`))
})

test('a salvage that fails is tried again after a pause', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1, { isFork: true }),
    truncationFailed,
    { after: 'joinRetry' },
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      leave
      progressed state:waiting
    > primarySeen primary:n1,epoch:4
    joining.asking: n1 is primary in epoch 4
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:true,snapshotNeeded:false,install:null
    truncating.salvaging: session 7 of n1, common point (3, 40)
      truncate common:(3, 40),epoch:4,session:7
      progressed state:truncating
    > truncationFailed reason:ENOSPC
    joining.pausing: ENOSPC
      leave
      progressed state:joining
    > after joinRetry
    joining.asking: ENOSPC
      join primary:n1,epoch:4,number:2`))
})

test('an epoch that comes while the fork is truncated is joined after it', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1, { isFork: true }),
    primarySeen('n3', 5),
    primarySeen('n3', 5),
    forkTruncated,
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      leave
      progressed state:waiting
    > primarySeen primary:n1,epoch:4
    joining.asking: n1 is primary in epoch 4
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:true,snapshotNeeded:false,install:null
    truncating.salvaging: session 7 of n1, common point (3, 40)
      truncate common:(3, 40),epoch:4,session:7
      progressed state:truncating
    > primarySeen primary:n3,epoch:5
    truncating.overtaken: n3 is primary in epoch 5
    > primarySeen primary:n3,epoch:5
    truncating.overtaken: n3 is primary in epoch 5
    > forkTruncated
    joining.asking: n3 is primary in epoch 5
      leave
      progressed state:joining
      join primary:n3,epoch:5,number:2`))
})

test('an epoch that ends while the fork is truncated is left after it', () => {
  const run = runTimed(replicaMachine, input)
  for (const event of [primarySeen('n1', 4), joined(1, { isFork: true }), primaryLost]) {
    run.actor.send(event)
  }
  assert.equal(run.actor.getSnapshot().value, { truncating: 'overtaken' })
  run.actor.send(truncationFailed)
  assert.is(run.actor.getSnapshot().value, 'waiting')
})

test('a gap is asked for again', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1),
    measured(90, 90),
    gapFound,
    gapFound,
    measured(99, 99),
  ]).split('\n').slice(6).join('\n')
  assert.is(text, golden(`
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp
    > measured durable:90,primaryEnd:90
    streaming: session 7 of n1, common point (3, 40)
      progressed state:streaming
    > gapFound position:(4, 95),reason:frame 98 after (4, 97), mine ends at (4, 95)
    catchingUp: session 7 of n1, common point (3, 40)
      nack position:(4, 95),reason:frame 98 after (4, 97), mine ends at (4, 95)
      progressed state:catchingUp
    > gapFound position:(4, 95),reason:frame 98 after (4, 97), mine ends at (4, 95)
    catchingUp: session 7 of n1, common point (3, 40)
      nack position:(4, 95),reason:frame 98 after (4, 97), mine ends at (4, 95)
    > measured durable:99,primaryEnd:99
    streaming: session 7 of n1, common point (3, 40)
      progressed state:streaming`))
})

test('a session that the primary does not know any more is asked for anew', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1),
    measured(90, 90),
    sessionLost,
    joined(2, { session: 8 }),
  ]).split('\n').slice(6).join('\n')
  assert.is(text, golden(`
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp
    > measured durable:90,primaryEnd:90
    streaming: session 7 of n1, common point (3, 40)
      progressed state:streaming
    > sessionLost reason:the primary knows another session
    joining.asking: the primary knows another session
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:2
    > joined number:2,session:8,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 8 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:8,common:(3, 40)
      progressed state:catchingUp`))
})

test('a later epoch is joined, an earlier one and the present one are not', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1),
    primarySeen('n1', 4),
    primarySeen('n3', 3),
    primarySeen('n3', 5),
  ]).split('\n').slice(6).join('\n')
  assert.is(text, golden(`
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp
    > primarySeen primary:n1,epoch:4
    catchingUp: session 7 of n1, common point (3, 40)
    > primarySeen primary:n3,epoch:3
    catchingUp: session 7 of n1, common point (3, 40)
    > primarySeen primary:n3,epoch:5
    joining.asking: n3 is primary in epoch 5
      leave
      progressed state:joining
      join primary:n3,epoch:5,number:2`))
})

test('answers to an earlier join are ignored', () => {
  const text = transcript(replicaMachine, { ...input, joins: 4 }, [
    primarySeen('n1', 4),
    joinFailed(4),
    joined(4),
    joinFailed(5),
    { after: 'joinRetry' },
    joined(5),
    joinFailed(5),
    joined(6),
  ])
  assert.is(text, golden(`
    waiting: no primary is known
      leave
      progressed state:waiting
    > primarySeen primary:n1,epoch:4
    joining.asking: n1 is primary in epoch 4
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:5
    > joinFailed number:4,reason:n1 does not answer
    joining.asking: n1 is primary in epoch 4
    > joined number:4,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    joining.asking: n1 is primary in epoch 4
    > joinFailed number:5,reason:n1 does not answer
    joining.pausing: n1 does not answer
    > after joinRetry
    joining.asking: n1 does not answer
      join primary:n1,epoch:4,number:6
    > joined number:5,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    joining.asking: n1 does not answer
    > joinFailed number:5,reason:n1 does not answer
    joining.asking: n1 does not answer
    > joined number:6,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp`))
})

test('below what the store holds only a snapshot helps: it says so and waits', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    joined(1, { isFork: true, snapshotNeeded: true }),
    primarySeen('n3', 5),
  ]).split('\n').slice(6).join('\n')
  assert.is(text, golden(`
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:true,snapshotNeeded:true,install:null
    installing.waiting: has to be installed: session 7 of n1, common point (3, 40)
      progressed state:installing
    > primarySeen primary:n3,epoch:5
    joining.asking: n3 is primary in epoch 5
      leave
      progressed state:joining
      join primary:n3,epoch:5,number:2`))
})

const toSwitching: readonly ReplicaEvent[] = [
  primarySeen('n1', 4),
  installed(1),
  forkSalvaged,
  opened,
  pulled,
  verified,
]

test('a member is installed: salvages, pulls, loads, asks once more, switches, joins', () => {
  const text = transcript(replicaMachine, input, [
    primarySeen('n1', 4),
    installed(1),
    forkSalvaged,
    noSource,
    opened,
    { type: 'installMeasured', doneBytes: 50, totalBytes: 90 },
    sourceLost,
    opened,
    pulled,
    unusable,
    opened,
    pulled,
    verified,
    switchAllowed,
    switched,
    joined(2),
  ]).split('\n').slice(6).join('\n')
  assert.is(text, golden(`
      progressed state:joining
      join primary:n1,epoch:4,number:1
    > joined number:1,session:7,common:(3, 40),primaryEnd:90,isFork:true,snapshotNeeded:true,install:{minimum:80,sources:[n3,n1],replaces:false,salvageAfter:40}
    installing.salvaging: has to be installed: session 7 of n1, common point (3, 40)
      progressed state:installing.salvaging
      salvage primary:n1,epoch:4,session:7,offer:{minimum:80,sources:[n3,n1],replaces:false,salvageAfter:40}
    > forkSalvaged
    installing.asking: has to be installed: session 7 of n1, common point (3, 40)
      progressed state:installing.asking
      openCheckpoint
    > noSource reason:n3 has no checkpoint from 80 on
    installing.asking: n3 has no checkpoint from 80 on
    > checkpointOpened source:n3,position:(4, 85),totalBytes:90
    installing.pulling: is installed from n3, with the state as of (4, 85)
      progressed state:installing.pulling
      pull
    > installMeasured doneBytes:50,totalBytes:90
    installing.pulling: is installed from n3, with the state as of (4, 85)
    > sourceLost reason:n3 does not answer
    installing.asking: n3 does not answer
      progressed state:installing.asking
      openCheckpoint
    > checkpointOpened source:n3,position:(4, 85),totalBytes:90
    installing.pulling: is installed from n3, with the state as of (4, 85)
      progressed state:installing.pulling
      pull
    > pulled
    installing.verifying: is installed from n3, with the state as of (4, 85)
      progressed state:installing.verifying
      load
    > unusable reason:a wrong hash
    installing.asking: a wrong hash
      progressed state:installing.asking
      openCheckpoint
    > checkpointOpened source:n3,position:(4, 85),totalBytes:90
    installing.pulling: is installed from n3, with the state as of (4, 85)
      progressed state:installing.pulling
      pull
    > pulled
    installing.verifying: is installed from n3, with the state as of (4, 85)
      progressed state:installing.verifying
      load
    > verified
    installing.switching: is installed from n3, with the state as of (4, 85)
      progressed state:installing.switching
      askToSwitch
    > switchAllowed
    installing.switching: is installed from n3, with the state as of (4, 85)
      switch
    > switched position:(4, 85)
    joining.asking: has the state as of (4, 85)
      leave
      progressed state:joining
      join primary:n1,epoch:4,number:2
    > joined number:2,session:7,common:(3, 40),primaryEnd:90,isFork:false,snapshotNeeded:false,install:null
    catchingUp: session 7 of n1, common point (3, 40)
      follow primary:n1,epoch:4,session:7,common:(3, 40)
      progressed state:catchingUp`))
})

test('a switch whose record may be in the journal is waited for', () => {
  const ends: readonly (readonly [ReplicaEvent, unknown])[] = [
    [sessionLost, { joining: 'asking' }],
    [primarySeen('n3', 5), { joining: 'asking' }],
    [primaryLost, 'waiting'],
  ]
  for (const [event, after] of ends) {
    const early = runTimed(replicaMachine, input)
    for (const one of [...toSwitching, event]) early.actor.send(one)
    assert.equal(early.actor.getSnapshot().value, after, 'before it was allowed')
    early.actor.send(switchAllowed)
    assert.not(early.log.some(({ effect }) => effect.type === 'switch'))
    for (const end of [switched, switchRefused]) {
      const run = runTimed(replicaMachine, input)
      for (const one of [...toSwitching, switchAllowed, event]) run.actor.send(one)
      assert.equal(run.actor.getSnapshot().value, { installing: 'switching' })
      run.actor.send(end)
      const { value } = run.actor.getSnapshot()
      const isPausing = end === switchRefused && event !== primaryLost
      assert.equal(value, isPausing ? { joining: 'pausing' } : after)
    }
  }
})

test('a salvage that fails before an install is tried again after a pause', () => {
  const run = runTimed(replicaMachine, input)
  for (const event of [primarySeen('n1', 4), installed(1), salvageFailed]) run.actor.send(event)
  assert.equal(run.actor.getSnapshot().value, { joining: 'pausing' })
})

test('the same epoch may be joined again after a false report of its end', () => {
  const run = runTimed(replicaMachine, input)
  for (const event of [primarySeen('n1', 4), joined(1), primaryLost, primarySeen('n1', 4)])
    run.actor.send(event)
  assert.equal(run.actor.getSnapshot().value, { joining: 'asking' })
  assert.is(run.actor.getSnapshot().context.joins, 2)
})

test('a primary that does not answer is asked again, each time under a new number', () => {
  const run = runTimed(replicaMachine, input)
  run.actor.send(primarySeen('n1', 4))
  run.clock.advance(1250)
  run.actor.send(joinFailed(3))
  run.clock.advance(100)
  const asked = run.log.flatMap(({ atMs, effect }) =>
    effect.type === 'join' ? [[atMs, effect.number]] : []
  )
  assert.equal(asked, [[0, 1], [600, 2], [1200, 3], [1350, 4]])
})

test('every state is reached', () => {
  assertCovered({
    machine: replicaMachine,
    input,
    events: [
      primarySeen('n1', 4),
      primarySeen('n3', 5),
      joined(1),
      joined(1, { isFork: true }),
      joined(1, { snapshotNeeded: true }),
      installed(1),
      forkSalvaged,
      opened,
      pulled,
      verified,
      switchAllowed,
      switched,
      joinFailed(1),
      forkTruncated,
      truncationFailed,
      measured(60, 90),
      measured(90, 90),
      gapFound,
      sessionLost,
      primaryLost,
    ],
    stopWhen: (snapshot) => snapshot.context.joins > 2,
  })
})

test('every event is handled, or ignored for a reason', () => {
  const late = 'its number, or its session, is not the present one: late'
  const unfollowed = 'no session is followed: frames are not looked at'
  const done = 'the outcome of one truncation, which is waited for'
  const without = ['waiting', 'joining', 'truncating']
  const ofInstalls = ['forkSalvaged', 'salvageFailed', 'checkpointOpened', 'noSource', 'pulled',
    'sourceLost', 'verified', 'unusable', 'switchAllowed', 'switched', 'switchRefused',
    'installMeasured'] as const
  const steps: Record<string, readonly string[]> = {
    waiting: [],
    salvaging: ['forkSalvaged', 'salvageFailed'],
    asking: ['checkpointOpened', 'noSource'],
    pulling: ['pulled', 'sourceLost'],
    verifying: ['verified', 'unusable'],
    switching: ['switchAllowed', 'switched', 'switchRefused'],
  }
  assertHandled({
    machine: replicaMachine,
    events: [
      'primarySeen',
      'joined',
      'joinFailed',
      'forkTruncated',
      'truncationFailed',
      ...ofInstalls,
      'measured',
      'gapFound',
      'sessionLost',
      'primaryLost',
    ],
    ignoreTable: [
      ...['waiting', 'truncating', 'installing', 'catchingUp', 'streaming'].map((state) => ({ state,
        events: ['joined', 'joinFailed'], reason: late })
      ),
      { state: 'joining.pausing', events: ['joinFailed'], reason: late },
      { state: 'installing', events: ['measured', 'gapFound'], reason: unfollowed },
      ...['waiting', 'joining', 'truncating', 'catchingUp', 'streaming'].map((state) => ({ state,
        events: [...ofInstalls], reason: 'the outcome of a step of an install that is over' })
      ),
      ...Object.entries(steps).map(([state, own]) => ({
        state: `installing.${state}`,
        events: ofInstalls.filter((type) => type !== 'installMeasured' && !own.includes(type)),
        reason: 'the outcome of another step: late',
      })),
      ...without.map((state) => ({ state, events: ['measured', 'gapFound', 'sessionLost'],
        reason: unfollowed })
      ),
      ...['waiting', 'joining', 'installing', 'catchingUp', 'streaming'].map((state) => ({ state,
        events: ['forkTruncated', 'truncationFailed'], reason: done })
      ),
    ],
  })
})

test.run()
