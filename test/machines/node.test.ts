import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeMachine } from '../../machines/node.js'
import type { NodeEvent } from '../../machines/node.js'
import { assertCovered, assertHandled, golden, runTimed, transcript } from './paths.js'

const test = suite('machines/node')
const input = { node: 'n1' }
const report = { records: 7, bytes: 700, ms: 2.4, torn: null, damaged: [] }
const opened: NodeEvent = { type: 'opened', incarnation: 4 }
const recovered: NodeEvent = { type: 'recovered', report }
const connected = (connection: number): NodeEvent =>
  ({ type: 'connected', life: { incarnation: 4, connection }, server: 's1' })
const refused = (connection: number, retryable = true): NodeEvent =>
  ({ type: 'connectFailed', connection, retryable, error: 'nobody listens' })
const closed = (connection: number): NodeEvent =>
  ({ type: 'connectionClosed', connection, reason: 'stale' })
const drainRequested: NodeEvent = { type: 'drainRequested', reason: 'SIGTERM' }

test('starts, loses the bus, comes back as a new connection, drains', () => {
  const text = transcript(nodeMachine, input, [
    opened, recovered, refused(1), { after: 'backoff' }, connected(1), connected(2), closed(1),
    closed(2), connected(2), connected(3), drainRequested, { type: 'drained' },
    { type: 'closed' },
  ])
  assert.is(text, golden(`
    starting: starts
      open
    > opened incarnation:4
    recovering: incarnation 4: recovers
      recover incarnation:4
    > recovered report:{records:7,bytes:700,ms:2.4,torn:null,damaged:[]}
    connecting.dialling: recovered: 7 records, 700 bytes in 2 ms
      connect attempt:1,life:{incarnation:4,connection:1}
    > connectFailed connection:1,retryable:true,error:nobody listens
    connecting.pausing: attempt 1: nobody listens; again in 50 ms
    > after backoff
    connecting.dialling: attempt 2
      connect attempt:2,life:{incarnation:4,connection:2}
    > connected life:{incarnation:4,connection:1},server:s1
    connecting.dialling: ignored: connected of an earlier connection
    > connected life:{incarnation:4,connection:2},server:s1
    running: connected to s1: runs
      startSpaces life:{incarnation:4,connection:2},server:s1
    > connectionClosed connection:1,reason:stale
    running: ignored: connectionClosed of an earlier connection
    > connectionClosed connection:2,reason:stale
    isolated.dialling: no bus: stale
      isolate
      connect attempt:1,life:{incarnation:4,connection:3}
    > connected life:{incarnation:4,connection:2},server:s1
    isolated.dialling: ignored: connected of an earlier connection
    > connected life:{incarnation:4,connection:3},server:s1
    running: back on s1 as connection 3
      rejoin life:{incarnation:4,connection:3},server:s1
    > drainRequested reason:SIGTERM
    draining.handingOver: drains: SIGTERM
      drain
    > drained
    draining.closing: drained: closes
      stop
    > closed
    stopped: stopped cleanly
      exit code:0`))
})

test('what cannot go on resigns and exits non-zero', () => {
  const running = [opened, recovered, connected(1)]
  const table: readonly [string, readonly NodeEvent[], RegExp][] = [
    ['recovery', [opened, { type: 'recoveryFailed', error: 'EIO' }], /recovery failed: EIO/],
    ['credentials', [opened, recovered, refused(1, false)], /refuses this node/],
    ['fdatasync', [...running, { type: 'syncFailed', error: 'EIO' }], /fdatasync failed: EIO/],
    ['a bug', [...running, { type: 'fatal', error: 'x' }], /cannot go on: x/],
    ['superseded', [...running, { type: 'superseded', reason: 'y' }], /another process/],
    ['fdatasync while draining',
      [...running, drainRequested, { type: 'syncFailed', error: 'EIO' }], /fdatasync failed/],
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
  run.actor.send(opened)
  run.actor.send(recovered)
  for (let attempt = 1; attempt <= 7; attempt++) {
    run.actor.send(refused(attempt))
    run.clock.advance(1000)
  }
  const dialled = run.log.flatMap(({ atMs, effect }) =>
    effect.type === 'connect' ? [[atMs, effect.life.connection]] : [])
  assert.equal(dialled, [
    [0, 1], [50, 2], [1100, 3], [2200, 4], [3400, 5], [4800, 6], [6000, 7], [7000, 8],
  ])
})

test('a clean stop takes no longer than its deadline', () => {
  const run = runTimed(nodeMachine, { ...input, cleanStopMs: 300 })
  for (const event of [opened, recovered, connected(1), drainRequested]) run.actor.send(event)
  run.clock.advance(200)
  run.actor.send({ type: 'drained' })
  run.clock.advance(99)
  assert.is(run.actor.getSnapshot().status, 'active')
  run.clock.advance(1)
  assert.is(run.actor.getSnapshot().output?.code, 1)
  assert.match(run.actor.getSnapshot().context.lastReason, /took more than 300 ms/)
})

test('without reigns to hand over a drain closes at once', () => {
  for (const before of [[], [opened], [opened, recovered], [opened, recovered, refused(1)],
    [opened, recovered, connected(1), closed(1)]]) {
    const run = runTimed(nodeMachine, input)
    for (const event of [...before, drainRequested]) run.actor.send(event)
    assert.equal(run.actor.getSnapshot().value, { draining: 'closing' })
  }
})

test('every state is reached, every event handled or ignored for a reason', () => {
  const fatal: NodeEvent = { type: 'fatal', error: 'x' }
  assertCovered({
    machine: nodeMachine, input,
    events: [
      opened, recovered, connected(1), refused(1), refused(2), closed(1), drainRequested,
      { type: 'drained' }, { type: 'closed' }, fatal,
    ],
    stopWhen: (snapshot) => snapshot.context.connection > 2,
  })
  const connectionEvents = ['connected', 'connectFailed', 'connectionClosed']
  const once = 'told once, in the state that asked for it'
  const late = 'of a connection that is not the present one'
  assertHandled({
    machine: nodeMachine,
    events: [
      'opened', 'recovered', 'recoveryFailed', ...connectionEvents, 'drainRequested', 'drained',
      'closed', 'syncFailed', 'fatal', 'superseded',
    ],
    ignoreTable: [
      { state: '', events: ['opened', 'recovered', 'recoveryFailed'], reason: once },
      { state: '', events: ['drained', 'closed'], reason: once },
      { state: 'starting', events: connectionEvents, reason: 'nothing was dialled yet' },
      { state: 'recovering', events: connectionEvents, reason: 'nothing was dialled yet' },
      { state: 'connecting', events: ['connectionClosed'], reason: late },
      { state: 'connecting.pausing', events: ['connectFailed'], reason: late },
      { state: 'running', events: ['connected', 'connectFailed'], reason: late },
      { state: 'isolated', events: ['connectionClosed'], reason: late },
      { state: 'isolated.pausing', events: ['connectFailed'], reason: late },
      { state: 'draining', events: ['connected', 'connectFailed'], reason: 'it leaves' },
      { state: 'draining.closing', events: ['connectionClosed'], reason: 'it is closing it' },
    ],
  })
})

test.run()
