/** The journal alone, over a disk that tears, flips and forgets. */
import * as assert from 'uvu/assert'
import { partOf, recordBytes } from '../../../runtime/journal/record.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { SEGMENT_HEAD_BYTES } from '../../../runtime/journal/segment.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { covering, coveringAll } from '../../support/journalCoverage.js'
import { A, C, DIRECTORY, framesOf, open, rec } from '../../support/journalKit.js'
import type { Scenario } from './scenario.js'

const FIRST = `${DIRECTORY}/0000000001.segment`

/** Offsets of these records in the first segment. */
function offsetsOf(records: readonly ReturnType<typeof rec>[]): number[] {
  return records.reduce((at, record) => [...at, at.at(-1)! + recordBytes(partOf(record))], [
    SEGMENT_HEAD_BYTES,
  ])
}

const corruption: Scenario = {
  name: 'bit-flip-at-rest',
  title: 'A bit flips in a record that was durable long ago.',
  lesson: 'A bad record of an earlier flush is corruption, not a torn write: nothing is cut, and '
    + 'the log of that space is damaged, since entries that were acknowledged are missing.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const records = [rec(A, 1), rec(A, 2), rec(A, 3)]
    const journal = await open(disk)
    for (const record of records) {
      await journal.write([record])
      await journal.sync()
    }
    disk.kill()
    disk.flipBit(FIRST, offsetsOf(records)[1]! + 70, 3)
    const again = await open(disk)
    assert.ok(again.log(A)?.damage, 'I12: what was acknowledged is cut off, and nothing says so')
  },
}

const tornFlush: Scenario = {
  name: 'torn-flush',
  title: 'The power fails within a flush: its second record is lost, its third is whole.',
  lesson: 'A torn flush is cut from its first bad record on: what follows was not acknowledged, '
    + 'and does not continue what is left.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const records = [rec(A, 1), rec(A, 2), rec(A, 3), rec(A, 4)]
    const journal = await open(disk)
    await journal.write(records.slice(0, 1))
    await journal.sync()
    await journal.write(records.slice(1))
    disk.kill()
    disk.flipBit(FIRST, offsetsOf(records)[2]! + 70, 3)
    const again = await open(disk)
    assert.is(again.log(A)?.damage, null, 'I12: a torn write passes for damage')
    assert.is(again.log(A)?.end.sequence, 2, 'I12: not a prefix of what was appended')
    await again.write([rec(A, 3, { text: 'new' })])
    await again.sync()
    disk.kill()
    const frames = await framesOf(await open(disk), A)
    assert.is(frames.length, 3, 'I12: the cut is final')
  },
}

const pageCache: Scenario = {
  name: 'page-cache',
  title: 'The process dies before an fdatasync; it starts again, and then the power fails.',
  lesson:
    'The last writes of a crashed process may be in the page cache only. Recovery writes them '
    + 'anew and syncs before it reports a position, since others will count on that position.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const journal = await open(disk)
    await journal.write([rec(A, 1)])
    await journal.sync()
    await journal.write([rec(A, 2)])
    disk.kill()
    const reported = (await open(disk)).log(A)!.end.sequence
    assert.is(reported, 2)
    disk.powerCut()
    const left = (await open(disk)).log(A)?.end.sequence ?? 0
    assert.ok(left >= reported, `I12: ${reported} was reported, ${left} is left`)
  },
}

const failedWrite: Scenario = {
  name: 'failed-write',
  title: 'The disk is full in the middle of a flush, and the process dies.',
  lesson:
    'A failed write is cut off, durably, before its writers get the answer that nothing was taken: '
    + 'else what fitted comes back after a crash.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const records = [rec(A, 1), rec(A, 2), rec(A, 3)]
    const journal = await open(disk)
    await journal.write(records.slice(0, 1))
    await journal.sync()
    disk.capacity = offsetsOf(records)[2]! + 10
    const failed = await journal.write(records.slice(1)).then(() => false, () => true)
    assert.ok(failed, 'the second record fits, the third does not')
    disk.kill()
    disk.capacity = Number.POSITIVE_INFINITY
    const end = (await open(disk)).log(A)?.end.sequence
    assert.is(end, 1, 'I12: what was refused is back')
  },
}

/** Frames of A until there are three segments; C has one entry, and is idle. */
async function filled(disk: MemoryFileSystem): Promise<FileJournal> {
  const journal = await open(disk, { segmentBytes: 1600 })
  await journal.write([rec(C, 1)])
  await journal.write([coveringAll(journal, C)])
  while (journal.stats().segments < 3) {
    await journal.write([rec(A, (journal.log(A)?.end.sequence ?? 0) + 1)])
  }
  await journal.sync()
  return journal
}

const idleSpace: Scenario = {
  name: 'idle-space-over-a-turn-of-the-journal',
  title: 'A space is idle while the segments that have its entries and records are given up.',
  lesson: 'A log whose frames are gone is its record of checkpoints: that must not go with its '
    + 'segment, or the space passes for a new one.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const journal = await filled(disk)
    await journal.write([coveringAll(journal, A)])
    await journal.remove(1)
    disk.kill()
    const log = (await open(disk)).log(C)
    assert.is(log?.end.sequence, 1, 'I14: an idle space passes for new, its entries are lost')
    assert.is(log?.damage, null)
  },
}

const powerCutAfterRemoval: Scenario = {
  name: 'power-cut-after-a-removal',
  title: 'The power fails right after a segment was given up.',
  lesson: 'That a segment was given up is durable before its file is removed: else a start finds '
    + 'a journal that lost its beginning, and takes all spaces for damaged.',
  run: async () => {
    const disk = new MemoryFileSystem()
    const journal = await filled(disk)
    await journal.write([coveringAll(journal, A)])
    await journal.sync()
    await journal.remove(1)
    const { end } = journal.log(A)!
    // The removal of the name reaches the disk, and of the file's last bytes nothing does.
    await disk.syncDirectory(DIRECTORY)
    disk.powerCut()
    const log = (await open(disk)).log(A)
    assert.is(log?.damage, null, 'I14: given up, and the journal does not say so')
    assert.equal(log?.end, end)
  },
}

const oneCheckpoint: Scenario = {
  name: 'entries-above-the-older-checkpoint',
  title: 'The newer one of two checkpoints has all entries of a segment, the older one has not.',
  lesson: 'Only entries that both have are given up: if the newer one rots, the member falls back '
    + 'to the older one and goes on from there.',
  run: async () => {
    const journal = await filled(new MemoryFileSystem())
    const { history, end } = journal.log(A)!
    await journal.write([covering(A, history, [1, end.sequence])])
    await journal.remove(1).catch(() => undefined)
    const first = journal.log(A)!.base.sequence + 1
    assert.is(first, 1, `I14: entries from 2 to ${first - 1} are in one checkpoint only`)
  },
}

export const journalScenarios: readonly Scenario[] = [
  corruption,
  tornFlush,
  pageCache,
  failedWrite,
  idleSpace,
  powerCutAfterRemoval,
  oneCheckpoint,
]
