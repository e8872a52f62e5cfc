import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SpaceLog } from '../../../actors/log/spaceLog.js'
import type { Frame } from '../../../actors/ports/frames.js'
import { EntriesGoneError } from '../../../actors/ports/journal.js'
import { ReplicaStream } from '../../../actors/primary/replicaStream.js'
import { Budget } from '../../../actors/structures/budget.js'
import type { Ack } from '../../../machines/protocol/messages.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { codec, GateJournal, settle, uuid } from '../../support/actorKit.js'
import { frameOf } from '../../support/journalKit.js'

const test = suite('replica stream')

function kit(over: { windowBytes?: number; tailBytes?: number; memoryBytes?: number } = {}) {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  const budget = new Budget(over.memoryBytes ?? 1 << 30)
  const log = new SpaceLog({
    space: 'demo',
    uuid,
    journal,
    tailBytesMax: over.tailBytes ?? 1 << 20,
    budget,
  })
  const sent: string[] = []
  const failures: unknown[] = []
  const shipping = new ReplicaStream({
    budget,
    peer: 'n2',
    epoch: 1,
    log,
    frames: codec,
    clock,
    windowBytes: over.windowBytes ?? 1 << 20,
    send: (data) => {
      const wal = codec.decodeWal(data)
      if (typeof wal === 'string') throw new Error(wal)
      const { session, commitSequence } = wal.header
      sent.push(wal.frame ? `${session}:${wal.frame.first}` : `notice ${session} ${commitSequence}`)
    },
    onReadFailed: (error) => failures.push(error),
  })
  const append = async (count = 1): Promise<Frame> => {
    let frame!: Frame
    for (let i = 0; i < count; i += 1) {
      frame = frameOf(uuid, log.end.sequence + 1)
      log.accept(frame, clock.monotonicMs())
      await journal.write([{ type: 'frame', frame }])
      log.noteWritten(frame)
      log.noteDurable(frame)
    }
    return frame
  }
  const ack = (durableSequence: number, over2: Partial<Ack> = {}): boolean =>
    shipping.noteAck({
      kind: 'ack',
      space: 'demo',
      node: 'n2',
      epoch: 1,
      session: shipping.session,
      durableSequence,
      appliedSequence: 0,
      digest: '',
      ...over2,
    })
  return { journal, clock, budget, log, sent, failures, shipping, append, ack }
}

test('nothing is sent before the first ack of the session', async () => {
  const { shipping, append, sent, ack } = kit()
  await append(3)
  shipping.pump()
  shipping.begin(1, 1, { disk: 'd', rebuilding: false })
  shipping.pump()
  assert.equal(sent, [])
  assert.ok(ack(1))
  assert.equal(sent, ['1:2', '1:3'])
})

test('acks of another session, another epoch or beyond the log count for nothing', async () => {
  const { shipping, append, ack } = kit()
  await append(3)
  assert.not.ok(ack(1), 'not joined')
  shipping.begin(2, 0, { disk: 'd', rebuilding: false })
  assert.not.ok(ack(3, { session: 1 }))
  assert.not.ok(ack(3, { session: 3 }))
  assert.not.ok(ack(3, { epoch: 2 }))
  assert.not.ok(ack(4))
  assert.is(shipping.acked, 0, 'a join is no progress')
  assert.ok(ack(2))
  assert.ok(ack(1))
  assert.is(shipping.acked, 2, 'cumulative: a late one takes nothing back')
  shipping.begin(3, 2, { disk: 'd', rebuilding: false })
  assert.is(shipping.acked, 0)
  assert.not.ok(ack(3, { session: 2 }))
})

test('the window bounds what is in flight, and acks open it', async () => {
  const { shipping, append, ack, sent } = kit({ windowBytes: 1 })
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  ack(0)
  await append(3)
  shipping.pump()
  shipping.pump()
  assert.equal(sent, ['1:1'])
  assert.ok(shipping.windowFull)
  ack(1)
  ack(1)
  assert.equal(sent, ['1:1', '1:2'])
})

test('a node at its budget sends a frame at a time, and not a whole window', async () => {
  const { shipping, append, ack, sent, budget } = kit()
  await append(5)
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  const rest = budget.account('held')
  rest.set(budget.bytesMax)
  ack(0)
  assert.equal(sent, ['1:1'])
  ack(1)
  assert.equal(sent, ['1:1', '1:2'])
  rest.set(0)
  ack(2)
  assert.equal(sent.length, 5)
})

test('an accepted entry that is not yet written is not shipped', async () => {
  const { shipping, log, ack, sent, clock } = kit()
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  ack(0)
  const frame = frameOf(uuid, 1)
  log.accept(frame, clock.monotonicMs())
  shipping.pump()
  assert.equal(sent, [])
  log.noteWritten(frame)
  shipping.pump()
  assert.equal(sent, ['1:1'])
})

test('past the tail the journal is read; a rewind meanwhile voids what it gives', async () => {
  const { shipping, append, ack, sent, journal } = kit({ tailBytes: 1 })
  await append(4)
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  let go: () => void = () => undefined
  const read = journal.read.bind(journal)
  journal.read = async (id, from) => {
    await new Promise<void>((resolve) => {
      go = resolve
    })
    return await read(id, from)
  }
  ack(0)
  shipping.rewind(2)
  go()
  await settle()
  assert.equal(sent, [])
  go()
  await settle()
  assert.equal(sent, ['1:3', '1:4'])
})

test('a journal that cannot be read ends the stream, and says so', async () => {
  const { shipping, append, ack, failures, journal } = kit({ tailBytes: 1 })
  await append(3)
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  journal.read = () => Promise.reject(new Error('EIO'))
  ack(0)
  await settle()
  assert.is(failures.length, 1)
})

test('an entry that was given up ends the session that needs it, and no other one', async () => {
  const { shipping, append, ack, sent, failures, journal } = kit({ tailBytes: 1 })
  await append(4)
  const read = journal.read.bind(journal)
  const gone = new EntriesGoneError(uuid, 1, 3)
  let go: () => void = () => undefined
  journal.read = async (id, from) => {
    if (from < 3) await new Promise<void>((resolve) => go = resolve)
    if (from < 3) throw gone
    return await read(id, from)
  }
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  ack(0)
  // The member has what was given up by now: it joins after it.
  shipping.begin(2, 2, { disk: 'd', rebuilding: false })
  ack(2)
  go()
  await settle()
  assert.equal([failures, sent], [[], ['2:3', '2:4']])
  shipping.begin(3, 0, { disk: 'd', rebuilding: false })
  ack(0)
  go()
  await settle()
  assert.equal(failures, [gone])
})

test('a commit that was in no frame goes out as a notice, once', async () => {
  const { shipping, append, ack, sent, log } = kit()
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  ack(0)
  await append(1)
  shipping.pump()
  log.raiseCommit(1)
  shipping.notice(false)
  shipping.notice(false)
  assert.equal(sent, ['1:1', 'notice 1 1'])
  shipping.stop()
  shipping.notice(true)
  assert.is(sent.length, 2)
})

test('a commit waits for a frame, and for a notice from its own time on', async () => {
  const { shipping, append, ack, sent, log } = kit()
  shipping.begin(1, 0, { disk: 'd', rebuilding: false })
  ack(0)
  await append(1)
  shipping.pump()
  log.raiseCommit(1)
  shipping.committed(100)
  await append(1)
  shipping.pump()
  assert.is(shipping.noticeUnsent(200), Infinity, 'the frame has carried it')
  log.raiseCommit(2)
  shipping.committed(115)
  shipping.committed(118)
  assert.is(shipping.noticeUnsent(110), 115)
  assert.equal(sent, ['1:1', '1:2'])
  assert.is(shipping.noticeUnsent(115), Infinity)
  assert.equal(sent, ['1:1', '1:2', 'notice 1 2'])
})

test('lag counts from the common point, not from acks that have not come yet', async () => {
  const { shipping, append, clock } = kit()
  await append(2)
  shipping.begin(1, 2, { disk: 'd', rebuilding: false })
  assert.is(shipping.lag().entries, 0)
  clock.advance(50)
  await append(1)
  clock.advance(100)
  assert.equal([shipping.lag().entries, shipping.lag().ms], [1, 100])
})

test('log: a failed flush takes back what was not written', async () => {
  const { log, append, clock } = kit()
  await append(2)
  log.accept(frameOf(uuid, 3), clock.monotonicMs())
  log.accept(frameOf(uuid, 4, { epoch: 2, previousEpoch: 1 }), clock.monotonicMs())
  assert.equal(log.end, { epoch: 2, sequence: 4 })
  log.rollback()
  assert.equal(log.end, { epoch: 1, sequence: 2 })
  assert.equal(log.history, [{ epoch: 1, last: 2 }])
  assert.equal(log.cachedFrom(3, 1000), [])
  assert.throws(() => log.accept(frameOf(uuid, 4), 0), /does not continue/)
  assert.throws(() => log.accept(frameOf(uuid, 3, { epoch: 2, previousEpoch: 2 }), 0),
    /does not continue/)
})

test('log: cached frames, or null where the tail does not reach', async () => {
  const { log, append } = kit({ tailBytes: 600 })
  await append(10)
  assert.is(log.cachedFrom(1, 1000), null)
  assert.equal(log.cachedFrom(10, 1000)!.map((f) => f.first), [10])
  assert.equal(log.cachedFrom(11, 1000), [])
  assert.is((await log.framesFrom(1, 1000))[0]!.first, 1)
})

test('log: truncated to a common point', async () => {
  const { log, append } = kit()
  await append(5)
  log.truncate({ epoch: 1, sequence: 2 })
  for (const position of [log.end, log.written, log.durable]) {
    assert.equal(position, { epoch: 1, sequence: 2 })
  }
  assert.equal(log.above(0, 0).entries, 2)
})

test.run()
