import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ErrorAnswer, WriteAnswer } from '../../../actors/ports/clientApi.js'
import { defaultSettings } from '../../../actors/ports/defaultSettings.js'
import { codec, message, path, settle } from '../../support/actorKit.js'

const test = suite('ingest')

test('I4: written, shipped, synced, and only then answered', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const reply = side.write()
  await settle()
  assert.equal(side.journal.steps, ['written', 'shipped'])
  assert.is(side.overlay.count, 0)
  await side.journal.release()
  assert.equal(side.journal.steps, ['written', 'shipped', 'synced', `answered ${reply}`])
  assert.is(side.store.applied.sequence, 0, 'the store gets nothing before the commit')
})

test('levels: memory at once, durable after the sync, committed after the commit', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const replies = ['memory', 'durable', 'committed'].map((ack) => side.write({ 'Engram-Ack': ack }))
  const codes = () => replies.map((reply) => side.codeTo(reply))
  assert.equal(codes(), ['ok 1', 'none', 'none'])
  await settle()
  await side.journal.release()
  assert.equal(codes(), ['ok 1', 'ok 2', 'none'])
  side.commit(2)
  assert.is(side.codeTo(replies[2]!), 'none')
  side.commit(3)
  assert.equal(codes(), ['ok 1', 'ok 2', 'ok 3'])
})

test('a lapse between taking and answering: nothing positive leaves', async () => {
  for (const clockMove of ['both', 'wall'] as const) {
    const side = path()
    side.journal.holdsSyncs = true
    const durable = side.write()
    const committed = side.write({ 'Engram-Ack': 'committed' })
    await settle()
    if (clockMove === 'both') await side.clock.advanceAsync(2000)
    else side.clock.suspend(2000)
    await side.journal.release()
    side.commit()
    assert.is(side.codeTo(durable), 'LEASE_LAPSED')
    assert.is(side.codeTo(committed), 'LEASE_LAPSED')
    assert.is(side.lapses.length, 1)
    assert.is(side.answerTo(durable)!.ok === false
      && (side.answerTo(durable) as { sequence?: number }).sequence, 1)
    side.grantFor(5000)
    assert.is(side.codeTo(side.write({ 'Engram-Ack': 'memory' })), 'LEASE_LAPSED', 'final')
  }
})

test('the end of an epoch answers everyone once, negatively, wherever the write is', async () => {
  const side = path()
  const committed = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  await settle()
  side.journal.holdsSyncs = true
  const inFlight = side.write()
  await settle()
  const buffered = side.write()
  const duplicate = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  side.ingest.end('LEASE_LAPSED', 'over')
  const after = side.write()
  await side.journal.release()
  side.commit()
  const codes = [committed, inFlight, buffered, duplicate, after].map((r) => side.codeTo(r))
  assert.equal(codes, [
    'LEASE_LAPSED',
    'LEASE_LAPSED',
    'LEASE_LAPSED',
    'LEASE_LAPSED',
    'NOT_PRIMARY',
  ])
  assert.is(side.log.durable.sequence, 2, 'what was shipped stays in the log')
  assert.is(side.journal.flushes.length, 2, 'what was buffered is void')
})

test('a duplicate waits with the first while that is in flight', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const key = { 'Nats-Msg-Id': 'k' }
  const first = side.write(key)
  const buffered = side.write(key)
  await settle()
  const flushing = side.write(key)
  const memory = side.write({ ...key, 'Engram-Ack': 'memory' })
  assert.is(side.codeTo(memory), 'ok 1')
  assert.is(side.answers.length, 1)
  await side.journal.release()
  const later = side.write(key)
  for (const reply of [first, buffered, flushing, later]) assert.is(side.codeTo(reply), 'ok 1')
  const flags = [first, buffered, flushing, later].map((reply) => {
    const answer = side.answerTo(reply)!
    return answer.ok && answer.duplicate
  })
  assert.equal(flags, [false, true, true, true])
  assert.is(side.log.end.sequence, 1)
})

test('a duplicate says under which epoch it is logged', async () => {
  const side = path({ epoch: 3 })
  side.overlay.add([{
    sequence: 1,
    epoch: 2,
    timestamp: 1,
    vectorClock: {},
    writeId: 'old',
    operation: { type: 'StoreNode', node: { id: 'a' } },
  }], 10)
  const old = side.write({ 'Nats-Msg-Id': 'old', 'Engram-Ack': 'memory' })
  const { epoch, loggedEpoch, duplicate } = side.answerTo(old) as WriteAnswer
  assert.equal({ epoch, loggedEpoch, duplicate }, { epoch: 3, loggedEpoch: 2, duplicate: true })
})

test('a write for another epoch is not taken, and the answer names this one', async () => {
  const side = path({ epoch: 3 })
  const own = side.write({ 'Engram-Epoch': '3' })
  const [older, later] = ['2', '4'].map((epoch) => side.write({ 'Engram-Epoch': epoch }))
  const wrong = side.write({ 'Engram-Epoch': 'three' })
  const origin = side.write({ 'Engram-Origin': '2/17' })
  await settle()
  assert.equal([own, older!, later!, wrong, origin].map((reply) => side.codeTo(reply)), ['ok 1',
    'NOT_PRIMARY', 'NOT_PRIMARY', 'INVALID_OPERATION', 'ok 2'])
  const { outcome, retryable, epoch } = side.answerTo(older!) as ErrorAnswer
  assert.equal({ outcome, retryable, epoch }, { outcome: 'notTaken', retryable: true, epoch: 3 })
  assert.is(side.log.end.sequence, 2)
})

test('a duplicate refused its level says that the write is logged', async () => {
  const side = path()
  const first = side.write({ 'Nats-Msg-Id': 'k' })
  await settle()
  side.inSync = 1
  const again = side.write({ 'Nats-Msg-Id': 'k', 'Engram-Ack': 'committed' })
  assert.is(side.codeTo(first), 'ok 1')
  const { code, outcome, sequence, epoch } = side.answerTo(again) as ErrorAnswer
  assert.equal({ code, outcome, sequence, epoch }, { code: 'NOT_ENOUGH_IN_SYNC', outcome: 'unknown',
    sequence: 1, epoch: 1 })
})

test('a duplicate of what could not be written is refused, and may be tried again', async () => {
  const side = path()
  side.journal.failures = 1
  const key = { 'Nats-Msg-Id': 'k', 'Engram-Ack': 'committed' }
  const replies = [side.write(key), side.write(key)]
  await settle()
  assert.equal(replies.map((r) => side.codeTo(r)), ['READ_ONLY', 'READ_ONLY'])
  const again = side.write(key)
  await settle()
  side.commit()
  assert.is(side.codeTo(again), 'ok 1')
  assert.is(side.answerTo(again)!.ok && (side.answerTo(again) as { duplicate: boolean }).duplicate,
    false)
})

test('while the disk fails, memory is answered when it is durable, or refused', async () => {
  const side = path()
  const memory = { 'Engram-Ack': 'memory' }
  side.journal.failures = 2
  const first = side.write(memory)
  assert.is(side.codeTo(first), 'ok 1', 'nothing was known of the disk')
  await settle()
  assert.is(side.forgotten.length, 1, 'the epoch has to end: its sequence 1 was given away')
  const second = side.write(memory)
  assert.is(side.codeTo(second), 'none')
  await settle()
  assert.is(side.codeTo(second), 'READ_ONLY')
  assert.is(side.forgotten.length, 1, 'nothing more was answered')
  const third = side.write(memory)
  assert.is(side.codeTo(third), 'none')
  await settle()
  assert.is(side.codeTo(third), 'ok 1')
  assert.is(side.codeTo(side.write(memory)), 'ok 2', 'the disk takes writes again')
})

test('while the disk fails a repeat at level memory waits as the first does', async () => {
  const side = path()
  const key = { 'Nats-Msg-Id': 'k', 'Engram-Ack': 'memory' }
  side.journal.failures = 1
  side.write({})
  await settle()
  side.journal.holdsSyncs = true
  const [first, again] = [side.write(key), side.write(key)]
  await settle()
  assert.equal([side.codeTo(first), side.codeTo(again)], ['none', 'none'])
  await side.journal.release()
  assert.equal([side.codeTo(first), side.codeTo(again)], ['ok 1', 'ok 1'])
})

test('ack timeout: an error with the sequence, once, and the write stays', async () => {
  const side = path()
  const reply = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  await settle()
  const duplicate = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  for (let beat = 0; beat < 60; beat += 1) {
    side.clock.advance(100)
    side.grantFor(2000)
    side.ingest.expire()
  }
  assert.is(side.codeTo(reply), 'ACK_TIMEOUT')
  assert.is(side.codeTo(duplicate), 'ACK_TIMEOUT')
  const answer = side.answerTo(reply)!
  assert.is(answer.ok === false && answer.sequence, 1)
  assert.is(answer.ok === false && answer.outcome, 'unknown')
  side.commit()
  assert.is(side.codeTo(reply), 'ACK_TIMEOUT')
  const again = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  assert.is(side.codeTo(again), 'ok 1')
})

test('minInSync: refused when taken, and checked again when answered', async () => {
  const side = path()
  const taken = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  await settle()
  side.inSync = 1
  const refused = side.write({ 'Engram-Ack': 'committed' })
  const duplicate = side.write({ 'Engram-Ack': 'committed', 'Nats-Msg-Id': 'k' })
  const durable = side.write()
  await settle()
  side.commit()
  assert.is(side.codeTo(taken), 'ACK_TIMEOUT')
  assert.is(side.codeTo(refused), 'NOT_ENOUGH_IN_SYNC')
  assert.is(side.codeTo(duplicate), 'NOT_ENOUGH_IN_SYNC')
  assert.is(side.codeTo(durable), 'ok 2')
})

test('a request is never split over frames, a frame never grows too large', async () => {
  const side = path({ settings: { ...defaultSettings, frameBytesMax: 2000 } })
  const replies = [side.write({}, 20), side.write({}, 20), side.write({}, 1)]
  await settle()
  const bounds = side.journal.flushes.flat().map((
    r,
  ) => (r.type === 'frame' ? [r.frame.first, r.frame.last] : []))
  assert.equal(bounds, [[1, 20], [21, 41]])
  assert.equal(replies.map((r) => side.codeTo(r)), ['ok 20', 'ok 40', 'ok 41'])
  const entries = side.overlay.entries(1, 100)
  const logged = side.journal.flushes.flat().flatMap((
    r,
  ) => (r.type === 'frame' ? codec.entries(r.frame) : []))
  assert.equal(entries, logged, 'the overlay holds what a replica will decode')
})

test('timestamps do not go back with the clock', async () => {
  const side = path()
  side.write()
  side.clock.jumpWall(-60_000)
  side.write()
  await settle()
  const [a, b] = side.overlay.entries(1, 2)
  assert.ok(a!.timestamp <= b!.timestamp)
})

test('past the bounds writes are refused, and nothing of them is taken', async () => {
  const side = path({ settings: { ...defaultSettings, unflushedBytesMax: 700 } })
  for (let i = 0; i < 20; i += 1) {
    side.write()
    await settle()
    assert.is(side.ingest.bufferedBytes, 0, 'the count does not drift')
  }
  side.journal.holdsSyncs = true
  const replies = [side.write({}, 20), side.write()]
  assert.is(side.codeTo(replies[1]!), 'OVERLOADED')
  await settle()
  const meanwhile = side.write()
  assert.is(side.codeTo(meanwhile), 'OVERLOADED')
  await side.journal.release()
  assert.is(side.codeTo(replies[0]!), 'ok 40')
  assert.is(side.ingest.bufferedBytes, 0)
})

test('no reply, no answer; a bad level or payload is refused with its reason', async () => {
  const side = path()
  side.ingest.onWrite(message({ type: 'StoreNode', node: { id: 'x' } }))
  await settle()
  assert.is(side.log.durable.sequence, 1)
  assert.is(side.answers.length, 0)
  assert.is(side.codeTo(side.write({ 'Engram-Ack': 'quorum' })), 'INVALID_OPERATION')
  side.ingest.onWrite(message({ type: 'Nonsense' }, {}, 'bad'))
  assert.is(side.codeTo('bad'), 'INVALID_OPERATION')
  side.ingest.refuse({ code: 'READ_ONLY', message: 'full' })
  assert.is(side.codeTo(side.write()), 'READ_ONLY')
})

test('many that wait are refused in many turns, and none is answered positively meanwhile', async () => {
  let busyMs = 0
  const side = path({
    onAnswer: () => {
      busyMs += 1
    },
  })
  const now = side.clock.monotonicMs.bind(side.clock)
  const committed = Array.from({ length: 4 }, () => side.write({ 'Engram-Ack': 'committed' }))
  await settle()
  // The next flush begins at once.
  side.clock.advance(2)
  side.journal.holdsSyncs = true
  const inFlight = side.write()
  await settle()
  const buffered = Array.from({ length: 3 }, () => side.write())
  side.clock.monotonicMs = () => now() + busyMs
  side.ingest.end('LEASE_LAPSED', 'over')
  assert.is(side.answers.length, 3, 'as many as fit into a slice')
  assert.is(side.replies.isIdle, false)
  side.commit()
  await side.journal.release()
  assert.is(side.answers.length, 3, 'a commit and a flush change nothing')
  side.clock.advance(0)
  assert.equal(side.answers.map(({ to }) => to), [...committed, ...buffered, inFlight])
  for (const { to } of side.answers) assert.is(side.codeTo(to), 'LEASE_LAPSED')
  assert.is(side.replies.isIdle, true)
})

test('writes that time out together are refused in many turns', async () => {
  let busyMs = 0
  const side = path({
    onAnswer: () => {
      busyMs += 1
    },
  })
  const now = side.clock.monotonicMs.bind(side.clock)
  for (let i = 0; i < 5; i += 1) side.write({ 'Engram-Ack': 'committed' })
  await settle()
  side.clock.advance(6000)
  side.clock.monotonicMs = () => now() + busyMs
  side.ingest.expire()
  assert.is(side.answers.length, 3)
  side.commit()
  side.clock.advance(0)
  assert.equal(side.answers.map(({ to }) => side.codeTo(to)),
    Array.from({ length: 5 }, () => 'ACK_TIMEOUT'))
})

test.run()
