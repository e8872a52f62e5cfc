import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Applier } from '../../../actors/log/applier.js'
import { SpaceLog } from '../../../actors/log/spaceLog.js'
import { Overlay } from '../../../actors/overlay/overlay.js'
import { Budget } from '../../../actors/structures/budget.js'
import { defaultKeyRetention } from '../../../machines/graph/graph.js'
import { MemorySpaceStore } from '../../fakes/memoryStore.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { codec, GateJournal, quiet, uuid } from '../../support/actorKit.js'
import { frameOf } from '../../support/journalKit.js'

const test = suite('applier')

function kit(tailBytes = 1 << 20) {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  const log = new SpaceLog({
    space: 'demo',
    uuid,
    journal,
    tailBytesMax: tailBytes,
    budget: new Budget(1 << 30),
  })
  const store = new MemorySpaceStore()
  const overlay = new Overlay()
  const failures: unknown[] = []
  const said: string[] = []
  const applier = new Applier({
    log,
    store,
    overlay,
    codec,
    clock,
    logger: { ...quiet, error: (_, message) => void said.push(message) },
    keyRetention: () => defaultKeyRetention,
    onFailed: (error) => failures.push(error),
  })
  const append = async (frames: number, inOverlay: boolean, count = 1): Promise<void> => {
    for (let i = 0; i < frames; i += 1) {
      const frame = frameOf(uuid, log.end.sequence + 1, { count })
      log.accept(frame, 0)
      await journal.write([{ type: 'frame', frame }])
      log.noteWritten(frame)
      log.noteDurable(frame)
      if (inOverlay) overlay.add(codec.entries(frame), frame.bytes.length)
    }
  }
  return { journal, clock, log, store, overlay, failures, applier, append, said }
}

test('while the store is replaced nothing counts as covered, also what was before', async () => {
  const { log, applier, append, clock } = kit()
  await append(3, true)
  log.raiseCommit(3)
  applier.wake()
  await clock.advanceAsync(50)
  const waits: string[] = []
  const wait = (name: string, sequence: number) =>
    applier.whenCovers(sequence, 100, (covered) => waits.push(`${name} ${covered}`))
  applier.hold()
  wait('first', 0)
  wait('second', 3)
  await clock.advanceAsync(200)
  assert.equal(waits, ['first false', 'second false'])
  wait('third', 3)
  await clock.advanceAsync(50)
  applier.release()
  assert.equal(waits.slice(2), ['third true'])
})

for (const inOverlay of [true, false]) {
  test(`no further than committed and durable, ${inOverlay ? 'overlay' : 'journal'}`, async () => {
    const { log, store, applier, append, clock, overlay } = kit(inOverlay ? undefined : 1)
    await append(5, inOverlay)
    applier.wake()
    await clock.advanceAsync(50)
    assert.is(store.applied.sequence, 0)
    log.raiseCommit(3)
    applier.wake()
    await clock.advanceAsync(50)
    assert.is(store.applied.sequence, 3)
    log.raiseCommit(99)
    log.accept(frameOf(uuid, 6), 0)
    applier.wake()
    await clock.advanceAsync(50)
    assert.is(store.applied.sequence, 5, 'not durable here, not in the store')
    assert.is(overlay.count, 0)
  })
}

for (const inOverlay of [true, false]) {
  const where = inOverlay ? 'the overlay has entries' : 'the log is behind'
  test(`an image is taken though only the journal has the frames, and ${where}`, async () => {
    const { log, applier, append, clock } = kit(1)
    await append(4, inOverlay, 300)
    const taken: number[] = []
    const takeImage = (): void =>
      applier.takeImage(({ image }) => {
        taken.push(image.state.position.sequence)
        image.close()
      })
    takeImage()
    log.raiseCommit(400)
    applier.wake()
    await clock.advanceAsync(50)
    assert.equal(taken, [300], 'the end of a frame')
    takeImage()
    await clock.advanceAsync(50)
    assert.is(taken.length, 1, '400 is within one')
    log.raiseCommit(900)
    applier.wake()
    await clock.advanceAsync(50)
    assert.equal(taken, [300, 600], 'the first end that is committed')
  })
}

test('while an image is awaited, a large frame is applied in parts all the same', async () => {
  const { store, log, applier, append, clock } = kit(1)
  const parts: number[] = []
  const apply = store.apply.bind(store)
  store.apply = (entries, keys) => {
    parts.push(entries.length)
    return apply(entries, keys)
  }
  await append(2, true, 1200)
  let taken = 0
  applier.takeImage(({ image }) => {
    taken = image.state.position.sequence
    image.close()
  })
  log.raiseCommit(2000)
  applier.wake()
  await clock.advanceAsync(50)
  assert.is(taken, 1200)
  assert.equal(parts, [512, 512, 176, 512, 288])
})

test('a store that is full is tried again; another failure is the end', async () => {
  const { log, store, applier, append, clock, failures } = kit()
  await append(2, true)
  const apply = store.apply.bind(store)
  let error: Error = Object.assign(new Error('full'), { retryable: true })
  store.apply = () => Promise.reject(error)
  log.raiseCommit(1)
  applier.wake()
  await clock.advanceAsync(2000)
  assert.equal(failures, [])
  store.apply = apply
  await clock.advanceAsync(600)
  assert.is(store.applied.sequence, 1)
  error = new Error('broken')
  store.apply = () => Promise.reject(error)
  log.raiseCommit(2)
  applier.wake()
  await clock.advanceAsync(50)
  assert.equal(failures, [error])
})

test('a store that stays full is tried twice a second, whatever comes, and said once', async () => {
  const { log, store, applier, append, clock, said } = kit()
  let tries = 0
  store.apply = () => {
    tries += 1
    return Promise.reject(Object.assign(new Error(`full at ${tries}`), { retryable: true }))
  }
  for (let sequence = 1; sequence <= 50; sequence += 1) {
    await append(1, true)
    log.raiseCommit(sequence)
    applier.wake()
    applier.whenCovers(sequence, 10, () => {})
    await clock.advanceAsync(100)
  }
  assert.ok(tries > 5 && tries <= 12, `${tries} tries in 5 s`)
  assert.equal(said, ['the store cannot be written'])
  await clock.advanceAsync(60_000)
  assert.is(said.length, 2, 'and again after a minute')
  await applier.stop()
  assert.is(clock.pending, 0)
})

test('covers: when it is there, or not in time', async () => {
  const { log, applier, append, clock } = kit()
  await append(2, true)
  const answers: unknown[] = []
  applier.whenCovers(0, 10, (is) => answers.push([0, is]))
  applier.whenCovers(2, 500, (is) => answers.push([2, is]))
  applier.whenCovers(3, 300, (is) => answers.push([3, is]))
  await clock.advanceAsync(100)
  log.raiseCommit(2)
  applier.wake()
  await clock.advanceAsync(500)
  assert.equal(answers, [[0, true], [2, true], [3, false]])
  await applier.stop()
  assert.is(clock.pending, 0)
})

test.run()
