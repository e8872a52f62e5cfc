import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Logger } from '../../../actors/ports/system.js'
import { openCheckpoints } from '../../../runtime/checkpoint/checkpoints.js'
import { DataDirectory } from '../../../runtime/journal/dataDirectory.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { MemoryStore } from '../../fakes/memoryStore.js'
import { SeededRandom } from '../../fakes/seededRandom.js'

const directory = suite('data directory')
const logger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const random = new SeededRandom(1)
const numbers = { disk: random.uuid(), incarnation: 1, spoken: 1 }

/** A start up to there: the directory is owned, its numbers are durable, it is recovered. */
async function started(disk: MemoryFileSystem): Promise<DataDirectory> {
  const data = new DataDirectory({
    directory: '/data',
    node: 'n1',
    fileSystem: disk,
    random,
    logger,
    reserveBytes: 4096,
    own: () =>
      Promise.resolve({
        isConfirmed: true,
        confirm: () => Promise.resolve(),
        release: () => Promise.resolve(),
      }),
    openStore: () => Promise.resolve(new MemoryStore()),
    openCheckpoints: (of) => openCheckpoints({ ...of, fileSystem: disk, random, nowMs: () => 0 }),
  })
  await data.identity()
  await data.own()
  await data.saveIdentity(numbers)
  await data.recover()
  return data
}

const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(() => 'none', (error: unknown) => (error as { code: string }).code)

directory('a journal that was taken away: refused, and none is put in its place', async () => {
  const disk = new MemoryFileSystem()
  await (await started(disk)).close()
  for (const path of disk.paths('/data/journal')) await disk.remove(path)
  for (let start = 0; start < 2; start += 1) {
    assert.is(await codeOf(started(disk)), 'JOURNAL_MISSING')
    assert.equal(disk.paths('/data/journal'), [])
  }
})

directory('the reserve is for starts: a node that runs does not use it up', async () => {
  const disk = new MemoryFileSystem()
  const data = await started(disk)
  assert.ok(await data.keepReserve())
  const size = (path: string): number => disk.bytesOf(path).length
  disk.capacity = disk.paths('/data').reduce((sum, path) => sum + size(path), 0)
  assert.is(await codeOf(data.saveIdentity(numbers)), 'ENOSPC')
  assert.is(size('/data/reserve'), 4096)
  disk.kill()
  await started(disk)
  assert.not.ok(disk.paths('/data').includes('/data/reserve'), 'a start does')
})

directory('salvages: all files count, and what a crash left of one goes at a start', async () => {
  const disk = new MemoryFileSystem()
  const data = await started(disk)
  assert.equal(await data.salvageFiles(), [])
  await disk.makeDirectory('/data/salvage')
  for (const [name, bytes] of [['demo.0b1f0c00.1-2.1-9.salvage', 70], [
    'demo.0b1f0c00.1-2.1-5.salvage.tmp',
    30,
  ], ['notes', 5]] as const) {
    const handle = await disk.open(`/data/salvage/${name}`, 'create')
    await handle.write([Buffer.alloc(bytes)], 0)
    await handle.close()
  }
  const counted = async (): Promise<readonly (string | number)[]> =>
    (await data.salvageFiles()).flatMap(({ name, bytes }) => [name, bytes])
  assert.equal(await counted(), ['demo.0b1f0c00.1-2.1-5.salvage.tmp', 30,
    'demo.0b1f0c00.1-2.1-9.salvage', 70, 'notes', 5])
  disk.kill()
  await started(disk)
  assert.equal(await counted(), ['demo.0b1f0c00.1-2.1-9.salvage', 70, 'notes', 5])
})

directory.run()
