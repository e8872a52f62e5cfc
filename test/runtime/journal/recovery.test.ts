import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournalRecord } from '../../../actors/ports/journal.js'
import { recordBytes, partOf } from '../../../runtime/journal/record.js'
import { JournalUnreadableError } from '../../../runtime/journal/recovery.js'
import { SEGMENT_HEAD_BYTES } from '../../../runtime/journal/segment.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { A, B, C, DIRECTORY, frameOf, framesOf, hex, modelOf, open, rec, show,
  stateOf } from '../../support/journalKit.js'

const recovery = suite('journal recovery')
const FIRST = `${DIRECTORY}/0000000001.segment`
const SECOND = `${DIRECTORY}/0000000002.segment`

/** Three flushes; the last one holds three records. */
const flushes: JournalRecord[][] = [
  [rec(A, 1)],
  [rec(A, 2), rec(B, 1, { count: 2 })],
  [rec(A, 3), rec(B, 3), rec(A, 4, { epoch: 2, previousEpoch: 1 })],
]
const records = flushes.flat()
/** The offset at which each record begins, and at which the last one ends. */
const offsets = records.reduce((at, record) => [...at, at.at(-1)! + recordBytes(partOf(record))], [
  SEGMENT_HEAD_BYTES,
])
const lastFlush = 3

async function written(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  for (const flush of flushes) {
    await journal.write(flush)
    await journal.sync()
  }
  assert.is(disk.bytesOf(FIRST).length, offsets.at(-1))
  return disk
}

/** Index of the record that the byte at `offset` belongs to. */
function recordAt(offset: number): number {
  return offsets.findIndex((start, i) => start <= offset && offset < offsets[i + 1]!)
}

recovery('cut at every byte, it keeps all whole records before the cut', async () => {
  const disk = await written()
  for (let length = SEGMENT_HEAD_BYTES; length < offsets.at(-1)!; length++) {
    const copy = disk.clone()
    copy.cut(FIRST, length)
    const journal = await open(copy)
    const kept = offsets.findLastIndex((offset) => offset <= length)
    const expected = modelOf(records.slice(0, kept))
    assert.is(show(await stateOf(journal)), show(expected.state()), `cut at ${length}`)
    assert.equal(journal.recovery.damaged, [])
    const flushEnds = [0, 1, 3]
    const whole = offsets[kept] === length && flushEnds.includes(kept)
    assert.equal(journal.recovery.torn?.offset, whole ? undefined : offsets[kept], `at ${length}`)
    const next = (expected.logs.get(A)?.length ?? 0) + 1
    await journal.write([rec(A, next)])
    await journal.sync()
    copy.powerCut()
    const after = await stateOf(await open(copy))
    assert.is(after.get(A)?.length, next, `cut at ${length}`)
  }
})

recovery('a bit flipped anywhere in the last flush is a torn write', async () => {
  const disk = await written()
  for (let offset = offsets[lastFlush]!; offset < offsets.at(-1)!; offset++) {
    const copy = disk.clone()
    copy.flipBit(FIRST, offset, offset % 8)
    const journal = await open(copy)
    const broken = recordAt(offset)
    const { torn, damaged } = journal.recovery
    assert.equal([torn?.segment, torn?.offset, damaged.length], [1, offsets[broken], 0])
    const expected = show(modelOf(records.slice(0, broken)).state())
    assert.is(show(await stateOf(journal)), expected, `byte ${offset}`)
    // What it said is what a power cut leaves; nothing is torn or damaged any more.
    copy.powerCut()
    const again = await open(copy)
    assert.equal([again.recovery.torn, again.recovery.damaged.length], [null, 0])
    assert.is(show(await stateOf(again)), expected, `byte ${offset}, after a power cut`)
  }
})

recovery('a bit flipped anywhere in an earlier flush damages that space only', async () => {
  const disk = await written()
  for (let offset = SEGMENT_HEAD_BYTES; offset < offsets[lastFlush]!; offset++) {
    const copy = disk.clone()
    copy.flipBit(FIRST, offset, offset % 8)
    for (const start of ['first', 'second']) {
      const journal = await open(copy)
      const label = `byte ${offset}, ${start} start`
      const broken = recordAt(offset)
      const hit = broken === 2 ? B : A
      const whole = hit === A ? B : A
      assert.is(journal.recovery.torn, null, label)
      assert.equal(journal.recovery.damaged.map(({ uuid }) => uuid), [hit], label)
      assert.ok(journal.log(hit)!.damage !== null, label)
      assert.is(journal.log(hit)!.end.sequence, [0, 1, 0][broken], label)
      assert.is(journal.log(whole)!.damage, null, label)
      const expected = modelOf(records).state().get(whole)
      assert.equal((await framesOf(journal, whole)).map(hex), expected, label)
      assert.is(journal.log(C), undefined, label)
      await rejects(journal.write([rec(hit, 1)]), /damaged log/)
      copy.powerCut()
    }
  }
})

recovery('a bit flipped in the head of a segment harms no log', async () => {
  const disk = await written()
  for (let offset = 0; offset < SEGMENT_HEAD_BYTES; offset++) {
    const copy = disk.clone()
    copy.flipBit(FIRST, offset, offset % 8)
    const journal = await open(copy)
    assert.equal([journal.recovery.torn, journal.recovery.damaged], [null, []])
    assert.is(show(await stateOf(journal)), show(modelOf(records).state()))
    await journal.write([rec(B, 4)])
    await journal.sync()
    copy.powerCut()
    const again = await open(copy)
    assert.equal([again.recovery.torn, again.recovery.damaged], [null, []])
    assert.is(again.log(B)!.end.sequence, 4)
  }
})

recovery('records lost together damage every space, until it is dropped', async () => {
  const disk = await written()
  // The headers of two records in a row: their contents cannot be known.
  disk.flipBit(FIRST, offsets[1]!, 0)
  disk.flipBit(FIRST, offsets[2]!, 0)
  let journal = await open(disk)
  assert.equal(journal.recovery.damaged.map(({ uuid }) => uuid), [null])
  for (const uuid of [A, B, C]) assert.ok(journal.log(uuid)!.damage, uuid)
  await rejects(journal.write([rec(C, 1)]), /damaged log/)
  await journal.write([{ type: 'spaceDropped', uuid: A }, rec(A, 1)])
  await journal.write([{ type: 'spaceDropped', uuid: C }])
  await journal.sync()
  disk.powerCut()
  journal = await open(disk)
  assert.is(journal.log(A)!.damage, null)
  assert.is(journal.log(A)!.end.sequence, 1)
  assert.is(journal.log(C), undefined)
  assert.ok(journal.log(B)!.damage)
})

recovery('a missing segment, or a missing end of one, damages every space', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk, { segmentBytes: 400 })
  for (let i = 1; i <= 6; i++) {
    await journal.write([rec(A, i)])
    await journal.sync()
  }
  assert.ok(journal.stats().segments >= 3)
  const gone = disk.clone()
  await gone.remove(SECOND)
  const shorter = disk.clone()
  shorter.cut(FIRST, SEGMENT_HEAD_BYTES)
  for (const copy of [gone, shorter]) {
    const broken = await open(copy)
    assert.equal(broken.recovery.damaged[0]?.uuid, null)
    assert.ok(broken.log(A)!.damage)
    assert.ok(broken.log(B)!.damage)
  }
})

recovery('a journal without one sound record is not taken for an empty one', async () => {
  const disk = await written()
  disk.cut(FIRST, 40)
  let error: unknown
  await open(disk).catch((e: unknown) => {
    error = e
  })
  assert.instance(error, JournalUnreadableError)
})

recovery('a newer journal is left alone, with a clear message', async () => {
  const { crc32c } = await import('@node-rs/crc32')
  const disk = await written()
  const bytes = disk.bytesOf(FIRST)
  const at = offsets[1]!
  bytes[at + 4] = 3
  bytes.writeUInt32LE(crc32c(bytes.subarray(at, at + 76)), at + 76)
  const handle = await disk.open(FIRST, 'readWrite')
  await handle.write([bytes], 0)
  await rejects(open(disk), /version 3.*understands up to 2/)
  assert.ok(disk.bytesOf(FIRST).equals(bytes))
})

recovery('content that looks like a record is not one', async () => {
  const disk = await written()
  const disguised = disk.bytesOf(FIRST).subarray(offsets[0], offsets[1]).toString('latin1')
  const journal = await open(disk)
  await journal.write([rec(A, 5, { epoch: 2, text: JSON.stringify(disguised).slice(1, -1) })])
  await journal.sync()
  await journal.write([rec(A, 6, { epoch: 2 })])
  await journal.sync()
  // A broken header makes recovery look for the next record, through that content.
  disk.flipBit(SECOND, (await lastOffsets(disk)).at(-2)!, 3)
  const again = await open(disk)
  assert.equal(again.recovery.damaged.map(({ uuid }) => uuid), [A])
  assert.is(again.log(A)!.end.sequence, 4)
})

/** Offsets of the records in the second segment. */
async function lastOffsets(disk: MemoryFileSystem): Promise<number[]> {
  const { dumpJournal } = await import('../../../runtime/journal/inspect.js')
  const found: number[] = []
  for await (const item of dumpJournal(DIRECTORY, { fileSystem: disk })) {
    if (item.segment === 2) found.push(item.offset)
  }
  return found
}

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  let error: unknown
  await promise.catch((e: unknown) => {
    error = e
  })
  assert.match(String(error), message)
}

recovery('a crash at any step of the recovery can be recovered', async () => {
  const unsynced = await written()
  const torn = await written()
  torn.flipBit(FIRST, offsets.at(-1)! - 1, 0)
  for (const [disk, count] of [[unsynced, 6], [torn, 5]] as const) {
    const expected = show(modelOf(records.slice(0, count)).state())
    for (const powerCut of [false, true]) {
      let steps = 0
      for (let alive = false; !alive; steps++) {
        const copy = disk.clone()
        copy.stopAfter(steps)
        alive = await open(copy).then(() => !copy.stopped, () => false)
        if (powerCut) copy.powerCut()
        else copy.kill()
        const journal = await open(copy)
        assert.is(show(await stateOf(journal)), expected, `crash at step ${steps}`)
        assert.equal(journal.recovery.damaged, [])
        await journal.write([rec(C, 1)])
        await journal.sync()
        copy.powerCut()
        assert.is((await open(copy)).log(C)!.end.sequence, 1)
      }
      assert.ok(steps > 5, `${steps} steps`)
    }
  }
})

recovery('the position it reports survives a power cut, though never synced before the kill',
  async () => {
    const disk = new MemoryFileSystem()
    const journal = await open(disk)
    await journal.write([rec(A, 1)])
    await journal.sync()
    await journal.write([rec(A, 2), rec(B, 1)])
    disk.kill()
    const second = await open(disk)
    assert.is(second.log(A)!.end.sequence, 2)
    assert.equal(await framesOf(second, A).then((all) => all.length), 2)
    disk.powerCut()
    const third = await open(disk)
    assert.is(third.log(A)!.end.sequence, 2)
    assert.is(third.log(B)!.end.sequence, 1)
  })

recovery('starts without writes make no segments', async () => {
  const disk = await written()
  for (let i = 0; i < 4; i++) await (await open(disk)).close()
  const names = await disk.list(DIRECTORY)
  assert.is(names.filter((name) => name.endsWith('.segment')).length, 2)
  const journal = await open(disk)
  await journal.write([{ type: 'confirm' }])
  await journal.sync()
  await journal.close()
  assert.is(show(await stateOf(await open(disk))), show(modelOf(records).state()))
})

recovery('after a confirm record the flush before it is known to have been durable', async () => {
  const disk = await written()
  const journal = await open(disk)
  await journal.write([rec(A, 5, { epoch: 2, previousEpoch: 2 })])
  await journal.sync()
  const end = disk.bytesOf(SECOND).length
  const before = disk.clone()
  await journal.write([{ type: 'confirm' }])
  await journal.sync()
  before.flipBit(SECOND, end - 1, 0)
  disk.flipBit(SECOND, end - 1, 0)
  assert.ok((await open(before)).recovery.torn)
  const confirmed = await open(disk)
  assert.is(confirmed.recovery.torn, null)
  assert.ok(confirmed.log(A)!.damage)
})

recovery('truncations and drops are recovered', async () => {
  const disk = await written()
  const journal = await open(disk)
  await journal.write([
    { type: 'truncate', uuid: A, to: { epoch: 1, sequence: 2 }, salvage: 's' },
    rec(A, 3, { epoch: 3, previousEpoch: 1 }),
    { type: 'spaceDropped', uuid: B },
  ])
  disk.kill()
  for (let start = 0; start < 3; start++) {
    const again = await open(disk)
    assert.equal(again.log(A)!.history, [{ epoch: 1, last: 2 }, { epoch: 3, last: 3 }])
    assert.is(hex((await again.read(A, 3, 1))[0]!),
      hex(frameOf(A, 3, { epoch: 3, previousEpoch: 1 })))
    assert.is(again.log(B), undefined)
    disk.powerCut()
  }
})

const floorsOf = (...floors: [string, number][]): JournalRecord => ({ type: 'confirm',
  floors: floors.map(([uuid, sequence]) => ({ uuid, sequence })) })

recovery('how far a space is committed survives starts, the last flush restated or not',
  async () => {
    const disk = new MemoryFileSystem()
    const journal = await open(disk)
    await journal.write([rec(A, 1, { count: 3 }), rec(B, 1)])
    await journal.sync()
    await journal.write([floorsOf([A, 2], [B, 1], [C, 7])])
    await journal.sync()
    assert.is(journal.log(A)?.floor, 2)
    for (let start = 0; start < 3; start++) {
      disk.kill()
      const again = await open(disk)
      assert.equal([A, B, C].map((uuid) => again.log(uuid)?.floor), [2, 1, undefined])
    }
    await (await open(disk)).write([floorsOf([A, 3])])
    disk.kill()
    assert.is((await open(disk)).log(A)?.floor, 3, 'written, and not yet synced')
  })

recovery('a truncation takes the floor along: below a forced epoch', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1), rec(A, 2), floorsOf([A, 2])])
  await journal.sync()
  const to = { epoch: 1, sequence: 1 }
  await journal.write([{ type: 'truncate', uuid: A, to, salvage: 's' }])
  await journal.sync()
  assert.is(journal.log(A)?.floor, 1)
  disk.kill()
  assert.is((await open(disk)).log(A)?.floor, 1)
})

recovery('a log that ends below its floor has lost entries: damaged', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  await journal.write([rec(A, 1)])
  await journal.sync()
  await journal.write([floorsOf([A, 5])])
  await journal.sync()
  disk.kill()
  assert.match((await open(disk)).log(A)?.damage ?? '', /entries up to 5 were here, .*\(1, 1\)/)
})

recovery('a broken record of floors damages no space', async () => {
  const disk = new MemoryFileSystem()
  const journal = await open(disk)
  const record = rec(A, 1)
  for (const flush of [[record], [floorsOf([A, 1])], [rec(A, 2)], [rec(B, 1)]]) {
    await journal.write(flush)
    await journal.sync()
  }
  const at = SEGMENT_HEAD_BYTES + recordBytes(partOf(record))
  for (const offset of [at + 20, at + 76, at + 85, at + 100]) {
    const copy = disk.clone()
    copy.flipBit(FIRST, offset, 2)
    const again = await open(copy)
    assert.is(again.log(A)?.damage, null, `offset ${offset - at} of the record`)
    assert.is(again.log(A)?.end.sequence, 2)
  }
})

recovery.run()
