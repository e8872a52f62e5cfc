import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Records } from '../../actors/records.js'
import type { Settlement } from '../../actors/records.js'
import type { BusConnection } from '../../actors/ports.js'
import type { Assignment } from '../../machines/protocol.js'
import { controlCodec } from '../../runtime/codec/control.js'
import { MemoryBucket } from '../fakes/memoryArbiter.js'
import { MemoryBroker } from '../fakes/memoryBus.js'
import { MemoryStore } from '../fakes/memoryStore.js'
import { VirtualClock } from '../fakes/virtualClock.js'
import { quiet, settle, uuid } from './actorKit.js'

const test = suite('records')

const control = controlCodec()

function assignment(nonce: string, over: Partial<Assignment> = {}): Assignment {
  return {
    version: 1, space: 'demo', uuid, epoch: 1, state: 'open',
    primary: { node: 'n1', incarnation: 1, connection: 1 },
    members: [{ node: 'n1', disk: uuid }, { node: 'n2', disk: uuid }], inSync: ['n1', 'n2'],
    settings: { replicas: 1, ack: 'durable', minInSync: 2 }, forced: false,
    nonce: uuid.replace('1', nonce), writer: 'n1', ...over,
  }
}

async function kit() {
  const clock = new VirtualClock()
  const bucket = new MemoryBucket()
  const broker = new MemoryBroker({ clock })
  const connection: BusConnection = await broker.bus().connect()
  const store = new MemoryStore()
  const lost: string[] = []
  const records = new Records({
    clock, control, store, logger: quiet, onBucketLost: (space) => lost.push(space),
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
  return { clock, bucket, records, store, put, settled, lost, broker, connection }
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

test('who gives up learns nothing, and the request is applied late all the same', async () => {
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

test('another writer came first, or came after: refused with what stands there', async () => {
  for (const isAfter of [false, true]) {
    const { bucket, put } = await kit()
    await put(assignment('a'), 0)
    let outcome: Settlement
    if (isAfter) {
      // Mine is applied, its answer lost, and another's lies on top of it.
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

test('a bucket that lost its records is told from a space that never was', async () => {
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
  assert.equal(lost, ['demo'], 'told once')
  assert.equal(await records.spaces(), ['demo'])
  assert.is((await put(assignment('b', { epoch: 2 }), 0)).kind, 'applied')
  assert.is((await records.read('demo')).kind, 'present')
})

test('a record of before is no news but a loss, and is written over at its revision', async () => {
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
  await records.read('demo').then(() => assert.unreachable(), (error: Error) =>
    assert.is(error.name, 'ArbiterUnavailableError'))
})

test.run()
