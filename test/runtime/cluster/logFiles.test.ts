import { appendFileSync, closeSync, openSync, readFileSync, statSync, writeFileSync,
  writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lastWords, putAside } from '../../../runtime/cluster/logFiles.js'

const test = suite<{ directory: string; file: string }>('log files')

test.before.each(async (context) => {
  context.directory = await mkdtemp(join(tmpdir(), 'engram-logs-'))
  context.file = join(context.directory, 'n1.log')
})
test.after.each(({ directory }) => rm(directory, { recursive: true, force: true }))

test('a file that is too large is put aside, and whoever writes to it goes on', async ({ file }) => {
  const writer = openSync(file, 'a')
  writeSync(writer, 'one\n')
  await putAside(file, 4)
  assert.is(readFileSync(file, 'utf8'), 'one\n', 'as large as that is not too large')
  writeSync(writer, 'two\n')
  await putAside(file, 4)
  assert.is(readFileSync(`${file}.1`, 'utf8'), 'one\ntwo\n')
  writeSync(writer, 'three\n')
  assert.is(readFileSync(file, 'utf8'), 'three\n')
  await putAside(file, 4)
  assert.is(readFileSync(`${file}.1`, 'utf8'), 'three\n', 'in place of the one before')
  assert.is(statSync(file).size, 0)
  closeSync(writer)
})

test('one that is not there, or cannot be kept, is no error', async ({ directory, file }) => {
  await putAside(file, 4)
  writeFileSync(file, 'content')
  writeFileSync(join(directory, 'kept'), '')
  // Its place is taken by something that cannot be written over.
  const { mkdirSync } = await import('node:fs')
  mkdirSync(`${file}.1`)
  await putAside(file, 4)
  assert.ok(statSync(file).size <= 7)
})

test('last words: what a command says, else its warnings, and no raw log', ({ file }) => {
  assert.is(lastWords(file), '')
  const json = (level: number, msg: string, more: object = {}) =>
    `${JSON.stringify({ level, msg, ...more })}\n`
  writeFileSync(file, 'error: of an earlier start\n  and what to do\n')
  appendFileSync(file,
    json(30, 'runs') + json(40, 'is late') + json(50, 'failed', { error: 'EIO' }))
  assert.is(lastWords(file), 'is late\nfailed: EIO')
  appendFileSync(file, 'error: n1 could not start: its name is taken\n  Give it another id.\n')
  assert.is(lastWords(file), 'n1 could not start: its name is taken\n  Give it another id.')
  writeFileSync(file, `${'x'.repeat(1000)}\n`.repeat(100))
  assert.ok(lastWords(file).length < 4000, 'it is bounded')
})

test.run()
