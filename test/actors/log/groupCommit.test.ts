import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FlushItem, FlushSource } from '../../../actors/log/groupCommit.js'
import { FileSystemError } from '../../../actors/ports/fileSystem.js'
import { SyncFailedError } from '../../../actors/ports/journal.js'
import { VirtualClock } from '../../fakes/virtualClock.js'
import { commitsOver, GateJournal, Path, settle, uuid } from '../../support/actorKit.js'

const test = suite('group commit')

const confirm = { type: 'confirm' } as const

/** A source with records of given sizes, which notes the fate of each. */
class Source implements FlushSource {
  readonly calls: string[] = []
  readonly asked: number[] = []

  constructor(
    private readonly name: string,
    readonly sizes: number[],
    private readonly requests = 0,
  ) {}

  take(maxBytes: number): FlushItem[] {
    this.asked.push(maxBytes)
    const [bytes] = this.sizes.splice(0, 1)
    if (bytes === undefined) return []
    return [{
      record: confirm,
      bytes,
      requests: this.requests,
      written: () => this.calls.push(`${this.name} written`),
      durable: () => this.calls.push(`${this.name} durable`),
      failed: () => this.calls.push(`${this.name} failed`),
    }]
  }

  flushFailed(): void {
    this.calls.push(`${this.name} flushFailed`)
  }
}

test('one flush at a time; what comes meanwhile forms the next', async () => {
  const journal = new GateJournal()
  journal.holdsSyncs = true
  const commits = commitsOver(journal, new VirtualClock())
  const done: number[] = []
  for (const n of [1, 2]) void commits.submit(confirm).then(() => done.push(n))
  await settle()
  for (const n of [3, 4]) void commits.submit(confirm).then(() => done.push(n))
  await settle()
  assert.is(journal.flushes.length, 1)
  assert.equal(done, [], 'I4: nothing before the fdatasync')
  await journal.release()
  assert.equal(done, [1, 2])
  await journal.release()
  assert.equal(done, [1, 2, 3, 4])
  assert.equal(journal.flushes.map((flush) => flush.length), [2, 2])
})

for (const [requests, waits] of [[1, false], [3, false], [8, true], [100, false]] as const) {
  test(`after a flush for ${requests} requests the next one ${waits ? 'waits' : 'begins'}`, async () => {
    const journal = new GateJournal()
    const clock = new VirtualClock()
    const commits = commitsOver(journal, clock)
    const source = new Source('a', [10, 10], requests)
    commits.mark(source)
    await settle()
    await clock.advanceAsync(1)
    commits.mark(source)
    await settle()
    assert.is(journal.flushes.length, waits ? 1 : 2)
    // 2 ms after the first one began, and not after it ended.
    await clock.advanceAsync(1)
    assert.is(journal.flushes.length, 2)
    commits.mark(source)
    await clock.advanceAsync(50)
    assert.is(source.calls.filter((call) => call === 'a durable').length, 2)
  })
}

test('a full flush leaves the other sources to the next', async () => {
  const journal = new GateJournal()
  const commits = commitsOver(journal, new VirtualClock(), { flushBytesMax: 100 })
  const [a, b] = [new Source('a', [100]), new Source('b', [10])]
  commits.mark(a)
  commits.mark(b)
  await settle()
  assert.equal(journal.flushes.map((flush) => flush.length), [1, 1])
  assert.equal(b.calls, ['b written', 'b durable'])
})

test('a failed write fails every item, and then all that is buffered', async () => {
  const journal = new GateJournal()
  journal.failures = 1
  const full: string[] = []
  const commits = commitsOver(journal, new VirtualClock(), {
    flushBytesMax: 100,
    onFull: () => full.push('full'),
    onHealed: () => full.push('healed'),
  })
  const [a, b] = [new Source('a', [100]), new Source('b', [10])]
  commits.mark(a)
  commits.mark(b)
  await settle()
  assert.equal(a.calls, ['a failed', 'a flushFailed'])
  assert.equal(b.calls, ['b flushFailed', 'b written', 'b durable'])
  assert.equal(full, ['full', 'healed'])
})

test('a full journal is probed until it heals, with one alert each way', async () => {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  journal.failures = 3
  const full: string[] = []
  const commits = commitsOver(journal, clock, {
    onFull: () => full.push('full'),
    onHealed: () => full.push('healed'),
  })
  let refused = ''
  commits.submit(confirm).catch((error: Error) => {
    refused = error.name
  })
  await settle()
  assert.is(refused, 'JournalFullError')
  assert.equal(full, ['full'])
  await clock.advanceAsync(600)
  assert.equal(full, ['full'])
  await clock.advanceAsync(300)
  assert.equal(full, ['full', 'healed'])
})

test('a failed fdatasync ends it: nothing is acknowledged, no second try', async () => {
  const journal = new GateJournal()
  journal.syncError = new SyncFailedError('EIO')
  const ends: unknown[] = []
  const commits = commitsOver(journal, new VirtualClock(), {
    onSyncFailed: (error) => ends.push(error),
  })
  const source = new Source('a', [10])
  commits.mark(source)
  await settle()
  assert.equal(source.calls, ['a written'])
  assert.is(ends.length, 1)
  journal.syncError = null
  commits.mark(new Source('b', [1]))
  await settle()
  assert.is(journal.flushes.length, 1)
  assert.not.ok(journal.steps.includes('synced'))
})

test('an idle journal gets one confirm record, and no second', async () => {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  const commits = commitsOver(journal, clock)
  await commits.submit({ type: 'spaceDropped', uuid })
  await clock.advanceAsync(99)
  assert.is(journal.flushes.length, 1)
  await clock.advanceAsync(1000)
  assert.equal(journal.flushes.map(([record]) => record!.type), ['spaceDropped', 'confirm'])
})

test('stop waits for what is under way, and leaves no timer', async () => {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  journal.holdsSyncs = true
  const commits = commitsOver(journal, clock)
  let stopped = false
  void commits.submit({ type: 'spaceDropped', uuid })
  void commits.stop().then(() => {
    stopped = true
  })
  await settle()
  assert.is(stopped, false)
  await journal.release()
  assert.is(stopped, true)
  assert.is(clock.pending, 0)
})

test('a full disk in a flush of two spaces gives both their sequences back', async () => {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  const commits = commitsOver(journal, clock)
  const other = uuid.replace('1', '2')
  const [a, b] = [new Path(journal, clock, commits), new Path(journal, clock, commits, {}, other)]
  a.write()
  await settle()
  journal.holdsWrites = true
  const [inFlightA, inFlightB] = [a.write({}, 3), b.write()]
  await settle()
  const [behindA, behindB] = [a.write(), b.write({}, 2)]
  journal.failures = 1
  journal.holdsWrites = false
  await journal.release()
  const all = [[a, inFlightA], [b, inFlightB], [a, behindA], [b, behindB]] as const
  for (const [side, reply] of all) {
    assert.is(side.codeTo(reply), 'READ_ONLY')
  }
  assert.equal([a.log.end.sequence, a.log.written.sequence, b.log.end.sequence], [1, 1, 0])
  assert.is(a.ingest.isIdle && b.ingest.isIdle, true)
  const [nextA, nextB] = [a.write(), b.write()]
  await settle()
  assert.is(a.codeTo(nextA), 'ok 2')
  assert.is(b.codeTo(nextB), 'ok 1')
  const entry = codecEntry(a)
  assert.equal(entry.vectorClock, { n1: 2 }, 'the clock takes the free numbers again')
  assert.is(a.shipped, 2, 'what was not written was never shipped')
})

function codecEntry(side: Path) {
  return side.overlay.entries(side.log.end.sequence, 1)[0]!
}

test('room that is held is so until the disk has room for writes', async () => {
  const clock = new VirtualClock()
  let hasRoom = false
  const commits = commitsOver(new GateJournal(), clock, { hasRoom: () => Promise.resolve(hasRoom) })
  assert.equal([commits.isHeld, commits.isFull], [false, false])
  commits.hold()
  await commits.submit(confirm)
  await clock.advanceAsync(1000)
  assert.equal([commits.isHeld, commits.isFull, commits.lacksRoom], [true, true, true],
    'a record that fits is no room')
  hasRoom = true
  await clock.advanceAsync(1000)
  assert.equal([commits.isHeld, commits.isFull], [false, false])
})

test('a small record that fits is no room for the flush that did not', async () => {
  const clock = new VirtualClock()
  const journal = new GateJournal()
  const full: string[] = []
  let free = 0
  const asked: number[] = []
  const commits = commitsOver(journal, clock, {
    onFull: () => full.push('full'),
    onHealed: () => full.push('healed'),
    hasRoom: (bytes) => {
      asked.push(bytes)
      return Promise.resolve(free >= bytes)
    },
  })
  journal.failures = 1
  journal.failure = new FileSystemError('ENOSPC', 'no space left')
  commits.mark(new Source('a', [5000]))
  await settle()
  await commits.submit(confirm)
  await clock.advanceAsync(2000)
  assert.equal(full, ['full'], 'once, as long as there is no room')
  assert.equal([...new Set(asked)], [5000])
  free = 5000
  await clock.advanceAsync(600)
  assert.equal(full, ['full', 'healed'])
})

test('room that is held while the disk is asked stays held', async () => {
  const clock = new VirtualClock()
  const answers: ((hasRoom: boolean) => void)[] = []
  const commits = commitsOver(new GateJournal(), clock, {
    hasRoom: () => new Promise((resolve) => answers.push(resolve)),
  })
  commits.runShort()
  await clock.advanceAsync(300)
  commits.hold()
  answers.shift()!(true)
  await clock.advanceAsync(1)
  assert.equal([commits.isHeld, commits.lacksRoom], [true, true], 'that was of before')
  await clock.advanceAsync(300)
  answers.shift()!(true)
  await clock.advanceAsync(300)
  assert.equal([commits.isHeld, commits.isFull], [false, false])
})

test.run()
