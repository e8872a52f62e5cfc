/** Indexes of closed segments: whatever becomes of them, the segments are what counts. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../../actors/ports/journal.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { IndexPages } from '../../../runtime/journal/indexPages.js'
import { Places } from '../../../runtime/journal/places.js'
import { encodeBlock, pageSpot } from '../../../runtime/journal/indexFile.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { A, B, C, DIRECTORY, framesOf, hex, modelOf, open, rec, show,
  stateOf } from '../../support/journalKit.js'
import { randomFlush } from '../../support/journalFlushes.js'

const indexes = suite('journal indexes')
const options = { segmentBytes: 900 }
const pathOf = (segment: number): string => `${DIRECTORY}/000000000${segment}.index`
const namesOf = async (disk: MemoryFileSystem, ending: string): Promise<string[]> =>
  (await disk.list(DIRECTORY)).filter((name) => name.endsWith(ending))

/** Some segments with all kinds of records; a truncation reaches into a closed segment. */
const history: JournalRecord[][] = [
  [rec(A, 1, { count: 2 }), rec(B, 1)],
  [rec(A, 3), rec(B, 2, { count: 3 }), rec(C, 1)],
  [{ type: 'confirm', floors: [{ uuid: A, sequence: 2 }] }],
  [rec(A, 4, { epoch: 2, previousEpoch: 1 }), rec(B, 5)],
  [{ type: 'confirm', floors: [{ uuid: A, sequence: 3 }] }, rec(A, 5, { epoch: 2 })],
  [{ type: 'spaceDropped', uuid: C }, rec(C, 1, { text: 'new' }), rec(C, 2)],
  [rec(B, 6), rec(B, 7)],
  [
    { type: 'truncate', uuid: B, to: { epoch: 1, sequence: 4 }, salvage: 's' },
    rec(B, 5, { epoch: 3, previousEpoch: 1 }),
  ],
  [rec(A, 6, { epoch: 2 }), rec(A, 7, { epoch: 4, previousEpoch: 2 })],
  [rec(A, 8, { epoch: 4 }), { type: 'spaceDropped', uuid: C }],
  [rec(B, 6, { epoch: 3 }), { type: 'confirm', floors: [{ uuid: B, sequence: 6 }] }],
]
const records = history.flat()

async function written(disk = new MemoryFileSystem()): Promise<MemoryFileSystem> {
  const journal = await open(disk, options)
  for (const flush of history) {
    await journal.write(flush)
    await journal.sync()
  }
  await journal.indexed()
  await journal.close()
  return disk
}

/** All that a start finds out. */
async function seen(journal: FileJournal): Promise<string> {
  return JSON.stringify([journal.logs().toSorted((a, b) => (a.uuid < b.uuid ? -1 : 1)),
    show(await stateOf(journal))])
}

async function withoutIndexes(disk: MemoryFileSystem): Promise<MemoryFileSystem> {
  const copy = disk.clone()
  for (const name of await namesOf(copy, '.index')) await copy.remove(`${DIRECTORY}/${name}`)
  return copy
}

indexes('a start reads the last segment, and of the others the index', async () => {
  const disk = await written()
  const segments = (await namesOf(disk, '.segment')).length
  assert.ok(segments >= 4, `${segments} segments`)
  assert.is((await namesOf(disk, '.index')).length, segments - 1)
  const scanned = await open(await withoutIndexes(disk), options)
  const journal = await open(disk, options)
  const { ms: _, segmentsRead, ...report } = journal.recovery
  const { ms: __, segmentsRead: all, ...other } = scanned.recovery
  assert.equal([segmentsRead, all], [1, segments])
  assert.equal(report, other)
  assert.is(await seen(journal), await seen(scanned))
  assert.is(show(await stateOf(journal)), show(modelOf(records).state()))
  assert.equal(journal.log(A)?.floor, 3)
})

indexes('cut at every byte, or with any bit flipped, it is not believed, and written again',
  async () => {
    const disk = await written()
    const expected = await seen(await open(await withoutIndexes(disk), options))
    const index = disk.bytesOf(pathOf(2))
    const check = async (copy: MemoryFileSystem, label: string): Promise<number> => {
      const journal = await open(copy, options)
      assert.is(await seen(journal), expected, label)
      assert.equal(journal.recovery.damaged, [], label)
      await journal.indexed()
      if (copy.bytesOf(pathOf(2)).equals(index)) again++
      else assert.is(journal.recovery.segmentsRead, 1, `${label}: written again`)
      assert.is(await seen(journal), expected, `${label}: read from the new one`)
      return journal.recovery.segmentsRead
    }
    let again = 0
    let scans = 0
    for (let at = 0; at < index.length; at++) {
      const cut = disk.clone()
      cut.cut(pathOf(2), at)
      assert.is(await check(cut, `cut at ${at}`), 2)
      const flipped = disk.clone()
      flipped.flipBit(pathOf(2), at, at % 8)
      scans += await check(flipped, `flipped at ${at}`) - 1
    }
    assert.ok(scans > 100 && scans < index.length, 'a flipped page is found when it is read')
    // One page has a frame that was cut off later: nobody reads it.
    assert.is(again, index.length * 2 - 20)
    const longer = disk.clone()
    const handle = await longer.open(pathOf(2), 'readWrite')
    await handle.write([Buffer.from('more')], index.length)
    assert.is(await check(longer, 'longer'), 2)
    const absent = disk.clone()
    await absent.remove(pathOf(2))
    assert.is(await check(absent, 'absent'), 2)
  })

indexes('that of another version, journal, segment or length is not believed', async () => {
  const { crc32c } = await import('@node-rs/crc32')
  const disk = await written()
  const expected = await seen(await open(await withoutIndexes(disk), options))
  for (const [field, at] of Object.entries({ version: 4, journal: 9, segment: 24, end: 32 })) {
    const copy = disk.clone()
    const bytes = copy.bytesOf(pathOf(2))
    bytes[at]! += 1
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, 76)), 76)
    const handle = await copy.open(pathOf(2), 'readWrite')
    await handle.write([bytes], 0)
    const journal = await open(copy, options)
    assert.is(journal.recovery.segmentsRead, 2, field)
    assert.is(await seen(journal), expected, field)
    await journal.indexed()
    assert.ok(copy.bytesOf(pathOf(2)).equals(disk.bytesOf(pathOf(2))), field)
  }
})

indexes('a crash at any step of writing them leaves the journal as it is', async () => {
  const whole = await withoutIndexes(await written())
  const expected = await seen(await open(whole.clone(), options))
  for (const powerCut of [false, true]) {
    let steps = 0
    for (let alive = false; !alive; steps++) {
      const disk = whole.clone()
      disk.stopAfter(steps)
      alive = await open(disk, options)
        .then((journal) => journal.indexed())
        .then(() => !disk.stopped, () => false)
      if (powerCut) disk.powerCut(() => (steps % 7) / 7)
      else disk.kill()
      const journal = await open(disk, options)
      assert.is(await seen(journal), expected, `crash at step ${steps}`)
      await journal.write([rec(C, 1)])
      await journal.sync()
      await journal.close()
      assert.equal(await namesOf(disk, '.tmp'), [])
    }
    assert.ok(steps > 20, `${steps} steps`)
  }
})

indexes('what cannot be written is left, and the journal goes on', async () => {
  const failures: ((disk: MemoryFileSystem) => void)[] = [
    (disk) => disk.failNext('datasync'),
    (disk) => disk.failNext('rename'),
    (disk) => disk.failNext('open', 'EMFILE'),
    (disk) => disk.failNext('write', 'ENOSPC'),
  ]
  for (const [i, fail] of failures.entries()) {
    const disk = await withoutIndexes(await written())
    const warnings: object[] = []
    const logger = { debug() {}, info() {}, error() {}, warn: (fields: object) =>
      void warnings.push(fields) }
    const journal = await open(disk, { ...options, logger })
    fail(disk)
    await journal.indexed()
    assert.equal([warnings.length, await namesOf(disk, '.index'), await namesOf(disk, '.tmp')], [1,
      [], []], `failure ${i}`)
    const before = await stateOf(journal)
    assert.is(show(before), show(modelOf(records).state()))
    // The next segment to be closed takes the others along.
    for (let first = 1; (await namesOf(disk, '.index')).length === 0; first++) {
      await journal.write([rec(C, first, { text: 'c' })])
      await journal.sync()
      await journal.indexed()
    }
    const closed = journal.stats().segments - 1
    assert.is((await namesOf(disk, '.index')).length, closed, `failure ${i}`)
    await journal.close()
    assert.is((await open(disk, options)).recovery.segmentsRead, 1)
  }
})

indexes('closing the journal stops the writing of them', async () => {
  const disk = await withoutIndexes(await written())
  const journal = await open(disk, options)
  await journal.close()
  const calls = disk.calls.get('write')
  await journal.indexed()
  assert.is(disk.calls.get('write'), calls)
  assert.equal(await namesOf(disk, '.tmp'), [])
})

indexes('an index whose segment is gone is removed: its number may be used again', async () => {
  const disk = await written()
  const last = (await namesOf(disk, '.segment')).length
  const stray = [last, last + 1, 42].map((segment) =>
    `${DIRECTORY}/${String(segment).padStart(10, '0')}.index`
  )
  for (const path of stray) {
    const handle = await disk.open(path, 'create')
    await handle.write([disk.bytesOf(pathOf(1))], 0)
  }
  const removed: string[] = []
  const remove = disk.remove.bind(disk)
  disk.remove = async (path) => {
    removed.push(path)
    await remove(path)
  }
  await (await open(disk, options)).close()
  assert.equal(removed.filter((path) => path.endsWith('.index')), stray)
})

indexes('a segment with a broken record has none, so each start finds it', async () => {
  const disk = await withoutIndexes(await written())
  disk.flipBit(`${DIRECTORY}/0000000002.segment`, 200, 1)
  for (let start = 0; start < 2; start++) {
    const journal = await open(disk, options)
    assert.ok(journal.recovery.damaged.length > 0)
    await journal.indexed()
    await journal.close()
    assert.not.ok((await namesOf(disk, '.index')).includes('0000000002.index'))
  }
})

indexes('a truncation into a closed segment ends between two frames', async () => {
  const disk = await written()
  const journal = await open(disk, options)
  // B has 2 to 4 in one frame.
  const to = (sequence: number): JournalRecord => ({ type: 'truncate', uuid: B,
    to: { epoch: 1, sequence }, salvage: 's' })
  for (const sequence of [2, 3]) {
    const error = await journal.write([to(sequence)]).catch((e: unknown) => e)
    assert.match(String(error), /within a frame/)
  }
  await journal.write([to(1), rec(B, 2, { epoch: 5, previousEpoch: 1 })])
  await journal.sync()
  const expected = (await framesOf(journal, B)).map(hex)
  assert.is(expected.length, 2)
  disk.kill()
  const again = await open(disk, options)
  assert.equal((await framesOf(again, B)).map(hex), expected)
})

indexes('places of many frames are read page by page, and the cache stays bounded', async () => {
  const places = new Places()
  for (let i = 0; i < 10_000; i++) places.push(1 + i * 3, i * 300, 220)
  const pieces = [...encodeBlock(places)]
  const disk = new MemoryFileSystem()
  await disk.makeDirectory(DIRECTORY)
  const handle = await disk.open(pathOf(7), 'create')
  await handle.write(pieces, 0)
  const pages = new IndexPages(disk, DIRECTORY, 100_000)
  const block = { count: places.length, offset: 0 }
  for (const page of [0, 1, 2, 0, 1, 2]) {
    const spot = pageSpot(7, block, page)
    const bytes = pages.get(spot) ?? await pages.load(spot)
    assert.is(bytes.readUInt32LE(0), 1 + page * 4096 * 3)
    assert.ok(pages.memoryBytes <= 100_000)
  }
  assert.is(pages.get(pageSpot(7, block, 2))?.length, (10_000 - 2 * 4096) * 16)
  pages.forget(7)
  assert.is(pages.memoryBytes, 0)
})

indexes('memory does not grow with what is retained', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk, { segmentBytes: 100_000 })
  const bytesAt = async (segments: number): Promise<number> => {
    while (journal.stats().segments < segments) {
      const first = (journal.log(A)?.end.sequence ?? 0) + 1
      await journal.write(Array.from({ length: 50 }, (_, i) => rec(A, first + i)))
    }
    await journal.indexed()
    return journal.stats().indexBytes
  }
  const few = await bytesAt(5)
  const many = await bytesAt(40)
  assert.ok(many - few < 35 * 64, `${few} bytes, then ${many}`)
  assert.ok((await framesOf(journal, A)).length > 10_000)
  await journal.close()
  const again = await open(disk, { segmentBytes: 100_000 })
  assert.ok(again.stats().indexBytes < many + 4096 * 16)
  for (const from of [1, 5000, 9999, 4096, 2]) {
    assert.is((await again.read(A, from, 1))[0]!.first, from)
  }
})

indexes('random journals: what the indexes say is what a scan says', async () => {
  let byIndex = 0
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed)
    const disk = new MemoryFileSystem()
    const size = { segmentBytes: 500 + random.integer(1500) }
    const past: JournalRecord[] = []
    let journal = await open(disk, size)
    for (let step = 0; step < 60; step++) {
      const flush = randomFlush(random, past)
      await journal.write(flush)
      past.push(...flush)
      if (random.chance(0.4)) await journal.sync()
      if (random.chance(0.3)) await journal.indexed()
      if (!random.chance(0.1)) continue
      disk.kill()
      const scanned = await open(await withoutIndexes(disk), size)
      journal = await open(disk, size)
      byIndex += scanned.recovery.segmentsRead - journal.recovery.segmentsRead
      assert.is(await seen(journal), await seen(scanned), `seed ${seed}, step ${step}`)
      assert.is(show(await stateOf(journal)), show(modelOf(past).state()), `seed ${seed}`)
    }
  }
  assert.ok(byIndex > 500, `only ${byIndex} segments were not read: the test does not test`)
})

indexes.run()
