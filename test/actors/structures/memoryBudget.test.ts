/** The memory budget of a node: what each structure counts, and what each does when it is used. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SpaceLog } from '../../../actors/log/spaceLog.js'
import { MemoryWatch } from '../../../actors/node/memoryWatch.js'
import type { Frame } from '../../../actors/ports/frames.js'
import type { Logger } from '../../../actors/ports/system.js'
import { entriesOf, PendingWrite } from '../../../actors/primary/pendingWrite.js'
import { ReceivedFrames } from '../../../actors/replica/receivedFrames.js'
import { Budget } from '../../../actors/structures/budget.js'
import { codec, GateJournal, path, settle, uuid } from '../../support/actorKit.js'
import { frameOf } from '../../support/journalKit.js'

const test = suite('memory budget')

test('accounts of one use add up; what is closed counts no more', () => {
  const budget = new Budget(100)
  const [a, b] = [budget.account('held'), budget.account('held')]
  a.set(10)
  b.set(5)
  a.set(7)
  budget.account('marks').set(30)
  assert.equal([budget.usedBytes, budget.uses().held, budget.uses().marks], [42, 12, 30])
  a.set(0)
  assert.is(budget.usedBytes, 35)
})

test('caches go first, then new writes, then the rest', () => {
  const budget = new Budget(100)
  const held = budget.account('held')
  const allowed = () =>
    (['tails', 'writes', 'held', 'windows', 'received'] as const)
      .filter((taker) => budget.allows(taker))
  const at = (bytes: number) => {
    held.set(bytes)
    return allowed()
  }
  assert.equal(at(49), ['tails', 'writes', 'held', 'windows', 'received'])
  assert.equal(at(50), ['writes', 'held', 'windows', 'received'])
  assert.equal(at(75), ['held', 'windows', 'received'])
  assert.equal(at(90), ['received'])
  assert.equal(at(100), [])
})

test('a write over the budget is OVERLOADED, not taken, and one that is known is answered', async () => {
  const side = path()
  const key = { 'Nats-Msg-Id': 'k' }
  const first = side.write(key)
  await settle()
  assert.is(side.codeTo(first), 'ok 1')
  const others = side.budget.account('held')
  others.set(side.budget.bytesMax)
  const refused = side.write()
  const answer = side.answerTo(refused)!
  assert.ok(answer.ok === false)
  assert.equal([answer.code, answer.outcome, answer.retryable, answer.retryAfterMs! > 0], [
    'OVERLOADED',
    'notTaken',
    true,
    true,
  ])
  assert.match(answer.message, /memoryBytes/)
  assert.is(side.codeTo(side.write(key)), 'ok 1', 'a repeated write takes no memory')
  others.set(0)
  const next = side.write()
  await settle()
  assert.is(side.codeTo(next), 'ok 2')
})

test('writes count until they are durable, then as the overlay\'s until they are applied', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const uses = () => [side.budget.uses().writes > 0, side.budget.uses().overlay > 0]
  assert.equal(uses(), [false, false])
  side.write({}, 3)
  const one = side.budget.uses().writes
  side.write({}, 3)
  assert.ok(side.budget.uses().writes > one)
  await settle()
  assert.equal(uses(), [true, false], 'on their way to the disk')
  await side.journal.release()
  assert.equal(uses(), [false, true])
  side.overlay.applied(6)
  assert.equal(uses(), [false, false])
  side.write()
  side.ingest.end('LEASE_LAPSED', 'over')
  await side.journal.release()
  assert.equal(uses(), [false, false], 'of an epoch that is over nothing is left')
})

test('a write that is short encoded and long decoded counts as it is decoded', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  const uses = () => [side.budget.uses().writes, side.budget.uses().overlay]
  const metadata = { list: Array.from({ length: 1000 }, () => ({})) }
  for (const node of [{ metadata }, { embedding: Array.from({ length: 4000 }, () => 0) }]) {
    side.send({ type: 'StoreNode', node: { id: 'n', ...node } })
    assert.ok(uses()[0]! > 40_000, `${uses()}`)
    await settle()
    assert.ok(uses()[0]! > 40_000, 'on its way to the disk')
    await side.journal.release()
    assert.ok(uses()[0] === 0 && uses()[1]! > 32_000, `${uses()}`)
    side.overlay.applied(side.overlay.lastSequence)
    assert.equal(uses(), [0, 0])
  }
  side.send({ type: 'StoreNode', node: { id: 'n', metadata } })
  await settle()
  await side.journal.release()
  const added = side.overlay.lastSequence
  side.overlay.dropAbove(added - 1)
  side.send({ type: 'StoreNode', node: { id: 'n', metadata } })
  side.ingest.end('LEASE_LAPSED', 'over')
  assert.equal(uses(), [0, 0])
})

test('writes that a full disk refused count no more', async () => {
  const side = path()
  side.journal.failures = 1
  side.write()
  await settle()
  assert.is(side.budget.uses().writes, 0)
})

function log(
  budget: Budget,
): { log: SpaceLog; append: (count: number, durable?: boolean) => void } {
  const log = new SpaceLog({
    space: 'demo',
    uuid,
    journal: new GateJournal(),
    tailBytesMax: 1 << 20,
    budget,
  })
  const append = (count: number, isWritten = true): void => {
    for (let at = 0; at < count; at += 1) {
      const frame = frameOf(uuid, log.end.sequence + 1)
      log.accept(frame, 0)
      if (isWritten) log.noteWritten(frame)
    }
  }
  return { log, append }
}

test('a log drops frames and marks that nobody needs, and no frame that is not in the file', () => {
  const budget = new Budget(1 << 20)
  const { log: one, append } = log(budget)
  append(10)
  append(5, false)
  const all = budget.uses()
  assert.ok(all.tails > 0 && all.marks > 0)
  one.release(4, 2)
  assert.equal(one.cachedFrom(4, 1 << 20), null)
  assert.is(one.cachedFrom(5, 1 << 20)!.length, 6)
  assert.ok(one.knowsAbove(2) && !one.knowsAbove(1))
  one.release(15, 15)
  assert.ok(budget.uses().tails > 0)
  assert.is(one.cachedFrom(11, 1)!.length, 0, 'it is in the tail, and not yet written')
  assert.is(budget.uses().marks, 0)
  one.close()
  assert.is(budget.usedBytes, 0)
})

test('over half of the budget a log keeps only what is not yet in the file', () => {
  const budget = new Budget(1 << 20)
  const { log: one, append } = log(budget)
  append(10)
  budget.account('held').set(1 << 19)
  append(1)
  const frame = budget.uses().tails
  append(1)
  assert.is(budget.uses().tails, frame, 'the last one only')
  assert.is(one.cachedFrom(11, 1 << 20), null)
})

test('a log that is written to no more gives up its frames when memory runs short', () => {
  const budget = new Budget(1 << 20)
  const { log: one, append } = log(budget)
  append(10)
  one.release(0, 0)
  assert.is(one.cachedFrom(1, 1 << 20)!.length, 10)
  budget.account('held').set(1 << 19)
  one.release(0, 0)
  assert.is(budget.uses().tails, 0)
})

test('repeated writes that wait for their level count', async () => {
  const side = path()
  side.journal.holdsSyncs = true
  side.write({ 'Nats-Msg-Id': 'k', 'Engram-Ack': 'committed' })
  await settle()
  const before = side.budget.uses().writes
  for (let i = 0; i < 256; i += 1) side.write({ 'Nats-Msg-Id': 'k', 'Engram-Ack': 'committed' })
  assert.ok(side.budget.uses().writes >= before + 100_000)
  side.budget.account('held').set(side.budget.bytesMax)
  const refused = side.answerTo(side.write({ 'Nats-Msg-Id': 'k', 'Engram-Ack': 'committed' }))!
  assert.ok(refused.ok === false)
  assert.equal([refused.code, refused.outcome, refused.sequence], ['OVERLOADED', 'unknown', 1])
  side.ingest.end('LEASE_LAPSED', 'over')
  await side.journal.release()
  assert.is(side.budget.uses().writes, 0)
})

test('answers that wait for room in the loss window count, without their payload', async () => {
  const side = path({
    spaceSettings: { replicas: 1, ack: 'durable', minInSync: 2, maxLoss: { entries: 1 } },
  })
  for (let i = 0; i < 11; i += 1) side.write()
  await settle()
  side.overlay.applied(11)
  const { overlay, writes } = side.budget.uses()
  assert.is(overlay, 0)
  assert.ok(writes >= 10 * 400, `${writes}`)
  side.log.raiseSafe(5)
  side.commit()
  assert.ok(side.budget.uses().writes < writes, 'less, as they are answered')
  side.log.raiseSafe(11)
  side.commit()
  assert.is(side.budget.uses().writes, 0)
})

test('a write that is durable keeps no payload', () => {
  const request = {
    operations: [{ type: 'StoreNode', node: { id: 'a' } } as const],
    encoded: [],
    key: null,
  }
  const asker = { reply: 'r', encoding: 'json' } as const
  const waiting = new PendingWrite(asker, 'durable', request, 0).place(1, 0)
  const batch = {
    builder: codec.builder(),
    requests: [waiting],
    heapBytes: 0,
    openedAtMs: 0,
  }
  const entries = entriesOf(batch, frameOf(uuid, 7), 'n1', {})
  assert.equal(entries.map(({ sequence, operation }) => [sequence, operation]), [[7,
    request.operations[0]]])
  assert.equal([waiting.operations.length, waiting.count, waiting.last], [0, 1, 7])
})

test('a replica over its budget takes one frame at a time', async () => {
  const budget = new Budget(1000)
  const received = new ReceivedFrames(budget)
  budget.account('held').set(1000)
  assert.ok(received.hasRoom())
  const first = frameOf(uuid, 1)
  received.push(first)
  assert.not.ok(received.hasRoom())
  assert.equal(received.take(), [first])
  assert.not.ok(received.hasRoom(), 'it is not durable yet')
  let isSettled = false
  void received.settled().then(() => {
    isSettled = true
  })
  received.done(first)
  assert.ok(received.hasRoom())
  received.release()
  await settle()
  assert.ok(isSettled)
  received.push(frameOf(uuid, 2))
  received.drop()
  assert.is(budget.uses().received, 0)
})

test('the log says once that writes are refused, and once that they are taken again', () => {
  const budget = new Budget(1000)
  const said: string[] = []
  const note = (level: string) => (fields: object, message: string) =>
    said.push(`${level} ${message} ${JSON.stringify(fields)}`)
  const logger = { warn: note('warn'), info: note('info') } as unknown as Logger
  const lane = { heldBytes: 0 }
  const frames: Frame[] = []
  const watch = new MemoryWatch(
    budget,
    { reads: lane, status: { heldBytes: 5 } } as never,
    {
      logger,
      store: { get keyBytes() {
        return frames.length * 100
      } } as never,
      journal: { stats: () => ({ indexBytes: 20 }) } as never,
    },
  )
  const second = () => {
    for (let heartbeat = 0; heartbeat < 10; heartbeat += 1) watch.tick()
  }
  second()
  assert.equal([budget.uses().reads, budget.uses().keys, budget.uses().journal], [5, 0, 20])
  frames.length = 9
  second()
  second()
  assert.is(said.length, 1)
  assert.match(said[0]!, /^warn out of memory for new writes.*"keys":900/)
  frames.length = 7
  second()
  assert.is(said.length, 1, 'a little less is not reported')
  frames.length = 9
  second()
  assert.is(said.length, 1)
  lane.heldBytes = 10
  frames.length = 1
  second()
  second()
  assert.is(said.length, 2)
  assert.match(said[1]!, /^info new writes are accepted again/)
})

test.run()
