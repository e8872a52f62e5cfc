import { mkdtemp, open as openFile, readFile, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pageUse } from '../../../runtime/store/pages.js'
import { type FreeList, freeBetween } from '../../../runtime/store/freePages.js'
import { fileFault } from '../../../runtime/store/graphFile.js'

const graphFile = suite<{ directory: string }>('graph file')
graphFile.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-graph-'))
})
graphFile.after.each(({ directory }) => rm(directory, { recursive: true, force: true }))

// LMDB takes the page size of the machine that makes the file: 16 KiB, 64 KiB on some.
for (const pageSize of [4096, 16_384, 65_536]) {
  graphFile(`pages of ${pageSize} bytes: a whole file is trusted, a cut one is not`, async (
    { directory },
  ) => {
    const records = open<Buffer, Buffer>({
      path: directory,
      pageSize,
      encoding: 'binary',
      keyEncoding: 'binary',
      maxDbs: 1,
    })
    for (let n = 0; n < 200; n += 1) await records.put(Buffer.from(`k${n}`), Buffer.alloc(3000, 1))
    await records.close()
    const file = join(directory, 'data.mdb')
    assert.is(await fileFault(file), null)
    const { size } = await stat(file)
    await truncate(file, size / 2)
    assert.match(await fileFault(file) ?? '', /it has \d+ bytes, and had \d+/)
    await truncate(file, pageSize)
    assert.match(await fileFault(file) ?? '', /too few for its head/)
  })
}

async function rejects(attempt: Promise<unknown>, reason: RegExp): Promise<void> {
  assert.match(await attempt.then(() => 'it resolved', String), reason)
}

/** A file whose free pages are many: in one list, in a tree of them, in values of several pages. */
async function withFreePages(
  directory: string,
  of: { pageSize: number; passing: number; history: number; isHeld: boolean },
): Promise<{ file: string; free: number; missing: number; list: FreeList; last: bigint }> {
  const { pageSize, passing, history } = of
  const records = open<Buffer, Buffer>({ path: directory, pageSize, encoding: 'binary',
    keyEncoding: 'binary', maxDbs: 1, noSync: true, overlappingSync: false, mapSize: 2 ** 34 })
  await records.put(Buffer.from('first'), Buffer.alloc(1))
  const reader = of.isHeld ? records.useReadTransaction() : null
  for (let n = 0; n < history; n += 1) {
    await records.batch(() => {
      for (let key = 0; key < 10; key += 1) {
        void records.put(Buffer.from(`h${(n * 37 + key * 101) % 500}`), Buffer.alloc(1_500, 1))
      }
    })
  }
  await records.batch(() => {
    const keys = Array.from({ length: passing }, (_, n) => Buffer.from(`k${n}`))
    for (const key of keys) void records.put(key, Buffer.alloc(900, 1))
    for (const key of keys) void records.remove(key)
  })
  const { liveBytes } = pageUse(records)
  reader?.done()
  await records.close()
  const file = join(directory, 'data.mdb')
  const bytes = await readFile(file)
  const number = (at: number) => bytes.readBigUInt64LE(at)
  const at = number(152) > number(pageSize + 152) ? 0 : pageSize
  const last = number(at + 144)
  const list = { pageBytes: pageSize, root: number(at + 88),
    pages: number(at + 56) + number(at + 64) }
  const pages = Number(last) + 1
  return { file, list, last, free: pages - liveBytes / pageSize,
    missing: pages - bytes.length / pageSize }
}

for (const of of [
  { pageSize: 4096, passing: 40, history: 0, isHeld: false },
  { pageSize: 4096, passing: 3000, history: 300, isHeld: true },
  { pageSize: 16_384, passing: 3000, history: 100, isHeld: true },
  { pageSize: 65_536, passing: 3000, history: 300, isHeld: false },
]) {
  graphFile(`the list of free pages: as many as LMDB counts, ${JSON.stringify(of)}`, async (
    { directory },
  ) => {
    const { file, list, last, free, missing } = await withFreePages(directory, of)
    const handle = await openFile(file)
    try {
      assert.ok(free > 0)
      assert.is(Number(await freeBetween(handle, list, 2n, last)), free)
      assert.is(await freeBetween(handle, list, last + 1n, last + 9n), 0n)
      await rejects(freeBetween(handle, { ...list, pages: list.pages - 1n }, 2n, last), /circle/)
      await rejects(freeBetween(handle, { ...list, root: last + 9n }, 2n, last), /ends within/)
    } finally {
      await handle.close()
    }
    assert.is(await fileFault(file), null)
    if (of.pageSize < 65_536) return
    // A transaction took the last pages and freed them again: LMDB has never written them.
    assert.ok(missing > 0, 'the file is shorter than its last page says')
    await truncate(file, of.pageSize * 4)
    assert.match(await fileFault(file) ?? '', /it has \d+ bytes, and had \d+/)
  })
}

graphFile.run()
