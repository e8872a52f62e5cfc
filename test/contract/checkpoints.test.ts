/** Checkpoints from store to file to store: both stores, both file systems. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SectionReader } from '../../actors/ports/checkpoints.js'
import type { FileSystem } from '../../actors/ports/fileSystem.js'
import type { SpaceStore, Stage } from '../../actors/ports/store.js'
import { openCheckpoints } from '../../runtime/checkpoint/checkpoints.js'
import { NodeFileSystem } from '../../runtime/system/fileSystem.js'
import { SystemRandom } from '../../runtime/system/random.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'
import { atOnce, disk, fullSpace, notesOf, uuids } from '../support/checkpoints.js'
import { logOf, storeEdge, storeNode } from '../support/forkEntries.js'
import { recordsOf, slicesOf } from '../support/images.js'
import { subjects, type StoreContext } from './storeSubjects.js'

interface Context extends StoreContext {
  directory: string
  fileSystem: FileSystem
}

const [uuid] = uuids

/** What recovery and an install do. */
async function load(reader: SectionReader, stage: Stage): Promise<void> {
  for await (const piece of reader.records()) await stage.put(piece)
}

/** Many small records, and some that are larger than a block. */
async function fill(space: SpaceStore): Promise<void> {
  const operations = Array.from({ length: 4000 }, (_, index) => (index % 4 === 0
    ? storeEdge(`n${index}`, `n${index % 100}`, 0.5)
    : storeNode(`n${(index * 7919) % 4000}`, 'x'.repeat(index % 1000 === 1 ? 390_000 : 200))))
  const entries = logOf(operations.map((operation) => ({ operation })))
    .map((entry) => ({ ...entry, writeId: `k${entry.sequence}` }))
  for (let at = 0; at < entries.length; at += 500) await space.apply(entries.slice(at, at + 500))
}

for (const subject of subjects) {
  for (const where of ['memory', 'disk'] as const) {
    const test = suite<Context>(`checkpoints: ${subject.name}, files in ${where}`)
    test.before.each(async (context) => {
      Object.assign(context, await subject.make())
      context.directory = await mkdtemp(join(tmpdir(), 'engram-checkpoints-'))
      context.fileSystem = where === 'disk' ? new NodeFileSystem() : new MemoryFileSystem()
    })
    test.after.each(async (context) => {
      await context.store.close()
      await context.remove()
      await rm(context.directory, { recursive: true, force: true })
    })

    const open = ({ directory, fileSystem }: Context) =>
      openCheckpoints({
        directory: join(directory, 'checkpoints'),
        fileSystem,
        random: new SystemRandom(),
        nowMs: () => Date.now(),
        disk,
        numberAbove: 0,
      })

    test('a state goes into a file and comes out of it as it was', async (context) => {
      const { store } = context
      const space = store.space('from')
      await fill(space)
      const checkpoints = await open(context)
      const image = space.image(space.applied)!
      const [section] = await checkpoints.write([{ notes: notesOf(uuid, space), image }], atOnce)
      const again = await open(context)
      assert.equal(again.list(), [section])
      const reader = await again.open(section!)
      const stage = store.stage(uuid, reader.manifest.state)
      await load(reader, stage)
      await reader.close()
      await stage.adopt(1)
      const loaded = store.space(uuid)
      await loaded.keysRead()
      assert.equal(recordsOf(slicesOf(loaded)), recordsOf(slicesOf(space)))
      assert.equal(loaded.applied, space.applied)
      assert.is(loaded.digest, space.digest)
      assert.equal(loaded.key('k4000'), space.key('k4000'))
      assert.equal([...loaded.edges('n0', 'in')].length, [...space.edges('n0', 'in')].length)
    })

    test('what was written by the other store is read by this one', async (context) => {
      const source = await fullSpace()
      const checkpoints = await open(context)
      const image = source.image(source.applied)!
      const [section] = await checkpoints.write([{ notes: notesOf(uuid, source), image }], atOnce)
      const reader = await checkpoints.open(section!)
      const stage = context.store.stage(uuid, reader.manifest.state)
      await load(reader, stage)
      await reader.close()
      await stage.adopt(1)
      const space = context.store.space(uuid)
      assert.equal(recordsOf(slicesOf(space)), recordsOf(slicesOf(source)))
      assert.equal(space.reports(), source.reports())
      assert.equal([...space.quarantine('')], [...source.quarantine('')])
      assert.equal(space.origin(1, 9), source.origin(1, 9))
    })

    test('a file that rots is not loaded; the space stays what it was', async (context) => {
      const { store, directory, fileSystem } = context
      const space = store.space(uuid)
      await fill(space)
      const checkpoints = await open(context)
      const image = space.image(space.applied)!
      const [section] = await checkpoints.write([{ notes: notesOf(uuid, space), image }], atOnce)
      const path = join(directory, 'checkpoints', '0000000001.checkpoint')
      const handle = await fileSystem.open(path, 'readWrite')
      await handle.write([Buffer.of(1, 2, 3, 4)], section!.bytes - 100_000)
      await handle.close()
      const { digest } = space
      const reader = await checkpoints.open(section!)
      const stage = store.stage(uuid, reader.manifest.state)
      let code = ''
      await load(reader, stage).catch((error: { code: string }) => {
        code = error.code
      })
      await reader.close()
      assert.is(code, 'CHECKPOINT_DAMAGED')
      stage.discard()
      assert.is(space.digest, digest)
      assert.is(space.installs, 0)
    })

    test.run()
  }
}
