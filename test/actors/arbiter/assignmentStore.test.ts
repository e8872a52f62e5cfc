import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AssignmentStore } from '../../../actors/arbiter/assignmentStore.js'
import type { Settlement } from '../../../actors/arbiter/assignmentStore.js'
import type { BusConnection } from '../../../actors/ports/bus.js'
import type { Assignment } from '../../../machines/protocol/messages.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import { MemoryBucket } from '../../fakes/memoryArbiter.js'
import { MemoryBroker } from '../../fakes/memoryBus.js'
import { MemoryStore } from '../../fakes/memoryStore.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { quiet, settle, uuid } from '../../support/actorKit.js'

const test = suite('assignment store')

const control = controlCodec()

function assignment(nonce: string, over: Partial<Assignment> = {}): Assignment {
  return {
    version: 1,
    space: 'demo',
    uuid,
    epoch: 1,
    state: 'open',
    primary: { node: 'n1', incarnation: 1, connection: 1 },
    members: [{ node: 'n1', disk: uuid }, { node: 'n2', disk: uuid }],
    inSync: ['n1', 'n2'],
    settings: { replicas: 1, ack: 'durable', minInSync: 2 },
    forced: false,
    nonce: uuid.replace('1', nonce),
    writer: 'n1',
    ...over,
  }
}

async function kit() {
  const warnings: string[] = []
  const clock = new VirtualClock()
  const bucket = new MemoryBucket()
  const broker = new MemoryBroker({ clock })
  const connection: BusConnection = await broker.bus().connect()
  const store = new MemoryStore()
  const lost: string[] = []
  const held = new Set(['demo'])
  const records = new AssignmentStore({
    clock,
    control,
    store,
    logger: { ...quiet, warn: (_, message) => warnings.push(message) },
    random: new SeededRandom(1),
    onBucketLost: (space) => lost.push(space),
    isHeld: (space) => held.has(space),
  })
  records.attach(bucket.open(connection))
  // The first request asks for the bucket, too.
  await records.spaces()
  const put = async (next: Assignment, revision: number): Promise<Settlement> =>
    settled(records.settle(next, revision, () => true))
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    let isOver = false
    void work.finally(() => {
      isOver = true
    })
    for (let i = 0; i < 100 && !isOver; i += 1) await clock.advanceAsync(10)
    assert.ok(isOver, 'settled in time')
    return await work
  }
  return { clock, bucket, records, store, put, settled, lost, broker, connection, held, warnings }
}

test('an answer that is lost is settled by repeating, whether it was applied or not', async () => {
  for (const fate of ['applied', 'lost', 'late'] as const) {
    const { bucket, put } = await kit()
    const first = await put(assignment('a'), 0)
    assert.is(first.kind, 'applied')
    bucket.loseAnswers(fate, fate)
    const second = await put(assignment('b'), 1)
    assert.is(second.kind, 'applied', fate)
    assert.is(second.kind === 'applied' && second.record.revision, 2)
    bucket.release()
    assert.is(bucket.snapshot().get('space.demo')!.revision, 2, 'the late ones find it moved')
  }
})

test('an unchanged record settles nothing: the late request may still come', async () => {
  const { bucket, records, clock, put } = await kit()
  await put(assignment('a'), 0)
  bucket.loseAnswers(...Array.from({ length: 5 }, () => 'late' as const))
  let outcome: Settlement | null = null
  void records.settle(assignment('b'), 1, () => true).then((settlement) => {
    outcome = settlement
  })
  await clock.advanceAsync(120)
  assert.is(outcome, null)
  bucket.release()
  await clock.advanceAsync(500)
  assert.is((outcome as Settlement | null)?.kind, 'applied', 'known by its nonce')
})

test('a caller that gives up learns nothing, and the request is applied late all the same', async () => {
  const { bucket, records, settled, put } = await kit()
  await put(assignment('a'), 0)
  bucket.loseAnswers('late')
  let tries = 0
  const outcome = await settled(records.settle(assignment('b', { epoch: 2 }), 1, () => tries++ < 1))
  assert.is(outcome.kind, 'abandoned')
  bucket.release()
  const read = await records.read('demo')
  assert.is(read.kind === 'present' && read.record.assignment.epoch, 2)
})

test('another writer came first, or came after: refused with what is there', async () => {
  for (const isAfter of [false, true]) {
    const { bucket, put } = await kit()
    await put(assignment('a'), 0)
    let outcome: Settlement
    if (isAfter) {
      // Mine is applied, its answer lost, and another's was written over it.
      bucket.loseAnswers('applied')
      const mine = put(assignment('b', { epoch: 2 }), 1)
      await Promise.resolve()
      const theirs = await put(assignment('c', { epoch: 3, writer: 'n2' }), 2)
      assert.is(theirs.kind, 'applied')
      outcome = await mine
    } else {
      await put(assignment('c', { epoch: 3, writer: 'n2' }), 1)
      outcome = await put(assignment('b', { epoch: 2 }), 1)
    }
    assert.is(outcome.kind, 'refused')
    assert.is(outcome.kind === 'refused' && outcome.current?.assignment.epoch, 3)
  }
})

test('an arbiter that is away settles nothing until it is back', async () => {
  const { bucket, records, clock, put } = await kit()
  await put(assignment('a'), 0)
  bucket.available = false
  let outcome: Settlement | null = null
  void records.settle(assignment('b'), 1, () => true).then((settlement) => {
    outcome = settlement
  })
  await clock.advanceAsync(2000)
  assert.is(outcome, null)
  bucket.available = true
  await clock.advanceAsync(200)
  assert.is((outcome as Settlement | null)?.kind, 'applied')
})

test('a bucket that lost its records is distinguished from a space that never was', async () => {
  const { bucket, records, put, lost, clock } = await kit()
  assert.is((await records.read('demo')).kind, 'absent')
  await put(assignment('a'), 0)
  bucket.wipe()
  const read = await records.read('demo')
  assert.is(read.kind, 'lost')
  assert.is(read.kind === 'lost' && read.remembered.assignment.epoch, 1)
  assert.is(read.kind === 'lost' && read.remembered.revision, 0)
  await clock.advanceAsync(300)
  const later = await records.read('demo')
  assert.is(later.kind === 'lost' && later.sinceMs, 300)
  assert.equal(lost, ['demo'], 'reported once')
  assert.equal(await records.spaces(), ['demo'])
  assert.is((await put(assignment('b', { epoch: 2 }), 0)).kind, 'applied')
  assert.is((await records.read('demo')).kind, 'present')
})

test('a record of before is a loss and no change, and is written over at its revision', async () => {
  const { bucket, records, put, lost } = await kit()
  await put(assignment('a'), 0)
  const before = bucket.snapshot()
  await put(assignment('b', { inSync: ['n1'] }), 1)
  await put(assignment('c', { epoch: 4 }), 2)
  bucket.restore(before)
  const read = await records.read('demo')
  assert.is(read.kind, 'lost')
  if (read.kind !== 'lost') return
  assert.is(read.remembered.assignment.epoch, 4)
  assert.is(read.remembered.revision, 1, 'the base of the next compare-and-set')
  assert.equal(lost, ['demo'])
  // Its revision is lower than what was seen once, its epoch is above everything known.
  assert.is((await put(assignment('d', { epoch: 5 }), 1)).kind, 'applied')
  const again = await records.read('demo')
  assert.is(again.kind === 'present' && again.record.revision, 2)
  assert.is(records.remembered('demo')!.assignment.epoch, 5)
})

test('the same epoch at an earlier revision is a loss too: the in-sync set was another', async () => {
  const { bucket, records, put } = await kit()
  await put(assignment('a'), 0)
  const before = bucket.snapshot()
  await put(assignment('b', { inSync: ['n1'] }), 1)
  bucket.restore(before)
  const read = await records.read('demo')
  assert.equal(read.kind === 'lost' && read.remembered.assignment.inSync, ['n1'])
})

test('an answer that was overtaken by a compare-and-set is no loss', async () => {
  const { bucket, records, put, connection, lost } = await kit()
  await put(assignment('a'), 0)
  const arbiter = bucket.open(connection)
  let go = (): void => undefined
  // It was read before the next record was written, and its answer comes after.
  records.attach({
    ...arbiter,
    read: async (key) => {
      const found = await arbiter.read(key)
      await new Promise<void>((resolve) => {
        go = resolve
      })
      return found
    },
  })
  const reading = records.read('demo')
  await settle()
  await put(assignment('b'), 1)
  go()
  assert.is((await reading).kind, 'present')
  assert.is(records.remembered('demo')!.revision, 2, 'the later one is remembered')
  assert.equal(lost, [])
})

test('a lasting rejection ends a command, in the arbiter\'s words, after one attempt', async () => {
  const { bucket, records, put, clock } = await kit()
  await put(assignment('a'), 0)
  bucket.rejects = 'maximum bytes exceeded'
  let attempts = 0
  const settlement = await records.settle(assignment('b'), 1, () => {
    attempts += 1
    return true
  })
  assert.equal(settlement, { kind: 'rejected', reason: 'maximum bytes exceeded' })
  assert.is(attempts, 1)
  assert.is(clock.pending, 0, 'nothing goes on behind it')
})

test('a change of an epoch stays in flight while it is rejected, less and less often', async () => {
  const { bucket, records, put, clock } = await kit()
  await put(assignment('a'), 0)
  bucket.rejects = 'maximum bytes exceeded'
  const attempts: number[] = []
  let outcome: Settlement | null = null
  const onRejected = (reason: string) => {
    assert.is(reason, 'maximum bytes exceeded')
    attempts.push(clock.monotonicMs())
  }
  void records.settle(assignment('b'), 1, () => true, { onRejected }).then((settlement) => {
    outcome = settlement
  })
  await clock.advanceAsync(60_000)
  assert.is(outcome, null)
  assert.ok(attempts.length >= 15 && attempts.length <= 30,
    `${attempts.length} attempts in a minute`)
  const pauses = attempts.slice(1).map((atMs, index) => atMs - attempts[index]!)
  assert.ok(pauses.every((ms) => ms <= 5000) && pauses.at(-1)! >= 2500, pauses.join(' '))
  assert.is.not(pauses.at(-1), pauses.at(-2), 'with chance in it')
  bucket.rejects = null
  await clock.advanceAsync(5000)
  assert.is((outcome as Settlement | null)?.kind, 'applied')
})

test('a rejected request may be applied yet: it is known by its nonce', async () => {
  const { bucket, records, put, clock } = await kit()
  await put(assignment('a'), 0)
  // The first attempt is on its way still; the second one is answered.
  bucket.loseAnswers('late')
  bucket.rejects = 'no space left on device'
  let outcome: Settlement | null = null
  void records.settle(assignment('b'), 1, () => true, { onRejected: () => undefined }).then(
    (settlement) => {
      outcome = settlement
    },
  )
  await clock.advanceAsync(300)
  bucket.rejects = null
  bucket.release()
  await clock.advanceAsync(1000)
  const settled = outcome as Settlement | null
  assert.is(settled?.kind === 'applied' && settled.record.revision, 2)
})

test('a long wait ends with the last words of the arbiter', async () => {
  const { bucket, records, put, settled } = await kit()
  await put(assignment('a'), 0)
  bucket.loseAnswers(...Array.from({ length: 9 }, () => 'lost' as const))
  let tries = 0
  const outcome = await settled(records.settle(assignment('b'), 1, () => tries++ < 4))
  assert.equal(outcome, { kind: 'abandoned', reason: 'injected: lost' })
})

const garbage = {
  text: 'oops',
  empty: '',
  array: '[]',
  null: 'null',
  number: '7',
  truncated: '{"version":1,"spa',
  'of another space': JSON.stringify(assignment('x', { space: 'other' })),
}

test('an unreadable record is lost, and is written over at its revision', async () => {
  for (const [name, text] of Object.entries(garbage)) {
    const { bucket, records, put, lost } = await kit()
    await put(assignment('a', { epoch: 4 }), 0)
    bucket.overwrite('space.demo', Buffer.from(text))
    const read = await records.read('demo')
    assert.is(read.kind, 'lost', name)
    if (read.kind !== 'lost') return
    assert.match(read.reason, /the arbiter's record of demo cannot be read: /)
    assert.is(read.remembered.assignment.epoch, 4)
    assert.is(read.remembered.revision, 2)
    await records.read('demo')
    assert.equal(lost, ['demo'], 'reported once')
    assert.is((await put(assignment('b', { epoch: 5 }), 2)).kind, 'applied')
    assert.is((await records.read('demo')).kind, 'present')
  }
})

test('an unreadable record that was never known is nobody\'s to write', async () => {
  const { bucket, records } = await kit()
  bucket.overwrite('space.demo', Buffer.from('oops'))
  const read = await records.read('demo')
  assert.is(read.kind, 'unreadable')
  assert.is(read.kind === 'unreadable' && read.revision, 1)
})

test('a record of a newer node is not lost', async () => {
  const { bucket, records, put, lost } = await kit()
  await put(assignment('a'), 0)
  bucket.overwrite('space.demo', Buffer.from('{"version":99}'))
  const read = await records.read('demo')
  assert.is(read.kind, 'newer')
  assert.match(read.kind === 'newer' ? read.reason : '', /newer node.*version 99.*upgrade this/)
  assert.equal(lost, [])
  assert.is((await put(assignment('b'), 1)).kind, 'refused', 'its revision has moved')
  bucket.remove('space.demo')
  assert.is((await records.read('demo')).kind, 'lost', 'removed, it is known from before')
})

test('only what the node holds is remembered over a restart, and nothing waits for it', async () => {
  const { store, put, records, held, clock } = await kit()
  held.clear()
  let writes = 0
  let go = (): void => undefined
  const remember = store.remember.bind(store)
  store.remember = async (...args) => {
    writes += 1
    await new Promise<void>((resolve) => {
      go = resolve
    })
    await remember(...args)
  }
  await put(assignment('a'), 0)
  assert.is(records.remembered('demo')?.revision, 1, 'it is known, all the same')
  assert.is(writes, 0)
  held.add('demo')
  assert.is((await records.read('demo')).kind, 'present')
  assert.is(writes, 1)
  assert.is((await put(assignment('b'), 1)).kind, 'applied', 'while that write is under way')
  assert.is((await put(assignment('c'), 2)).kind, 'applied')
  assert.is(store.remembered().size, 0)
  go()
  await clock.settle()
  assert.is(writes, 1, 'others may come, and share its fsync')
  clock.advance(200)
  await clock.settle()
  assert.is(writes, 2, 'the one in between is passed over')
  await put(assignment('d'), 3)
  go()
  await clock.settle()
  // At the end nothing waits for the clock.
  const ended = records.idle()
  await clock.settle()
  assert.is(writes, 3)
  go()
  await ended
  assert.is(store.remembered().get('demo')?.revision, 4)
})

test('a store that cannot remember does not keep a compare-and-set unsettled', async () => {
  const { store, put, records } = await kit()
  store.remember = () => Promise.reject(new Error('the store is full'))
  assert.is((await put(assignment('a'), 0)).kind, 'applied')
  assert.is((await records.read('demo')).kind, 'present')
})

test('without a connection reads are refused, and what is under way is abandoned', async () => {
  const { bucket, records, put, settled } = await kit()
  await put(assignment('a'), 0)
  bucket.loseAnswers('lost', 'lost')
  const under = records.settle(assignment('b'), 1, () => true)
  records.detach()
  assert.is((await settled(under)).kind, 'abandoned')
  await records.read('demo').then(() => assert.unreachable(),
    (error: Error) => assert.is(error.name, 'ArbiterUnavailableError'))
})

test('an arbiter that is away is reported once; one that was given up is not reported', async () => {
  const { bucket, records, clock, warnings } = await kit()
  bucket.available = false
  const asked = records.spaces().catch(() => null)
  await clock.advanceAsync(10_000)
  await asked
  assert.is(warnings.length, 1)
  assert.match(warnings[0]!, /the arbiter does not answer/)
  const other = await kit()
  other.bucket.available = false
  const given = other.records.spaces().catch(() => null)
  other.records.detach()
  await other.clock.advanceAsync(10_000)
  await given
  assert.equal(other.warnings, [])
})

test.run()
