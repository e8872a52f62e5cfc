import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FileSystemError } from '../../actors/ports/fileSystem.js'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { Frame } from '../../actors/ports/frames.js'
import { EntriesGoneError, type SalvageHeader } from '../../actors/ports/journal.js'
import { InvariantViolation } from '../../machines/log/invariants.js'
import { IdentityDamagedError, readIdentity,
  writeIdentity } from '../../runtime/journal/identityFile.js'
import { dumpJournal, NoJournalError, verifyJournal } from '../../runtime/journal/inspect.js'
import { NodeFileSystem } from '../../runtime/system/fileSystem.js'
import { createSalvageFiles, SalvageDamagedError, SalvageNotFoundError,
  SalvageVersionError } from '../../runtime/journal/salvage.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { SeededRandom } from '../fakes/seededRandom.js'
import { A, B, C, frameOf, framesOf, hex, open, quiet, rec } from '../support/journalKit.js'
import { coveringAll } from '../support/journalCoverage.js'
import { readSalvage } from '../support/salvages.js'

/** Of a salvage with entries 3 to 6 of epoch 1. */
const header: SalvageHeader = {
  space: 'demo',
  uuid: A,
  node: 'n1',
  common: { epoch: 1, sequence: 2 },
  end: { epoch: 1, sequence: 6 },
  joinedEpoch: 2,
  savedAtMs: 5,
}

async function* batches(all: readonly Frame[]): AsyncGenerator<Frame[]> {
  for (const frame of all) yield [frame]
}

interface Place {
  readonly fileSystem: FileSystem
  /** An empty data directory. */
  readonly data: string
  flip(path: string, offset: number): Promise<void>
}

/** The journal on a file system; `make` gives a fresh place. */
export function journalContract(name: string, make: () => Promise<Place>): void {
  const contract = suite(`journal: ${name}`)
  const fresh = async (segmentBytes?: number) => {
    const place = await make()
    const directory = join(place.data, 'journal')
    const start = () => open(place.fileSystem, { directory, segmentBytes })
    return { ...place, directory, start, journal: await start() }
  }

  contract('begins empty, and keeps its id', async () => {
    const { journal, start } = await fresh()
    assert.equal([journal.logs(), journal.log(A)], [[], undefined])
    assert.equal(await journal.read(A, 1, 1000), [])
    await journal.close()
    const again = await start()
    assert.is(again.id, journal.id)
    await again.close()
  })

  contract('reads back the same bytes, over restarts and segments', async () => {
    const { journal, start } = await fresh(2000)
    for (let i = 1; i <= 30; i++) {
      await journal.write([rec(A, 2 * i - 1, { count: 2 }), rec(B, i)])
      if (i % 3 === 0) await journal.sync()
    }
    assert.ok(journal.stats().segments > 4)
    await journal.close()
    for (let starts = 0; starts < 2; starts++) {
      const again = await start()
      assert.equal(again.log(A)!.end, { epoch: 1, sequence: 60 })
      assert.equal((await framesOf(again, A)).map(hex), Array.from({ length: 30 }, (_, i) =>
        hex(frameOf(A, 2 * i + 1, { count: 2 }))))
      assert.is((await framesOf(again, B)).length, 30)
      assert.equal([again.recovery.torn, again.recovery.damaged], [null, []])
      await again.close()
    }
  })

  contract('reads whole frames from the one that holds the sequence on', async () => {
    const { journal } = await fresh()
    await journal.write([rec(A, 1, { count: 3 }), rec(B, 1), rec(A, 4, { count: 3 })])
    await journal.write([rec(A, 7, { count: 3 })])
    const firsts = async (from: number, bytes: number): Promise<number[]> =>
      (await journal.read(A, from, bytes)).map((frame) => frame.first)
    assert.equal(await firsts(1, 1), [1])
    assert.equal(await firsts(3, 1), [1])
    assert.equal(await firsts(4, 1), [4])
    assert.equal(await firsts(2, 1e6), [1, 4, 7])
    assert.equal(await firsts(9, 1e6), [7])
    assert.equal(await firsts(10, 1e6), [])
    const two = frameOf(A, 1, { count: 3 }).bytes.length * 2
    assert.equal(await firsts(1, two), [1, 4])
    assert.equal(await firsts(1, two - 1), [1])
    await journal.close()
  })

  contract('reads while it writes', async () => {
    const { journal } = await fresh(1500)
    let reads = 0
    const writing = new AbortController()
    const reader = (async () => {
      while (!writing.signal.aborted) {
        const end = journal.log(A)?.end.sequence ?? 0
        const frames = await journal.read(A, Math.max(1, end - 20), 3000)
        frames.forEach((frame, i) => {
          if (i > 0) assert.is(frame.first, frames[i - 1]!.last + 1)
          assert.is(hex(frame), hex(frameOf(A, frame.first)))
        })
        reads++
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for (let i = 1; i <= 60; i++) {
      await journal.write([rec(A, i)])
      if (i % 5 === 0) await journal.sync()
      await new Promise((resolve) => setImmediate(resolve))
    }
    writing.abort()
    await reader
    assert.ok(reads > 3)
    await journal.close()
  })

  contract('truncates and drops', async () => {
    const { journal, start } = await fresh()
    await journal.write([rec(A, 1), rec(A, 2, { count: 2 }), rec(B, 1)])
    await journal.write([rec(A, 4, { epoch: 2, previousEpoch: 1 })])
    await journal.write([
      { type: 'truncate', uuid: A, to: { epoch: 1, sequence: 1 }, salvage: 'x.salvage' },
      rec(A, 2, { epoch: 3, previousEpoch: 1 }),
    ])
    await journal.write([{ type: 'spaceDropped', uuid: B }, rec(B, 1, { text: 'new' })])
    await journal.write([rec(C, 1)])
    await journal.write([
      { type: 'truncate', uuid: C, to: { epoch: 0, sequence: 0 }, salvage: 'y.salvage' },
    ])
    await journal.sync()
    const check = async (): Promise<void> => {
      const again = await start()
      assert.equal(again.log(A)!.history, [{ epoch: 1, last: 1 }, { epoch: 3, last: 2 }])
      assert.equal(again.log(A)!.end, { epoch: 3, sequence: 2 })
      assert.equal((await framesOf(again, A)).map((frame) => frame.epoch), [1, 3])
      assert.equal((await framesOf(again, B)).map(hex), [hex(frameOf(B, 1, { text: 'new' }))])
      assert.equal(again.log(C)!.end, { epoch: 0, sequence: 0 })
      await again.close()
    }
    await journal.close()
    await check()
    await check()
  })

  contract('knows which spaces were dropped, and not written since', async () => {
    const { journal, start } = await fresh(1500)
    await journal.write([rec(A, 1), rec(B, 1)])
    assert.equal(journal.dropped(), [])
    await journal.write([{ type: 'spaceDropped', uuid: A }])
    await journal.write([{ type: 'spaceDropped', uuid: B }, { type: 'spaceDropped', uuid: C }])
    await journal.write([rec(B, 1, { text: 'new' })])
    await journal.sync()
    assert.equal([...journal.dropped()].toSorted(), [A, C])
    // The records lie in closed segments, of which a start reads the indexes.
    for (let i = 2; i <= 60; i += 1) await journal.write([rec(B, i)])
    await journal.sync()
    assert.ok(journal.stats().segments > 3)
    await journal.close()
    for (let n = 0; n < 2; n += 1) {
      const again = await start()
      assert.equal([...again.dropped()].toSorted(), [A, C])
      assert.is(again.log(A), undefined)
      await again.close()
    }
  })

  contract('refuses, before it writes, what does not fit the log', async () => {
    const { journal } = await fresh()
    await journal.write([rec(A, 1, { count: 3, epoch: 2, previousEpoch: 0 })])
    const before = journal.stats()
    const cases = [
      rec(A, 5, { epoch: 2 }),
      rec(A, 3, { epoch: 2 }),
      rec(A, 4, { epoch: 3 }),
      rec(A, 4, { epoch: 1 }),
      rec(B, 2),
      { type: 'truncate', uuid: A, to: { epoch: 2, sequence: 4 }, salvage: '' } as const,
      { type: 'truncate', uuid: A, to: { epoch: 1, sequence: 3 }, salvage: '' } as const,
      { type: 'truncate', uuid: A, to: { epoch: 2, sequence: 2 }, salvage: '' } as const,
      { type: 'truncate', uuid: B, to: { epoch: 0, sequence: 0 }, salvage: '' } as const,
    ]
    for (const wrong of cases) await rejects(journal.write([rec(C, 1), wrong]), RangeError)
    assert.equal(journal.stats(), before)
    assert.is(journal.log(C), undefined)
    const both = [journal.write([rec(C, 1)]), journal.sync()]
    await rejects(both[1]!, Error)
    await both[0]
    await journal.close()
  })

  contract('a start reads closed segments by their indexes, whatever became of those', async () => {
    const { journal, start, directory, fileSystem, flip } = await fresh(1500)
    for (let i = 1; i <= 40; i++) {
      await journal.write([rec(A, i), rec(B, i)])
      await journal.sync()
    }
    await journal.indexed()
    await journal.close()
    const names = async (): Promise<string[]> =>
      (await fileSystem.list(directory)).filter((name) => name.endsWith('.index'))
    const check = async (segmentsRead: number): Promise<void> => {
      const again = await start()
      assert.is(again.recovery.segmentsRead, segmentsRead)
      for (const uuid of [A, B]) {
        assert.equal((await framesOf(again, uuid)).map(hex), Array.from({ length: 40 }, (_, i) =>
          hex(frameOf(uuid, i + 1))))
      }
      await again.indexed()
      await again.close()
    }
    await check(1)
    const before = await names()
    assert.ok(before.length > 5)
    await flip(join(directory, before[1]!), 30)
    await fileSystem.remove(join(directory, before[2]!))
    await fileSystem.rename(join(directory, before[3]!), join(directory, before[4]!))
    await check(5)
    await check(1)
    assert.equal(await names(), before)
  })

  contract('gives up segments that checkpoints cover, and says what is gone', async () => {
    const { journal, start, directory, fileSystem } = await fresh(1500)
    await journal.write([rec(B, 1)])
    await journal.write([coveringAll(journal, B)])
    for (let i = 1; i <= 20; i++) await journal.write([rec(A, i)])
    await journal.sync()
    const error = await journal.remove(1).catch((e: unknown) => e)
    assert.instance(error, InvariantViolation)
    await journal.write([coveringAll(journal, A)])
    for (const segment of [1, 2]) await journal.remove(segment)
    await journal.close()
    const names = await fileSystem.list(directory)
    assert.equal(names.filter((name) => name < '0000000003'), [])
    for (let starts = 0; starts < 2; starts++) {
      const again = await start()
      const { base, end, covers, damage } = again.log(A)!
      assert.ok(base.sequence > 0 && base.sequence < 20)
      assert.equal([end.sequence, covers.covered.sequence, damage], [20, 20, null])
      assert.is((await again.read(A, base.sequence + 1, 1))[0]!.first, base.sequence + 1)
      await rejects(again.read(A, base.sequence, 1), EntriesGoneError)
      assert.equal([again.log(B)!.end.sequence, again.log(B)!.base.sequence], [1, 1])
      // An epoch that begins on it has no frame to take them from.
      const { clock, timestamp } = again.log(B)!.covers
      assert.equal([clock, timestamp], [{ n1: 1 }, 1001])
      await again.close()
    }
  })

  contract('takes a flush larger than its scratch buffer', async () => {
    const { journal, start } = await fresh()
    const long = 'l'.repeat(200_000)
    await journal.write([rec(A, 1, { text: long }), rec(B, 1), rec(A, 2, { text: long })])
    await journal.sync()
    await journal.close()
    const again = await start()
    assert.equal((await framesOf(again, A)).map((frame) => frame.last), [1, 2])
    assert.is(hex((await framesOf(again, A))[1]!), hex(frameOf(A, 2, { text: long })))
    await again.close()
  })

  contract('can be verified and dumped, by data directory or its own', async () => {
    const { journal, fileSystem, data, directory, flip } = await fresh()
    await rejects(verifyJournal(join(data, 'none'), fileSystem), NoJournalError)
    await journal.write([rec(A, 1, { count: 2 })])
    await journal.sync()
    await journal.write([
      { type: 'truncate', uuid: A, to: { epoch: 0, sequence: 0 }, salvage: 's.salvage' },
      rec(B, 1),
      { type: 'confirm' },
    ])
    await journal.close()
    for (const where of [data, directory]) {
      const report = await verifyJournal(where, fileSystem)
      assert.equal([report.ok, report.journal, report.records], [true, journal.id, 5])
      assert.equal(report.logs.map((log) => log.end.sequence), [0, 1])
    }
    const dumped = []
    for await (const item of dumpJournal(data, { fileSystem, entries: true })) dumped.push(item)
    assert.equal(dumped.map((item) => item.type), ['segment', 'entries', 'truncate', 'entries',
      'confirm'])
    assert.equal([dumped[1]!.space, dumped[1]!.first, dumped[1]!.last], [A, 1, 2])
    assert.is(dumped[1]!.entries![1]!.vectorClock['n1'], 2)
    assert.is(dumped[2]!.salvage, 's.salvage')
    await flip(join(directory, '0000000001.segment'), dumped[1]!.offset + 100)
    const broken = await verifyJournal(data, fileSystem)
    assert.equal([broken.ok, broken.damaged.length, broken.damaged[0]!.uuid], [false, 1, A])
    assert.is(broken.segments[0]!.size, broken.segments[0]!.end)
  })

  contract('keeps salvages', async () => {
    const { fileSystem, data, flip } = await make()
    const directory = join(data, 'salvage')
    const salvages = createSalvageFiles({ directory, fileSystem, logger: quiet })
    assert.equal(await salvages.list(), [])
    const frames = [frameOf(A, 3, { count: 2 }), frameOf(A, 5), frameOf(A, 6)]
    const saved = await salvages.save(header, batches(frames))
    assert.is(await salvages.save(header, batches(frames)), saved)
    const listed = await salvages.list()
    assert.equal(listed.map(({ name, entries }) => [name, entries]), [[saved, 4]])
    const read = await readSalvage(salvages, saved)
    assert.equal(read.header, header)
    assert.equal(read.frames.map(hex), frames.map(hex))
    await rejects(salvages.save(header, batches(frames.slice(1))), RangeError)
    await rejects(salvages.save(header, batches(frames.slice(0, 2))), RangeError)
    await rejects(readSalvage(salvages, '../identity.json'), SalvageNotFoundError)
    await rejects(readSalvage(salvages, 'none.salvage'), SalvageNotFoundError)
    assert.equal((await salvages.list()).length, 1)
    await flip(join(directory, saved), listed[0]!.bytes - 30)
    await rejects(readSalvage(salvages, saved), SalvageDamagedError)
    await flip(join(directory, saved), 30)
    assert.equal(await salvages.list(), [])
    assert.equal(await salvages.names(), [saved], 'it is there all the same')
    assert.ok(saved.startsWith(`demo.${A.slice(0, 8)}.`))
    await flip(join(directory, saved), 30)
    await flip(join(directory, saved), 4)
    assert.equal(await salvages.list(), [], 'of a format of later')
  })

  contract('keeps salvages that say which entries are missing, beside a checkpoint', async () => {
    const { fileSystem, data, flip } = await make()
    const directory = join(data, 'salvage')
    const salvages = createSalvageFiles({ directory, fileSystem, logger: quiet })
    const checkpoint = join(data, 'a.checkpoint')
    const write = async (path: string, bytes: Uint8Array): Promise<void> => {
      const handle = await fileSystem.open(path, 'create')
      await handle.write([bytes], 0)
      await handle.datasync()
      await handle.close()
    }
    await write(checkpoint, Buffer.from('state'))
    const header = missingHeader(5)
    const frames = [frameOf(A, 5), frameOf(A, 6)]
    await rejects(salvages.save(header, batches([frameOf(A, 3, { count: 2 }), ...frames])),
      RangeError)
    await rejects(salvages.save(header, batches(frames.slice(1))), RangeError)
    const saved = await salvages.save(header, batches(frames), checkpoint)
    assert.is(saved, `demo.${A.slice(0, 8)}.1-2.from-5.1-6.salvage`)
    const read = await readSalvage(salvages, saved)
    assert.equal(read.header, header)
    assert.equal(read.frames.map(hex), frames.map(hex))
    const [listed] = await salvages.list()
    assert.equal([listed!.name, listed!.entries], [saved, 2])
    const none = await salvages.save(missingHeader(7), batches([]), checkpoint)
    assert.equal((await readSalvage(salvages, none)).frames, [])
    assert.equal((await salvages.list()).map(({ entries }) => entries), [2, 0])
    const names = [saved, none].map((name) => name.replace(/salvage$/, 'checkpoint'))
    assert.equal(await salvages.kept(), names)
    assert.equal(await salvages.names(), [saved, none])
    // Again, with a newer checkpoint, which the former one must not stand for.
    await write(join(data, 'b.checkpoint'), Buffer.from('newer'))
    await salvages.save(header, batches(frames), join(data, 'b.checkpoint'))
    await fileSystem.remove(join(data, 'b.checkpoint'))
    assert.is(await contentOf(fileSystem, join(directory, names[0]!)), 'newer')
    assert.is(await contentOf(fileSystem, join(directory, names[1]!)), 'state')
    await rejects(salvages.save(header, batches(frames), join(data, 'none')), FileSystemError)
    await salvages.save(header, batches(frames), checkpoint)
    await salvages.remove(saved)
    assert.equal(await salvages.kept(), names, 'it stays when the salvage is taken')
    for (const name of names) await salvages.remove(name)
    assert.equal(await salvages.kept(), [])
    await flip(join(directory, none), 4)
    await rejects(readSalvage(salvages, none), SalvageVersionError)
    assert.equal(await salvages.list(), [])
    assert.equal(await salvages.names(), [none])
  })

  contract('a salvage without missing entries is as it always was', async () => {
    const { fileSystem, data } = await make()
    const directory = join(data, 'salvage')
    const salvages = createSalvageFiles({ directory, fileSystem, logger: quiet })
    const { missing: _, ...whole } = missingHeader(5)
    const name = await salvages.save(whole, batches([frameOf(A, 3, { count: 4 })]))
    assert.is(name, `demo.${A.slice(0, 8)}.1-2.1-6.salvage`)
    const text = await contentOf(fileSystem, join(directory, name))
    assert.is(text.slice(0, 8), 'EGSV\x01\0\0\0')
    assert.ok(text.includes(`${JSON.stringify(whole)}`))
  })

  contract('removes salvages', async () => {
    const { fileSystem, data } = await make()
    const directory = join(data, 'salvage')
    const salvages = createSalvageFiles({ directory, fileSystem, logger: quiet })
    await salvages.remove('none.salvage')
    const header = (last: number): SalvageHeader => ({
      space: 'demo',
      uuid: A,
      node: 'n1',
      common: { epoch: 1, sequence: 2 },
      end: { epoch: 1, sequence: last },
      joinedEpoch: 2,
      savedAtMs: 5,
    })
    const first = await salvages.save(header(3), batches([frameOf(A, 3)]))
    const second = await salvages.save(header(4), batches([frameOf(A, 3), frameOf(A, 4)]))
    await salvages.remove(first)
    await salvages.remove(first)
    await rejects(readSalvage(salvages, first), SalvageNotFoundError)
    assert.equal((await salvages.list()).map(({ name }) => name), [second])
    for (const name of ['../identity.json', `../salvage/${second}`, '', second.slice(0, -1)]) {
      await rejects(salvages.remove(name), SalvageNotFoundError)
    }
    assert.equal((await readSalvage(salvages, second)).frames.length, 2)
    await salvages.save(header(3), batches([frameOf(A, 3)]))
    assert.equal((await salvages.list()).length, 2, 'it may come again')
  })

  contract('a directory knows its node, its disk, and its numbers', async () => {
    const { fileSystem, data, flip } = await make()
    assert.is(await readIdentity(data, fileSystem), null, 'nothing is made by looking')
    assert.equal(await fileSystem.list(data), [])
    const disk = new SeededRandom(1).uuid()
    for (const incarnation of [1, 2]) {
      const identity = {
        node: 'n1',
        disk,
        incarnation,
        spoken: incarnation + 3,
        journal: incarnation < 2 ? null : disk,
      }
      await writeIdentity(data, identity, fileSystem)
      assert.equal(await readIdentity(data, fileSystem), identity)
    }
    await flip(join(data, 'identity.json'), 1)
    await rejects(readIdentity(data, fileSystem), IdentityDamagedError)
  })

  contract('a directory of the release before has no node, and spoke as what it counted',
    async () => {
      const { fileSystem, data } = await make()
      const disk = new SeededRandom(1).uuid()
      await fileSystem.makeDirectory(data)
      const handle = await fileSystem.open(join(data, 'identity.json'), 'create')
      await handle.write([Buffer.from(JSON.stringify({ version: 1, disk, incarnation: 7 }))], 0)
      await handle.close()
      assert.equal(await readIdentity(data, fileSystem), { node: null, disk, incarnation: 7,
        spoken: 7, journal: null })
    })

  contract.run()
}

/** The same, of which those before `begins` are missing. */
function missingHeader(begins: number): SalvageHeader {
  return {
    ...header,
    missing: { begins, spans: [{ epoch: 1, last: begins - 1 }],
      checkpoint: { epoch: 1, sequence: 6 } },
  }
}

async function contentOf(fileSystem: FileSystem, path: string): Promise<string> {
  const handle = await fileSystem.open(path, 'read')
  const bytes = Buffer.alloc(await handle.size())
  await handle.read(bytes, 0)
  await handle.close()
  return bytes.toString('latin1')
}

async function rejects(
  promise: Promise<unknown>,
  type: new(...args: never[]) => Error,
): Promise<void> {
  let error: unknown
  await promise.catch((e: unknown) => {
    error = e
  })
  assert.ok(error instanceof type, String(error))
}

journalContract('memory', async () => {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory('/data')
  return {
    fileSystem,
    data: '/data',
    flip: async (path, offset) => fileSystem.flipBit(path, offset, 0),
  }
})

const durability = suite('salvages: durability')
durability('a file that fails now hides no others', async () => {
  for (const operation of ['open', 'read'] as const) {
    const fileSystem = new MemoryFileSystem()
    await fileSystem.makeDirectory('/data')
    const salvages = createSalvageFiles({ directory: '/data/salvage', fileSystem, logger: quiet })
    for (const last of [3, 4]) {
      const frames = Array.from({ length: last - 2 }, (_, index) => frameOf(A, 3 + index))
      await salvages.save({
        space: 'demo',
        uuid: A,
        node: 'n1',
        common: { epoch: 1, sequence: 2 },
        end: { epoch: 1, sequence: last },
        joinedEpoch: 2,
        savedAtMs: 5,
      }, batches(frames))
    }
    fileSystem.failNext(operation)
    assert.is((await salvages.list()).length, 1)
    assert.is((await salvages.list()).length, 2)
    assert.is((await salvages.names()).length, 2)
  }
})

durability('cut anywhere, or with a bit flipped, a file with missing entries is refused',
  async () => {
    const fileSystem = new MemoryFileSystem()
    await fileSystem.makeDirectory('/data')
    const salvages = createSalvageFiles({ directory: '/data/salvage', fileSystem, logger: quiet })
    const name = await salvages.save(missingHeader(5), batches([frameOf(A, 5), frameOf(A, 6)]))
    const path = `/data/salvage/${name}`
    const whole = fileSystem.bytesOf(path)
    const attempt = async (): Promise<string> => {
      try {
        await readSalvage(salvages, name)
        return 'read'
      } catch (error) {
        return (error as { code?: string }).code ?? String(error)
      }
    }
    for (let at = 0; at < whole.length; at += 1) {
      for (const bit of [0, 5]) {
        fileSystem.flipBit(path, at, bit)
        // The version is not covered by a checksum: it comes before all that may change.
        const due = at >= 4 && at < 8 ? ['SALVAGE_VERSION'] : ['SALVAGE_DAMAGED']
        assert.ok(due.includes(await attempt()), `bit ${bit} of byte ${at}: ${await attempt()}`)
        fileSystem.flipBit(path, at, bit)
      }
    }
    assert.is(await attempt(), 'read')
    fileSystem.flipBit(path, 4, 0)
    fileSystem.flipBit(path, 4, 1)
    assert.is(await attempt(), 'SALVAGE_DAMAGED', 'as version 1 it would pass for the whole fork')
    fileSystem.flipBit(path, 4, 0)
    fileSystem.flipBit(path, 4, 1)
    for (let length = whole.length - 1; length >= 0; length -= 1) {
      fileSystem.cut(path, length)
      assert.is(await attempt(), 'SALVAGE_DAMAGED', `cut at ${length}`)
    }
  })

durability('a header that makes no sense is neither written nor read', async () => {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory('/data')
  const salvages = createSalvageFiles({ directory: '/data/salvage', fileSystem, logger: quiet })
  const header = missingHeader(7)
  const { missing } = header
  const wrong: SalvageHeader['missing'][] = [
    { ...missing!, begins: 8, spans: [{ epoch: 1, last: 7 }] },
    { ...missing!, begins: 6 },
    { ...missing!, spans: [] },
    { ...missing!, spans: [{ epoch: 0, last: 6 }] },
    { ...missing!, spans: [{ epoch: 1, last: 2 }, { epoch: 2, last: 6 }] },
    { ...missing!, spans: [{ epoch: 2, last: 4 }, { epoch: 1, last: 6 }] },
  ]
  for (const one of wrong) {
    await rejects(salvages.save({ ...header, missing: one! }, batches([])), RangeError)
  }
  assert.equal(await salvages.names(), [])
})

durability('a salvage that failed leaves the checkpoint beside it, and is saved again',
  async () => {
    for (const operation of ['link', 'open', 'write', 'datasync', 'rename',
      'syncDirectory'] as const)
    {
      const fileSystem = new MemoryFileSystem()
      await fileSystem.makeDirectory('/data')
      const handle = await fileSystem.open('/data/1.checkpoint', 'create')
      await handle.write([Buffer.from('state')], 0)
      await handle.datasync()
      await fileSystem.syncDirectory('/data')
      const salvages = createSalvageFiles({ directory: '/data/salvage', fileSystem, logger: quiet })
      const save = () =>
        salvages.save(missingHeader(5), batches([frameOf(A, 5), frameOf(A, 6)]),
          '/data/1.checkpoint')
      fileSystem.failNext(operation, 'ENOSPC')
      await rejects(save(), FileSystemError)
      const name = await save()
      fileSystem.powerCut()
      assert.equal([(await readSalvage(salvages, name)).frames.length, await salvages.kept()], [2, [
        name.replace(/salvage$/, 'checkpoint'),
      ]], operation)
      assert.is(await contentOf(fileSystem, `/data/salvage/${(await salvages.kept())[0]}`), 'state')
    }
  })

durability('what was removed stays so; what failed may be repeated', async () => {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory('/data')
  const salvages = createSalvageFiles({ directory: '/data/salvage', fileSystem, logger: quiet })
  const name = await salvages.save({
    space: 'demo',
    uuid: A,
    node: 'n1',
    common: { epoch: 1, sequence: 2 },
    end: { epoch: 1, sequence: 3 },
    joinedEpoch: 2,
    savedAtMs: 5,
  }, batches([frameOf(A, 3)]))
  for (const operation of ['remove', 'syncDirectory'] as const) {
    fileSystem.failNext(operation)
    await rejects(salvages.remove(name), FileSystemError)
    fileSystem.powerCut()
    assert.equal((await salvages.list()).length, 1)
  }
  fileSystem.failNext('syncDirectory')
  await rejects(salvages.remove(name), FileSystemError)
  await salvages.remove(name)
  fileSystem.powerCut()
  assert.equal(await salvages.list(), [])
})
durability.run()

const temporary: string[] = []
journalContract('node', async () => {
  const data = await mkdtemp(join(tmpdir(), 'engram-journal-'))
  temporary.push(data)
  const fileSystem = new NodeFileSystem()
  return {
    fileSystem,
    data,
    flip: async (path, offset) => {
      const handle = await fileSystem.open(path, 'readWrite')
      const byte = Buffer.alloc(1)
      await handle.read(byte, offset)
      await handle.write([Buffer.from([byte[0]! ^ 1])], offset)
      await handle.close()
    },
  }
})

const cleaning = suite('temporary directories')
cleaning('are removed', async () => {
  for (const directory of temporary) await rm(directory, { recursive: true, force: true })
})
cleaning.run()
