import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FileSystemError, type FileSystem } from '../../actors/ports/fileSystem.js'
import { NodeFileSystem } from '../../runtime/system/fileSystem.js'
import { MemoryFileSystem } from '../fakes/memoryFileSystem.js'

/** Every FileSystem must pass this. `make` gives an empty directory that exists. */
export function fileSystemContract(
  name: string,
  make: () => Promise<{ fileSystem: FileSystem; directory: string }>,
): void {
  const contract = suite(`file system: ${name}`)

  contract('writes many buffers at an offset and reads them back', async () => {
    const { fileSystem, directory } = await make()
    const handle = await fileSystem.open(join(directory, 'f'), 'create')
    const many = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i},`))
    await handle.write([Buffer.from('head'), Buffer.alloc(0), Buffer.from('!')], 0)
    await handle.write(many, 5)
    const all = Buffer.concat([Buffer.from('head!'), ...many])
    assert.is(await handle.size(), all.length)
    const into = Buffer.alloc(all.length + 10)
    assert.is(await handle.read(into, 0), all.length)
    assert.ok(into.subarray(0, all.length).equals(all))
    const some = Buffer.alloc(3)
    assert.is(await handle.read(some, 2), 3)
    assert.is(some.toString(), 'ad!')
    assert.is(await handle.read(some, all.length), 0)
    assert.is(await handle.read(some, all.length + 100), 0)
    await handle.write([], 0)
    await handle.close()
  })

  contract('truncates, and a gap reads as zeros', async () => {
    const { fileSystem, directory } = await make()
    const handle = await fileSystem.open(join(directory, 'f'), 'create')
    await handle.write([Buffer.from('abcdef')], 0)
    await handle.truncate(2)
    assert.is(await handle.size(), 2)
    await handle.write([Buffer.from('z')], 4)
    const into = Buffer.alloc(5)
    await handle.read(into, 0)
    assert.is(into.toString('latin1'), 'ab\0\0z')
    await handle.datasync()
    await handle.close()
    await handle.close()
    await rejects(handle.read(into, 0), 'EBADF')
  })

  contract('opens what is there, creates what is not', async () => {
    const { fileSystem, directory } = await make()
    const path = join(directory, 'f')
    await rejects(fileSystem.open(path, 'read'), 'ENOENT')
    await rejects(fileSystem.open(path, 'readWrite'), 'ENOENT')
    await (await fileSystem.open(path, 'create')).close()
    await rejects(fileSystem.open(path, 'create'), 'EEXIST')
    await rejects(fileSystem.open(join(directory, 'no', 'f'), 'create'), 'ENOENT')
    const reader = await fileSystem.open(path, 'read')
    await rejects(reader.write([Buffer.from('x')], 0), 'EBADF')
    const writer = await fileSystem.open(path, 'readWrite')
    await writer.write([Buffer.from('x')], 0)
    assert.is(await reader.size(), 1)
    await writer.close()
    await reader.close()
  })

  contract('lists, renames over, removes', async () => {
    const { fileSystem, directory } = await make()
    const deep = join(directory, 'a', 'b')
    assert.equal(await fileSystem.list(deep), [])
    await fileSystem.makeDirectory(deep)
    await fileSystem.makeDirectory(deep)
    for (const name of ['z', 'm', 'a']) {
      const handle = await fileSystem.open(join(deep, name), 'create')
      await handle.write([Buffer.from(name)], 0)
      await handle.close()
    }
    await fileSystem.syncDirectory(deep)
    assert.equal(await fileSystem.list(deep), ['a', 'm', 'z'])
    await fileSystem.rename(join(deep, 'z'), join(deep, 'a'))
    await fileSystem.remove(join(deep, 'm'))
    assert.equal(await fileSystem.list(deep), ['a'])
    const into = Buffer.alloc(1)
    const handle = await fileSystem.open(join(deep, 'a'), 'read')
    await handle.read(into, 0)
    assert.is(into.toString(), 'z')
    await handle.close()
    await rejects(fileSystem.remove(join(deep, 'm')), 'ENOENT')
    await rejects(fileSystem.rename(join(deep, 'm'), join(deep, 'n')), 'ENOENT')
    await rejects(fileSystem.syncDirectory(join(directory, 'none')), 'ENOENT')
    assert.equal(await fileSystem.list(join(directory, 'a')), ['b'])
  })

  contract('a second name keeps the file when the first one is removed', async () => {
    const { fileSystem, directory } = await make()
    const [one, two] = [join(directory, 'one'), join(directory, 'two')]
    const writer = await fileSystem.open(one, 'create')
    await writer.write([Buffer.from('abc')], 0)
    await writer.close()
    await fileSystem.link(one, two)
    await rejects(fileSystem.link(one, two), 'EEXIST')
    await rejects(fileSystem.link(join(directory, 'none'), join(directory, 'n')), 'ENOENT')
    await fileSystem.remove(one)
    assert.equal(await fileSystem.list(directory), ['two'])
    const into = Buffer.alloc(3)
    const handle = await fileSystem.open(two, 'read')
    await handle.read(into, 0)
    assert.is(into.toString(), 'abc')
    await handle.close()
  })

  contract.run()
}

async function rejects(promise: Promise<unknown>, code: string): Promise<void> {
  let error: unknown
  await promise.catch((e: unknown) => {
    error = e
  })
  assert.instance(error, FileSystemError)
  assert.is((error as FileSystemError).code, code)
}

fileSystemContract('memory', async () => {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory('/data')
  return { fileSystem, directory: '/data' }
})

const temporary: string[] = []
fileSystemContract('node', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'engram-fs-'))
  temporary.push(directory)
  return { fileSystem: new NodeFileSystem(), directory }
})

const disk = suite('memory file system, as a disk')

disk('loses bytes that were not synced, and entries of directories', async () => {
  const fs = new MemoryFileSystem()
  await fs.makeDirectory('/d')
  const kept = await fs.open('/d/kept', 'create')
  await kept.write([Buffer.from('one')], 0)
  await kept.datasync()
  await fs.syncDirectory('/d')
  await kept.write([Buffer.from('two')], 3)
  const lost = await fs.open('/d/lost', 'create')
  await lost.write([Buffer.from('x')], 0)
  await lost.datasync()
  await fs.rename('/d/kept', '/d/renamed')
  fs.powerCut()
  assert.equal(await fs.list('/d'), ['kept'])
  assert.is(fs.bytesOf('/d/kept').toString(), 'one')
  await rejects(kept.read(Buffer.alloc(1), 0), 'EBADF')
})

disk('a second name is durable with its directory', async () => {
  const fs = new MemoryFileSystem()
  for (const directory of ['/d', '/e']) await fs.makeDirectory(directory)
  const handle = await fs.open('/d/f', 'create')
  await handle.write([Buffer.from('one')], 0)
  await handle.datasync()
  await fs.syncDirectory('/d')
  await fs.link('/d/f', '/e/lost')
  await fs.syncDirectory('/d')
  fs.powerCut()
  assert.equal(await fs.list('/e'), [])
  await fs.link('/d/f', '/e/kept')
  await fs.syncDirectory('/e')
  await fs.remove('/d/f')
  await fs.syncDirectory('/d')
  fs.powerCut()
  assert.is(fs.bytesOf('/e/kept').toString(), 'one')
})

disk('a killed process leaves what it wrote', async () => {
  const fs = new MemoryFileSystem()
  await fs.makeDirectory('/d')
  const handle = await fs.open('/d/f', 'create')
  fs.stopAfter(1)
  await handle.write([Buffer.from('one')], 0)
  await rejects(handle.write([Buffer.from('twotwo')], 3), 'EIO')
  await rejects(handle.datasync(), 'EIO')
  fs.kill()
  assert.is(fs.bytesOf('/d/f').toString(), 'onetwo')
})

disk('a full disk takes a part; planned failures come once', async () => {
  const fs = new MemoryFileSystem()
  await fs.makeDirectory('/d')
  const handle = await fs.open('/d/f', 'create')
  fs.capacity = 4
  await rejects(handle.write([Buffer.from('abcdef')], 0), 'ENOSPC')
  assert.is(fs.bytesOf('/d/f').toString(), 'abcd')
  await handle.write([Buffer.from('AB')], 0)
  fs.failNext('datasync', 'EIO')
  await rejects(handle.datasync(), 'EIO')
  await handle.datasync()
  await fs.syncDirectory('/d')
  fs.flipBit('/d/f', 0, 1)
  fs.powerCut()
  assert.is(fs.bytesOf('/d/f').toString(), 'CBcd')
})

disk.run()

const cleaning = suite('temporary directories')
cleaning('are removed', async () => {
  for (const directory of temporary) await rm(directory, { recursive: true, force: true })
})
cleaning.run()
