/** Giving up segments (I14): what counts is restated first, and nothing goes before that. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { JournalFullError, SyncFailedError,
  type JournalRecord } from '../../../actors/ports/journal.js'
import { InvariantViolation } from '../../../machines/log/invariants.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { coveringAll, covering, coverageOf } from '../../support/journalCoverage.js'
import { A, B, C, DIRECTORY, open, rec } from '../../support/journalKit.js'

const removal = suite('journal removal')
const options = { segmentBytes: 1600 }
const namesOf = async (disk: MemoryFileSystem, ending = '.segment'): Promise<string[]> =>
  (await disk.list(DIRECTORY)).filter((name) => name.endsWith(ending))

async function fails(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => undefined, (e: unknown) => e)
  assert.instance(error, Error)
  return error as Error
}

/** Frames of two logs until there are so many segments; checkpoints cover all of them. */
async function filled(disk: MemoryFileSystem, segments = 5): Promise<FileJournal> {
  const journal = await open(disk, options)
  await journal.write([rec(C, 1)])
  await journal.write([coveringAll(journal, C)])
  while (journal.stats().segments < segments) {
    for (const uuid of [A, B]) {
      await journal.write([rec(uuid, (journal.log(uuid)?.end.sequence ?? 0) + 1)])
    }
    await journal.sync()
  }
  await journal.write([A, B].map((uuid) => coveringAll(journal, uuid)))
  await journal.sync()
  await journal.indexed()
  return journal
}

interface Seen {
  readonly end: number
  readonly base: number
  readonly covered: number
}

/** Reads all that is there; frames continue each other from the base to the end. */
async function seen(journal: FileJournal, uuid: string): Promise<Seen> {
  const log = journal.log(uuid)!
  assert.is(log.damage, null, uuid)
  let next = log.base.sequence + 1
  while (next <= log.end.sequence) {
    for (const frame of await journal.read(uuid, next, 500)) {
      assert.is(frame.first, next)
      next = frame.last + 1
    }
  }
  if (log.base.sequence > 0) {
    assert.is((await fails(journal.read(uuid, log.base.sequence, 1))).name, 'EntriesGoneError')
  }
  return {
    end: log.end.sequence,
    base: log.base.sequence,
    covered: log.covers.covered.sequence,
  }
}

const all = async (
  journal: FileJournal,
): Promise<Seen[]> => [await seen(journal, A), await seen(journal, B), await seen(journal, C)]

removal('takes the oldest segment, and restates what has no later record', async () => {
  const disk = new MemoryFileSystem()
  const journal = await filled(disk)
  const before = await all(journal)
  const bytes = journal.stats().bytes
  const [oldest] = journal.segments()
  assert.is(oldest!.segment, 1)
  const { spaces } = journal.useOf(1)
  assert.equal(spaces.map(({ uuid }) => uuid).toSorted(), [A, B, C])
  assert.ok(spaces.every(({ timeMs }) => timeMs > 1000 && timeMs < 1100))
  await journal.remove(1)
  assert.equal((await namesOf(disk))[0], '0000000002.segment')
  assert.not.ok((await namesOf(disk, '.index')).includes('0000000001.index'))
  assert.ok(journal.stats().bytes < bytes)
  assert.equal(journal.segments().map(({ segment }) => segment)[0], 2)
  const after = await all(journal)
  assert.equal(after.map(({ end, covered }) => [end, covered]),
    before.map(({ end, covered }) => [end, covered]))
  assert.equal(after[2], { end: 1, base: 1, covered: 1 })
  assert.ok(after[0]!.base > 0)
  await journal.close()
  for (let start = 0; start < 2; start++) {
    const again = await open(disk, options)
    assert.equal(await all(again), after)
    assert.equal([again.recovery.damaged, again.recovery.torn], [[], null])
    await again.close()
  }
})

removal('is refused for entries that two checkpoints do not cover', async () => {
  const journal = await filled(new MemoryFileSystem())
  const { last } = journal.useOf(1).spaces.find(({ uuid }) => uuid === A)!
  const { history } = journal.log(A)!
  const refused = async (target: FileJournal, reason: RegExp): Promise<void> => {
    const before = target.stats()
    const error = await fails(target.remove(1))
    assert.instance(error, InvariantViolation)
    assert.match(error.message, reason)
    assert.equal(target.stats(), before)
  }
  assert.instance(await fails(journal.remove(2)), RangeError, 'not the oldest')
  const cases: [RegExp, (end: number) => JournalRecord][] = [
    [/1 checkpoint\(s\)/,
      (end) => covering(A, history, [], { kept: coverageOf(history, [end]).kept })],
    [new RegExp(`up to ${last}, where checkpoints cover ${last - 1}`),
      (end) => covering(A, history, [last - 1, end])],
  ]
  for (const [reason, record] of cases) {
    const disk = new MemoryFileSystem()
    const target = await open(disk, options)
    while (target.stats().segments < 3) {
      await target.write([rec(A, (target.log(A)?.end.sequence ?? 0) + 1)])
    }
    const inFirst = target.useOf(1).spaces[0]!.last
    await refused(target, /0 checkpoint/)
    await target.write([record(inFirst + 1)])
    if (inFirst === last) await refused(target, reason)
    else await refused(target, /checkpoint/)
  }
})

removal('is refused where something could not be read, or a log is damaged', async () => {
  const whole = new MemoryFileSystem()
  await (await filled(whole)).close()
  for (const header of [40, 100]) {
    const disk = whole.clone()
    // A payload, of a space that is known then; and two headers in a row.
    const path = `${DIRECTORY}/0000000002.segment`
    const bytes = disk.bytesOf(path)
    const first = bytes.indexOf('EGJR', 1)
    if (header === 100) disk.flipBit(path, first + 100, 0)
    else for (const at of [first, bytes.indexOf('EGJR', first + 1)]) disk.flipBit(path, at + 40, 0)
    for (const name of await namesOf(disk, '.index')) await disk.remove(`${DIRECTORY}/${name}`)
    const journal = await open(disk, options)
    const use = journal.useOf(2)
    assert.is(use.isUnread, header === 40)
    if (header === 100) assert.is(use.unreadSpaces.length, 1)
    // The one before it has entries of the space that is damaged now.
    assert.match((await fails(journal.remove(1))).message, /damaged/)
  }
})

removal('a crash at any step: all is there, or what is gone was given up', async () => {
  const whole = new MemoryFileSystem()
  const before = await all(await filled(whole))
  for (const powerCut of [false, true]) {
    let steps = 0
    let gone = 0
    for (let alive = false; !alive; steps++) {
      const disk = whole.clone()
      const journal = await open(disk, options)
      await journal.indexed()
      const random = new SeededRandom(steps + 1)
      disk.stopAfter(steps)
      alive = await journal.remove(1).then(() => journal.remove(2)).then(() => !disk.stopped, () =>
        false)
      if (powerCut) disk.powerCut(() => random.next())
      else disk.kill()
      for (let start = 0; start < 2; start++) {
        const again = await open(disk, options)
        const label = `step ${steps}, start ${start}`
        assert.equal(again.recovery.damaged, [], label)
        const after = await all(again)
        assert.equal(after.map(({ end, covered }) => [end, covered]),
          before.map((log) => [log.end, log.covered]), label)
        assert.ok(after.every((log) => log.base <= log.covered), label)
        const segments = again.segments().map(({ segment }) => segment)
        segments.forEach((segment, i) => assert.is(segment, segments[0]! + i, label))
        assert.is((await namesOf(disk))[0], `000000000${segments[0]}.segment`, label)
        if (segments[0]! > 1) gone++
        for (const segment of segments.slice(0, 1)) await again.remove(segment)
        await again.write([rec(A, after[0]!.end + 1)])
        await again.sync()
        disk.powerCut()
        assert.is((await open(disk, options)).log(A)!.end.sequence, after[0]!.end + 1, label)
        before[0] = { ...before[0]!, end: after[0]!.end + 1 }
      }
      before[0] = { ...before[0]!, end: before[0]!.end - 2 }
    }
    assert.ok(steps > 12, `${steps} steps`)
    assert.ok(gone > 5 && gone < steps * 2, `${gone} of ${steps}`)
  }
})

removal('a full disk, or a failed sync: nothing is gone', async () => {
  for (const failure of ['ENOSPC', 'datasync'] as const) {
    for (let nth = 0; nth < 2; nth++) {
      const disk = new MemoryFileSystem()
      const journal = await filled(disk)
      // The first write restates; without that, it gives up.
      if (nth === 1) await journal.write([coveringAll(journal, C)])
      const before = await all(journal)
      if (failure === 'ENOSPC') disk.failNext('write', 'ENOSPC')
      else disk.failNext('datasync')
      const error = await fails(journal.remove(1))
      assert.instance(error, failure === 'ENOSPC' ? JournalFullError : SyncFailedError)
      assert.is((await namesOf(disk))[0], '0000000001.segment')
      if (failure === 'ENOSPC') {
        assert.equal(await all(journal), before)
        await journal.remove(1)
        assert.is((await namesOf(disk))[0], '0000000002.segment')
      } else {
        assert.instance(await fails(journal.write([rec(A, 1000)])), SyncFailedError)
        disk.powerCut()
        assert.equal(await all(await open(disk, options)), before)
      }
    }
  }
})

/** The next removals of a segment's file fail, or the syncs after them. */
function failRemovals(disk: MemoryFileSystem, operation: 'remove' | 'syncDirectory'): {
  left: number
  isRemoved: boolean
} {
  const plan = { left: 0, isRemoved: false }
  const remove = disk.remove.bind(disk)
  const sync = disk.syncDirectory.bind(disk)
  disk.remove = async (path) => {
    const isSegment = path.endsWith('.segment')
    if (isSegment && operation === 'remove' && plan.left-- > 0) disk.failNext('remove')
    plan.isRemoved ||= isSegment
    await remove(path)
  }
  disk.syncDirectory = async (path) => {
    if (plan.isRemoved && operation === 'syncDirectory' && plan.left-- > 0) {
      disk.failNext('syncDirectory')
    }
    await sync(path)
  }
  return plan
}

removal('a file that stays is tried again, and a start removes it without reading it', async () => {
  for (const operation of ['remove', 'syncDirectory'] as const) {
    const disk = new MemoryFileSystem()
    const journal = await filled(disk)
    const plan = failRemovals(disk, operation)
    plan.left = 2
    await journal.remove(1)
    const after = await all(journal)
    assert.is((await fails(journal.remove(2))).name, 'FileSystemError', 'not past a gap')
    assert.equal(await all(journal), after)
    if (operation === 'remove') {
      assert.is((await namesOf(disk))[0], '0000000001.segment')
      disk.cut(`${DIRECTORY}/0000000001.segment`, 300)
    } else {
      // The name is back after a power cut.
      disk.powerCut()
      assert.is((await namesOf(disk))[0], '0000000001.segment')
    }
    disk.kill()
    plan.left = 1
    plan.isRemoved = false
    const warned: object[] = []
    const logger = { debug() {}, info() {}, error() {}, warn: (fields: object) =>
      void warned.push(fields) }
    const again = await open(disk, { ...options, logger })
    assert.is(warned.length, 1)
    assert.equal(await all(again), after)
    await again.remove(2)
    assert.is((await namesOf(disk))[0], '0000000003.segment')
  }
})

removal('beside writes, and beside reads of what goes', async () => {
  const disk = new MemoryFileSystem()
  const journal = await filled(disk, 8)
  const end = journal.log(A)!.end.sequence
  let isOver = false
  const writes = async (): Promise<number> => {
    for (let i = 1; !isOver; i++) {
      await journal.write([rec(A, end + i)])
      await journal.sync()
      if (isOver) return end + i
    }
    return end
  }
  const reads = async (): Promise<number> => {
    let gone = 0
    while (!isOver) {
      const frames = await journal.read(B, 1, 400).catch((error: Error) => {
        assert.is(error.name, 'EntriesGoneError')
        gone++
        return []
      })
      for (const frame of frames) assert.is(frame.uuid, B)
      await Promise.resolve()
    }
    return gone
  }
  const both = Promise.all([writes(), reads()])
  try {
    for (const segment of [1, 2, 3, 4]) await journal.remove(segment)
  } finally {
    isOver = true
  }
  const [last, gone] = await both
  assert.ok(last > end + 4, `${last - end} writes`)
  assert.ok(gone > 0)
  disk.kill()
  const again = await open(disk, options)
  assert.is((await seen(again, A)).end, last)
  assert.ok(again.segments()[0]!.segment >= 5)
})

removal('an idle space is known over every turn of the journal', async () => {
  const disk = new MemoryFileSystem()
  let journal = await filled(disk)
  const idle = journal.log(C)!
  for (let turn = 0; turn < 6; turn++) {
    const until = journal.segments().at(-1)!.segment + 4
    while (journal.segments().at(-1)!.segment < until) {
      await journal.write([rec(A, journal.log(A)!.end.sequence + 1)])
    }
    await journal.write([coveringAll(journal, A)])
    while (journal.segments().length > 1) await journal.remove(journal.segments()[0]!.segment)
    assert.equal(journal.log(C), { ...idle, base: idle.end })
    disk.kill()
    journal = await open(disk, options)
    assert.equal(journal.log(C), { ...idle, base: idle.end })
    assert.equal(journal.recovery.damaged, [])
  }
  await journal.write([rec(C, 2)])
  await journal.sync()
  assert.ok((await namesOf(disk)).length <= 4)
})

removal('what was void before may go: truncated, dropped, installed over', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk, options)
  while (journal.stats().segments < 2) {
    for (const uuid of [A, B, C]) {
      await journal.write([rec(uuid, (journal.log(uuid)?.end.sequence ?? 0) + 1)])
    }
  }
  await journal.write([{ type: 'truncate', uuid: A, to: { epoch: 0, sequence: 0 }, salvage: 's' }])
  await journal.write([{ type: 'spaceDropped', uuid: B }])
  await journal.write([{ type: 'snapshotInstalled', uuid: C,
    covers: coverageOf([{ epoch: 4, last: 70 }], [70], { installs: 1 }) }])
  await journal.write([rec(A, 1, { epoch: 9, previousEpoch: 0 })])
  await journal.sync()
  assert.equal(journal.useOf(1).spaces, [])
  await journal.remove(1)
  disk.kill()
  const again = await open(disk, options)
  assert.equal(again.recovery.damaged, [])
  assert.equal([again.log(A)!.end.epoch, again.log(B), again.log(C)!.end.sequence], [9, undefined,
    70])
})

removal('that a space was dropped stays known until nothing is left of it', async () => {
  for (const isIndexed of [true, false]) {
    const disk = new MemoryFileSystem()
    const journal = await open(disk, options)
    await journal.write([rec(A, 1), rec(B, 1), rec(C, 1)])
    await journal.write([A, B].map((uuid) => ({ type: 'spaceDropped', uuid })))
    const turn = async (of: FileJournal): Promise<void> => {
      const { segments } = of.stats()
      while (of.stats().segments < segments + 3) {
        await of.write([rec(C, of.log(C)!.end.sequence + 1)])
      }
      await of.write([coveringAll(of, C)])
      await of.sync()
      await of.indexed()
      for (const { segment } of of.segments()) await of.remove(segment)
    }
    journal.forgetDrop(B)
    assert.equal([...journal.dropped()].toSorted(), [A, B], 'in this life')
    await turn(journal)
    disk.kill()
    if (!isIndexed) {
      for (const name of await namesOf(disk, '.index')) await disk.remove(`${DIRECTORY}/${name}`)
    }
    const again = await open(disk, options)
    assert.equal(again.dropped(), [A])
    await turn(again)
    again.forgetDrop(A)
    await turn(again)
    disk.kill()
    assert.equal((await open(disk, options)).dropped(), [])
  }
})

removal('a space that was dropped here, and is here again, is not dropped', async () => {
  for (const isIndexed of [true, false]) {
    const disk = new MemoryFileSystem()
    const journal = await open(disk, options)
    await journal.write([rec(A, 1), rec(C, 1)])
    await journal.write([{ type: 'spaceDropped', uuid: A }])
    await journal.write([{ type: 'snapshotInstalled', uuid: A,
      covers: coverageOf([{ epoch: 4, last: 70 }], [70], { installs: 1 }) }])
    assert.equal(journal.dropped(), [])
    while (journal.stats().segments < 3) {
      await journal.write([rec(C, journal.log(C)!.end.sequence + 1)])
    }
    await journal.write([coveringAll(journal, C)])
    await journal.write([coveringAll(journal, A)])
    await journal.sync()
    await journal.indexed()
    const copy = disk.clone()
    if (!isIndexed) {
      for (const name of await namesOf(copy, '.index')) await copy.remove(`${DIRECTORY}/${name}`)
    }
    assert.equal((await open(copy, options)).dropped(), [])
    for (const { segment } of journal.segments()) await journal.remove(segment)
    assert.is(journal.log(A)!.end.sequence, 70)
    disk.kill()
    const again = await open(disk, options)
    assert.equal([again.dropped(), again.log(A)!.end.sequence], [[], 70])
  }
})

removal('random journals: never less than promised, by index and by scan', async () => {
  let removed = 0
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const disk = new MemoryFileSystem()
    const size = { segmentBytes: 600 + random.integer(900) }
    let journal = await open(disk, size)
    /** What is durable: end and covered by space. */
    let promised = new Map<string, Seen>()
    for (let step = 0; step < 80; step++) {
      await randomStep(random, journal)
      if (random.chance(0.4)) {
        await journal.sync()
        promised = new Map()
        for (const { uuid } of journal.logs()) promised.set(uuid, await seen(journal, uuid))
      }
      const [oldest] = journal.segments()
      if (oldest && random.chance(0.4)) {
        await journal.remove(oldest.segment).then(() => removed++, (error: unknown) => {
          assert.instance(error, InvariantViolation)
        })
      }
      if (!random.chance(0.08)) continue
      if (random.chance(0.5)) disk.kill()
      else disk.powerCut(() => random.next())
      const copy = disk.clone()
      for (const name of await namesOf(copy, '.index')) await copy.remove(`${DIRECTORY}/${name}`)
      journal = await open(disk, size)
      const scanned = await open(copy, size)
      const label = `seed ${seed}, step ${step}`
      assert.equal(journal.recovery.damaged, [], label)
      // Bytes that were written and cut off again count for one of the two only.
      const exact = (of: FileJournal) =>
        of.logs().toSorted(byUuid).map((log) => ({ ...log, newBytes: 0 }))
      assert.equal(exact(scanned), exact(journal), label)
      for (const [uuid, { end, covered }] of promised) {
        const now = await seen(journal, uuid)
        assert.ok(now.end >= end && now.covered >= covered, `${label}: ${uuid}`)
      }
    }
  }
  assert.ok(removed > 300, `only ${removed} removals: the test does not test`)
})

function byUuid(a: { uuid: string }, b: { uuid: string }): number {
  return a.uuid < b.uuid ? -1 : 1
}

/** A frame, a checkpoint of what is there, or an install. */
async function randomStep(random: SeededRandom, journal: FileJournal): Promise<void> {
  const uuid = random.pick([A, B, C])
  const log = journal.log(uuid)
  const end = log?.end ?? { epoch: 0, sequence: 0 }
  if (log && random.chance(0.4)) {
    await journal.write([coveringAll(journal, uuid)])
  } else if (log && random.chance(0.05)) {
    const at = end.sequence + random.integer(20) + 1
    await journal.write([{ type: 'snapshotInstalled', uuid,
      covers: coverageOf([{ epoch: end.epoch + 1, last: at }], [at], {
        installs: log.covers.installs + 1,
      }) }])
  } else {
    const epoch = Math.max(1, end.epoch + (random.chance(0.2) ? 1 : 0))
    await journal.write([
      rec(uuid, end.sequence + 1, { epoch, previousEpoch: end.epoch,
        count: 1 + random.integer(3) }),
    ])
  }
}

removal.run()
