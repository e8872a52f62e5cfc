/** I12: recovery after a crash at any point yields a prefix that holds all that was durable. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalFullError, SyncFailedError, type Journal,
  type JournalRecord } from '../../../actors/ports/journal.js'
import { comparePositions, endOf, epochAt } from '../../../machines/log/positions.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { randomFlush } from '../../support/journalFlushes.js'
import { A, B, DIRECTORY, frameOf, framesOf, modelOf, open, rec, show,
  stateOf } from '../../support/journalKit.js'

const crash = suite('journal crashes')
const SEEDS = 150
const ROUNDS = 4
const STEPS = 25

interface Run {
  /** All that may be there, in order. */
  appended: JournalRecord[]
  /** Number of these that must be there. */
  durable: number
}

/** Writes and syncs at random until the process dies; returns what it was promised. */
async function live(
  disk: MemoryFileSystem,
  journal: Journal,
  random: SeededRandom,
  run: Run,
): Promise<void> {
  for (let step = 0; step < STEPS; step++) {
    if (random.chance(0.4)) {
      const covered = run.appended.length
      try {
        await journal.sync()
        run.durable = covered
      } catch {
        return
      }
      continue
    }
    const flush = randomFlush(random, run.appended)
    const shortage = random.chance(0.1)
    if (shortage) disk.capacity = journal.stats().bytes + 4 * 96 + random.integer(300)
    try {
      await journal.write(flush)
      run.appended.push(...flush)
    } catch (error) {
      // Dead in the middle of it: any part of the flush may be there.
      if (disk.stopped) {
        run.appended.push(...flush)
        return
      }
      assert.instance(error, JournalFullError)
    }
    disk.capacity = Number.POSITIVE_INFINITY
  }
}

crash('random writes, shortages, and power cuts', async () => {
  let torn = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SeededRandom(seed)
    const disk = new MemoryFileSystem()
    const options = { segmentBytes: 700 + random.integer(3000) }
    const run: Run = { appended: [], durable: 0 }
    let journal = await open(disk, options)
    for (let round = 0; round < ROUNDS; round++) {
      disk.stopAfter(random.integer(30))
      await live(disk, journal, random, run)
      disk.capacity = Number.POSITIVE_INFINITY
      if (random.chance(0.3)) disk.kill()
      else disk.powerCut(random.chance(0.8) ? () => random.next() : null)
      if (random.chance(0.5)) await dieWhileRecovering(disk, random)
      journal = await open(disk, options)
      if (journal.recovery.torn) torn++
      const label = `seed ${seed}, round ${round}`
      assert.equal(journal.recovery.damaged, [], label)
      const state = show(await stateOf(journal))
      let kept = run.appended.length
      while (kept >= run.durable && show(modelOf(run.appended.slice(0, kept)).state()) !== state) {
        kept--
      }
      assert.ok(kept >= run.durable, `${label}: not a prefix that holds what was durable`)
      run.appended.length = kept
      run.durable = kept
    }
  }
  assert.ok(torn > SEEDS / 10, `only ${torn} torn writes: the test does not test`)
})

async function dieWhileRecovering(disk: MemoryFileSystem, random: SeededRandom): Promise<void> {
  disk.stopAfter(random.integer(8))
  await open(disk).catch(() => undefined)
  if (random.chance(0.5)) disk.kill()
  else disk.powerCut(() => random.next())
}

crash('histories and ends match the frames at every step', async () => {
  const random = new SeededRandom(7)
  const disk = new MemoryFileSystem()
  let journal = await open(disk, { segmentBytes: 2000 })
  const records: JournalRecord[] = []
  for (let step = 0; step < 120; step++) {
    const flush = randomFlush(random, records)
    await journal.write(flush)
    records.push(...flush)
    if (random.chance(0.1)) {
      disk.kill()
      journal = await open(disk, { segmentBytes: 2000 })
    }
    for (const log of journal.logs()) {
      const frames = modelOf(records).logs.get(log.uuid) ?? []
      for (const frame of frames) assert.is(epochAt(log.history, frame.last), frame.epoch)
      assert.is(comparePositions(endOf(log.history), log.end), 0)
      assert.is((await framesOf(journal, log.uuid)).length, frames.length)
    }
  }
})

crash('a full disk: nothing of the flush is taken, and it heals', async () => {
  for (let room = 0; room < 300; room += 7) {
    const disk = new MemoryFileSystem()
    const journal = await open(disk)
    await journal.write([rec(A, 1)])
    await journal.sync()
    const before = disk.bytesOf(`${DIRECTORY}/0000000001.segment`)
    disk.capacity = before.length + room
    const flush = [rec(A, 2), rec(B, 1)]
    await throws(journal.write(flush), JournalFullError)
    assert.ok(disk.bytesOf(`${DIRECTORY}/0000000001.segment`).equals(before))
    assert.is(journal.log(A)!.end.sequence, 1)
    assert.is(journal.log(B), undefined)
    // Its writers were answered that it was not taken: a crash does not bring it back.
    const dead = disk.clone()
    assert.is((await open(dead)).log(A)!.end.sequence, 1)
    disk.capacity = Number.POSITIVE_INFINITY
    await journal.write([rec(A, 2, { text: 'other' })])
    await journal.sync()
    disk.powerCut()
    const again = await open(disk)
    assert.equal([again.recovery.torn, again.recovery.damaged.length], [null, 0])
    assert.equal(await stateOf(again), modelOf([rec(A, 1), rec(A, 2, { text: 'other' })]).state())
  }
})

crash('what failed and cannot be cut off ends the journal: its writers get no answer', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1)])
  await journal.sync()
  disk.capacity = disk.bytesOf(`${DIRECTORY}/0000000001.segment`).length + 250
  disk.failNext('truncate')
  // Whole records of the flush may be in the file: "not taken" would be a lie after a crash.
  await throws(journal.write([rec(A, 2), rec(A, 3)]), SyncFailedError)
  disk.capacity = Number.POSITIVE_INFINITY
  await throws(journal.write([rec(B, 1)]), SyncFailedError)
  disk.kill()
  const again = await open(disk)
  assert.equal(again.recovery.damaged, [])
  assert.is(again.log(B), undefined)
  assert.ok(again.log(A)!.end.sequence >= 1)
})

crash('a full disk when a segment is due: refused, and it heals', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk, { segmentBytes: 500 })
  await journal.write([rec(A, 1)])
  await journal.write([rec(A, 2)])
  disk.capacity = journal.stats().bytes + 10
  await throws(journal.write([rec(A, 3)]), JournalFullError)
  await throws(journal.write([rec(A, 3)]), JournalFullError)
  disk.capacity = Number.POSITIVE_INFINITY
  await journal.write([rec(A, 3)])
  await journal.sync()
  assert.is(journal.stats().segments, 3)
  disk.powerCut()
  const again = await open(disk)
  assert.equal(again.recovery.damaged, [])
  assert.is(again.log(A)!.end.sequence, 3)
})

crash('after a failed sync every call fails', async () => {
  const failing = [
    async (journal: Journal) => journal.sync(),
    async (journal: Journal) => journal.write([rec(A, 2)]),
    async (journal: Journal) => journal.read(A, 1, 100),
  ]
  for (const operation of ['datasync', 'rename', 'syncDirectory'] as const) {
    const disk = new MemoryFileSystem()
    const journal = await open(disk, { segmentBytes: 300 })
    await journal.write([rec(A, 1)])
    disk.failNext(operation)
    if (operation === 'datasync') await throws(journal.sync(), SyncFailedError)
    else await throws(journal.write([rec(A, 2)]), SyncFailedError)
    for (const call of failing) await throws(call(journal), SyncFailedError)
    await journal.close()
  }
})

crash('bits that changed at rest are found when they are read', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1), rec(B, 1)])
  await journal.sync()
  const bytes = disk.bytesOf(`${DIRECTORY}/0000000001.segment`)
  disk.flipBit(`${DIRECTORY}/0000000001.segment`, bytes.indexOf(frameOf(A, 1).bytes) + 90, 1)
  await throws(journal.read(A, 1, 100), Error, /damaged/)
  assert.match(String(journal.log(A)!.damage), /checksum/)
  assert.is((await journal.read(B, 1, 100)).length, 1)
  // The flush is everybody's: it does not fail for one broken log.
  await journal.write([rec(A, 2), rec(B, 2)])
  await journal.sync()
  const again = await open(disk)
  assert.ok(again.log(A)!.damage)
  assert.is(again.log(B)!.end.sequence, 2)
})

async function throws(
  promise: Promise<unknown>,
  type: new(message: string) => Error,
  message = /./,
): Promise<void> {
  let error: unknown
  await promise.catch((e: unknown) => {
    error = e
  })
  assert.instance(error, type)
  assert.match(String(error), message)
}

crash.run()
