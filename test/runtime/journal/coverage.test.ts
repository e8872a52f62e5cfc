/** Records of checkpoints and installs, and logs whose beginning is not in the journal. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Coverage, JournalLog, JournalRecord } from '../../../actors/ports/journal.js'
import { decodeCoverage, encodeCoverage,
  nothingCovered } from '../../../runtime/journal/coverage.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { verifyJournal } from '../../../runtime/journal/inspect.js'
import { SEGMENT_HEAD_BYTES } from '../../../runtime/journal/segment.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { covering, coverageOf, keptAt, writeSegments } from '../../support/journalCoverage.js'
import { A, B, C, DIRECTORY, open, rec } from '../../support/journalKit.js'

const coverage = suite('journal coverage')
const floorOf = (uuid: string, sequence: number): JournalRecord => ({ type: 'confirm',
  floors: [{ uuid, sequence }] })
const epochs = (...spans: [number, number][]): { epoch: number; last: number }[] =>
  spans.map(([epoch, last]) => ({ epoch, last }))

async function firstsOf(journal: FileJournal, uuid: string): Promise<number[]> {
  const log = journal.log(uuid)!
  const from = log.base.sequence + 1
  return (await journal.read(uuid, from, 1e6)).map((frame) => frame.first)
}

/** Opens by scan, then by index, and at last once more: all see the same. */
async function seen(disk: MemoryFileSystem, uuid: string): Promise<FileJournal> {
  const scanned = await open(disk)
  const log = scanned.log(uuid)
  await scanned.indexed()
  await scanned.close()
  for (let start = 0; start < 2; start++) {
    const journal = await open(disk)
    // An index has the last record of a segment at one place among its frames.
    assert.equal({ ...journal.log(uuid)!, newBytes: 0 }, { ...log, newBytes: 0 })
    await journal.close()
  }
  return await open(disk)
}

const covers: Coverage = {
  installs: 3,
  kept: [keptAt(41, { epoch: 3, sequence: 2900 }), keptAt(42, { epoch: 3, sequence: 5000 })],
  covered: { epoch: 3, sequence: 2900 },
  history: { root: { epoch: 1, sequence: 100 }, history: epochs([1, 200], [3, 2900]) },
  clock: { n1: 7, 'n1@3': 2 },
  timestamp: 1_700_000_000_000,
}

coverage('a payload is read as it was written, and nothing else is one', () => {
  assert.equal(decodeCoverage(encodeCoverage(A, covers)), covers)
  assert.equal(decodeCoverage(encodeCoverage(A, nothingCovered)), nothingCovered)
  const wrong: [RegExp, Partial<Coverage>][] = [
    [/newer checkpoint comes first/, { kept: covers.kept.toReversed() }],
    [/named twice/, { kept: [covers.kept[0]!, covers.kept[0]!] }],
    [/3 checkpoints/, { kept: [...covers.kept, covers.kept[1]!] }],
    [/above a checkpoint/, { kept: [keptAt(4, { epoch: 1, sequence: 150 })] }],
    [/without a file/, { kept: [keptAt(0, { epoch: 3, sequence: 2900 })] }],
    [/a history up to/, { covered: { epoch: 3, sequence: 2899 } }],
    [/does not decode/, { history: { ...covers.history, history: epochs([3, 5], [3, 2900]) } }],
    [/does not decode/, { history: { ...covers.history, root: { epoch: 2, sequence: 1 } } }],
    [/no safe integer/, { installs: -1 }],
    [/no safe integer/, { clock: { n1: 1.5 } }],
  ]
  for (const [reason, over] of wrong) {
    assert.match(String(decodeCoverage(encodeCoverage(A, { ...covers, ...over }))), reason)
  }
  const bytes = encodeCoverage(A, covers)
  for (let end = 0; end < bytes.length; end++) {
    assert.type(decodeCoverage(bytes.subarray(0, end)), 'string')
  }
})

coverage('only records of checkpoints have a version that an older program refuses', async () => {
  const disk = new MemoryFileSystem()
  await writeSegments(disk, [[rec(A, 1), covering(A, epochs([1, 1]), [1])]], 1)
  const bytes = disk.bytesOf(`${DIRECTORY}/0000000001.segment`)
  const versions: number[] = []
  for (let at = bytes.indexOf('EGJR'); at >= 0; at = bytes.indexOf('EGJR', at + 1)) {
    versions.push(bytes[at + 4]!)
  }
  assert.equal(versions, [1, 1, 2])
})

coverage('a log that is all here takes over what a record says', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  const first = covering(A, epochs([1, 3], [2, 4]), [2, 4], {
    history: { root: { epoch: 1, sequence: 2 }, history: epochs([1, 2]) },
  })
  await journal.write([rec(A, 1, { count: 3 }), rec(A, 4, { epoch: 2, previousEpoch: 1 })])
  await journal.write([first, rec(A, 5, { epoch: 2 })])
  await journal.sync()
  const check = async (at: FileJournal): Promise<void> => {
    const log = at.log(A)!
    assert.equal(log.covers, (first as { covers: Coverage }).covers)
    assert.equal([log.root, log.history], [{ epoch: 1, sequence: 2 }, epochs([1, 3], [2, 5])])
    assert.equal([log.floor, log.base.sequence, log.damage], [4, 0, null])
    assert.equal(await firstsOf(at, A), [1, 4, 5])
  }
  await check(journal)
  disk.kill()
  await check(await seen(disk, A))
})

coverage('refuses, before it writes, what does not fit', async () => {
  const journal = await open(new MemoryFileSystem())
  const history = epochs([1, 5])
  await journal.write([rec(A, 1, { count: 5 })])
  await journal.write([covering(A, history, [2, 4])])
  const cases: [RegExp, JournalRecord[]][] = [
    [/does not hold/, [covering(A, epochs([1, 6]), [2, 6])]],
    [/does not hold/, [covering(A, epochs([2, 5]), [3])]],
    [/cover less/, [covering(A, history, [1, 4])]],
    [/1 checkpoint\(s\) that cover more/, [covering(A, history, [4])]],
    [/install 1/, [covering(A, history, [2, 4], { installs: 1 })]],
    [/of no log/, [covering(B, history, [2])]],
    [/install 0 after/, [{ ...covering(A, history, [3]), type: 'snapshotInstalled' } as never]],
    [/2 checkpoints/, [{ type: 'snapshotInstalled', uuid: A,
      covers: coverageOf(history, [2, 4], { installs: 1 }) }]],
    [/alone/, [rec(A, 6), { type: 'snapshotInstalled', uuid: A,
      covers: coverageOf(history, [4], { installs: 1 }) }]],
    [/after an install/, [{ type: 'snapshotInstalled', uuid: A,
      covers: coverageOf(history, [4], { installs: 1 }) }, rec(A, 5)]],
    [/in checkpoints only/, [{ type: 'truncate', uuid: A, to: { epoch: 1, sequence: 0 },
      salvage: 's' }]],
  ]
  const before = journal.stats()
  for (const [reason, records] of cases) {
    const error = await journal.write(records).catch((e: unknown) => e)
    assert.instance(error, RangeError, String(reason))
    assert.match(String(error), reason)
  }
  assert.equal(journal.stats(), before)
})

coverage('stands in a flush with other records of its space, as a group commit has them',
  async () => {
    const history = epochs([1, 3])
    const cut: JournalRecord = { type: 'truncate', uuid: A, to: { epoch: 1, sequence: 3 },
      salvage: 's' }
    const record = covering(A, history, [2, 3])
    const flushes: [JournalRecord[], number][] = [
      [[rec(A, 5), record], 5],
      [[record, rec(A, 5)], 5],
      [[cut, record], 3],
      [[record, cut], 3],
      [[cut, rec(A, 4, { epoch: 2, previousEpoch: 1 }), record], 4],
    ]
    for (const [flush, end] of flushes) {
      const disk = new MemoryFileSystem()
      const journal = await open(disk)
      for (const first of [1, 2, 3, 4]) await journal.write([rec(A, first)])
      await journal.write(flush)
      await journal.sync()
      const check = (log: JournalLog): void => {
        assert.equal([log.end.sequence, log.covers.kept.length, log.damage], [end, 2, null])
      }
      check(journal.log(A)!)
      disk.kill()
      check((await seen(disk, A)).log(A)!)
    }
    const journal = await open(new MemoryFileSystem())
    for (const first of [1, 2, 3, 4]) await journal.write([rec(A, first)])
    for (const [reason, flush] of [
      [/what this flush cuts off/, [cut, covering(A, epochs([1, 4]), [2, 4])]],
      [/what this flush cuts off/, [{ type: 'spaceDropped', uuid: A }, record]],
      [/does not hold/, [rec(A, 5), covering(A, epochs([1, 5]), [2, 5])]],
    ] as [RegExp, JournalRecord[]][]) {
      const error = await journal.write(flush).catch((e: unknown) => e)
      assert.match(String(error), reason)
    }
  })

coverage('a checkpoint of what is cut off does not count any more', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1), rec(A, 2), rec(A, 3)])
  await journal.write([covering(A, epochs([1, 3]), [1, 3])])
  await journal.write([{ type: 'truncate', uuid: A, to: { epoch: 1, sequence: 2 }, salvage: 's' }])
  await journal.sync()
  const expected = [keptAt(1, { epoch: 1, sequence: 1 })]
  assert.equal(journal.log(A)!.covers.kept, expected)
  disk.kill()
  assert.equal((await seen(disk, A)).log(A)!.covers.kept, expected)
})

coverage('an install makes the log anew, and voids damage that is older', async () => {
  const disk = new MemoryFileSystem()
  const installed = coverageOf(epochs([2, 70], [5, 90]), [90], { installs: 1,
    history: { root: { epoch: 2, sequence: 60 }, history: epochs([2, 70], [5, 90]) } })
  await writeSegments(disk, [
    [rec(A, 1), rec(A, 2), rec(B, 1)],
    [{ type: 'snapshotInstalled', uuid: A, covers: installed }, rec(A, 91, { epoch: 5 })],
    [rec(A, 92, { epoch: 6, previousEpoch: 5 })],
    [rec(B, 2)],
  ])
  const check = async (copy: MemoryFileSystem): Promise<void> => {
    const journal = await seen(copy, A)
    const log = journal.log(A)!
    assert.equal(log.history, epochs([2, 70], [5, 91], [6, 92]))
    assert.equal([log.end, log.base], [{ epoch: 6, sequence: 92 }, { epoch: 5, sequence: 90 }])
    assert.equal([log.floor, log.covers, log.damage], [90, installed, null])
    assert.equal(await firstsOf(journal, A), [91, 92])
    for (const from of [1, 2, 90]) {
      const error = await journal.read(A, from, 100).catch((e: unknown) => e) as Record<
        string,
        unknown
      >
      assert.equal([error['code'], error['firstSequence']], ['ENTRIES_GONE', 91])
    }
    assert.equal(await firstsOf(journal, B), [1, 2])
    await journal.write([rec(A, 93, { epoch: 6 })])
  }
  await check(disk.clone())
  const damaged = disk.clone()
  damaged.flipBit(`${DIRECTORY}/0000000001.segment`, SEGMENT_HEAD_BYTES + 90, 0)
  await check(damaged)
  const live = await open(new MemoryFileSystem())
  await live.write([rec(A, 1), rec(A, 2)])
  await live.write([{ type: 'snapshotInstalled', uuid: A, covers: installed }])
  assert.equal([live.log(A)!.end, live.log(A)!.base], [installed.covered, installed.covered])
  assert.equal(await live.read(A, 91, 100), [])
})

/** Segments from number 5 on. */
const given = (...segments: JournalRecord[][]): Promise<MemoryFileSystem> => {
  const disk = new MemoryFileSystem()
  return writeSegments(disk, segments, 5).then(() => disk)
}

coverage('a log whose beginning was given up goes on from what its record covers', async () => {
  const history = epochs([1, 10], [2, 20])
  const whole = covering(A, history, [12, 20], {
    history: { root: { epoch: 1, sequence: 4 }, history: epochs([1, 10], [2, 12]) },
  })
  const cases: [string, JournalRecord[][]][] = [
    ['the record is last', [
      [rec(A, 11, { epoch: 2, previousEpoch: 1, count: 10 }), floorOf(A, 20)],
      [whole, rec(A, 21, { epoch: 2 })],
    ]],
    ['the record is first', [
      [covering(A, history, [10, 10])],
      [rec(A, 11, { epoch: 2, previousEpoch: 1, count: 10 })],
      [whole, rec(A, 21, { epoch: 2 })],
    ]],
    ['entries that were cut off come first', [
      [rec(A, 9, { epoch: 1, count: 7 })],
      [{ type: 'truncate', uuid: A, to: { epoch: 1, sequence: 8 }, salvage: 's' }],
      [rec(A, 9, { epoch: 1, count: 2 }), rec(A, 11, { epoch: 2, previousEpoch: 1, count: 10 })],
      [rec(A, 21, { epoch: 2 }), whole],
    ]],
    ['a truncation comes first', [
      [{ type: 'truncate', uuid: A, to: { epoch: 1, sequence: 10 }, salvage: 's' }],
      [rec(A, 11, { epoch: 2, previousEpoch: 1, count: 10 }), rec(A, 21, { epoch: 2 }), whole],
    ]],
  ]
  for (const [name, segments] of cases) {
    const disk = await given(...segments, [rec(B, 1)])
    const journal = await seen(disk, A)
    const log = journal.log(A)!
    assert.is(log.damage, null, name)
    assert.equal([log.root, log.history], [{ epoch: 1, sequence: 4 }, epochs([1, 10], [2, 21])])
    assert.equal(log.end, { epoch: 2, sequence: 21 })
    assert.equal([log.floor, log.base.epoch], [20, 1], name)
    assert.equal((await firstsOf(journal, A)).slice(-2), [11, 21], name)
    assert.ok((await verifyJournal(DIRECTORY, disk)).ok, name)
    await journal.write([rec(A, 22, { epoch: 2 })])
  }
})

coverage('a log without frames is its record', async () => {
  const disk = await given([covering(A, epochs([1, 7], [4, 30]), [30, 30])], [rec(B, 1)])
  const journal = await seen(disk, A)
  const log = journal.log(A)!
  const end = { epoch: 4, sequence: 30 }
  assert.equal([log.end, log.base, log.covers.covered, log.damage], [end, end, end, null])
  assert.equal([log.covers.clock, log.covers.timestamp, log.floor], [{ n1: 30 }, 1030, 30])
  assert.equal(await journal.read(A, 31, 100), [])
  await journal.write([rec(A, 31, { epoch: 5, previousEpoch: 4 })])
  await journal.sync()
  disk.kill()
  assert.equal(await firstsOf(await seen(disk, A), A), [31])
})

coverage('a log that lacks more than checkpoints have is damaged, and never empty', async () => {
  const history = epochs([1, 20])
  const cases: [RegExp, JournalRecord[][]][] = [
    [/before 5 are missing, and no record/, [[rec(A, 5)]]],
    [/from 5 to 6 are missing/, [[rec(A, 7, { count: 14 }), covering(A, history, [4, 20])]]],
    [/continues \(1, 7\)/, [[rec(A, 5), rec(A, 8), covering(A, history, [4, 20])]]],
    [/a checkpoint at \(1, 20\)/, [[rec(A, 5, { count: 3 }), covering(A, history, [4, 20])]]],
    [/a checkpoint at \(1, 20\)/, [[covering(A, history, [4, 20])]]],
    [/a checkpoint at \(1, 10\)/, [[rec(A, 5, { count: 3 }), covering(A, history, [10, 10])]]],
    [/up to 9 were here/, [[rec(A, 5, { count: 3 }), floorOf(A, 9)], [
      covering(A, history, [6, 7]),
    ]]],
    [/not in the history/, [[rec(A, 5, { epoch: 3, previousEpoch: 2, count: 16 }),
      covering(A, epochs([1, 4], [3, 20]), [6, 20])]]],
    [/a checkpoint at \(1, 6\)/, [[rec(A, 5, { epoch: 2, previousEpoch: 1, count: 16 }),
      covering(A, history, [6, 6])]]],
    [/in checkpoints only/, [[covering(A, history, [9, 9])], [{ type: 'truncate', uuid: A,
      to: { epoch: 1, sequence: 5 }, salvage: 's' }], [rec(A, 6)]]],
  ]
  for (const [reason, segments] of cases) {
    const disk = await given(...segments, [rec(B, 1)])
    for (let start = 0; start < 2; start++) {
      const journal = await open(disk)
      const log = journal.log(A)
      assert.match(String(log?.damage), reason)
      assert.is(journal.log(B)!.damage, null)
      assert.is(journal.log(C), undefined)
      await journal.indexed()
      await journal.close()
    }
    const report = await verifyJournal(DIRECTORY, disk)
    assert.is(report.ok, false, String(reason))
  }
})

coverage('a journal that lost its beginning by accident is damaged', async () => {
  const covered = covering(A, epochs([1, 20]), [20, 20])
  const above = new MemoryFileSystem()
  await writeSegments(above, [[covered], [rec(B, 1)]], 5, 4)
  const unsaid = new MemoryFileSystem()
  await writeSegments(unsaid, [[covered], [rec(B, 1)]], 5, 1)
  for (const disk of [above, unsaid]) {
    const journal = await open(disk)
    for (const uuid of [A, B, C]) {
      if (uuid !== B) assert.ok(journal.log(uuid)?.damage, uuid)
    }
    assert.is(journal.recovery.damaged[0]?.uuid, null)
  }
})

coverage('a record of checkpoints with any bit flipped damages its space only', async () => {
  const disk = await given([rec(B, 1), covering(A, epochs([1, 7]), [7, 7]), rec(C, 1)], [rec(B, 2)])
  const path = `${DIRECTORY}/0000000005.segment`
  const bytes = disk.bytesOf(path)
  const begin = bytes.indexOf(Buffer.from([...Buffer.from('EGJR'), 2, 5]))
  const end = bytes.indexOf('EGJR', begin + 1)
  assert.ok(begin > 0 && end > begin)
  for (let at = begin; at < end; at++) {
    const copy = disk.clone()
    copy.flipBit(path, at, at % 8)
    const journal = await open(copy)
    assert.ok(journal.log(A)?.damage, `byte ${at - begin}`)
    assert.is(journal.log(B)?.damage, null, `byte ${at - begin}`)
    assert.is(journal.log(C)?.damage, null, `byte ${at - begin}`)
  }
})

coverage.run()
