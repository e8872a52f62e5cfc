/** What `journal verify` says of indexes, of what is kept, and beside a node that runs. */
import { crc32c } from '@node-rs/crc32'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileSystem } from '../../../actors/ports/fileSystem.js'
import type { JournalRecord } from '../../../actors/ports/journal.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { verifyJournal, type VerifyReport } from '../../../runtime/journal/inspect.js'
import { namedCheckpoints,
  type NamedCheckpoint } from '../../../runtime/journal/namedCheckpoints.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { covering, coveringAll, keptAt } from '../../support/journalCoverage.js'
import { randomFlush } from '../../support/journalFlushes.js'
import { A, B, C, DIRECTORY, open, rec } from '../../support/journalKit.js'

const test = suite('journal inspection')
const options = { segmentBytes: 1200 }
const indexPath = (segment: number): string => `${DIRECTORY}/000000000${segment}.index`

/** Frames of two logs in so many segments, all of it durable, closed segments indexed. */
async function filled(disk: MemoryFileSystem, segments = 4): Promise<FileJournal> {
  const journal = await open(disk, options)
  await journal.write([rec(C, 1)])
  while (journal.stats().segments < segments) {
    for (const uuid of [A, B]) {
      await journal.write([rec(uuid, (journal.log(uuid)?.end.sequence ?? 0) + 1)])
    }
    await journal.sync()
  }
  await journal.indexed()
  return journal
}

const verify = (disk: FileSystem): Promise<VerifyReport> => verifyJournal(DIRECTORY, disk)

test('indexes of any journal are those of their segments, written live or by a scan', async () => {
  let sound = 0
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = new SeededRandom(seed)
    const disk = new MemoryFileSystem()
    const journal = await open(disk, options)
    const records: JournalRecord[] = []
    for (let i = 0; i < 40; i += 1) {
      const flush = randomFlush(random, records)
      await journal.write(flush)
      records.push(...flush)
      const floors = journal.logs().map(({ uuid, end }) => ({ uuid, sequence: end.sequence }))
      if (random.chance(0.2)) await journal.write([{ type: 'confirm', floors }])
      if (random.chance(0.1)) {
        const logs = journal.logs().filter(({ end }) => end.sequence > 0)
        await journal.write(
          logs.map(({ uuid, history, end }) =>
            covering(uuid, history, [], { kept: [keptAt(i + 1, end)] })
          ),
        )
      }
      await journal.sync()
    }
    await journal.indexed()
    await journal.close()
    const live = await verify(disk)
    assert.equal([live.ok, live.damaged, live.warnings], [true, [], []], `seed ${seed}`)
    assert.is(live.indexes.sound, live.segments.length - 1, `seed ${seed}`)
    sound += live.indexes.sound
    for (const { segment } of live.segments.slice(0, -1)) {
      await disk.remove(`${DIRECTORY}/${`${segment}`.padStart(10, '0')}.index`)
    }
    const without = await verify(disk)
    assert.equal([without.ok, without.indexes.missing.length], [true, live.indexes.sound])
    const again = await open(disk, options)
    await again.indexed()
    await again.close()
    const scanned = await verify(disk)
    assert.equal([scanned.ok, scanned.damaged, scanned.indexes.missing], [true, [], []])
  }
  assert.ok(sound > 200, `${sound} indexes`)
})

test('an index with any fault is a warning: a start does not believe it', async () => {
  const disk = new MemoryFileSystem()
  await (await filled(disk)).close()
  const { length } = disk.bytesOf(indexPath(2))
  for (let at = 0; at < length; at += 1) {
    const copy = disk.clone()
    copy.flipBit(indexPath(2), at, at % 8)
    const report = await verify(copy)
    assert.equal([report.ok, report.indexes], [true, { sound: 2, missing: [], unusable: [2] }],
      `flipped at ${at}`)
    assert.match(report.warnings.join(), /^0000000002\.index cannot be used: .*; it is made again$/)
    copy.cut(indexPath(2), at)
    assert.equal((await verify(copy)).indexes.unusable, [2], `cut at ${at}`)
  }
})

test('an index that is sound, but not of its segment, is damage: a start believes it', async () => {
  const disk = new MemoryFileSystem()
  await (await filled(disk)).close()
  const bytes = disk.bytesOf(indexPath(2))
  const tableBytes = bytes.readUInt32LE(28)
  const change = async (at: number): Promise<VerifyReport> => {
    const copy = disk.clone()
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1
    changed.writeUInt32LE(crc32c(changed.subarray(80, 80 + tableBytes)), 72)
    changed.writeUInt32LE(crc32c(changed.subarray(0, 76)), 76)
    const handle = await copy.open(indexPath(2), 'readWrite')
    await handle.write([changed], 0)
    return await verify(copy)
  }
  // The highest flush, the records, a space, the time and the number of places of a space.
  for (const at of [40, 48, 84, 100, 116]) {
    const report = await change(at)
    assert.is(report.ok, false, `byte ${at}`)
    assert.match(report.damaged[0]!.reason, /^0000000002\.index is not the index of its segment/)
    assert.equal(report.logs.map(({ damage }) => damage), [null, null, null])
  }
  const places = disk.clone()
  const changed = Buffer.from(bytes)
  const count = changed.readUInt32LE(84 + 32)
  const page = changed.subarray(80 + tableBytes, 80 + tableBytes + count * 16)
  page[8]! ^= 1
  changed.writeUInt32LE(crc32c(page), 80 + tableBytes + page.length)
  const handle = await places.open(indexPath(2), 'readWrite')
  await handle.write([changed], 0)
  assert.match((await verify(places)).damaged[0]!.reason, /it has other places of space/)
})

test('says what keeps the oldest segment, and what each log has', async () => {
  const disk = new MemoryFileSystem()
  const journal = await filled(disk)
  const pins = async (): Promise<(string | null)[]> => {
    const { oldest, logs } = await verify(disk)
    assert.equal(oldest, { segment: journal.segments()[0]!.segment, pin: null })
    return [A, B, C].map((uuid) => logs.find((log) => log.uuid === uuid)!.pin)
  }
  const none = '0 checkpoint(s) are kept, and not two'
  assert.equal(await pins(), [none, none, none])
  const { spaces } = journal.useOf(1)
  const last = spaces.find(({ uuid }) => uuid === A)!.last
  const { history, end } = journal.log(A)!
  await journal.write([covering(A, history, [last - 1, end.sequence]), coveringAll(journal, C)])
  await journal.sync()
  const below = `entries up to ${last}, where checkpoints cover ${last - 1}`
  assert.equal(await pins(), [below, none, null])
  await journal.write([coveringAll(journal, A), coveringAll(journal, B)])
  await journal.sync()
  assert.equal(await pins(), [null, null, null])
  const before = await verify(disk)
  assert.is(before.retainedBytes, journal.segments().reduce((sum, { bytes }) => sum + bytes, 0))
  await journal.remove(1)
  const { ok, logs, oldest, retainedBytes } = await verify(disk)
  assert.equal([ok, oldest!.segment], [true, 2])
  assert.ok(retainedBytes < before.retainedBytes)
  for (const { uuid, firstSequence, base, bytes } of logs) {
    assert.equal([firstSequence, base], [base.sequence + 1, journal.log(uuid)!.base])
    const former = before.logs.find((log) => log.uuid === uuid)!
    assert.ok(bytes < former.bytes && firstSequence > former.firstSequence, uuid)
  }
  const segment = journal.segments()[0]!.segment
  assert.equal((await verify(disk)).oldest, { segment, pin: null })
})

test('an index is sound though nothing before it tells of a space that it names', async () => {
  const disk = new MemoryFileSystem()
  const options = { segmentBytes: 1600 }
  const journal = await open(disk, options)
  const grow = async (segments: number): Promise<void> => {
    while (journal.stats().segments < segments) {
      await journal.write([rec(A, (journal.log(A)?.end.sequence ?? 0) + 1)])
    }
  }
  await journal.write([rec(C, 1)])
  await journal.write([coveringAll(journal, C)])
  await grow(2)
  // The record about its checkpoints is restated behind this.
  await journal.write([{ type: 'confirm', floors: [{ uuid: C, sequence: 1 }] }])
  await grow(4)
  await journal.write([coveringAll(journal, A)])
  await journal.sync()
  await journal.indexed()
  await journal.remove(1)
  await journal.indexed()
  const { damaged, indexes } = await verify(disk)
  assert.equal([damaged, indexes], [[], { sound: 2, missing: [], unusable: [] }])
  await journal.close()
  const name = `${DIRECTORY}/0000000002.index`
  const before = Buffer.from(disk.bytesOf(name))
  await disk.remove(name)
  const again = await open(disk, options)
  await again.indexed()
  await again.close()
  assert.equal(disk.bytesOf(name), before, 'made anew by a start')
})

test('a new journal has nothing that could go', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1)])
  const { oldest, retainedBytes, indexes } = await verify(disk)
  assert.equal([oldest, retainedBytes, indexes], [null, 0, { sound: 0, missing: [], unusable: [] }])
})

/** A node gives up the oldest segment right after this many of its files were opened. */
function removing(disk: MemoryFileSystem, journal: FileJournal, after: number): FileSystem {
  let opened = 0
  return new Proxy(disk, {
    get(target, name) {
      const method = target[name as keyof MemoryFileSystem] as unknown
      if (name !== 'open') return typeof method === 'function' ? method.bind(target) : method
      return async (...args: Parameters<MemoryFileSystem['open']>) => {
        opened += 1
        if (opened === after) await journal.remove(journal.segments()[0]!.segment)
        return await target.open(...args)
      }
    },
  })
}

const keysOf = (named: readonly NamedCheckpoint[]): string[] =>
  named.map(({ uuid, file }) => `${uuid} ${file}`).toSorted()

test('beside a node that gives up a segment meanwhile', async () => {
  let isOver = false
  for (let after = 1; !isOver; after += 1) {
    const disk = new MemoryFileSystem()
    const journal = await filled(disk)
    await journal.write([A, B, C].map((uuid) => coveringAll(journal, uuid)))
    await journal.sync()
    const named = await namedCheckpoints('/data', disk)
    assert.is(named.length, 6)
    const report = await verify(removing(disk, journal, after))
    isOver = journal.segments()[0]!.segment === 1
    assert.equal([report.ok, report.damaged], [true, []], `after ${after} files`)
    assert.equal(keysOf(await namedCheckpoints('/data', disk)), keysOf(named))
  }
})

test.run()
