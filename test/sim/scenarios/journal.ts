/** The journal alone, over a disk that tears, flips and forgets. */
import * as assert from 'uvu/assert'
import { partOf, recordBytes } from '../../../runtime/journal/record.js'
import { SEGMENT_HEAD_BYTES } from '../../../runtime/journal/segment.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { A, DIRECTORY, framesOf, open, rec } from '../../support/journalKit.js'
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

export const journalScenarios: readonly Scenario[] = [
  corruption,
  tornFlush,
  pageCache,
  failedWrite,
]
