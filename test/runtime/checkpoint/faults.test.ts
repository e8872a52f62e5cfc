/** Checkpoint files: a write, a receive and a removal, interrupted at each of their calls. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoints, Pace, StoredSection } from '../../../actors/ports/checkpoints.js'
import type { FileSystem } from '../../../actors/ports/fileSystem.js'
import type { SpaceStore } from '../../../actors/ports/store.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { MemoryStore } from '../../fakes/memoryStore.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { atOnce, directory, fileOf, fullSpace, imageOf, notesOf, openIn, sourceOf,
  uuids } from '../../support/checkpoints.js'
import { FailingFileSystem } from '../../support/failingFileSystem.js'
import { logOf, storeNode } from '../../support/forkEntries.js'
import { slicesOf } from '../../support/images.js'

interface Context {
  space: SpaceStore
  /** A disk with two checkpoints. */
  disk: MemoryFileSystem
  old: readonly StoredSection[]
}

/** More than a MiB, so that it is synced on the way. */
async function largeSpace(): Promise<SpaceStore> {
  const space = new MemoryStore().space('u')
  const nodes = Array.from({ length: 17 }, (_, index) => storeNode(`n${index}`, 'x'.repeat(75_000)))
  await space.apply(logOf(nodes.map((operation) => ({ operation }))))
  return space
}

const test = suite<Context>('checkpoint files: faults')
test.before.each(async (context) => {
  const disk = new MemoryFileSystem()
  const checkpoints = await openIn(disk)
  const space = await fullSpace()
  await checkpoints.write([sourceOf(uuids[0], space)], atOnce)
  await checkpoints.write([sourceOf(uuids[0], space)], atOnce)
  await disk.syncDirectory('/')
  Object.assign(context, { disk: disk.clone(), space, old: checkpoints.list() })
})

async function failure(promise: Promise<unknown>): Promise<{ code?: string; message: string }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  return { message: 'nothing was thrown' }
}

/** The old ones are whole, and the only others are whole, too. Returns these. */
async function others(
  checkpoints: Checkpoints,
  old: readonly StoredSection[],
): Promise<readonly StoredSection[]> {
  assert.equal(checkpoints.files().filter(({ fault }) => fault !== null), [])
  const all = checkpoints.list()
  assert.equal(all.slice(0, old.length), old)
  for (const section of all) await checkpoints.verify(section, atOnce)
  return all.slice(old.length)
}

/** Without the parts of a file that is being received. */
function names(disk: MemoryFileSystem): string[] {
  return disk.paths(directory).filter((name) => !name.endsWith('.part'))
}

/** The process dies at each changing call; then the machine may, too. */
async function atEachCall(
  context: Context,
  prepare: (checkpoints: Checkpoints) => Promise<unknown>,
  run: (checkpoints: Checkpoints, prepared: unknown) => Promise<unknown>,
  after: (checkpoints: Checkpoints, disk: MemoryFileSystem) => Promise<void>,
): Promise<number> {
  for (let call = 0;; call += 1) {
    let isOver = false
    for (const end of ['kill', 'powerCut', 1, 2] as const) {
      const disk = context.disk.clone()
      const checkpoints = await openIn(disk)
      const prepared = await prepare(checkpoints)
      disk.stopAfter(call)
      await run(checkpoints, prepared).catch(() => undefined)
      isOver = !disk.stopped
      if (end === 'kill') disk.kill()
      else if (end === 'powerCut') disk.powerCut()
      else {
        const random = new SeededRandom(1000 * call + end)
        disk.powerCut(() => random.next())
      }
      await after(await openIn(disk), disk)
    }
    if (isOver) return call
  }
}

/** One of its calls fails, each in turn. */
async function withEachFailure(
  context: Context,
  code: string,
  run: (checkpoints: Checkpoints, disk: MemoryFileSystem) => Promise<void>,
): Promise<number> {
  const open = async (call: number): Promise<[FailingFileSystem, MemoryFileSystem]> => {
    const disk = context.disk.clone()
    return [new FailingFileSystem(disk as FileSystem, call, code), disk]
  }
  for (let call = 0;; call += 1) {
    const [failing, disk] = await open(call)
    await run(await openIn(failing), disk)
    if (failing.calls <= call) return call
  }
}

const write = (space: SpaceStore) => (checkpoints: Checkpoints) =>
  checkpoints.write([sourceOf(uuids[1], space)], atOnce)

test('a write that ends at any call: the new file is whole, or not there', async (context) => {
  const large = await largeSpace()
  let whole = 0
  const calls = await atEachCall(context, async () => undefined, write(large),
    async (checkpoints, disk) => {
      whole += (await others(checkpoints, context.old)).length
      assert.equal(names(disk).filter((name) => name.endsWith('.tmp')), [])
      // Its number is never used again, as far as the disk can tell.
      const [next] = await write(large)(checkpoints)
      const used = checkpoints.list().map(({ file }) => file)
      assert.is(new Set(used).size, used.length)
      assert.ok(next!.file > 2)
    })
  assert.ok(calls >= 14, `${calls} calls`)
  assert.ok(whole > 3, `${whole} whole ones`)
})

for (const code of ['ENOSPC', 'EIO']) {
  test(`a write of which any call fails (${code}): nothing is left of it`, async (context) => {
    const large = await largeSpace()
    const calls = await withEachFailure(context, code, async (checkpoints, disk) => {
      const failed = await failure(write(large)(checkpoints))
      if (failed.code === undefined) {
        assert.is(checkpoints.list().length, 3)
        return
      }
      assert.is(failed.code, code, failed.message)
      assert.equal(checkpoints.list(), context.old)
      assert.is(names(disk).length, 2)
      const [again] = await write(large)(checkpoints)
      assert.ok(again!.file > 3, 'a new file, never the same one')
      assert.is((await others(await openIn(disk), context.old)).length, 1)
    })
    assert.ok(calls > 12, `${calls} calls`)
  })
}

test('a write that is ended by its pace, or by its image, leaves nothing', async (context) => {
  const { disk, space, old } = context
  const checkpoints = await openIn(disk)
  const ended = new Error('ended')
  for (let slices = 0; slices < 3; slices += 1) {
    let left = slices
    const pace: Pace = {
      begin: () => undefined,
      end: () => undefined,
      rest: async () => {
        left -= 1
        if (left < 0) throw ended
      },
    }
    const image = imageOf(space.image(space.applied)!, [])
    const broken = { ...image, next: () => {
      throw ended
    } }
    const notes = notesOf(uuids[1], space)
    for (const source of [sourceOf(uuids[1], space), { notes, image: broken }]) {
      assert.is(await failure(checkpoints.write([source], pace)), ended)
      assert.equal(checkpoints.list(), old)
      assert.is(names(disk).length, 2)
    }
  }
})

test('images are closed, whatever fails first', async ({ disk, space }) => {
  const checkpoints = await openIn(disk)
  for (const operation of ['open', 'write', 'datasync'] as const) {
    const images = [1, 2].map(() => imageOf(space.image(space.applied)!, slicesOf(space)))
    disk.failNext(operation)
    const sources = images.map((image) => ({ notes: notesOf(uuids[1], space), image }))
    assert.is((await failure(checkpoints.write(sources, atOnce))).code, 'EIO')
    assert.equal(images.map(({ isClosed }) => isClosed), [true, true], operation)
  }
})

test('what is read back otherwise than it was written is removed', async (context) => {
  const { disk, space, old } = context
  const lying: FileSystem = {
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    remove: (path) => disk.remove(path),
    link: (from, to) => disk.link(from, to),
    freeBytes: () => disk.freeBytes(),
    open: (path, mode) => disk.open(path, mode),
    rename: async (from, to) => {
      await disk.rename(from, to)
      disk.flipBit(to, 500, 3)
    },
  }
  const checkpoints = await openIn(lying)
  const failed = await failure(write(space)(checkpoints))
  assert.is(failed.code, 'CHECKPOINT_READ_BACK')
  assert.match(failed.message, /0000000003\.checkpoint is read back otherwise.*wrong checksum/)
  assert.equal(checkpoints.list(), old)
  assert.is(names(disk).length, 2)
})

test('what changes in memory between its hash and its write is found', async (context) => {
  const { disk, space, old } = context
  const checkpoints = await openIn(disk)
  const image = space.image(space.applied)!
  let slice: Uint8Array = Buffer.alloc(0)
  const watched = imageOf(image, [])
  watched.next = () => {
    const next = image.next()
    if (next.length > 0) slice = next
    return next
  }
  const pace: Pace = {
    ...atOnce,
    // The last record of a slice ends within its value: no length changes.
    rest: async () => {
      if (slice.length > 0) slice[slice.length - 1]! ^= 1
      slice = Buffer.alloc(0)
    },
  }
  const source = { notes: notesOf(uuids[1], space), image: watched }
  const failed = await failure(checkpoints.write([source], pace))
  assert.is(failed.code, 'CHECKPOINT_READ_BACK', failed.message)
  assert.equal(checkpoints.list(), old)
  image.close()
})

test('each MiB is synced, and writes are bounded', async ({ disk }) => {
  const large = await largeSpace()
  const lengths: number[] = []
  let sinceSync = 0
  let dirty = 0
  const watched: FileSystem = {
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    remove: (path) => disk.remove(path),
    link: (from, to) => disk.link(from, to),
    freeBytes: () => disk.freeBytes(),
    rename: (from, to) => disk.rename(from, to),
    open: async (path, mode) => {
      const handle = await disk.open(path, mode)
      return {
        ...handle,
        write: async (buffers, offset) => {
          const bytes = buffers.reduce((sum, { length }) => sum + length, 0)
          lengths.push(bytes)
          sinceSync += bytes
          dirty = Math.max(dirty, sinceSync)
          await handle.write(buffers, offset)
        },
        datasync: async () => {
          sinceSync = 0
          await handle.datasync()
        },
      }
    },
  }
  await write(large)(await openIn(watched))
  assert.ok(Math.max(...lengths) <= 2 ** 20 + 32)
  assert.ok(dirty < 2 ** 21, `${dirty} bytes`)
})

/** All of a section, sent by another disk. */
async function sent(space: SpaceStore): Promise<{ id: string; bytes: Buffer }> {
  const from = await openIn(new MemoryFileSystem())
  const [section] = await from.write([sourceOf(uuids[1], space)], atOnce)
  const reader = await from.open(section!)
  const bytes = await fileOf(reader, 100_000)
  await reader.close()
  return { id: section!.id, bytes }
}

const chunkBytes = 256 * 1024

async function receive(
  checkpoints: Checkpoints,
  { id, bytes }: { id: string; bytes: Buffer },
): Promise<StoredSection> {
  const part = await checkpoints.receive({ uuid: uuids[1], id, totalBytes: bytes.length })
  while (part.bytes < bytes.length) {
    await part.append(bytes.subarray(part.bytes, part.bytes + chunkBytes))
  }
  return part.finish()
}

test('a receive that ends at any call: resumed, it is the same file', async (context) => {
  const wanted = await sent(await largeSpace())
  let resumed = 0
  const calls = await atEachCall(context, async () => undefined,
    (checkpoints) => receive(checkpoints, wanted), async (checkpoints) => {
    const there = await others(checkpoints, context.old)
    assert.ok(there.length <= 1)
    const [id] = await checkpoints.parts(uuids[1])
    if (id !== undefined) {
      const part = await checkpoints.receive({ uuid: uuids[1], id,
        totalBytes: wanted.bytes.length })
      if (part.bytes > 0) resumed += 1
      await part.close()
    }
    const section = await receive(checkpoints, wanted)
    const reader = await checkpoints.open(section)
    assert.ok((await fileOf(reader, 100_000)).equals(wanted.bytes))
    await reader.close()
  })
  assert.ok(calls >= 9, `${calls} calls`)
  assert.ok(resumed > 10, `${resumed} were resumed`)
})

for (const code of ['ENOSPC', 'EIO']) {
  test(`a receive of which any call fails (${code}): old until it is whole`, async (context) => {
    const wanted = await sent(await largeSpace())
    await withEachFailure(context, code, async (checkpoints, disk) => {
      const failed = await failure(receive(checkpoints, wanted))
      if (failed.code !== undefined) {
        assert.is(failed.code, code, failed.message)
        assert.equal(checkpoints.list(), context.old)
      }
      disk.kill()
      const again = await openIn(disk)
      assert.ok((await others(again, context.old)).length <= 1)
      await receive(again, wanted)
      await others(again, context.old)
    })
  })
}

test('a chunk that had no room is given again; a part that was not synced is gone', async (context) => {
  const { disk } = context
  const { id, bytes } = await sent(await largeSpace())
  const checkpoints = await openIn(disk)
  const part = await checkpoints.receive({ uuid: uuids[1], id, totalBytes: bytes.length })
  const used = disk.paths('/checkpoints').reduce((sum, name) => sum + disk.bytesOf(name).length, 0)
  disk.capacity = used + 1000
  const first = bytes.subarray(0, chunkBytes)
  assert.is((await failure(part.append(first))).code, 'ENOSPC')
  assert.is(part.bytes, 0)
  disk.capacity = Number.POSITIVE_INFINITY
  await part.append(first)
  assert.is(part.bytes, chunkBytes)
  assert.match((await failure(part.append(bytes))).message, /bug/)
  disk.failNext('datasync')
  assert.is((await failure(part.append(bytes.subarray(chunkBytes, 1_250_000)))).code, 'EIO')
  assert.equal(await checkpoints.parts(uuids[1]), [])
})

test('a part is resumed before the first block that does not verify', async ({ disk }) => {
  const { id, bytes } = await sent(await largeSpace())
  const checkpoints = await openIn(disk)
  const wanted = { uuid: uuids[1], id, totalBytes: bytes.length }
  const part = await checkpoints.receive(wanted)
  await part.append(bytes.subarray(0, 1_200_000))
  await part.close()
  const name = `${directory}/${uuids[1]}.${id}.part`
  disk.flipBit(name, 1_000_000, 2)
  const again = await checkpoints.receive(wanted)
  assert.ok(again.bytes > 700_000 && again.bytes <= 1_000_000, `${again.bytes}`)
  assert.is(disk.bytesOf(name).length, again.bytes)
  await again.close()
  disk.flipBit(name, 10, 2)
  const anew = await checkpoints.receive(wanted)
  assert.is(anew.bytes, 0)
  await anew.close()
  const other = await checkpoints.receive({ ...wanted, id: uuids[0] })
  assert.equal(await checkpoints.parts(uuids[1]), [uuids[0]], 'of one file only')
  await other.discard()
  await other.discard()
  assert.equal(await checkpoints.parts(uuids[1]), [])
})

test('a file that is not what was asked for is never taken', async ({ disk, space }) => {
  const { id, bytes } = await sent(space)
  const checkpoints = await openIn(disk)
  for (const other of [
    { uuid: uuids[0], id },
    { uuid: uuids[1], id: uuids[0] },
  ]) {
    const part = await checkpoints.receive({ ...other, totalBytes: bytes.length })
    await part.append(bytes)
    for (const attempt of [part.open(), part.finish()]) {
      const failed = await failure(attempt)
      assert.is(failed.code, 'CHECKPOINT_DAMAGED')
      assert.match(failed.message, /not the file that was asked for/)
    }
    await part.discard()
  }
  const part = await checkpoints.receive({ uuid: uuids[1], id, totalBytes: bytes.length })
  await part.append(bytes.subarray(0, -1))
  assert.is((await failure(part.finish())).code, 'CHECKPOINT_DAMAGED')
})

test('a removal that ends at any call: the file is whole, or gone', async (context) => {
  let gone = 0
  const [first, second] = context.old
  const calls = await atEachCall(context, async () => undefined,
    (checkpoints) => checkpoints.remove(first!.file), async (checkpoints) => {
    const left = checkpoints.list()
    if (left.length === 1) gone += 1
    await others(checkpoints, left.length === 2 ? context.old : [second!])
    await checkpoints.remove(first!.file)
    assert.equal(checkpoints.list(), [second])
  })
  assert.is(calls, 2)
  assert.ok(gone > 1)
})

test('a failed removal is tried again; only what is named stays at a start', async (context) => {
  const { disk, old } = context
  const [first, second] = old
  const checkpoints = await openIn(disk, 7)
  for (const operation of ['remove', 'syncDirectory'] as const) {
    disk.failNext(operation)
    assert.is((await failure(checkpoints.remove(first!.file))).code, 'EIO')
    await checkpoints.remove(first!.file)
  }
  assert.equal(checkpoints.list(), [second])
  const [third] = await write(await fullSpace())(checkpoints)
  assert.is(third!.file, 8, 'above what the journal has named')
  await checkpoints.keepOnly(new Set([third!.file]))
  assert.equal((await openIn(disk)).list(), [third])
  const failed = await failure(checkpoints.open(second!))
  assert.is(failed.code, 'CHECKPOINT_GONE')
})

test('a file that cannot be read is listed with the reason', async (context) => {
  const { disk, old: [first, second] } = context
  disk.flipBit(`${directory}/0000000001.checkpoint`, 4, 0)
  const checkpoints = await openIn(disk)
  assert.equal(checkpoints.files().map(({ number, fault }) => [number, fault?.code]), [
    [1, 'CHECKPOINT_DAMAGED'],
    [2, undefined],
  ])
  assert.equal(checkpoints.list(), [second])
  assert.is((await failure(checkpoints.open(first!))).code, 'CHECKPOINT_DAMAGED')
})

test('an open section can be read to its end after its file was removed', async (context) => {
  const checkpoints = await openIn(context.disk)
  const [first] = context.old
  const reader = await checkpoints.open(first!)
  await checkpoints.remove(first!.file)
  assert.is((await fileOf(reader, 1000)).length, reader.fileBytes)
  for await (const piece of reader.records()) assert.ok(piece.length > 0)
  await reader.close()
})

test.run()
