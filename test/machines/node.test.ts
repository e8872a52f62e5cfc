import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeMachine } from '../../machines/node.js'
import type { NodeEvent } from '../../machines/node.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/node')
const input = { node: 'n1' }
const report = { records: 7, bytes: 700, ms: 2.4, torn: null, damaged: [] }
const prepared: NodeEvent = { type: 'prepared' }
const owned: NodeEvent = { type: 'owned' }
const identified: NodeEvent = { type: 'identified', incarnation: 4, isRegistered: true }
const recovered: NodeEvent = { type: 'recovered', report }
const connected = (connection: number): NodeEvent => ({ type: 'connected', connection,
  server: 's1' })
const unidentified = (connection: number): NodeEvent => ({ type: 'identifyFailed', connection,
  error: 'no JetStream' })
const refused = (connection: number, retryable = true): NodeEvent => ({ type: 'connectFailed',
  connection, retryable, error: 'nobody listens' })
const closed = (connection: number): NodeEvent => ({ type: 'connectionClosed', connection,
  reason: 'stale' })
const drainRequested: NodeEvent = { type: 'drainRequested', reason: 'SIGTERM' }

const beforeIdentity = [prepared, owned, connected(1)]
const running = [...beforeIdentity, identified, recovered]

test('starts, loses the bus, comes back as a new connection, drains', () => {
  const text = transcript(nodeMachine, input, [
    prepared,
    owned,
    refused(1),
    { after: 'backoff' },
    connected(1),
    connected(2),
    identified,
    recovered,
    closed(1),
    closed(2),
    connected(2),
    connected(3),
    drainRequested,
    { type: 'drained' },
    { type: 'closed' },
  ])
  assert.is(text, golden(`
    starting: starts
      prepare
    > prepared
    owning: checks that no other process uses the directory
      own
    > owned
    connecting.dialling: no other process uses it
      connect attempt:1,connection:1
    > connectFailed connection:1,retryable:true,error:nobody listens
    connecting.pausing: attempt 1: nobody listens; again in 50 ms
    > after backoff
    connecting.dialling: attempt 2
      connect attempt:2,connection:2
    > connected connection:1,server:s1
    connecting.dialling: ignored: connected of an earlier connection
    > connected connection:2,server:s1
    identifying: connected to s1: looks for other processes named n1
      identify connection:2
    > identified incarnation:4,isRegistered:true
    recovering: incarnation 4: recovers
      recover incarnation:4
    > recovered report:{records:7,bytes:700,ms:2.4,torn:null,damaged:[]}
    running: recovered: 7 records, 700 bytes in 2 ms
      startSpaces life:{incarnation:4,connection:2},server:s1
    > connectionClosed connection:1,reason:stale
    running: ignored: connectionClosed of an earlier connection
    > connectionClosed connection:2,reason:stale
    isolated.dialling: no bus: stale
      isolate
      connect attempt:1,connection:3
    > connected connection:2,server:s1
    isolated.dialling: ignored: connected of an earlier connection
    > connected connection:3,server:s1
    running: back on s1 as connection 3
      rejoin life:{incarnation:4,connection:3},server:s1
    > drainRequested reason:SIGTERM
    draining.handingOver: SIGTERM: hands over (at most 10000 ms)
      drain
    > drained
    draining.closing: drained: closes
      stop
    > closed
    stopped: stopped cleanly
      exit code:0`))
})

test('a connection lost before the node runs is dialled again; recovery goes on without one', () => {
  const text = transcript(nodeMachine, input, [
    prepared,
    owned,
    connected(1),
    closed(1),
    { after: 'backoff' },
    connected(2),
    unidentified(1),
    unidentified(2),
    { after: 'backoff' },
    connected(3),
    identified,
    closed(3),
    recovered,
    connected(4),
  ])
  assert.is(text, golden(`
    starting: starts
      prepare
    > prepared
    owning: checks that no other process uses the directory
      own
    > owned
    connecting.dialling: no other process uses it
      connect attempt:1,connection:1
    > connected connection:1,server:s1
    identifying: connected to s1: looks for other processes named n1
      identify connection:1
    > connectionClosed connection:1,reason:stale
    connecting.pausing: no bus: stale
    > after backoff
    connecting.dialling: attempt 2
      connect attempt:2,connection:2
    > connected connection:2,server:s1
    identifying: connected to s1: looks for other processes named n1
      identify connection:2
    > identifyFailed connection:1,error:no JetStream
    identifying: ignored: identifyFailed of an earlier connection
    > identifyFailed connection:2,error:no JetStream
    connecting.pausing: no JetStream
    > after backoff
    connecting.dialling: attempt 3
      connect attempt:3,connection:3
    > connected connection:3,server:s1
    identifying: connected to s1: looks for other processes named n1
      identify connection:3
    > identified incarnation:4,isRegistered:true
    recovering: incarnation 4: recovers
      recover incarnation:4
    > connectionClosed connection:3,reason:stale
    recovering: recovers, without a bus: stale
    > recovered report:{records:7,bytes:700,ms:2.4,torn:null,damaged:[]}
    isolated.dialling: recovered, without a bus: 7 records, 700 bytes in 2 ms
      connect attempt:1,connection:4
    > connected connection:4,server:s1
    running: back on s1 as connection 4
      rejoin life:{incarnation:4,connection:4},server:s1`))
})

test('a node that the arbiter does not know yet runs, and is registered late', () => {
  const late: NodeEvent = { type: 'identified', incarnation: 5, isRegistered: false }
  const run = runTimed(nodeMachine, input)
  for (const event of [...beforeIdentity, late, recovered]) run.actor.send(event)
  assert.is(run.actor.getSnapshot().value, 'running')
  assert.is(run.actor.getSnapshot().context.isRegistered, false)
  run.actor.send({ type: 'registered' })
  assert.is(run.actor.getSnapshot().context.isRegistered, true)
  assert.is(run.actor.getSnapshot().context.incarnation, 5)
})

test('a copy of the past that is found out late has another number on its next connection', () => {
  const late: NodeEvent = { type: 'identified', incarnation: 5, isRegistered: false }
  const found: NodeEvent = { type: 'reidentified', incarnation: 9, reason: 'a copy of the past' }
  const run = runTimed(nodeMachine, input)
  for (const event of [...beforeIdentity, late, recovered, found, closed(1), connected(2)]) {
    run.actor.send(event)
  }
  assert.equal(run.log.at(-1)?.effect, { type: 'rejoin', life: { incarnation: 9, connection: 2 },
    server: 's1' })
})

test('a node that cannot go on resigns and exits non-zero', () => {
  const table: readonly [string, readonly NodeEvent[], RegExp][] = [
    ['recovery', [...beforeIdentity, identified, { type: 'recoveryFailed', error: 'EIO' }],
      /recovery failed: EIO/],
    ['credentials', [prepared, owned, refused(1, false)], /refuses this node/],
    ['a directory that is another node\'s', [{ type: 'refused', error: 'of n2' }],
      /cannot start: of n2/],
    ['a directory in use', [prepared, { type: 'refused', error: 'in use' }],
      /cannot start: in use/],
    ['a living twin', [...beforeIdentity, { type: 'superseded', reason: 'y' }], /another process/],
    ['fdatasync', [...running, { type: 'syncFailed', error: 'EIO' }], /fdatasync failed: EIO/],
    ['a bug', [...running, { type: 'fatal', error: 'x' }], /cannot go on: x/],
    ['superseded', [...running, { type: 'superseded', reason: 'y' }], /another process/],
    ['fdatasync while draining', [...running, drainRequested, { type: 'syncFailed', error: 'EIO' }],
      /fdatasync failed/],
  ]
  for (const [name, events, reason] of table) {
    const run = runTimed(nodeMachine, input)
    for (const event of events) run.actor.send(event)
    assert.is(run.actor.getSnapshot().value, 'failed', name)
    assert.is(run.actor.getSnapshot().output?.code, 1, name)
    assert.equal(run.take().slice(-2), ['0 resign', '0 exit'], name)
    assert.match(run.actor.getSnapshot().context.lastReason, reason, name)
  }
})

test('dials with back-off from 50 ms to 1 s, each time under a new number', () => {
  const run = runTimed(nodeMachine, input)
  run.actor.send(prepared)
  run.actor.send(owned)
  for (let attempt = 1; attempt <= 7; attempt++) {
    run.actor.send(refused(attempt))
    run.clock.advance(1000)
  }
  const dialled = run.log.flatMap(({ atMs, effect }) =>
    effect.type === 'connect' ? [[atMs, effect.connection]] : []
  )
  assert.equal(dialled, [
    [0, 1],
    [50, 2],
    [1100, 3],
    [2200, 4],
    [3400, 5],
    [4800, 6],
    [6000, 7],
    [7000, 8],
  ])
})

test('a clean stop takes no longer than its deadline', () => {
  const run = runTimed(nodeMachine, { ...input, cleanStopMs: 300 })
  for (const event of [...running, drainRequested]) run.actor.send(event)
  run.clock.advance(200)
  run.actor.send({ type: 'drained' })
  run.clock.advance(99)
  assert.is(run.actor.getSnapshot().status, 'active')
  run.clock.advance(1)
  assert.is(run.actor.getSnapshot().output?.code, 1)
  assert.match(run.actor.getSnapshot().context.lastReason, /took more than 300 ms/)
})

test('without epochs to hand over a drain closes at once', () => {
  for (const before of [[], [prepared], [prepared, owned], [prepared, owned, refused(1)],
    beforeIdentity, [...beforeIdentity, identified], [...running, closed(1)]])
  {
    const run = runTimed(nodeMachine, input)
    for (const event of [...before, drainRequested]) run.actor.send(event)
    assert.equal(run.actor.getSnapshot().value, { draining: 'closing' })
  }
})

test('a stop without a handover says why', () => {
  const early = 'SIGTERM: nothing is handed over, the node does not run yet'
  const away = 'SIGTERM: nothing is handed over, since NATS cannot be reached'
  const reasons: [readonly NodeEvent[], string][] = [
    [[], early],
    [[prepared], early],
    [[prepared, owned], away],
    [[prepared, owned, refused(1)], away],
    [beforeIdentity, early],
    [[...beforeIdentity, identified], early],
    [[...running, closed(1)], away],
  ]
  for (const [before, reason] of reasons) {
    const run = runTimed(nodeMachine, input)
    for (const event of [...before, drainRequested]) run.actor.send(event)
    assert.is(run.actor.getSnapshot().context.lastReason, reason)
  }
})

test('a bus that refuses a node which it took before is dialled again until it takes it', () => {
  const run = runTimed(nodeMachine, input)
  for (const event of [...running, closed(1)]) run.actor.send(event)
  run.actor.send(refused(2, false))
  assert.equal(run.actor.getSnapshot().value, { isolated: 'pausing' })
  assert.is(run.actor.getSnapshot().context.lastReason, 'attempt 1: nobody listens; again in 50 ms')
  run.clock.advance(50)
  run.actor.send(connected(3))
  assert.is(run.actor.getSnapshot().value, 'running')
})

test('every state is reached, every event handled or ignored for a reason', () => {
  const fatal: NodeEvent = { type: 'fatal', error: 'x' }
  assertCovered({
    machine: nodeMachine,
    input,
    events: [
      ...running,
      refused(1),
      refused(2),
      closed(1),
      drainRequested,
      unidentified(1),
      { type: 'registered' },
      { type: 'drained' },
      { type: 'closed' },
      fatal,
    ],
    stopWhen: (snapshot) => snapshot.context.connection > 2,
  })
  const connectionEvents = ['connected', 'connectFailed', 'connectionClosed', 'identifyFailed']
  const once = 'sent once, in the state that asked for it'
  const late = 'of a connection that is not the present one'
  assertHandled({
    machine: nodeMachine,
    events: [
      'prepared',
      'owned',
      'identified',
      'recovered',
      'recoveryFailed',
      ...connectionEvents,
      'registered',
      'reidentified',
      'drainRequested',
      'drained',
      'closed',
      'syncFailed',
      'fatal',
      'refused',
      'superseded',
    ],
    ignoreTable: [
      { state: '', events: ['prepared', 'owned', 'identified'], reason: once },
      { state: '', events: ['recovered', 'recoveryFailed'], reason: once },
      { state: '', events: ['drained', 'closed'], reason: once },
      ...['starting', 'owning', 'connecting', 'identifying'].map((state) => ({
        state,
        events: ['registered', 'reidentified'],
        reason: 'it is not identified yet',
      })),
      { state: 'starting', events: connectionEvents, reason: 'nothing was dialled yet' },
      { state: 'owning', events: connectionEvents, reason: 'nothing was dialled yet' },
      { state: 'connecting', events: ['connectionClosed', 'identifyFailed'], reason: late },
      { state: 'connecting.pausing', events: ['connectFailed'], reason: late },
      { state: 'identifying', events: ['connected', 'connectFailed'], reason: late },
      { state: 'recovering', events: ['connected', 'connectFailed', 'identifyFailed'],
        reason: late },
      { state: 'running', events: ['connected', 'connectFailed', 'identifyFailed'], reason: late },
      { state: 'isolated', events: ['connectionClosed', 'identifyFailed'], reason: late },
      { state: 'isolated.pausing', events: ['connectFailed'], reason: late },
      {
        state: 'draining',
        events: ['connected', 'connectFailed', 'identifyFailed', 'registered', 'reidentified'],
        reason: 'it leaves',
      },
      { state: 'draining.closing', events: ['connectionClosed'], reason: 'it is closing it' },
    ],
  })
})

test.run()
