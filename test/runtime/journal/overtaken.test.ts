/** Reads of a log that is replaced, or dropped, before they have their bytes. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileSystem } from '../../../actors/ports/fileSystem.js'
import type { JournalRecord } from '../../../actors/ports/journal.js'
import type { FileJournal } from '../../../runtime/journal/fileJournal.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { coverageOf } from '../../support/journalCoverage.js'
import { A, B, DIRECTORY, hex, open, rec } from '../../support/journalKit.js'

const test = suite('journal: overtaken reads')

/** A disk on which the reads of segments wait for `go`, while `isSlow` is set. */
class SlowReads {
  isSlow = false
  private waiting: (() => void)[] = []

  constructor(private readonly disk: MemoryFileSystem) {}

  go(): void {
    this.isSlow = false
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  process(): FileSystem {
    const under = this.disk.process()
    const open: FileSystem['open'] = async (path, mode) => {
      const handle = await under.open(path, mode)
      const read: typeof handle.read = async (bytes, offset) => {
        if (this.isSlow) await new Promise<void>((resolve) => this.waiting.push(resolve))
        return await handle.read(bytes, offset)
      }
      return { ...handle, read }
    }
    return new Proxy(under, {
      get: (target, name) => {
        if (name === 'open') return open
        const value = Reflect.get(target, name) as unknown
        return typeof value === 'function' ? value.bind(target) as unknown : value
      },
    })
  }
}

/** A journal with two entries of A and one of B, of which those of A cannot be read. */
async function rotten(): Promise<{ slow: SlowReads; journal: FileJournal }> {
  const disk = new MemoryFileSystem()
  const slow = new SlowReads(disk)
  const journal = await open(slow.process())
  await journal.write([rec(A, 1)])
  const path = disk.paths(DIRECTORY).find((one) => one.endsWith('.segment'))!
  const end = disk.bytesOf(path).length
  await journal.write([rec(A, 2), rec(B, 1)])
  await journal.sync()
  disk.flipBit(path, end - 1, 0)
  return { slow, journal }
}

const installed: JournalRecord = { type: 'snapshotInstalled', uuid: A,
  covers: coverageOf([{ epoch: 4, last: 70 }], [70], { installs: 1 }) }

/** The outcome of a read that waits for the disk while the records are written. */
async function readOver(from: number, records: readonly JournalRecord[]): Promise<{
  journal: FileJournal
  found: unknown
}> {
  const { slow, journal } = await rotten()
  slow.isSlow = true
  const reading = journal.read(A, from, 10_000).then(
    (frames) => frames.map(({ first }) => first),
    (error: unknown) => (error as { code?: unknown }).code,
  )
  for (const record of records) await journal.write([record])
  await journal.sync()
  slow.go()
  return { journal, found: await reading }
}

test('a record that cannot be read damages the log that it is of', async () => {
  const { journal, found } = await readOver(1, [])
  assert.is(found, 'JOURNAL_DAMAGED')
  assert.match(String(journal.log(A)!.damage), /checksum/)
  assert.is(journal.log(B)!.damage, null)
})

test('and not the one that has replaced it meanwhile', async () => {
  const { journal, found } = await readOver(1, [installed])
  assert.is(found, 'ENTRIES_GONE', 'the new log begins after 70')
  assert.is(journal.log(A)!.damage, null)
})

test('what a read has found of the former log is not given for the new one', async () => {
  const over = await readOver(2, [installed, rec(A, 71, { epoch: 4 })])
  assert.is(over.found, 'ENTRIES_GONE')
  const dropped = await readOver(2, [{ type: 'spaceDropped', uuid: A }])
  assert.equal(dropped.found, [])
  assert.is(dropped.journal.log(A), undefined)
  const [frame] = await over.journal.read(A, 71, 100)
  assert.is(hex(frame!).length > 0, true)
})

test.run()
