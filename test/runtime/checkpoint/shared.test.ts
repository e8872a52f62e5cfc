/** Checkpoint files that several spaces share. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoints, SectionSource,
  StoredSection } from '../../../actors/ports/checkpoints.js'
import { ImageClosedError } from '../../../actors/ports/store.js'
import type { SpaceStore } from '../../../actors/ports/store.js'
import { MemoryFileSystem } from '../../fakes/memoryFileSystem.js'
import { MemoryStore } from '../../fakes/memoryStore.js'
import { SeededRandom } from '../../fakes/seededRandom.js'
import { atOnce, directory, fileOf, fullSpace, imageOf, notesOf, openIn, readRecords, sourceOf,
  uuids } from '../../support/checkpoints.js'
import { FailingFileSystem } from '../../support/failingFileSystem.js'
import { logOf, storeNode } from '../../support/forkEntries.js'
import { slicesOf } from '../../support/images.js'

interface Context {
  space: SpaceStore
  large: SpaceStore
}

const third = '0c000000-0000-4000-8000-000000000003'
const [first, second] = uuids

const test = suite<Context>('checkpoint files: shared')
test.before(async (context) => {
  const large = new MemoryStore().space('u')
  const nodes = Array.from({ length: 17 }, (_, index) => storeNode(`n${index}`, 'x'.repeat(75_000)))
  await large.apply(logOf(nodes.map((operation) => ({ operation }))))
  Object.assign(context, { space: await fullSpace(), large })
})

/** Its image is closed after so many slices, as it is when the space is dropped meanwhile. */
function closing(uuid: string, space: SpaceStore, slices: number): SectionSource {
  const image = imageOf(space.image(space.applied)!, slicesOf(space).slice(0, slices))
  const { next } = image
  image.next = () => {
    const slice = next.call(image)
    if (slice.length === 0) throw new ImageClosedError()
    return slice
  }
  return { notes: notesOf(uuid, space), image }
}

async function whole(checkpoints: Checkpoints): Promise<string[]> {
  const sections = checkpoints.list()
  for (const section of sections) await checkpoints.verify(section, atOnce)
  return sections.map(({ uuid }) => uuid)
}

test('each section is read by itself, and all have their bytes together', async ({ space, large }) => {
  const disk = new MemoryFileSystem()
  const checkpoints = await openIn(disk)
  const sources = [sourceOf(first, space), sourceOf(second, large), sourceOf(third, space)]
  const sections = await checkpoints.write(sources, atOnce)
  const sum = sections.reduce((bytes, section) => bytes + section.bytes, 0)
  assert.equal(sections.map(({ sharedBytes }) => sharedBytes), [sum, sum, sum])
  const again = await openIn(disk)
  assert.equal(again.list(), sections)
  for (const opened of [checkpoints, again]) {
    assert.equal(await whole(opened), [first, second, third])
    for (const section of sections) {
      const found = opened.find(section.uuid, section)
      assert.equal(found, section)
      const reader = await opened.open(found!)
      const from = section.uuid === second ? large : space
      assert.ok((await readRecords(reader)).equals(Buffer.concat(slicesOf(from))))
      await reader.close()
    }
    assert.is(opened.find(first, { file: 1, id: third }), null)
  }
})

test('a space whose image is closed leaves the others as they are', async ({ space, large }) => {
  const disk = new MemoryFileSystem()
  const checkpoints = await openIn(disk)
  for (const slices of [0, 1, 10]) {
    const middle = closing(second, large, slices)
    const sections = await checkpoints.write([sourceOf(first, space), middle,
      sourceOf(third, space)], atOnce)
    assert.equal(sections.map(({ uuid }) => uuid), [first, third])
    assert.ok((middle.image as ReturnType<typeof imageOf>).isClosed)
    const last = await checkpoints.write([sourceOf(first, space), closing(third, large, slices)],
      atOnce)
    assert.equal(last.map(({ uuid }) => uuid), [first])
  }
  await whole(checkpoints)
  await whole(await openIn(disk))
})

test('there is no file if there is no section', async ({ large }) => {
  const disk = new MemoryFileSystem()
  const checkpoints = await openIn(disk)
  assert.equal(await checkpoints.write([], atOnce), [])
  assert.equal(await checkpoints.write([closing(first, large, 9)], atOnce), [])
  assert.equal(checkpoints.files(), [])
  assert.equal(disk.paths(directory), [])
})

const sourcesOf = ({ space, large }: Context): SectionSource[] => [
  sourceOf(first, large),
  closing(second, large, 9),
  sourceOf(third, space),
]

test('a write that ends at any call: all of the file is there, or nothing', async (context) => {
  let there = 0
  for (let call = 0, isOver = false; !isOver; call += 1) {
    for (const end of ['kill', 'powerCut', 'torn'] as const) {
      const disk = new MemoryFileSystem()
      const checkpoints = await openIn(disk)
      disk.stopAfter(call)
      await checkpoints.write(sourcesOf(context), atOnce).catch(() => undefined)
      isOver = !disk.stopped
      const random = new SeededRandom(call)
      if (end === 'kill') disk.kill()
      else disk.powerCut(end === 'torn' ? () => random.next() : undefined)
      const found = await whole(await openIn(disk))
      assert.ok(found.length === 0 || found.join() === [first, third].join(), found.join())
      there += found.length / 2
    }
  }
  assert.ok(there >= 3, `${there} whole ones`)
})

for (const code of ['ENOSPC', 'EIO']) {
  test(`a write of which any call fails (${code}): nothing is left of it`, async (context) => {
    for (let call = 0;; call += 1) {
      const disk = new MemoryFileSystem()
      const failing = new FailingFileSystem(disk, call, code)
      const checkpoints = await openIn(failing)
      const failed = await checkpoints.write(sourcesOf(context), atOnce)
        .then(() => null, (error: { code?: string }) => error.code)
      if (failing.calls <= call) {
        assert.is(failed, null)
        assert.ok(call > 12, `${call} calls`)
        return
      }
      if (failed === null) continue
      assert.is(failed, code)
      assert.equal(checkpoints.list(), [])
      assert.equal(disk.paths(directory), [])
    }
  })
}

test('a flipped bit in one section: the others stay', async ({ space }) => {
  const disk = new MemoryFileSystem()
  const checkpoints = await openIn(disk)
  const all = [sourceOf(first, space), sourceOf(second, space), sourceOf(third, space)]
  const [one, two, three] = await checkpoints.write(all, atOnce) as [
    StoredSection,
    StoredSection,
    StoredSection,
  ]
  disk.flipBit(`${directory}/0000000001.checkpoint`, two.offset + 40, 1)
  const refused = await checkpoints.open(two).then(() => '', ({ code }: { code: string }) => code)
  assert.is(refused, 'CHECKPOINT_DAMAGED')
  checkpoints.noteUnusable(two, { code: refused, reason: 'rot' })
  assert.is(checkpoints.find(second, two), null)
  assert.equal(checkpoints.list(), [one, three])
  assert.equal(checkpoints.files().map(({ fault }) => fault?.reason), ['rot'])
  await whole(checkpoints)
  const reader = await checkpoints.open(three)
  assert.is((await fileOf(reader, 1000)).length, reader.fileBytes)
  await reader.close()
})

test.run()
