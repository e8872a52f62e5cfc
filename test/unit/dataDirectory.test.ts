import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DataDirectoryError, makeDataDirectory, remedyIn } from '../../runtime/dataDirectory.js'

const test = suite<{ directory: string }>('data directory')

test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-data-'))
})
test.after.each(({ directory }) => rm(directory, { recursive: true, force: true }))

function refused(path: string): DataDirectoryError {
  try {
    makeDataDirectory(path)
  } catch (error) {
    assert.instance(error, DataDirectoryError)
    return error as DataDirectoryError
  }
  throw new Error(`${path} was taken`)
}

test('is made with what it lies in, and may be there already', ({ directory }) => {
  const path = join(directory, 'a', 'b', 'c')
  makeDataDirectory(path, 0o700)
  assert.is(statSync(join(directory, 'a')).mode & 0o777, 0o700)
  makeDataDirectory(path)
  symlinkSync(path, join(directory, 'link'))
  makeDataDirectory(join(directory, 'link'))
})

test('what cannot be a directory is refused with its cause and what to do', ({ directory }) => {
  const file = join(directory, 'file')
  writeFileSync(file, 'kept')
  symlinkSync(join(directory, 'nowhere'), join(directory, 'broken'))
  for (const path of [file, join(file, 'x'), join(directory, 'broken')]) {
    const { message, remedy } = refused(path)
    assert.match(message, `the data directory ${path} cannot be used: `)
    assert.match(message, 'no directory')
    assert.match(remedy, 'choose another --data DIR')
  }
})

test('below /proc it is refused, rather than tried for ever', () => {
  if (!existsSync('/proc/self')) return
  for (const path of ['/proc/engram', '/proc/engram/n1']) {
    assert.match(refused(path).message, 'no directory can be made there')
  }
})

test('a place where this user may not write', ({ directory }) => {
  const path = join(directory, 'locked')
  mkdirSync(path)
  chmodSync(path, 0o500)
  // Root may write anywhere but below /sys.
  const place = process.getuid?.() === 0 ? '/sys/engram' : join(path, 'n1')
  if (!existsSync('/sys') && process.getuid?.() === 0) return
  assert.match(refused(place).message, /may not write|read-only/)
  chmodSync(path, 0o700)
})

test('a message with the code of a system error leads to its remedy', () => {
  assert.match(remedyIn('cannot go on: ENOSPC: no space left on device, write') ?? '', 'Make room')
  assert.match(remedyIn('EROFS: read-only file system') ?? '', 'Mount it for writing')
  assert.is(remedyIn('another process has this node id'), null)
})

test.run()
