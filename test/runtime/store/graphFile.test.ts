import { mkdtemp, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
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

graphFile.run()
